"""What is scarce is shared by those who bring content: memory, a limited rate, turns, connections, the last piece."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

import pytest

from anabranch.engine import claiming, fetching, planning, resting, wanting, webseeding
from anabranch.engine.names_io import FamilyNames
from anabranch.engine.webseeds_io import WebSeedReader
from anabranch.model import BLOCK_SIZE, Priority
from anabranch.storage import SessionStore
from anabranch.webseed import HOST_REQUESTS, Requests, Source, State
from engine.clocks import Clock
from engine.rig import Node, run, until
from engine.samples import huge, sample
from engine.web_world import Server, Web, check, in_book

ONE, TWO = "http://one.test/content", "http://two.test/content"


def test_a_web_seed_whose_blocks_take_long_loses_none_of_them() -> None:
    """The memory of a piece is not taken away in the middle of a block that does come: nothing else would ever come."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=2, blocks=4)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: Server(rate=2000)})
    until(clock, node, lambda: torrent.pieces.is_seed, most=80)
    assert torrent.totals.wasted == 0


def test_many_slow_connections_with_little_memory_waste_nothing_of_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten connections of a slow line, memory for six pieces: who waits for memory does not take it from who gets on."""
    monkeypatch.setattr("anabranch.webseed.slices.SLICE_SIZE", 2 * 8 * BLOCK_SIZE)
    clock = Clock()
    node, content = Node(clock, pool=8 * 8 * BLOCK_SIZE), sample(pieces=40, blocks=8)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: Server(rate=10_000)})
    until(clock, node, lambda: torrent.pieces.is_seed, most=120)
    assert torrent.totals.wasted < len(content.content) // 50


def test_a_web_seed_and_a_peer_share_a_limited_rate() -> None:
    """Neither waits for more of it at once than the other: who waits for a whole block would never see one."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=100, blocks=4)
    torrent = node.add(content)
    node.settle()
    bucket = node.engine.limits.down
    bucket.set_rate(100_000, clock.now)
    Web(node).add(torrent, content, {ONE: (server := Server(rate=1e6))})
    taken = 0  # by a peer, whose link does it like that
    for number in range(1500):
        clock.now += 0.02
        for turn in (number % 2, 1 - number % 2):
            if turn:
                node.settle()
            elif bucket.ready_at(clock.now) <= clock.now:
                taken += bucket.grant(1 << 18, clock.now)
    assert min(server.sent, taken) > max(server.sent, taken) // 2


def test_what_a_cut_request_was_granted_of_a_limited_rate_is_given_back() -> None:
    """Memory was handed out and nothing came."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=10)
    torrent = node.add(content)
    node.settle()
    bucket = node.engine.limits.down
    bucket.set_rate(100_000, clock.now)
    Web(node).add(torrent, content, {ONE: Server()})
    node.settle()
    [fetch] = torrent.swarm.webseeds.fetches
    clock.now += 10.0
    full = bucket.grant(1 << 20, clock.now)
    bucket.give_back(full, clock.now)
    with node.engine.turn:
        assert isinstance(fetching.landing(node.engine, fetch, 1 << 20), memoryview)
        assert fetch.granted
        claiming.cancel(node.engine, fetch.request, "test")
    assert bucket.grant(1 << 20, clock.now) == full


@pytest.mark.parametrize("rate", [2e3, 1e4])
def test_two_web_seeds_share_the_last_piece_and_do_not_pass_it_to_and_fro(rate: float) -> None:
    """Each is asked for it once or twice, and no block is fetched twice."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=1, blocks=16)
    torrent = node.add(content)
    node.settle()
    one, two = Server(rate=rate), Server(rate=rate)
    Web(node).add(torrent, content, {ONE: one, TWO: two})
    until(clock, node, lambda: torrent.pieces.is_seed)
    run(clock, node, 1, lambda: check(node))
    assert len(one.asked) + len(two.asked) <= 4
    assert one.sent + two.sent < len(content.content) + BLOCK_SIZE  # until it is known that the other is slow, too
    if rate * 5 > BLOCK_SIZE:  # a block that takes longer is not shared
        assert min(one.sent, two.sent) > len(content.content) // 4


