"""Making pieces durable: sync, then record, then say so."""

from __future__ import annotations

import pytest

from anabranch.engine import events
from anabranch.engine.stage import Failed
from anabranch.model import Priority
from anabranch.storage import Completion
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import Faults, GroupedStorage, PlainStorage, sample


def test_pieces_are_recorded_after_a_sync_and_complete_is_said_last() -> None:
    """Write, sync, record, in this order; then the signal and the event."""
    content = sample(pieces=3, blocks=2)
    home = PlainStorage()
    node = Node(Clock())
    torrent = node.add(content, home)
    node.settle()
    node.record.held = True
    Remote(node, torrent, content)
    node.settle()
    assert torrent.pieces.is_seed
    assert not torrent.signals.complete.is_set
    node.record.held = False
    node.settle()
    assert torrent.signals.complete.is_set
    assert home.steps[0] == "flush"
    assert sorted(home.steps[1:]) == ["mark 0", "mark 1", "mark 2"]
    assert set(home.recorded.values()) == {Completion.COMPLETE}


def test_what_comes_during_a_group_makes_the_next_one() -> None:
    """One sync at a time for a torrent, however many pieces come."""
    content = sample(pieces=30, blocks=1)
    home = GroupedStorage()
    node = Node(clock := Clock())
    torrent = node.add(content, home)
    node.settle()
    Remote(node, torrent, content, rate=10)
    run(clock, node, 2)
    node.record.held = True
    run(clock, node, 2)
    assert len(node.record.waiting) == 1
    node.record.held = False
    until(clock, node, lambda: torrent.signals.complete.is_set, 20)
    assert len(home.steps) <= 5


@pytest.mark.parametrize("home", [PlainStorage, GroupedStorage])
def test_after_a_failed_sync_nothing_is_believed_before_it_was_hashed(home: type[PlainStorage]) -> None:
    """The system may have dropped any of it, also what was written during the sync.

    The flaw: errors of the sync were ignored, and the piece was marked complete.
    """
    content = sample(pieces=6, blocks=2)
    faults = Faults()
    storage = home(faults)
    node = Node(clock := Clock())
    torrent = node.add(content, storage)
    node.settle()
    remote = Remote(node, torrent, content, rate=8)
    run(clock, node, 1)
    node.record.held = True
    run(clock, node, 1)
    verified = set(torrent.pieces.complete.search(1))
    assert len(verified) >= 4
    kind = "record" if home is GroupedStorage else "flush"
    faults.at(kind, faults.calls[kind] + 1)
    doubtful = {*torrent.disk.recording, *torrent.disk.unrecorded}
    assert set(torrent.disk.recording) < doubtful
    node.record.held = False
    node.settle()
    assert isinstance(torrent.stage, Failed)
    unknown = set(torrent.disk.checks.queued.search(1))
    assert unknown >= doubtful
    assert not any(torrent.pieces.known[piece] for piece in unknown)
    lost = min(unknown)
    storage.data[lost][0] ^= 1
    until(clock, node, lambda: torrent.signals.complete.is_set, 40)
    assert storage.data[lost] == content.of_piece(lost)
    assert remote.sent == 6 * 2 + 2, "one piece was fetched again, the others were there"


def test_complete_is_said_once_until_more_is_wanted() -> None:
    """And taken back when it is not true any more."""
    content = sample(files=(40_000, 40_000), blocks=1)
    node = Node(clock := Clock())
    torrent = node.add(content, want=None)
    node.settle()
    assert not torrent.signals.complete.is_set
    node.want(torrent, [Priority.NORMAL, Priority.NONE])
    node.settle()
    Remote(node, torrent, content)
    node.settle()
    assert torrent.signals.complete.is_set
    run(clock, node, 3)
    node.want(torrent, [Priority.HIGH, Priority.NONE])
    node.settle()
    assert len([event for event in node.told() if isinstance(event, events.Completed)]) == 1
    with node.engine.turn:
        for peer in torrent.swarm.peers.values():
            peer.link.pause_reading(True)
    node.want(torrent, [Priority.NORMAL, Priority.NORMAL])
    node.settle()
    assert not torrent.signals.complete.is_set
    for peer in torrent.swarm.peers.values():
        peer.link.pause_reading(False)
    node.settle()
    assert torrent.signals.complete.is_set
    assert len([event for event in node.told() if isinstance(event, events.Completed)]) == 1


def test_a_torrent_of_which_nothing_is_wanted_is_not_complete() -> None:
    """Nor is one whose last wanted piece is given up."""
    content = sample(pieces=2, blocks=2)
    node = Node(Clock())
    torrent = node.add(content, want=None)
    node.settle()
    node.want(torrent, [Priority.NORMAL])
    node.settle()
    node.want(torrent, [Priority.NONE])
    node.settle()
    assert not torrent.signals.complete.is_set


def test_an_empty_torrent_is_complete_when_it_is_open() -> None:
    """There is nothing to wait for."""
    content = sample(files=(0, 0), blocks=1)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    assert torrent.signals.complete.is_set


@pytest.mark.parametrize("home", [PlainStorage, GroupedStorage])
def test_what_is_being_written_when_a_sync_fails_is_hashed_too(home: type[PlainStorage]) -> None:
    """The system may have dropped its bytes and told of it once: the next sync would go through."""
    content = sample(pieces=40, blocks=2)
    faults = Faults()
    node = Node(clock := Clock())
    torrent = node.add(content, home(faults))
    node.settle()
    Remote(node, torrent, content, rate=8)
    node.record.held = True
    until(clock, node, lambda: bool(torrent.disk.recording), 5)
    node.disk.held = True
    until(clock, node, lambda: bool(torrent.holding.finishing), 5)
    late = set(torrent.holding.finishing)
    kind = "record" if home is GroupedStorage else "flush"
    faults.at(kind, faults.calls[kind] + 1)
    node.record.held = False
    node.settle()
    assert isinstance(torrent.stage, Failed)
    doubtful = set(torrent.disk.checks.queued.search(1))
    assert doubtful.isdisjoint(late)
    hashed = torrent.totals.hashed
    node.disk.held = False
    node.settle()
    assert torrent.totals.hashed - hashed == (2 * len(late) + len(doubtful)) * torrent.pieces.geometry.piece_length
    assert torrent.disk.checks.doubted == set()
    until(clock, node, lambda: torrent.signals.complete.is_set, 60)
