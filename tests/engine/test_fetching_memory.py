"""Where a web seed's bytes land: half blocks, others who bring the same, memory that goes, rates that are limited."""

from __future__ import annotations

from math import inf

import pytest

from anabranch.engine import claiming, fetching, judging, unfinished, webseeding
from anabranch.engine.buffers import POOL_SIZE
from anabranch.engine.fetches import Fetch
from anabranch.engine.gaining import gained
from anabranch.model import BLOCK_SIZE, Priority
from anabranch.net import Bucket
from anabranch.picker import Run
from anabranch.webseed import BadAnswer, Candidate, FileMissing, Key, Source, State, TooFast
from engine.clocks import Clock
from engine.rig import Node, run, until
from engine.samples import Sample, sample
from engine.test_fetching import read
from engine.web_world import Server, Web, check

ONE = "http://one.test/content"


class Case:
    """A node whose only web seed is asked for a piece, and what it sends comes by hand."""

    def __init__(self, content: Sample | None = None, piece: int = 0, pool: int = POOL_SIZE) -> None:
        self.clock = Clock()
        self.node = Node(self.clock, pool=pool)
        self.content = content or sample(pieces=4, blocks=4)
        self.torrent = self.node.add(self.content)
        self.node.settle()
        engine = self.node.engine
        engine.due.web.planning = True  # nobody plans
        with engine.turn:
            webseeding.add(engine, self.torrent, [Source(ONE)])
            self.seed = self.torrent.swarm.webseeds[ONE]
            start = self.content.geometry.offset_of(piece)
            chosen = Candidate(Key(ONE, self.content.info_hash, 0), self.seed, start, Priority.NORMAL)
            fetch = claiming.claim(engine, self.torrent, chosen, None)
            assert fetch is not None
            self.fetch: Fetch = fetch
            assert engine.due.web.requests.take(self.seed) is fetch.request
            fetch.since = self.clock()
            assert fetching.begin(engine, fetch)

    def landing(self, most: int = 1 << 30) -> memoryview | float:
        with self.node.engine.turn:
            return fetching.landing(self.node.engine, self.fetch, most)

    def send(self, length: int, wrong: bool = False) -> bool:
        """So many bytes come, or as many as have room; whether more is wanted."""
        wanted = True
        while length and wanted:
            view = self.landing(length)
            assert isinstance(view, memoryview)
            at = self.fetch.at
            view[:] = bytes(len(view)) if wrong else self.content.content[at : at + len(view)]
            length -= len(view)
            with self.node.engine.turn:
                wanted = fetching.landed(self.node.engine, self.fetch, len(view))
        return wanted

    def other(self, piece: int, run: Run, sender: object = "somebody") -> int:
        """Somebody else brings these blocks: to the same memory."""
        torrent, engine = self.torrent, self.node.engine
        with engine.turn:
            progress = torrent.pieces.begun[piece]
            first = run.first * BLOCK_SIZE
            length = run.blocks * BLOCK_SIZE
            buffer = torrent.holding.buffers[piece, 0]
            buffer.view[first : first + length] = self.content.of_piece(piece)[first : first + length]
            return gained(engine, torrent, progress, run, length, sender, self.clock())


def test_memory_is_given_up_to_what_is_here_already() -> None:
    """What somebody else brought is not overwritten; what comes of it again goes nowhere, and is wasted."""
    case = Case()
    assert case.send(BLOCK_SIZE)
    case.other(0, Run(2, 1))
    view = case.landing()
    assert isinstance(view, memoryview)
    assert len(view) == BLOCK_SIZE
    case.send(BLOCK_SIZE)
    case.send(BLOCK_SIZE, wrong=True)
    assert case.torrent.totals.wasted == case.seed.wasted == BLOCK_SIZE
    case.send(BLOCK_SIZE)
    case.node.settle()
    assert case.torrent.pieces.complete[0]
    assert case.seed.downloaded == 3 * BLOCK_SIZE


def test_what_has_come_is_known() -> None:
    """Where to go on after a failure, and when something of use came last."""
    case = Case()
    case.clock.now += 1.0
    case.send(BLOCK_SIZE + 100)
    assert case.fetch.request.next == case.fetch.at == BLOCK_SIZE + 100
    assert case.fetch.gain == case.clock()
    assert case.seed.proven


