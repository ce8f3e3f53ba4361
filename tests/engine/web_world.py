"""Web seeds of a node in virtual time: what RangeClient and servers do together, without either.

Each request that the node begins is a script that goes on whenever time passes: a delay, an answer, bytes in pieces of
any size, an end or a fault. The bytes go where the node says, as they do in life.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from random import Random

from anabranch.engine import fetching, webseeding
from anabranch.engine.fetches import Fetch
from anabranch.engine.state import TorrentState
from anabranch.model import InfoHash, TorrentError
from anabranch.webseed import Source, State, WebSeed, parts_of
from engine.rig import Node
from engine.samples import Sample

Script = Generator[None, None, None]


@dataclass
class Server:
    """How one web seed behaves.

    Attributes:
        rate: Bytes a second of each connection.
        delay: Seconds before an answer.
        fault: Called before an answer; what it returns is raised instead of it.
        cut: Called for each answer: after how many bytes of the request it breaks; None for never.
        spoil: Changes what is sent: gets offset and bytes.
        asked: Ranges of the torrent that were asked for, [begin, end).
        sent: Bytes.
        most: Connections at the same time.
    """

    rate: float = 10e6
    delay: float = 0.0
    fault: Callable[[Fetch], TorrentError | None] = lambda _: None
    cut: Callable[[Fetch], int | None] = lambda _: None
    spoil: Callable[[int, bytes], bytes] = lambda _, data: data
    asked: list[tuple[int, int]] = field(default_factory=list)
    sent: int = 0
    most: int = 0


class Web:
    """All that the node asks web seeds for. It is an End of the node's, so that settle() and run() move it."""

    def __init__(self, node: Node, seed: int = 0) -> None:
        self.inbox = bytearray()
        self.servers: dict[str, Server] = {}
        self.contents: dict[InfoHash, Sample] = {}
        self.draw = Random(seed)
        self._node = node
        self._scripts: dict[Fetch, Script] = {}
        self._dry: dict[Fetch, float] = {}  # how much the line of each still carries at this time
        self._at = node.engine.clock()
        node.ends.append(self)

    def add(self, torrent: TorrentState, content: Sample, servers: Mapping[str, Server]) -> list[WebSeed]:
        """Have web seeds of a torrent, by URL."""
        self.contents[torrent.info_hash] = content
        self.servers |= servers
        with self._node.engine.turn:
            webseeding.add(self._node.engine, torrent, [Source(url, trusted=True) for url in servers])
        return [torrent.swarm.webseeds[url] for url in servers if url in torrent.swarm.webseeds]

    def deliver(self) -> bool:
        now = self._node.engine.clock()
        if now != self._at:
            passed, self._at = now - self._at, now
            for fetch in self._scripts:
                self._dry[fetch] = passed * self.servers[fetch.seed.source.url].rate
        fetches = self._node.loop.fetches
        for fetch in list(fetches):
            if fetch not in self._scripts:
                self._scripts[fetch] = self._serve(fetch)
                self._dry[fetch] = 0.0
                server = self.servers[fetch.seed.source.url]
                going = sum(one.seed is fetch.seed for one in self._scripts)
                server.most = max(server.most, going)
        went_on = False
        for fetch in self.draw.sample(list(self._scripts), len(self._scripts)):
            went_on |= self._go_on(fetch)
        return went_on

    def _go_on(self, fetch: Fetch) -> bool:
        """Whether anything happened."""
        if fetch not in self._node.loop.fetches:  # it was cut off
            self._scripts.pop(fetch).close()
            return True
        before = fetch.at
        try:
            next(self._scripts[fetch])
        except StopIteration:
            self._scripts.pop(fetch, None)
            self._node.loop.fetches.pop(fetch, None)
            self._node.loop.flush_touched()
            return True
        return fetch.at != before

    def _serve(self, fetch: Fetch) -> Script:
        run = self._node.loop.run
        try:
            yield from self._bodies(fetch)
        except TorrentError as error:
            run(fetching.broken, self._node.engine, fetch, error)
        else:
            run(fetching.finished, self._node.engine, fetch)

    def _bodies(self, fetch: Fetch) -> Script:
        engine, server = self._node.engine, self.servers[fetch.seed.source.url]
        answer_at = engine.clock() + server.delay
        while engine.clock() < answer_at:
            yield
        fault = server.fault(fetch)
        if fault is not None:
            raise fault
        content = self.contents[fetch.torrent.info_hash].content
        server.asked.append((fetch.request.next, fetch.request.end))
        left = server.cut(fetch)
        for part in parts_of(fetch.seed, fetch.torrent.metainfo.info, fetch.request.next, fetch.request.end):
            if part.offset >= fetch.request.end:
                return
            with engine.turn:
                if not fetching.begin(engine, fetch):
                    return
                fetch.flow = _Flow()
            assert fetch.at == part.offset, "bytes must belong where the last ones ended"
            end = part.offset + part.length
            while fetch.at < end:
                room = int(min(self._dry[fetch], end - fetch.at))
                if room <= 0:
                    yield
                    continue
                if left is not None and left <= 0:
                    raise TorrentError("the connection broke")
                room = self.draw.choice((room, room, self.draw.randint(1, room)))
                with engine.turn:
                    view = fetching.landing(engine, fetch, room if left is None else min(room, left))
                if not isinstance(view, memoryview):
                    yield  # no memory, or none of a limited rate: it looks again when time passes
                    continue
                begin = fetch.at
                view[:] = server.spoil(begin, content[begin : begin + len(view)])
                self._dry[fetch] -= len(view)
                server.sent += len(view)
                left = None if left is None else left - len(view)
                with engine.turn:
                    wanted = fetching.landed(engine, fetch, len(view))
                self._node.loop.flush_touched()
                if not wanted:
                    return
                if begin + len(view) < end and self.draw.random() < 0.3:
                    yield

    def hang_up(self) -> None:
        return

    def tick(self) -> None:
        return


class _Flow:
    def resume(self) -> None:
        return  # whoever has no memory looks again when time passes


def in_book(node: Node) -> dict[State, int]:
    """How many requests there are of each state."""
    counted: dict[State, int] = {}
    for request in node.engine.due.web.requests.live():
        counted[request.state] = counted.get(request.state, 0) + 1
    return counted


def check(node: Node) -> None:
    """All that must be true of web seeds at any time, between turns."""
    web = node.engine.due.web
    web.requests.check()
    claimed = {one.attachment for one in web.requests.live() if one.state is not State.RESTING}
    fetches = {fetch for torrent in node.engine.torrents.values() for fetch in torrent.swarm.webseeds.fetches}
    assert fetches == claimed, "what is claimed and what is booked must be the same"
    for torrent in node.engine.torrents.values():
        lent: dict[int, Fetch] = {}
        for fetch in torrent.swarm.webseeds.fetches:
            for piece in fetch.lent:
                assert piece not in lent, "a piece is lent to one only"
                lent[piece] = fetch
                assert piece not in torrent.pieces.begun, "what is lent was not begun"
        assert set(torrent.pieces.lent.search(1)) == set(lent), "what is lent is lent to somebody"
