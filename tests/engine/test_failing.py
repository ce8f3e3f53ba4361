"""What happens when a disk says no, and when it says yes again."""

from __future__ import annotations

import errno
import os

import pytest

from anabranch.engine import events
from anabranch.engine.failing import RETRY_EVERY
from anabranch.engine.stage import Failed, Live
from anabranch.engine.stats import stats_of
from anabranch.model import StorageFailed
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import Faults, GroupedStorage, PlainStorage, on_disk, sample
from engine.truth import check


@pytest.mark.parametrize("storage", [PlainStorage, GroupedStorage])
@pytest.mark.parametrize("kind", ["write", "record", "flush", "read"])
@pytest.mark.parametrize("blocks", [4, 40])
def test_a_disk_that_fails_once_loses_nothing(storage: type[PlainStorage], kind: str, blocks: int) -> None:
    """At any call: the error is told once, the torrent goes on by itself, and no block is fetched twice.

    A piece that could not be hashed for it is nobody's fault.
    """
    for number in (1, 2, 3):
        faults = Faults()
        faults.at(kind, number)
        content = sample(pieces=5, blocks=blocks)
        node = Node(clock := Clock(), pool=4 << 20)
        torrent = node.add(content, storage(faults))
        node.settle()
        remote = Remote(node, torrent, content, rate=blocks)
        until(clock, node, lambda: torrent.signals.complete.is_set, 60)  # noqa: B023 - called here
        check(node)
        failed = faults.calls[kind] >= number
        faults.forgive()
        assert on_disk(torrent.opened(), content) == content.content
        told = node.told()
        assert len([event for event in told if isinstance(event, events.Failed)]) == failed
        assert len([event for event in told if isinstance(event, events.Recovered)]) == failed
        assert torrent.totals.downloaded == content.geometry.total
        assert not remote.link.closed
        assert not node.engine.banned


def test_a_full_disk_stops_the_torrent_with_the_system_s_words() -> None:
    """W43: nothing is asked while it is full; what is in memory is kept; with space again it goes on within seconds."""
    content = sample(pieces=8, blocks=4)
    faults = Faults()
    faults.always.add("write")
    node = Node(clock := Clock())
    torrent = node.add(content, PlainStorage(faults))
    node.settle()
    remote = Remote(node, torrent, content, rate=8)
    until(clock, node, lambda: isinstance(torrent.stage, Failed), 10)
    stats = stats_of(node.engine, torrent)
    assert stats.stage == "failed"
    assert "No space left on device" in stats.error
    node.settle(lambda: check(node))
    assert not remote.asked
    got = torrent.totals.downloaded
    run(clock, node, 35, lambda: check(node))
    assert torrent.totals.downloaded == got
    assert len([event for event in node.told() if isinstance(event, events.Failed)]) == 1
    assert not remote.link.closed
    faults.always.clear()
    until(clock, node, lambda: isinstance(torrent.stage, Live), int(RETRY_EVERY) + 2)
    until(clock, node, lambda: torrent.signals.complete.is_set, 20)
    assert torrent.totals.downloaded == content.geometry.total
    assert on_disk(torrent.opened(), content) == content.content


def test_it_is_live_again_only_when_all_that_failed_went_through() -> None:
    """No "recovered" that is not true a moment later."""
    content = sample(pieces=4, blocks=2)
    faults = Faults()
    node = Node(clock := Clock())
    torrent = node.add(content, PlainStorage(faults))
    node.settle()
    node.disk.held = True
    Remote(node, torrent, content)
    node.settle()
    assert len(torrent.holding.finishing) == 4
    faults.always.add("write")
    node.disk.held = False
    node.settle()
    faults.always.clear()
    faults.at("write", faults.calls["write"] + 2)
    run(clock, node, RETRY_EVERY + 1)
    assert isinstance(torrent.stage, Failed)
    assert not [event for event in node.told() if isinstance(event, events.Recovered)]
    run(clock, node, RETRY_EVERY + 2)
    assert isinstance(torrent.stage, Live)
    assert torrent.pieces.is_seed


