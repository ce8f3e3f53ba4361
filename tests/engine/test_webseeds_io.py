"""Requests to web seeds on a loop: a task for each, one HTTP request after the other, and what their ends mean."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import pytest

from anabranch.engine import claiming, judging, webseeding
from anabranch.engine.fetches import Fetch
from anabranch.engine.names_io import FamilyNames
from anabranch.engine.state import TorrentState
from anabranch.engine.webseeds_io import WebSeedReader
from anabranch.model import BLOCK_SIZE, Priority
from anabranch.net import Answer, BodyFlow, Bucket, NetworkFailed, Sink, Trouble, Url
from anabranch.webseed import Candidate, Key, Source, State
from engine.clocks import Clock
from engine.rig import Node
from engine.samples import Sample, modern, sample
from engine.test_fetching import read
from loops import Run

HOST = "http://one.test/"
PIECE = 4 * BLOCK_SIZE
HEADERS = (("X-Key", "1"),)


@dataclass
class Asked:
    """A call of get()."""

    url: Url
    begin: int
    length: int
    ranged: bool
    headers: Mapping[str, str]
    trusted: bool
    named: Url | None


Body = Callable[[Asked, Sink], Awaitable[None]]


@dataclass
class Client:
    """Stands in for RangeClient: what a server sends is scripted.

    Attributes:
        body: What happens in get(), after it was noted.
        asked: All calls.
        closed: How often it was closed.
    """

    body: Body
    asked: list[Asked] = field(default_factory=list)
    closed: int = 0

    async def get(
        self,
        url: Url,
        sink: Sink,
        *,
        begin: int = 0,
        length: int,
        ranged: bool = True,
        headers: Mapping[str, str] | None = None,
        trusted: bool = False,
        named: Url | None = None,
    ) -> None:
        self.asked.append(Asked(url, begin, length, ranged, headers or {}, trusted, named))
        await self.body(self.asked[-1], sink)

    async def close(self) -> None:
        self.closed += 1


class Paused:
    """The flow of a body."""

    def __init__(self) -> None:
        self.again = asyncio.Event()

    def resume(self) -> None:
        self.again.set()


def answer(asked: Asked, content: Sample, status: int = 206) -> Answer:
    """What an honest server says."""
    last = asked.begin + asked.length - 1
    total = next(
        file.length
        for file in content.metainfo.info.files
        if not content.metainfo.info.multi or asked.url.target.endswith(file.path[-1])
    )
    headers = {"content-range": f"bytes {asked.begin}-{last}/{total}"} if asked.ranged else {}
    return Answer(status if asked.ranged else 200, "OK", headers, asked.length, asked.url, None)


def honest(content: Sample, at_once: int = 40_000) -> Body:
    """Sends what is asked for, as memory is there."""
    info = content.metainfo.info

    async def send(asked: Asked, sink: Sink) -> None:
        flow: BodyFlow = (paused := Paused())
        left_out = sink.begun(answer(asked, content), flow)
        assert left_out == 0
        [offset] = [one.offset for one in info.files if not info.multi or asked.url.target.endswith(one.path[-1])]
        at, left = offset + asked.begin, asked.length
        while left:
            view = sink.landing()
            if view is None:
                paused.again.clear()
                await asyncio.wait_for(paused.again.wait(), 5)
                continue
            count = min(len(view), left, at_once)
            view[:count] = content.content[at : at + count]
            at, left = at + count, left - count
            if not sink.landed(count):
                return
            await asyncio.sleep(0)

    return send


class Case:
    """A node, a request of its web seed that was begun, and who reads it."""

    def __init__(self, content: Sample, body: Body | None = None, **settings: object) -> None:
        self.clock = Clock()
        self.content = content
        self.node = Node(self.clock, **settings)  # type: ignore[arg-type]  # they are whatever Node takes
        self.torrent: TorrentState = self.node.add(content)
        self.node.settle()
        self.node.engine.due.web.planning = True  # nobody plans
        self.url = HOST if content.metainfo.info.multi else HOST + "content"
        with self.node.engine.turn:
            webseeding.add(self.node.engine, self.torrent, [Source(self.url, trusted=True, headers=HEADERS)])
        self.node.settle()
        self.reader = WebSeedReader(self.node.engine, (), None, FamilyNames(self.node.engine.config))
        self.client = Client(body or honest(content))
        self.reader._client = self.client  # type: ignore[assignment]  # a stand-in

    def begun(self, piece: int = 0) -> Fetch:
        engine = self.node.engine
        seed = self.torrent.swarm.webseeds[self.url]
        start = self.content.geometry.offset_of(piece)
        chosen = Candidate(Key(self.url, self.content.info_hash, 0), seed, start, Priority.NORMAL)
        with engine.turn:
            fetch = claiming.claim(engine, self.torrent, chosen, None)
            assert fetch is not None
            assert engine.due.web.requests.take(seed) is fetch.request
            fetch.since = self.clock()
        return fetch

    async def live(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do that while requests are read."""
        running = asyncio.ensure_future(self.reader.run())
        await asyncio.sleep(0)
        try:
            await act()
        finally:
            self.reader.close()
            await asyncio.wait_for(running, 5)
        assert self.client.closed == 1
        assert not self.reader._tasks

    async def over(self, fetch: Fetch) -> None:
        """Until nothing of it is under way."""
        for _ in range(5000):
            if fetch not in self.reader._tasks:
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it never ends")


