"""From the last block of a piece to everybody's knowledge of it."""

from __future__ import annotations

from random import Random

import pytest

from anabranch.engine import events, judging
from anabranch.engine.asking import ask
from anabranch.engine.engine import Engine
from anabranch.engine.membership import refuse
from anabranch.engine.stage import Live
from anabranch.engine.state import Peer
from anabranch.model import BLOCK_SIZE
from anabranch.wire import Have
from engine.clocks import Clock
from engine.remotes import Remote, half_written
from engine.rig import Node, run, until
from engine.samples import PlainStorage, on_disk, sample
from engine.truth import check


def always(piece: int, begin: int) -> bool:
    return True


def test_who_sent_all_of_a_wrong_piece_is_banned_at_once() -> None:
    """There is nobody else; and it is spoken to no more, about any torrent, whichever side calls."""
    content = sample(pieces=2, blocks=3)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    liar = Remote(node, torrent, content, spoil=always, host="10.9.9.9")
    node.settle(lambda: check(node))
    assert "banned" in liar.link.closed
    assert node.engine.banned == {"10.9.9.9"}
    assert torrent.totals.corrupt >= content.geometry.piece_length
    assert torrent.pieces.complete_count == 0
    assert refuse(node.engine, torrent, liar.peer.address) == "banned"
    [told] = [event for event in node.told() if isinstance(event, events.PeerBanned)]
    assert told.host == "10.9.9.9"
    Remote(node, torrent, content)
    until(clock, node, lambda: torrent.signals.complete.is_set, 5)


@pytest.mark.parametrize("seed", range(6))
def test_one_liar_among_several_is_found_and_nobody_else(seed: int) -> None:
    """Good and bad share every piece: when a piece passes, who had sent other blocks is known."""
    content = sample(pieces=6, blocks=8)
    node = Node(clock := Clock(), seed)
    torrent = node.add(content)
    node.settle()
    lies = Random(seed)
    for number in range(4):
        Remote(node, torrent, content, rate=2, host=f"10.9.0.{number + 1}")
    Remote(node, torrent, content, rate=2, host="10.9.0.66", spoil=lambda piece, begin: lies.random() < 0.3)
    until(clock, node, lambda: torrent.signals.complete.is_set, 200)
    check(node)
    assert on_disk(torrent.opened(), content) == content.content
    assert node.engine.banned <= {"10.9.0.66"}
    if torrent.totals.corrupt:
        assert node.engine.banned == {"10.9.0.66"}


def test_a_liar_is_banned_from_all_torrents() -> None:
    """An address is bad, not a connection."""
    one, other = sample(pieces=1, blocks=2, seed=1), sample(pieces=1, blocks=2, seed=2)
    node = Node(Clock())
    torrents = [node.add(one), node.add(other)]
    node.settle()
    quiet = Remote(node, torrents[1], other, host="10.9.9.9", unchokes=False)
    Remote(node, torrents[0], one, host="10.9.9.9", spoil=always)
    node.settle()
    assert "banned" in quiet.link.closed


def test_subscribers_peers_and_readers_hear_of_a_piece() -> None:
    """HAVE to all who are not seeds, one event, and the signal of who waits."""
    content = sample(pieces=3, blocks=2)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    lacking = Remote(node, torrent, content, pieces=[1], unchokes=False)
    seed = Remote(node, torrent, content)
    node.settle()
    assert lacking.said(Have) == 3
    assert seed.said(Have) == 0
    changes = [event for event in node.told() if isinstance(event, events.PieceChanged)]
    assert sorted(event.piece for event in changes) == [0, 1, 2]
    assert all(event.complete for event in changes)


