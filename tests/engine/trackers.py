"""Torrents with trackers in virtual time, and what their trackers would be told and answer; none is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from anabranch.engine import announcing
from anabranch.engine.state import TorrentState
from anabranch.engine.trackers import Announce, Farewell
from anabranch.tracker import Announced, AnnounceReply, AnnounceRequest, FaultKind, TrackerFault
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, until
from engine.samples import Sample, sample

PORT = 6881
ONE, TWO, THREE = "http://one.example/a", "http://two.example/a", "udp://three.example:80"
PLAIN = sample(pieces=4, blocks=1)
DOWN = TrackerFault(FaultKind.NETWORK, "refused")


def tracked(*tiers: Sequence[str], content: Sample = PLAIN, private: bool = True) -> Sample:
    """A torrent with these trackers; private ones say themselves when to come again."""
    metainfo = content.metainfo
    info = replace(metainfo.info, private=private)
    return Sample(replace(metainfo, info=info, trackers=tuple(map(tuple, tiers))), content.content)


SIMPLE = tracked([ONE])


def live(content: Sample = SIMPLE, **config: object) -> tuple[Node, Clock, TorrentState]:
    """Somebody who has nothing yet and wants everything."""
    node = Node(clock := Clock(), **config)  # type: ignore[arg-type]  # whatever Config takes
    torrent = node.add(content)
    node.settle()
    return node, clock, torrent


def due(node: Node, under_way: Sequence[str] = (), leaving: Sequence[Farewell] = ()) -> list[Announce]:
    with node.engine.turn:
        return announcing.take(node.engine, node.engine.clock(), PORT, under_way, leaving)


def only(node: Node) -> Announce:
    """The one announce that is due."""
    [one] = due(node)
    return one


def told(node: Node, one: Announce, interval: int = 1800, **reply: object) -> None:
    with node.engine.turn:
        announcing.told(node.engine, one, Announced(AnnounceReply(interval, **reply), ()))  # type: ignore[arg-type]  # fields


def failed(node: Node, one: Announce, fault: TrackerFault = DOWN) -> None:
    with node.engine.turn:
        announcing.failed(node.engine, one, fault)


def begun(content: Sample = SIMPLE, **config: object) -> tuple[Node, Clock, TorrentState]:
    """The same, and its first tracker knows of it."""
    node, clock, torrent = live(content, **config)
    told(node, only(node))
    return node, clock, torrent


def fetched(node: Node, clock: Clock, torrent: TorrentState, content: Sample = PLAIN) -> None:
    """Download all of it."""
    Remote(node, torrent, content)
    until(clock, node, lambda: torrent.signals.complete.is_set, 10)


def farewells(node: Node) -> list[AnnounceRequest]:
    """What was said of leaving since this was asked last."""
    said = [one.request for one in node.loop.announced]
    node.loop.announced.clear()
    return said