def test_a_request_over_several_files_is_one_http_request_for_each(run: Run[None]) -> None:
    """Neither pads nor what lies between files is asked for; our headers go with each; all lands where it belongs."""
    for kind in ("v1", "v2", "hybrid"):
        case = Case(modern(kind, (50_000, 20_000, 3 * BLOCK_SIZE, 1), piece_length=PIECE))
        fetch = case.begun()

        async def act(case: Case = case, fetch: Fetch = fetch) -> None:
            case.reader.fetch(fetch)
            await case.over(fetch)

        run(case.live(act))
        assert [one.length for one in case.client.asked] == [50_000, 20_000, 3 * BLOCK_SIZE, 1]
        assert [one.ranged for one in case.client.asked] == [False] * 4
        assert {one.trusted for one in case.client.asked} == {True}
        assert all(one.headers == dict(HEADERS) for one in case.client.asked)
        case.node.settle()
        assert case.torrent.pieces.is_seed
        assert fetch.request.state is State.ENDED
        assert not case.node.engine.due.web.requests
        assert not case.node.engine.pool.lent


def test_a_part_that_fails_ends_the_request(run: Run[None]) -> None:
    """W12: what follows is not asked for, and never moves into its place; the request rests."""
    content = modern("v2", (50_000, 20_000, 100), piece_length=PIECE)

    async def send(asked: Asked, sink: Sink) -> None:
        if asked.url.target.endswith("/1"):
            raise NetworkFailed(Trouble.CONNECTION, "the connection was lost")
        await honest(content)(asked, sink)

    case = Case(content, send)
    fetch = case.begun()

    async def act() -> None:
        case.reader.fetch(fetch)
        await case.over(fetch)

    run(case.live(act))
    assert len(case.client.asked) == 2
    assert fetch.request.state is State.RESTING
    assert "lost" in fetch.seed.last_error
    case.node.settle()
    assert list(case.torrent.pieces.complete) == [1, 0, 0]


def test_no_more_is_asked_for_when_the_end_was_taken(run: Run[None]) -> None:
    """Somebody else has the other files by then; that is no failure."""
    content = modern("v2", (50_000, 20_000, 100), piece_length=PIECE)
    taken: list[bool] = []

    async def send(asked: Asked, sink: Sink) -> None:
        if not taken:
            taken.append(True)
            with case.node.engine.turn:
                claiming._take_tail(case.torrent, fetch, 3, lambda _: True)
        await honest(content)(asked, sink)

    case = Case(content, send)
    fetch = case.begun()

    async def act() -> None:
        case.reader.fetch(fetch)
        await case.over(fetch)

    run(case.live(act))
    assert fetch.request.state is State.ENDED
    assert fetch.seed.failures == 0
    assert len(case.client.asked) == 1 + (fetch.request.end > PIECE)


def test_what_is_cut_lands_nowhere(run: Run[None]) -> None:
    """The task ends, the request was given back before, and nothing is told to anybody."""
    content = sample(pieces=4, blocks=4)
    waits = asyncio.Event()

    async def send(asked: Asked, sink: Sink) -> None:
        sink.begun(answer(asked, content), Paused())
        view = sink.landing()
        assert view is not None
        assert sink.landed(100)
        waits.set()
        await asyncio.sleep(60)

    case = Case(content, send)
    fetch = case.begun()

    async def act() -> None:
        case.reader.fetch(fetch)
        case.reader.fetch(fetch)  # twice is once
        await waits.wait()
        with case.node.engine.turn:
            claiming.cancel(case.node.engine, fetch.request, "for the test")
        case.reader.cut(fetch)
        await case.over(fetch)
        case.reader.cut(fetch)
        case.reader.fetch(fetch)  # it ended
        assert fetch not in case.reader._tasks

    run(case.live(act))
    assert len(case.client.asked) == 1
    assert fetch.request.reason == "for the test"
    assert fetch.seed.failures == 0
    assert case.torrent.pieces.free().all()


