"""A torrent of 350,000 pieces among others, and one of five hundred peers: what is done in a turn is counted."""

from __future__ import annotations

import time

import pytest

from anabranch.engine import events, snapshots
from anabranch.engine.stage import Live
from anabranch.engine.state import Policy, TorrentState
from anabranch.engine.stats import stats_of
from anabranch.engine.turn_io import SLICE
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node
from engine.samples import PlainStorage, huge, sample

PIECES = 350_000
CROWDED = Policy(most_connections=600)


class Work:
    """Counts what a torrent's table has done to it, step by step; a step of the rig has at most a turn or two.

    Attributes:
        most: The most in one step.
        total: In all steps.
        slowest: Seconds of the longest step: to look at, not to judge by.
    """

    def __init__(self, node: Node, torrent: TorrentState) -> None:
        self.most = self.total = self._now = 0
        self.slowest = 0.0
        self._node = node
        table = torrent.pieces
        refresh, count_have = table.refresh, table.count_have

        def refreshed(piece: int) -> None:
            self._now += 1
            refresh(piece)

        def counted(piece: int, step: int) -> None:
            self._now += 1
            count_have(piece, step)

        table.refresh = refreshed  # type: ignore[method-assign]  # counts the work
        table.count_have = counted  # type: ignore[method-assign]  # counts the work

    def settle(self) -> None:
        """Let everything happen that is due."""
        self.step_done()
        while True:
            before = time.perf_counter()
            if not self._node.step():
                return
            self.slowest = max(self.slowest, time.perf_counter() - before)
            self.step_done()

    def step_done(self) -> None:
        self.most, self.total = max(self.most, self._now), self.total + self._now
        self._now = 0


def tell_times(what: str, work: Work) -> None:
    """For people who run the test with -s."""
    slowest = f"longest step, disk included, {work.slowest * 1000:.0f} ms"
    print(f"{what}: {work.total} steps of work, {work.most} at most in a turn, {slowest}")


def test_a_torrent_of_very_many_pieces_is_added_while_others_go_on() -> None:
    """W01: 20 peers send on another torrent, which is polled at every step; no turn does more than a slice."""
    busy = sample(pieces=60, blocks=4)
    node = Node(Clock(), max_unverified_bytes=1 << 22)
    other = node.add(busy)
    node.settle()
    for _ in range(20):
        Remote(node, other, busy)
    torrent = node.add(huge(), PlainStorage())
    work = Work(node, torrent)
    polls = 0
    while node.step():
        work.step_done()
        with node.engine.turn:
            snapshots._refresh(node.engine, torrent.snapshot, stats_of, torrent)
            snapshots._refresh(node.engine, other.snapshot, stats_of, other)
        polls += 1
    assert other.signals.complete.is_set
    assert isinstance(torrent.stage, Live)
    Remote(node, torrent, huge(), range(0, PIECES, 2), unchokes=False)
    work.settle()
    tell_times("added", work)
    assert work.most <= SLICE + polls
    assert len(torrent.pieces.order) == PIECES


def test_dropping_very_many_pieces_and_peers_is_done_in_small_turns() -> None:
    """W47: 200 peers that have a part each. Twice is once; and added again at once, it is there."""
    node = Node(Clock())
    torrent = node.add(huge(), PlainStorage(), policy=CROWDED)
    node.settle()
    for number in range(200):
        Remote(node, torrent, huge(), range(number, PIECES, 1000), unchokes=False)
    node.settle()
    assert len(torrent.swarm.peers) == 200
    work = Work(node, torrent)
    node.drop(torrent)
    node.drop(torrent)
    again = node.add(huge(), PlainStorage())
    work.settle()
    tell_times("dropped", work)
    assert work.most <= SLICE
    assert work.total <= SLICE
    assert torrent.signals.closed.is_set
    assert node.engine.torrents[again.info_hash] is again
    assert isinstance(again.stage, Live)
    assert sum(isinstance(event, events.PeerLost) for event in node.told()) == 200


def test_a_peer_costs_what_it_has_and_not_what_there_is() -> None:
    """W01: one that joins with ten pieces of 350,000, and goes."""
    node = Node(Clock())
    torrent = node.add(huge(), PlainStorage())
    node.settle()
    Remote(node, torrent, huge(), [1], unchokes=False)
    node.settle()
    work = Work(node, torrent)
    peer = Remote(node, torrent, huge(), range(0, PIECES, PIECES // 10), unchokes=False)
    work.settle()
    peer.leave()
    work.settle()
    assert work.total == 2 * 10


@pytest.mark.parametrize("peers", [50, pytest.param(500, marks=pytest.mark.deep)])
def test_what_a_have_costs_does_not_grow_with_peers_or_pieces(peers: int) -> None:
    """All of a crowd tell of pieces: one change of the numbers for each, and each in O(log n)."""
    node = Node(Clock())
    torrent = node.add(huge(), PlainStorage(), policy=CROWDED)
    node.settle()
    crowd = [Remote(node, torrent, huge(), [], unchokes=False) for _ in range(peers)]
    node.settle()
    work = Work(node, torrent)
    for piece in range(20):
        for number, remote in enumerate(crowd):
            remote.talk.have(piece * 1000 + number % 7)
            remote.send()
    work.settle()
    tell_times(f"haves of {peers}", work)
    assert work.total <= 20 * peers
    assert len(torrent.pieces.order._keys) <= 20 * 7 + 1
    assert max(torrent.pieces.availability) >= peers // 7
