"""W09: an hour of everything that happens to web seeds, in any order, with all that is counted compared each time."""

from __future__ import annotations

import os
from random import Random

import pytest

from anabranch.engine import failing, planning, wanting, webseeding
from anabranch.engine.fetches import Fetch
from anabranch.engine.state import TorrentState
from anabranch.model import Priority, StorageFailed, TorrentError
from anabranch.webseed import BadAnswer, FileMissing, Source, TooFast
from engine.clocks import Clock
from engine.rig import Node
from engine.samples import sample
from engine.web_world import Server, Web, check

URLS = [f"http://{host}.test:{port}/" for host in ("one", "two") for port in (80, 81)]
TICK = 0.001  # seconds
HOUR = 3600.0
CONTENTS = [
    sample(pieces=n, blocks=b, files=(n * b * 9000, n * b * 7000), seed=n) for n, b in ((3, 2), (40, 1), (9, 20))
]


class Hour:
    """A client, its torrents, and what befalls them."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        self.clock = Clock()
        self.node = Node(self.clock, seed, pool=1 << 21, slice_size=self.draw.choice((1, 4, 64)), debug=True)
        self.web = Web(self.node, seed)
        self.torrents: dict[int, TorrentState] = {}
        self.runs = self.drops = 0

    def fault(self, fetch: Fetch) -> TorrentError | None:
        chance = self.draw.random()
        if chance < 0.03:
            return BadAnswer("no")
        if chance < 0.06:
            return TooFast("wait", self.draw.choice((None, 3.0)))
        if chance < 0.07:
            return FileMissing("gone", 404, self.draw.randrange(2))
        return TorrentError("broken") if chance < 0.2 else None

    def cut(self, fetch: Fetch) -> int | None:
        return self.draw.randrange(1, 400_000) if self.draw.random() < 0.2 else None

    def spoil(self, offset: int, data: bytes) -> bytes:
        return bytes(len(data)) if self.draw.random() < 0.02 else data

    def servers(self) -> dict[str, Server]:
        some = self.draw.sample(URLS, self.draw.randint(1, 4))
        rates = self.draw.choices((2e4, 1e6, 5e7), k=len(some))
        return {
            url: Server(rate, self.draw.random() * 3, self.fault, self.cut, self.spoil)
            for url, rate in zip(some, rates, strict=True)
        }

    def add(self) -> None:
        free = [one for one in range(len(CONTENTS)) if one not in self.torrents]
        if free:
            number = self.draw.choice(free)
            torrent = self.torrents[number] = self.node.add(CONTENTS[number])
            self.web.add(torrent, CONTENTS[number], self.servers())

    def befall(self) -> None:
        node, draw = self.node, self.draw
        what = draw.random()
        if not self.torrents or what < 0.1:
            self.add()
            return
        number, torrent = draw.choice(list(self.torrents.items()))
        if torrent.pieces.is_seed:  # nothing would happen to it any more
            what = 0.15
        if what < 0.2:
            self.drops += 1
            del self.torrents[number]
            node.drop(torrent)
        elif what < 0.35:
            with node.engine.turn:
                if torrent.swarm.webseeds.sources:
                    webseeding.remove(node.engine, torrent, draw.choice(list(torrent.swarm.webseeds.sources)))
                if draw.random() < 0.8:
                    url = draw.choice(URLS)
                    self.web.servers.setdefault(url, Server(1e6, 0.5, self.fault, self.cut, self.spoil))
                    webseeding.add(node.engine, torrent, [Source(url, trusted=draw.random() < 0.5)])
        elif what < 0.5:
            with node.engine.turn:
                wanting.allow_download(node.engine, torrent, draw.random() < 0.7)
        elif what < 0.8:
            files = [draw.choice((Priority.NONE, Priority.NORMAL, Priority.HIGH)) for _ in torrent.worth.of_file]
            node.want(torrent, files)
        elif what < 0.85:
            with node.engine.turn:
                failing.fail(node.engine, torrent, StorageFailed("/data", "no space"))

    def tick(self) -> None:
        """A planner tick, and all that is due by then; everything is compared after each step of it."""
        self.clock.now += TICK
        self.runs += 1
        self.node.loop.run(planning.run, self.node.engine, "tick")
        check(self.node)
        self.node.settle(lambda: check(self.node))

    def pass_(self, seconds: float) -> None:
        self.clock.now += seconds
        self.node.begin_tenth()
        self.node.tick()
        check(self.node)
        self.node.settle(lambda: check(self.node))


def live(seed: int, seconds: float, ticks: int) -> Hour:
    """So many planner ticks of a millisecond after each thing that befalls; time jumps between."""
    hour = Hour(seed)
    end = hour.clock.now + seconds
    while hour.clock.now < end:
        for _ in range(hour.draw.randrange(6)):
            hour.befall()
        for _ in range(hour.draw.randrange(2 * ticks)):
            hour.tick()
        hour.pass_(hour.draw.choice((0.1, 0.1, 1.0, 20.0)))
    for torrent in hour.torrents.values():
        hour.node.drop(torrent)
    hour.node.settle(lambda: check(hour.node))
    hour.pass_(1.0)
    return hour


@pytest.mark.parametrize("seed", range(4))
def test_web_seeds_survive_an_hour_of_closes_drops_and_failures(seed: int) -> None:
    """W09, W10: one live request of each slice, and counters that agree, at every step; nothing is left at the end."""
    hour = live(seed, HOUR / 4, 5)
    assert hour.runs > 400
    assert hour.drops > 10
    assert not len(hour.node.engine.due.web.requests)
    assert not hour.node.engine.due.web.thirsty
    assert not hour.node.engine.pool.lent


@pytest.mark.deep
def test_web_seeds_survive_an_hour_of_ticks_each_millisecond() -> None:
    """The same with many more ticks, and other chances each time."""
    for seed in range(int(os.environ.get("ANABRANCH_HOURS", "4"))):
        hour = live(1000 + seed, HOUR, 50)
        assert not len(hour.node.engine.due.web.requests)