def test_all_ends_when_the_reader_is_closed(run: Run[None]) -> None:
    """However many are under way; what is begun afterwards is not."""
    content = sample(pieces=4, blocks=4)

    async def send(asked: Asked, sink: Sink) -> None:
        await asyncio.sleep(60)

    case = Case(content, send)
    fetch = case.begun()

    async def act() -> None:
        case.reader.fetch(fetch)
        await asyncio.sleep(0)

    run(case.live(act))
    case.reader.fetch(fetch)
    assert not case.reader._tasks


def test_our_own_mistake_ends_one_request(run: Run[None], caplog: pytest.LogCaptureFixture) -> None:
    """With a traceback in the log; the next is read as ever."""
    content = sample(pieces=4, blocks=4)
    wrong = [ZeroDivisionError("a mistake")]

    async def send(asked: Asked, sink: Sink) -> None:
        if wrong:
            raise wrong.pop()
        await honest(content)(asked, sink)

    case = Case(content, send)
    fetch = case.begun()

    async def act() -> None:
        case.reader.fetch(fetch)
        await case.over(fetch)
        assert fetch.request.state is State.RESTING
        with case.node.engine.turn:
            case.node.engine.due.web.requests.end(fetch.request)
        again = case.begun()
        case.reader.fetch(again)
        await case.over(again)

    run(case.live(act))
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None
    case.node.settle()
    assert case.torrent.pieces.is_seed


def test_a_request_that_has_nothing_to_read_any_more_ends_well(run: Run[None]) -> None:
    """Its pieces came by others before the answer: no byte is read, and nobody is blamed."""
    content = sample(pieces=4, blocks=4)
    case = Case(content)
    fetch = case.begun()
    for piece in range(4):
        case.torrent.pieces.set_worth(piece, Priority.NONE)

    async def act() -> None:
        case.reader.fetch(fetch)
        await case.over(fetch)

    run(case.live(act))
    assert fetch.request.state is State.ENDED
    assert fetch.seed.failures == 0
    assert not case.torrent.pieces.lent.any()


def test_who_has_no_memory_or_no_rate_waits_and_goes_on(run: Run[None]) -> None:
    """For memory until some comes back, for the rate by the clock: bytes of files and zeros of pads."""
    content = modern("v1", (50_000, 20_000, 3 * BLOCK_SIZE, 1), piece_length=PIECE)
    case = Case(content, pool=PIECE)
    bucket = case.node.engine.limits.down = Bucket(1e7, 30_000)
    fetch = case.begun()
    memory = case.node.engine.pool.take(PIECE)
    assert memory is not None

    async def act() -> None:
        case.reader.fetch(fetch)
        for _ in range(100):
            await asyncio.sleep(0)
        assert case.node.engine.due.web.thirsty
        with case.node.engine.turn:
            case.node.engine.pool.give(memory)
            judging.memory_came_back(case.node.engine)
        for _ in range(5000):
            case.clock.now += 0.001
            case.node.settle()
            if fetch not in case.reader._tasks:
                return
            await asyncio.sleep(0.001)

    run(case.live(act))
    case.node.settle()
    assert case.torrent.pieces.is_seed
    assert read(case.torrent, content) == content.content
    assert bucket.grant(1 << 20, case.clock() + 1) == 30_000
    assert fetch.request.state is State.ENDED


def test_bytes_that_do_not_belong_where_the_last_ones_ended_are_refused(run: Run[None]) -> None:
    """That would be a mistake of ours, and not a byte out of place follows from it."""
    content = sample(pieces=4, blocks=4)
    case = Case(content)
    fetch = case.begun()

    async def act() -> None:
        fetch.request.next = fetch.request.begin + BLOCK_SIZE
        case.reader.fetch(fetch)
        await case.over(fetch)

    run(case.live(act))
    assert fetch.request.state is State.RESTING
    assert case.torrent.totals.downloaded == 0
    assert "not what belongs" in fetch.seed.last_error