def test_one_who_drips_gives_the_last_piece_up_to_one_who_does_not() -> None:
    """However far it is: a block would take it minutes."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=1, blocks=40)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: Server(rate=20), TWO: Server(rate=1e5)})
    assert until(clock, node, lambda: torrent.pieces.is_seed) < 20


def test_a_web_seed_without_another_file_helps_with_those_that_it_has() -> None:
    """Something is free that it lacks: it is idle nevertheless."""
    clock = Clock()
    half = 20 * 4 * BLOCK_SIZE
    content = sample(pieces=40, blocks=4, files=(half, half))
    node = Node(clock)
    torrent = node.add(content, want=None)
    node.settle()
    one, two = Server(rate=5e4), Server(rate=5e4)
    web = Web(node)
    seeds = web.add(torrent, content, {"http://one.test/": one, "http://two.test/": two})
    for seed in seeds:
        seed.lose(content.metainfo.info, 1)
    node.want(torrent, [Priority.NORMAL, Priority.NORMAL])
    until(clock, node, lambda: bool(torrent.pieces.complete[:20].all()))
    assert min(one.sent, two.sent) > half // 4


def test_files_that_are_not_wanted_any_more_make_place_for_the_rest_at_once() -> None:
    """What was kept behind them is free, and nobody waits for the timer."""
    clock = Clock()
    length = 20 * 4 * BLOCK_SIZE
    content = sample(pieces=60, blocks=4, files=(length, length, length))
    node = Node(clock)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {"http://one.test/": (server := Server(rate=1e5))})
    run(clock, node, 3)
    node.want(torrent, [Priority.NONE, Priority.NORMAL, Priority.NORMAL])
    node.settle()
    assert server.asked[-1][0] == length


def test_a_player_that_seeks_without_end_does_not_break_a_connection_each_time() -> None:
    """Ten at once, two a second; the last seek counts within a second or two."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=400, blocks=4)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: (server := Server(rate=1e5))})
    run(clock, node, 3)
    reader = object()
    for number in range(300):
        piece = number * 37 % 380
        with node.engine.turn:
            wanting.read_ahead(node.engine, torrent, reader, range(piece, piece + 10), piece)
        node.settle()
        clock.now += 0.033
        node.settle()
    assert len(server.asked) < 40
    with node.engine.turn:
        wanting.read_ahead(node.engine, torrent, reader, range(5, 15), 5)
    node.settle()
    assert until(clock, node, lambda: bool(torrent.pieces.complete[5])) <= 4


def test_no_turn_reserves_or_gives_back_more_than_some_slices() -> None:
    """Very many pieces with an order of peers: requests end at once, and the order follows some thousands a turn."""
    clock = Clock()
    node, content = Node(clock), huge(50_000)
    torrent = node.add(content)
    node.settle()
    node.make_order(torrent)
    assert torrent.pieces.ordered
    with node.engine.turn:
        webseeding.add(node.engine, torrent, [Source(ONE, trusted=True)])
    node.settle()
    [fetch] = torrent.swarm.webseeds.fetches
    assert len(fetch.lent) > 45_000  # such pieces are all in one slice
    with node.engine.turn:
        claiming.stop(node.engine, torrent, "test")
        assert len(torrent.pieces.order) < 10_000
    assert not torrent.pieces.lent.any()
    node.settle()
    assert len(torrent.pieces.order) == 50_000


def test_torrents_of_which_all_is_on_its_way_are_not_looked_at_each_second() -> None:
    """With nobody idle who could help, the timer's five seconds do."""
    clock = Clock()
    node = Node(clock)
    contents = [sample(pieces=3, seed=number) for number in range(30)]
    web = Web(node)
    for content in contents:
        torrent = node.add(content)
        node.settle()
        web.add(torrent, content, {f"{ONE}{len(node.engine.torrents)}": Server(delay=1e9)})
    node.settle()
    assert len(node.engine.due.web.requests) == HOST_REQUESTS
    clock.now += 5.0
    node.loop.run(planning.look, node.engine, clock.now)
    node.settle()
    assert node.engine.due.web.next_at > clock.now + 4.0


