"""What a second costs a client whose torrents all wait: nobody is there, nobody is to be dialed or asked yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from anabranch.engine import TorrentState, dialing, seeking, ticking
from anabranch.metainfo import Magnet
from anabranch.model import Address, InfoHash

from ..testbed import open_tests
from .job import Job, Work

if TYPE_CHECKING:
    from engine.rig import Node

FEW, MANY = 20, 2000  # torrents


def jobs() -> Sequence[Job]:
    """All of them."""
    return [Job(f"engine: a second of {count} that wait", "second", 1, partial(_wait, count)) for count in (FEW, MANY)]


def _wait(count: int) -> Callable[[], Work]:
    """A quarter each: links, those that lack everything, seeds, and those whose only candidate was not there."""
    open_tests()
    from engine.clocks import Clock
    from engine.rig import Node, run
    from engine.samples import sample

    node = Node(clock := Clock(), dial_rate=1000.0)
    failing: list[TorrentState] = []
    for number in range(0, count, 4):
        contents = [sample(pieces=1, blocks=1, seed=number + each) for each in range(3)]
        node.learn(Magnet(v1=InfoHash(number.to_bytes(20, "big"))))
        node.add(contents[0])
        node.seed(contents[1])
        failing.append(node.add(contents[2]))
    node.settle()
    run(clock, node, 1)
    seekers = node.engine.due.seekers
    while min(seekers.dht.deadline(), seekers.local.deadline()) <= clock.now:  # each has its turn
        with node.engine.turn:
            for torrent in seeking.take(node.engine, clock.now):
                seeking.ended(node.engine, torrent, 8)
            seeking.name(node.engine, clock.now)
        clock.now += 0.1
    clock.now += 1.0  # every budget is as it was at first
    for torrent in failing:
        with node.engine.turn:
            torrent.swarm.candidates.add(Address("192.0.2.1", 6881), "dht")
            node.engine.due.lively.add(torrent)
            for dial in dialing.choose(node.engine, clock.now):
                dialing.ended(node.engine, dial.torrent, dial.candidate)
    node.settle()
    work = partial(_second, node)
    work()
    return lambda: work


def _second(node: Node) -> None:
    """What the network thread does."""
    engine, now = node.engine, node.engine.clock()
    for torrent in list(engine.due.lively):
        node.loop.run(ticking.tick, engine, torrent, now)
    node.loop.run(ticking.tick_client, engine)
    with engine.turn:
        dialing.choose(engine, now)
    seeking.deadline(engine, now)
