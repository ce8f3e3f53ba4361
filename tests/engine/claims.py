"""A torrent whose web seeds are asked for nothing but by hand."""

from __future__ import annotations

from bitarray import bitarray

from anabranch.engine import claiming, webseeding
from anabranch.engine.fetches import Fetch
from anabranch.model import BLOCK_SIZE, Priority
from anabranch.picker import PieceProgress, Run
from anabranch.webseed import Candidate, Key, Source, WebSeed
from engine.clocks import Clock
from engine.rig import Node
from engine.samples import Sample, sample
from engine.web_world import check

ONE, TWO = "http://one.test/content", "http://two.test/content"
BLOCKS = 4  # of each piece
PIECE = BLOCKS * BLOCK_SIZE


class Case:
    """A node with a torrent and a web seed that nothing is asked of but by hand."""

    def __init__(self, pieces: int = 40, blocks: int = BLOCKS, cut: int = 0, content: Sample | None = None) -> None:
        self.clock = Clock()
        self.node = Node(self.clock)
        self.content = content or sample(pieces=pieces, blocks=blocks, cut=cut)
        self.torrent = self.node.add(self.content)
        self.node.settle()
        self.node.engine.due.web.planning = True  # nobody plans
        slash = "/" if self.content.metainfo.info.multi else ""
        self.seeds = [self.seed(ONE + slash), self.seed(TWO + slash)]

    def seed(self, url: str) -> WebSeed:
        with self.node.engine.turn:
            webseeding.add(self.node.engine, self.torrent, [Source(url)])
        self.node.settle()
        self.node.engine.due.web.why = ""
        return self.torrent.swarm.webseeds[url]

    def chosen(self, piece: int, seed: int = 0, worth: int = Priority.NORMAL, inside: int = 0) -> Candidate:
        start = self.content.geometry.offset_of(piece) + inside
        key = Key(self.seeds[seed].source.url, self.content.info_hash, 0)
        return Candidate(key, self.seeds[seed], start, worth)

    def claim(
        self, piece: int, seed: int = 0, within: bitarray | None = None, old: Fetch | None = None
    ) -> Fetch | None:
        request = old.request if old is not None else None
        with self.node.engine.turn:
            fetch = claiming.claim(self.node.engine, self.torrent, self.chosen(piece, seed), within, request)
        check(self.node)
        return fetch

    def claimed(self, piece: int = 0, seed: int = 0) -> Fetch:
        fetch = self.claim(piece, seed)
        assert fetch is not None
        return fetch

    def begin(self, piece: int, *asked: Run, got: tuple[Run, ...] = ()) -> PieceProgress:
        """As if peers had been asked for these blocks, and had sent those."""
        with self.node.engine.turn:
            progress = PieceProgress(piece, self.content.geometry.blocks_of(piece), self.clock())
            self.torrent.pieces.begun[piece] = progress
            for part in asked:
                progress.ask(part)
            for part in got:
                progress.gain(part, "somebody", self.clock())
            self.torrent.pieces.refresh(piece)
        return progress

    def reading(self, fetch: Fetch, blocks_a_second: float = 0.0) -> None:
        """Its bytes come, at that pace."""
        book = self.node.engine.due.web.requests
        with self.node.engine.turn:
            assert book.take(fetch.seed) is fetch.request
            book.reading(fetch.request)
            fetch.since = self.clock()
            claiming.open_next(fetch, self.clock())
        if blocks_a_second:
            for _ in range(50):
                self.clock.now += 0.1
                fetch.down.add(int(blocks_a_second * BLOCK_SIZE / 10), self.clock.now)
            fetch.gain = self.clock.now

    @property
    def free(self) -> set[int]:
        return set(self.torrent.pieces.free().search(1))