def test_a_wrong_piece_is_told_and_fetched_again() -> None:
    """Nothing of it is believed."""
    content = sample(pieces=1, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    Remote(node, torrent, content, rate=1, spoil=lambda piece, begin: begin == 0)
    Remote(node, torrent, content, rate=1)
    until(clock, node, lambda: torrent.totals.corrupt > 0, 20)
    assert [event.piece for event in node.told() if isinstance(event, events.PieceFailed)] == [0]
    Remote(node, torrent, content)
    until(clock, node, lambda: torrent.signals.complete.is_set, 20)
    assert on_disk(torrent.opened(), content) == content.content


@pytest.mark.parametrize("blocks", [9, 64, 65, 130])
def test_large_pieces_are_written_stretch_by_stretch(blocks: int) -> None:
    """Above an eighth of the pool a piece never lies in memory as a whole."""
    content = sample(pieces=3, blocks=blocks, cut=123)
    node = Node(clock := Clock(), pool=1 << 20)
    home = PlainStorage()
    torrent = node.add(content, home)
    node.settle()
    assert torrent.holding.stretch_blocks == 8
    for _ in range(3):
        Remote(node, torrent, content, rate=40)
    most = 0

    def look() -> None:
        nonlocal most
        check(node)
        most = max(most, node.engine.pool.lent)

    until(clock, node, lambda: torrent.signals.complete.is_set, 60)
    look()
    assert most <= 1 << 20
    assert on_disk(torrent.opened(), content) == content.content
    assert home.faults.calls["write"] >= 3 * blocks // 8


def test_blocks_that_come_while_their_neighbours_are_being_written_do_not_overwrite_them() -> None:
    """The write of a piece that stalled is under way when the rest of it comes to other memory, and is written too."""
    content = sample(pieces=1, blocks=4)
    node, clock, torrent = half_written(content)
    assert torrent.holding.writing == {0: 1}
    second = Remote(node, torrent, content, rate=0)
    node.settle()
    second.serve(1)
    second.send()
    node.settle()
    second.leave()
    run(clock, node, 8, lambda: check(node))
    assert torrent.holding.writing == {0: 2}
    node.disk.waiting.rotate(1)  # workers may end in any order
    node.disk.held = False
    last = Remote(node, torrent, content)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert last.sent == 1
    assert torrent.totals.corrupt == 0
    assert on_disk(torrent.opened(), content) == content.content


def test_a_piece_that_completes_while_a_part_of_it_is_being_written_waits_for_that() -> None:
    """It is hashed by reading back, and must not be read too early."""
    content = sample(pieces=1, blocks=4)
    node, _, torrent = half_written(content)
    Remote(node, torrent, content)
    node.settle(lambda: check(node))
    assert torrent.holding.finishing
    assert len(node.disk.waiting) == 1
    node.disk.held = False
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert on_disk(torrent.opened(), content) == content.content


def test_other_torrents_go_on_while_the_disk_works() -> None:
    """A disk that is slow holds up nothing but its torrent; of memory, three quarters at most wait for it."""
    contents = sample(pieces=40, blocks=4), sample(pieces=40, blocks=4, seed=1)
    node = Node(Clock(), pool=1 << 20)
    torrent, other = (node.add(content) for content in contents)
    node.settle()
    node.disk.held_of = {torrent}
    Remote(node, torrent, contents[0])
    node.settle(lambda: check(node))
    assert len(torrent.holding.finishing) == (1 << 20) * 3 // 4 // (4 * BLOCK_SIZE) + 1
    assert isinstance(torrent.stage, Live)
    Remote(node, other, contents[1])
    node.settle(lambda: check(node))
    assert other.signals.complete.is_set
    assert not torrent.totals.hashed
    node.disk.held_of.clear()
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set


def test_a_storage_is_asked_for_its_pieces_by_workers_only() -> None:
    """It may be anybody's code, and block: never within a turn."""
    content = sample(pieces=3, blocks=2)
    node = Node(clock := Clock())
    home = PlainStorage()
    torrent = node.add(content, home)
    node.settle()
    home.before_piece = lambda: None if not node.engine.turn.held_by_me else pytest.fail("within a turn")
    remote = Remote(node, torrent, content)
    node.settle()
    assert torrent.signals.complete.is_set
    remote.talk.interested()
    remote.ask(0, 0, 100)
    node.settle()
    run(clock, node, 2)
    assert home.faults.calls["write"] == 3


def test_who_waits_for_memory_is_asked_once_in_a_turn_however_many_pieces_gave_theirs_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One job hashes many small pieces, and they are settled together."""
    content = sample(pieces=400, blocks=1)
    node = Node(Clock(), pool=2 << 20)
    torrent = node.add(content)
    torrent.policy.most_connections = 100
    node.settle()
    remotes = [Remote(node, torrent, content, rate=0) for _ in range(30)]
    node.settle()
    node.disk.held = True
    for remote in remotes:
        remote.serve(len(remote.asked))
        remote.send()
    node.settle()
    waiting = len(node.engine.due.starved)
    assert waiting > 1
    assert len(torrent.holding.whole) > 1
    asked: dict[int, int] = {}  # by turn

    def counted(engine: Engine, peer: Peer, now: float) -> None:
        asked[engine.turn.taken] = asked.get(engine.turn.taken, 0) + 1
        ask(engine, peer, now)

    monkeypatch.setattr(judging, "ask", counted)
    node.disk.held = False
    node.settle(lambda: check(node))
    assert 0 < max(asked.values()) <= waiting