def test_what_is_not_wanted_any_more_ends_the_request_at_what_has_come() -> None:
    """No further part of it is begun."""
    case = Case()
    for piece in (1, 2, 3):
        case.torrent.pieces.set_worth(piece, Priority.NONE)
    assert not case.send(4 * BLOCK_SIZE)
    assert case.fetch.request.end == case.fetch.at == 4 * BLOCK_SIZE


def test_half_a_block_that_somebody_else_brings_meanwhile_is_not_overwritten() -> None:
    """The rest of ours goes nowhere: it may be wrong, and theirs is booked as theirs."""
    case = Case()
    case.send(BLOCK_SIZE // 2, wrong=True)
    progress = case.fetch.opened
    assert progress is not None
    case.other(0, Run(0, 1))
    assert case.send(BLOCK_SIZE // 2, wrong=True)
    assert progress.shares() == [(Run(0, 1), "somebody")]
    assert case.send(3 * BLOCK_SIZE)
    assert progress.shares() == [(Run(0, 1), "somebody"), (Run(1, 3), case.seed)]
    case.node.settle()
    assert case.torrent.pieces.complete[0]
    assert case.seed.wasted == BLOCK_SIZE


def test_half_a_block_whose_memory_went_is_free_for_others() -> None:
    """It is booked for nobody, and what follows it lands in memory again."""
    case = Case()
    case.send(BLOCK_SIZE // 2)
    progress = case.fetch.opened
    assert progress is not None
    with case.node.engine.turn:
        unfinished.release(case.node.engine, case.torrent, 0)
    assert case.send(BLOCK_SIZE)
    assert not progress.got[0]
    assert progress.free_run(4, 4) == Run(0, 1)
    case.send(3 * BLOCK_SIZE - BLOCK_SIZE // 2)
    assert progress.missing == 1
    assert progress.got[1:].all()


def test_half_a_block_does_not_go_on_in_memory_that_was_somebody_else_s_meanwhile() -> None:
    """The pool hands out what it got last: the same memory may come back to the piece, with anything in it."""
    case = Case()
    case.send(BLOCK_SIZE // 2)
    progress, buffer = case.fetch.opened, case.torrent.holding.buffers[0, 0]
    assert progress is not None
    with case.node.engine.turn:
        unfinished.release(case.node.engine, case.torrent, 0)
        buffer.view[:] = bytes(len(buffer.view))  # somebody else had it
        size = case.torrent.holding.stretch_size
        again = case.torrent.holding.buffers[0, 0] = case.node.engine.pool.take(size, case.torrent.owner)  # type: ignore[assignment]  # there is some
    assert again is buffer
    case.send(BLOCK_SIZE // 2)
    assert not progress.got[0]
    case.send(3 * BLOCK_SIZE)
    assert progress.shares() == [(Run(1, 3), case.seed)]
    case.other(0, Run(0, 1))
    case.node.settle()
    assert case.torrent.pieces.complete[0]
    assert not case.seed.penance_until


def test_a_piece_that_others_have_finished_is_read_past() -> None:
    """It may be hashed at this moment: not one byte of it changes; the next piece is of use again."""
    case = Case()
    case.send(BLOCK_SIZE // 2)
    case.other(0, Run(0, 4))
    assert 0 in case.torrent.holding.finishing
    view = case.torrent.holding.buffers[0, 0].view
    before = bytes(view)
    assert case.send(4 * BLOCK_SIZE - BLOCK_SIZE // 2, wrong=True)
    assert bytes(view) == before
    assert case.fetch.at == 4 * BLOCK_SIZE
    case.send(4 * BLOCK_SIZE)
    case.node.settle()
    assert case.torrent.pieces.complete[:2].all()
    assert case.seed.wasted == 4 * BLOCK_SIZE


def test_memory_is_given_up_to_the_end_of_what_is_asked_for() -> None:
    """What is behind it in the same piece is somebody else's."""
    case = Case()
    case.fetch.stop = 2
    view = case.landing()
    assert isinstance(view, memoryview)
    assert len(view) == 2 * BLOCK_SIZE


def test_nothing_lands_for_a_request_that_ended() -> None:
    """There is no memory for it, and what comes late is no block of anybody."""
    case = Case()
    case.send(100)
    with case.node.engine.turn:
        claiming.cancel(case.node.engine, case.fetch.request, "for the test")
        assert not fetching.landed(case.node.engine, case.fetch, 100)
        assert not fetching.begin(case.node.engine, case.fetch)
    assert case.landing() == inf
    assert case.seed.downloaded == 0
    check(case.node)


def test_a_request_ends_where_its_end_was_taken() -> None:
    """Whoever took the pieces behind has them; the request is over with its last piece, and has succeeded."""
    case = Case()
    case.send(BLOCK_SIZE)
    with case.node.engine.turn:
        claiming._take_tail(case.torrent, case.fetch, 12, lambda _: True)
    assert case.fetch.request.end == 4 * BLOCK_SIZE
    assert not case.send(5 * BLOCK_SIZE)
    assert case.fetch.at == 4 * BLOCK_SIZE
    with case.node.engine.turn:
        fetching.finished(case.node.engine, case.fetch)
    assert case.fetch.request.state is State.ENDED
    check(case.node)


def test_memory_is_given_up_to_the_end_of_a_stretch_of_a_large_piece() -> None:
    """Each stretch is written as soon as it is full."""
    case = Case(sample(pieces=2, blocks=64), pool=4 << 20)
    stretch = case.torrent.holding.stretch_size
    assert stretch < 64 * BLOCK_SIZE
    view = case.landing()
    assert isinstance(view, memoryview)
    assert len(view) == stretch
    case.send(stretch)
    case.node.settle()
    assert case.torrent.holding.written[0].count() == stretch // BLOCK_SIZE
    assert (0, 0) not in case.torrent.holding.buffers
    case.send(64 * BLOCK_SIZE - stretch)
    case.node.settle()
    assert case.torrent.pieces.complete[0]


def test_the_last_block_is_as_short_as_it_is() -> None:
    """Neither memory nor numbers go beyond it."""
    content = sample(pieces=2, blocks=4, cut=5000)
    case = Case(content, piece=1)
    assert not case.send(4 * BLOCK_SIZE - 5000)
    case.node.settle()
    assert case.torrent.pieces.complete[1]
    assert case.seed.downloaded == case.torrent.totals.downloaded == 4 * BLOCK_SIZE - 5000


def test_who_finds_no_memory_goes_on_when_some_came_back() -> None:
    """It is told once, without being asked again and again."""
    case = Case(pool=4 * BLOCK_SIZE)
    pool = case.node.engine.pool
    resumed: list[bool] = []

    class Flow:
        def resume(self) -> None:
            resumed.append(True)

    case.fetch.flow = Flow()
    taken = pool.take(4 * BLOCK_SIZE)
    assert taken is not None
    assert case.landing() == inf
    assert case.fetch in case.node.engine.due.web.thirsty
    with case.node.engine.turn:
        pool.give(taken)
        judging.memory_came_back(case.node.engine)
    case.node.settle()
    assert resumed == [True]
    assert not case.node.engine.due.web.thirsty
    assert isinstance(case.landing(), memoryview)


def test_who_waits_for_memory_and_is_cut_off_waits_no_more() -> None:
    """It would be waked for nothing, and kept for ever where no memory comes back."""
    case = Case(pool=4 * BLOCK_SIZE)
    taken = case.node.engine.pool.take(4 * BLOCK_SIZE)
    assert taken is not None
    assert case.landing() == inf
    with case.node.engine.turn:
        claiming.cancel(case.node.engine, case.fetch.request, "for the test")
    assert not case.node.engine.due.web.thirsty


@pytest.mark.parametrize("pool", [BLOCK_SIZE, 4 * BLOCK_SIZE, 40 * BLOCK_SIZE])
def test_however_small_the_memory_all_comes(pool: int) -> None:
    """Ten connections that hold a part of a piece each do not keep each other waiting for ever."""
    clock = Clock()
    content = sample(pieces=60, blocks=4)
    node = Node(clock, pool=pool)
    torrent = node.add(content)
    node.settle()
    urls = [f"http://{one}.test/content" for one in ("one", "two", "three")]
    Web(node).add(torrent, content, {url: Server(rate=1e6, delay=0.3) for url in urls})
    until(clock, node, lambda: torrent.pieces.is_seed, most=60)
    run(clock, node, 1, lambda: check(node))
    assert read(torrent, content) == content.content
    assert not node.engine.pool.lent


# Failures.


def test_who_asks_for_a_pause_is_planned_for_when_it_is_over() -> None:
    """Not at some later tick; it is not blamed, and its request rests."""
    case = Case()
    web = case.node.engine.due.web
    web.next_at = case.clock() + 100
    with case.node.engine.turn:
        fetching.broken(case.node.engine, case.fetch, TooFast("wait", 3.0))
    assert web.next_at == case.seed.pause_until == case.clock() + 3.0
    assert case.fetch.request.state is State.RESTING
    assert not case.seed.penance_until
    check(case.node)


def test_a_file_that_is_missing_is_no_reason_to_rest() -> None:
    """What the web seed has besides may be asked for at once."""
    case = Case()
    with case.node.engine.turn:
        fetching.broken(case.node.engine, case.fetch, FileMissing("gone", 404, 0))
    assert case.fetch.request.state is State.ENDED
    assert case.seed.lacks is not None
    assert case.seed.lacks.all()
    check(case.node)


def test_what_goes_wrong_with_a_request_that_was_cut_off_is_held_against_nobody() -> None:
    """It ended by our own will."""
    case = Case()
    with case.node.engine.turn:
        claiming.cancel(case.node.engine, case.fetch.request, "for the test")
        fetching.broken(case.node.engine, case.fetch, BadAnswer("no"))
    assert (case.seed.failures, case.seed.penance_until) == (0, 0.0)
    assert case.fetch.request.reason == "for the test"


# Limits.


def test_a_limited_rate_is_kept_and_what_is_not_used_of_it_is_given_back() -> None:
    """Memory may be given and nothing come: the grant is for others then."""
    case = Case()
    bucket = case.node.engine.limits.down = Bucket(64 * 1024, 64 * 1024)
    view = case.landing()
    assert isinstance(view, memoryview)
    assert len(view) == 4 * BLOCK_SIZE
    again = case.landing()
    assert isinstance(again, memoryview)
    assert len(again) == 4 * BLOCK_SIZE, "what was granted before is given back first"
    with case.node.engine.turn:
        fetching.landed(case.node.engine, case.fetch, 1000)
    assert bucket.grant(1 << 20, case.clock()) == 64 * 1024 - 1000
    assert case.fetch.granted == 0


def test_a_fetch_waits_until_the_rate_allows_a_receive_that_is_worth_it() -> None:
    """Not for each byte; and nothing is kept from others meanwhile."""
    case = Case()
    bucket = case.node.engine.limits.down = Bucket(64 * 1024, 64 * 1024)
    bucket.grant(64 * 1024, case.clock())
    wait = case.landing()
    assert isinstance(wait, float)
    assert 0.01 <= wait < 0.5
    case.clock.now += wait
    assert bucket.grant(1 << 20, case.clock()) >= int(wait * 64 * 1024) - 1, "nothing was kept meanwhile"
    case.clock.now += 0.3
    assert isinstance(case.landing(), memoryview)


def test_a_limit_that_is_lifted_is_seen_soon() -> None:
    """A rate of nothing, or of next to nothing, holds up a request no longer than a second at a time."""
    for rate in (0, 1):
        case = Case()
        case.node.engine.limits.down = Bucket(rate)
        case.node.engine.limits.down.grant(1 << 20, case.clock())
        wait = case.landing()
        assert isinstance(wait, float)
        assert 0 < wait <= 1.0


def test_all_comes_at_the_rate_that_is_allowed() -> None:
    """Over a while; and nothing is granted in vain."""
    clock = Clock()
    content = sample(pieces=40, blocks=4)
    node = Node(clock)
    node.engine.limits.down = Bucket(256 * 1024, 64 * 1024)
    torrent = node.add(content)
    node.settle()
    web = Web(node)
    web.add(torrent, content, {ONE: Server(rate=1e7)})
    seconds = until(clock, node, lambda: torrent.pieces.is_seed)
    assert len(content.content) / (256 * 1024) - 1 <= seconds <= len(content.content) / (256 * 1024) + 3