def test_other_torrents_go_on() -> None:
    """The disk that failed is one torrent's."""
    broken, fine = sample(pieces=4, blocks=4, seed=1), sample(pieces=4, blocks=4, seed=2)
    faults = Faults()
    faults.always.add("write")
    node = Node(clock := Clock())
    one, other = node.add(broken, PlainStorage(faults)), node.add(fine)
    node.settle()
    Remote(node, one, broken)
    run(clock, node, 1)
    Remote(node, other, fine)
    node.settle(lambda: check(node))
    assert isinstance(one.stage, Failed)
    assert other.signals.complete.is_set


def test_a_failed_torrent_does_not_keep_the_memory_from_others() -> None:
    """A tiny pool, full of what a broken disk does not take: the other torrent gets it all the same."""
    broken, fine = sample(pieces=40, blocks=4, seed=1), sample(pieces=8, blocks=4, seed=2)
    faults = Faults()
    faults.always.add("write")
    node = Node(clock := Clock(), pool=1 << 20)
    one, other = node.add(broken, PlainStorage(faults)), node.add(fine)
    node.settle()
    node.disk.held = True
    remotes = [Remote(node, one, broken, rate=0) for _ in range(8)]
    node.settle()
    for number, remote in enumerate(remotes[:4]):
        remote.serve(3 if number else 4)
        remote.send()
    node.settle()
    node.disk.held = False
    node.settle()
    assert isinstance(one.stage, Failed)
    Remote(node, other, fine)
    until(clock, node, lambda: other.signals.complete.is_set, 40)
    check(node)
    faults.always.clear()
    until(clock, node, lambda: isinstance(one.stage, Live), 40)
    check(node)


@pytest.mark.parametrize("failures", [1, 3])
def test_a_storage_that_cannot_be_opened_is_opened_again(failures: int) -> None:
    """A disk that is mounted late."""
    content = sample(pieces=2, blocks=2)
    faults = Faults()
    faults.at("open", *range(1, failures + 1))
    node = Node(clock := Clock())
    torrent = node.add(content, PlainStorage(faults))
    node.settle()
    assert isinstance(torrent.stage, Failed)
    until(clock, node, lambda: isinstance(torrent.stage, Live), 60)
    assert faults.calls["open"] == failures + 1
    Remote(node, torrent, content)
    node.settle()
    assert torrent.signals.complete.is_set


def test_a_system_error_that_a_storage_lets_through_keeps_its_number_and_its_words() -> None:
    """It is the disk that refused, whoever forgot to say so in the project's words."""
    content = sample(pieces=2, blocks=2)
    home = PlainStorage()
    node = Node(clock := Clock())
    torrent = node.add(content, home)
    node.settle()

    def refuse() -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/somewhere/else")

    home.before_piece = refuse
    Remote(node, torrent, content)
    node.settle()
    assert isinstance(torrent.stage, Failed)
    assert isinstance(torrent.stage.error, StorageFailed)
    assert torrent.stage.error.errno == errno.EROFS
    assert str(torrent.stage.error) == "/somewhere/else: Read-only file system"
    home.before_piece = lambda: None
    until(clock, node, lambda: torrent.signals.complete.is_set, 20)


def test_our_own_mistake_in_a_job_stops_the_torrent_and_says_so() -> None:
    """A storage of somebody's that raises anything: the torrent fails, nothing else does."""
    content = sample(pieces=2, blocks=2)
    home = PlainStorage()
    node = Node(clock := Clock())
    torrent = node.add(content, home)
    node.settle()
    home.before_piece = lambda: 1 // 0
    Remote(node, torrent, content)
    node.settle()
    assert isinstance(torrent.stage, Failed)
    assert "ZeroDivisionError" in str(torrent.stage.error)
    home.before_piece = lambda: None
    until(clock, node, lambda: torrent.signals.complete.is_set, 20)
