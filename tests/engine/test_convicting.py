"""Web seeds that do wrong are left alone for a while, and nobody else pays for it."""

from __future__ import annotations

import pytest

from anabranch.engine import events
from anabranch.engine.fetches import Fetch
from anabranch.model import BLOCK_SIZE, TorrentError
from anabranch.webseed import PENANCE, BadAnswer, FileMissing, State, TooFast
from engine.clocks import Clock
from engine.rig import Node, connect, run, until
from engine.samples import sample
from engine.web_world import Server, Web, check, in_book

ONE, TWO = "http://one.test/content", "http://two.test/content"


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of sixteen pieces of four blocks."""
    monkeypatch.setattr("anabranch.webseed.slices.SLICE_SIZE", 16 * 4 * BLOCK_SIZE)


def zeros(offset: int, data: bytes) -> bytes:
    return bytes(len(data))


def test_one_of_two_web_seeds_that_lies_is_blamed_and_the_other_gives_all() -> None:
    """Bad pieces cost a minute; what was on its way from the liar is not waited for."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=600, blocks=2)
    torrent = node.add(content)
    node.settle()
    liar, honest = Server(spoil=zeros), Server()
    one, two = Web(node).add(torrent, content, {ONE: liar, TWO: honest})
    until(clock, node, lambda: torrent.pieces.is_seed, most=59)
    assert one.penance_until
    assert "wrong data" in one.last_error
    assert not two.last_error
    assert liar.sent < len(content.content) // 8
    [told, *_] = [event for event in node.told() if isinstance(event, events.WebSeedFailed)]
    assert (told.webseed, told.seconds) == ("http://one.test", PENANCE)
    assert not node.engine.banned
    check(node)


def test_who_sent_the_wrong_block_of_a_piece_of_several_is_found_when_it_has_passed() -> None:
    """Smart ban goes for web seeds as for peers: of a piece that both gave, only the liar is blamed."""
    clock = Clock()
    node, content = Node(clock, 1), sample(pieces=1, blocks=64)
    seeder = Node(clock, 2)
    seeder.line = seeder.allowance = 100_000
    theirs, torrent = seeder.seed(content), node.add(content)
    node.settle()
    web = Web(node)
    [seed] = web.add(torrent, content, {ONE: Server(rate=1e5, spoil=zeros, cut=lambda _: 20 * BLOCK_SIZE)})
    run(clock, node, 5)
    connect(node, torrent, seeder, theirs)
    until(clock, [node, seeder], lambda: torrent.pieces.is_seed)
    assert seed.penance_until
    assert not node.engine.banned


def test_w11_nothing_is_queued_for_a_suspended_web_seed() -> None:
    """W11: slots are free for others while it is left alone, and afterwards it is asked again."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=200, blocks=4)
    torrent = node.add(content)
    node.settle()
    answers = iter([BadAnswer("no")])
    web = Web(node)
    [seed] = web.add(torrent, content, {ONE: (server := Server(rate=1e6, fault=lambda _: next(answers, None)))})
    began = clock.now
    run(clock, node, 1)
    assert seed.suspended(clock.now)
    while clock.now < began + PENANCE - 1:
        assert State.RESERVED not in in_book(node)
        run(clock, node, 1, lambda: check(node))
    assert len(server.asked) == 1  # what was begun before went on
    until(clock, node, lambda: torrent.pieces.is_seed)
    assert clock.now > began + PENANCE


def test_too_fast_is_no_crime() -> None:
    """503: the server is asked again after what it wished, and not convicted."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=20)
    torrent = node.add(content)
    node.settle()
    answers = iter([TooFast("one.test answers 503", 20.0)] * 2)
    [seed] = Web(node).add(torrent, content, {ONE: (server := Server(fault=lambda _: next(answers, None)))})
    run(clock, node, 15)
    assert not seed.penance_until
    assert not server.sent
    assert until(clock, node, lambda: torrent.pieces.is_seed) <= 20


