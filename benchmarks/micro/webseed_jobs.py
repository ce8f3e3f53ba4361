"""What planning for web seeds costs, for many torrents and for one of very many pieces: in the tests' engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from anabranch.bencode import encode
from anabranch.engine import TorrentState, planning, webseeding
from anabranch.metainfo import Metainfo
from anabranch.model import BLOCK_SIZE
from anabranch.webseed import Source, plan

from ..testbed import open_tests
from .job import Job, Work

if TYPE_CHECKING:
    from engine.rig import Node

TORRENTS, HOSTS = 1000, 10  # so that a host's slots are taken, and three times as many torrents wait for one
MANY = 350_000  # pieces


def jobs() -> Sequence[Job]:
    """All of them."""
    return [
        Job(f"web seeds: plan for {TORRENTS} torrents", "torrent", TORRENTS, _plan_for_torrents),
        Job(f"web seeds: plan for {MANY} pieces", "torrent", 1, _plan_for_pieces),
    ]


def _node(torrents: int, pieces: int) -> tuple[Node, list[TorrentState]]:
    """One that downloads from web seeds alone, each of which has shown that it gives something."""
    open_tests()
    from engine.clocks import Clock
    from engine.rig import Node
    from engine.samples import Sample

    node = Node(Clock())
    added = []
    for number in range(torrents):
        info: dict[bytes, object] = {b"name": b"torrent %d" % number, b"length": pieces * BLOCK_SIZE}
        info |= {b"piece length": BLOCK_SIZE, b"pieces": bytes(20 * pieces)}
        added.append(node.add(Sample(Metainfo.parse(encode({b"info": info})), b"")))
    node.settle()
    for number, torrent in enumerate(added):
        with node.engine.turn:
            webseeding.add(node.engine, torrent, [Source(f"http://host{number % HOSTS}.example/{number}")])
            for seed in torrent.swarm.webseeds.values():
                seed.downloaded = 1
    with node.engine.turn:
        planning.run(node.engine, "")
    node.settle()
    if not node.engine.due.web.requests.live():
        raise RuntimeError("nothing was planned")
    return node, added


def _plan(node: Node, torrents: Sequence[TorrentState]) -> None:
    """Decide anew, and leave it at that: the next time is the same."""
    engine = node.engine
    with engine.turn:
        found = [one for torrent in torrents for one in planning.candidates(engine, torrent, engine.clock())]
        plan(engine.due.web.requests, found, lambda request: request.priority, now=engine.clock())


def _plan_for_torrents() -> Callable[[], Work]:
    node, torrents = _node(TORRENTS, 16)
    return lambda: partial(_plan, node, torrents)


def _plan_for_pieces() -> Callable[[], Work]:
    node, torrents = _node(1, MANY)
    return lambda: partial(_plan, node, torrents)
