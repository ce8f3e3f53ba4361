"""Blocks of unfinished pieces that are on the disk outlive a crash."""

from __future__ import annotations

from pathlib import Path

from anabranch.engine import keeping
from anabranch.engine.saving import key_of
from anabranch.engine.stage import Failed
from anabranch.engine.state import TorrentState
from anabranch.model import BLOCK_SIZE
from anabranch.storage import SessionStore
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import Faults, GroupedStorage, sample
from engine.truth import check

CONTENT = sample(pieces=2, blocks=64)  # each larger than an eighth of the pool
POOL = 1 << 20


def remembered(sessions: SessionStore, torrent: TorrentState) -> dict[int, int]:
    """How many blocks of which pieces are."""
    saved = sessions.load(key_of(torrent))
    assert saved is not None
    return {piece: int.from_bytes(bits, "big").bit_count() for piece, bits in saved.partial.items()}


def killed(torrent: TorrentState) -> None:
    """As if the process had been: nobody says good-bye."""
    assert torrent.disk.claim is not None
    torrent.disk.claim.release()


def test_blocks_that_were_synced_are_not_fetched_again_after_a_kill(tmp_path: Path) -> None:
    """The next run takes them from the disk; what came later is fetched again, and the pieces are whole."""
    sessions = SessionStore(tmp_path)
    home = GroupedStorage()
    node = Node(clock := Clock(), sessions=sessions, pool=POOL)
    torrent = node.add(CONTENT, home)
    node.settle()
    Remote(node, torrent, CONTENT, rate=3)
    run(clock, node, 15, lambda: check(node))
    kept = remembered(sessions, torrent)
    assert 16 <= sum(kept.values()) <= 15 * 3
    assert "flush" in home.steps
    killed(torrent)

    again = Node(clock, 2, sessions=sessions, pool=POOL)
    torrent = again.add(CONTENT, home)
    again.settle(lambda: check(again))
    assert torrent.totals.hashed == 0
    remote = Remote(again, torrent, CONTENT)
    until(clock, again, lambda: torrent.signals.complete.is_set, 20)
    assert remote.sent == 2 * 64 - sum(kept.values())
    assert b"".join(home.data[piece] for piece in range(2)) == CONTENT.content
    run(clock, again, 12)
    assert remembered(sessions, torrent) == {}


def test_nothing_is_remembered_before_it_was_synced_and_a_failed_sync_is_a_failure_of_the_disk(tmp_path: Path) -> None:
    """What the sync lost is not known; the torrent stops, says so, and goes on by itself."""
    sessions = SessionStore(tmp_path)
    faults = Faults()
    faults.always.add("flush")
    node = Node(clock := Clock(), sessions=sessions, pool=POOL)
    torrent = node.add(CONTENT, GroupedStorage(faults))
    node.settle()
    Remote(node, torrent, CONTENT, rate=3)
    until(clock, node, lambda: isinstance(torrent.stage, Failed), 30)
    node.tick()
    node.settle()
    assert remembered(sessions, torrent) == {}
    assert torrent.holding.kept.blocks == {}
    faults.forgive()
    until(clock, node, lambda: torrent.signals.complete.is_set, 90)


def test_syncs_for_unfinished_pieces_are_few(tmp_path: Path) -> None:
    """W42: one in ten seconds while something comes, none while nothing does, none where nothing is remembered."""
    for sessions, most in ((SessionStore(tmp_path), 4), (None, 0)):
        home = GroupedStorage()
        node = Node(clock := Clock(), sessions=sessions, pool=POOL)
        torrent = node.add(CONTENT, home)
        node.settle()
        remote = Remote(node, torrent, CONTENT, rate=2)
        run(clock, node, 30)
        assert home.steps.count("flush") <= most
        assert bool(home.steps) == bool(most)
        remote.leave()
        run(clock, node, 2 * keeping.KEEP_EVERY)
        before = home.steps.count("flush")
        run(clock, node, 60)
        assert home.steps.count("flush") == before
        assert torrent not in node.engine.due.lively


def test_pieces_that_lie_in_memory_cost_no_sync(tmp_path: Path) -> None:
    """They are written when they are complete: there is nothing to remember of them."""
    home = GroupedStorage()
    node = Node(clock := Clock(), sessions=SessionStore(tmp_path))
    torrent = node.add(content := sample(pieces=40, blocks=4), home)
    node.settle()
    Remote(node, torrent, content, rate=4)
    until(clock, node, lambda: torrent.signals.complete.is_set, 60)
    assert home.steps.count("flush") == 0


def test_what_is_remembered_wrongly_costs_the_piece_and_no_more(tmp_path: Path) -> None:
    """It is a hint: the bytes on the disk have been changed meanwhile; the hash finds out, and nobody is blamed."""
    sessions = SessionStore(tmp_path)
    home = GroupedStorage()
    node = Node(clock := Clock(), sessions=sessions, pool=POOL)
    torrent = node.add(CONTENT, home)
    node.settle()
    Remote(node, torrent, CONTENT, rate=3)
    run(clock, node, 15)
    kept = remembered(sessions, torrent)
    killed(torrent)
    for piece in kept:
        home.data[piece][:] = bytes(len(home.data[piece]))
    again = Node(clock, 2, sessions=sessions, pool=POOL)
    torrent = again.add(CONTENT, home)
    again.settle()
    Remote(again, torrent, CONTENT)
    until(clock, again, lambda: torrent.signals.complete.is_set, 40)
    assert not again.engine.banned
    assert torrent.totals.downloaded + torrent.totals.wasted <= 2 * CONTENT.geometry.total
    assert torrent.totals.corrupt == len(kept) * 64 * BLOCK_SIZE