def test_a_missing_file_takes_only_its_pieces_away() -> None:
    """404 for a file: all other pieces come from there, and there is no conviction."""
    clock = Clock()
    content = sample(pieces=12, files=(3 * 4 * BLOCK_SIZE, 3 * 4 * BLOCK_SIZE, 6 * 4 * BLOCK_SIZE))
    node = Node(clock)
    torrent = node.add(content)
    node.settle()
    said: list[int] = []

    def fault(fetch: object) -> TorrentError | None:
        if not said:
            said.append(1)
            return FileMissing("one.test answers 404", 404, 1)
        return None

    [seed] = Web(node).add(torrent, content, {"http://one.test/": Server(fault=fault)})
    run(clock, node, 60)
    assert [piece for piece in range(12) if not torrent.pieces.complete[piece]] == [3, 4, 5]
    assert not seed.penance_until
    check(node)


def test_of_many_missing_files_one_is_told() -> None:
    """A folder's URL that is mistyped misses them all: that is one thing to know, not thousands."""
    clock = Clock()
    content = sample(pieces=12, files=(4 * BLOCK_SIZE,) * 12)
    node = Node(clock)
    torrent = node.add(content)
    node.settle()
    info = torrent.metainfo.info

    def fault(fetch: Fetch) -> TorrentError:
        file = fetch.request.next // info.geometry.piece_length
        return FileMissing(f"one.test answers 404, asked for file {file}", 404, file)

    [seed] = Web(node).add(torrent, content, {"http://one.test/": Server(delay=2.0, fault=fault)})
    told: list[events.Event] = []
    run(clock, node, 120, lambda: told.extend(node.told()))
    assert seed.lacks is not None
    assert seed.lacks.all()
    assert len([event for event in told if isinstance(event, events.WebSeedFailed)]) == 1
    check(node)


@pytest.mark.parametrize("delay", [0.0, 8.0])
def test_a_web_seed_that_fails_rests_and_keeps_its_place_meanwhile(delay: float) -> None:
    """So that it is not asked at once for the same; its blocks are free for others at once."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=20)
    torrent = node.add(content)
    node.settle()
    [seed] = Web(node).add(
        torrent, content, {ONE: (server := Server(delay=delay, fault=lambda _: TorrentError("reset")))}
    )
    for _ in range(60):
        run(clock, node, 1, lambda: check(node))
        if State.RESTING in in_book(node):
            assert torrent.pieces.free().all()
    assert seed.failures < 60
    assert not server.asked


@pytest.mark.parametrize("fault", [BadAnswer("no"), TooFast("wait", 30.0)])
def test_what_is_queued_goes_at_once_when_a_web_seed_is_left_alone(fault: TorrentError) -> None:
    """Its pieces are free for others in the same turn, not at the next plan."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=200, blocks=4)
    torrent = node.add(content)
    node.settle()
    faults: list[TorrentError] = []
    web = Web(node)
    [seed] = web.add(torrent, content, {ONE: Server(rate=2e6, fault=lambda _: faults.pop() if faults else None)})
    until(clock, node, lambda: in_book(node).get(State.RESERVED, 0) > 5)
    faults.append(fault)
    seen: list[int] = []

    def look() -> None:
        check(node)
        if seed.suspended(clock.now):
            seen.append(in_book(node).get(State.RESERVED, 0))

    for _ in range(20):
        clock.now += 0.1
        node.begin_tenth()
        node.settle(look)
    assert set(seen) == {0}


def test_several_requests_that_fail_by_one_mistake_are_told_once() -> None:
    """The penance begins once, and so it is said once."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=200, blocks=4)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: Server(delay=2.0, fault=lambda _: BadAnswer("no"))})
    run(clock, node, 30)
    told = [event for event in node.told() if isinstance(event, events.WebSeedFailed)]
    assert [event.seconds for event in told] == [PENANCE]