def test_our_mistake_at_the_end_of_a_request_ends_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The group of all requests goes on: else no web seed would be asked any more until the client is closed."""

    async def live() -> None:
        clock = Clock()
        node, content = Node(clock), sample(pieces=100)
        torrent = node.add(content)
        node.settle()
        reader = WebSeedReader(node.engine, (), None, FamilyNames(node.engine.config))
        running = asyncio.ensure_future(reader.run())
        await asyncio.sleep(0)
        monkeypatch.setattr(node.loop, "fetch", reader.fetch)
        monkeypatch.setattr(node.loop, "cut", reader.cut)

        tried = asyncio.Event()

        def mistaken(*_: object, **__: object) -> None:
            tried.set()
            raise ValueError("our mistake")

        with monkeypatch.context() as patch, caplog.at_level(logging.CRITICAL):
            patch.setattr(fetching, "_look_on", mistaken)
            with node.engine.turn:
                webseeding.add(node.engine, torrent, [Source("http://127.0.0.1:9/content", trusted=True)])
            node.settle()
            await tried.wait()
            for _ in range(3):
                await asyncio.sleep(0)
        assert not running.done()
        assert State.STARTING not in in_book(node)
        reader.close()
        await running

    asyncio.run(live())


def test_torrents_that_wait_for_a_place_at_their_server_rest_meanwhile(tmp_path: Path) -> None:
    """Only those are read from the session store that are asked for, not all that could be, with each plan again."""
    clock = Clock()
    node = Node(clock, sessions=SessionStore(tmp_path))
    web, torrents = Web(node), []
    for number in range(HOST_REQUESTS + 15):
        content = sample(pieces=3, seed=number)
        torrents.append(torrent := node.add(content))
        node.settle()
        web.contents[torrent.info_hash] = content
    for _ in range(3):
        node.tick()
        node.settle()
    assert not any(map(resting.is_awake, torrents))
    slow = Server(delay=40.0)
    for number, torrent in enumerate(torrents):
        web.add(torrent, web.contents[torrent.info_hash], {f"{ONE}{number}": slow})
    run(clock, node, 20, lambda: check(node))
    assert len(node.engine.due.web.requests) == HOST_REQUESTS
    assert sum(map(resting.is_awake, torrents)) == HOST_REQUESTS
    until(clock, node, lambda: all(torrent.pieces.is_seed for torrent in torrents), most=900)


def test_what_is_queued_is_looked_at_again_before_it_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """W09: nobody wants it any more by the time its turn comes, and no plan has been made since."""
    monkeypatch.setattr("anabranch.webseed.slices.SLICE_SIZE", 4 * BLOCK_SIZE)
    clock = Clock()
    node, content = Node(clock), sample(pieces=10, blocks=4)
    torrent = node.add(content)
    node.settle()
    [seed] = Web(node).add(torrent, content, {ONE: (server := Server(delay=2.0))})
    seed.downloaded = 1
    node.settle()
    run(clock, node, 1)
    book = node.engine.due.web.requests
    queued = [one for one in book.of(seed) if one.state is State.RESERVED]
    assert queued
    for request in queued:
        torrent.pieces.set_worth(request.key.slice, Priority.NONE)
    run(clock, node, 4)
    assert {one.reason for one in queued} == {"not wanted any more"}
    asked = {begin for begin, _ in server.asked}
    assert not asked & {request.begin for request in queued}


@pytest.mark.parametrize("debug", [False, True])
def test_the_book_is_compared_in_debug_only_and_what_does_not_fit_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, debug: bool
) -> None:
    """W10: in the fork the comparison ran always, and ended the program."""
    clock = Clock()
    node, content = Node(clock, debug=debug), sample(pieces=10)
    torrent = node.add(content)
    node.settle()
    compared: list[int] = []

    def check_(_: object) -> None:
        compared.append(1)
        raise RuntimeError("the book does not fit")

    monkeypatch.setattr(Requests, "check", check_)
    with caplog.at_level(logging.CRITICAL), suppress(RuntimeError):
        Web(node).add(torrent, content, {ONE: Server()})
        node.settle()
    assert bool(compared) is debug
    assert not node.engine.due.web.planning
    for _ in range(30):
        with caplog.at_level(logging.CRITICAL), suppress(RuntimeError):
            run(clock, node, 1)
    assert torrent.pieces.is_seed
