"""Who takes far more than there is."""

from __future__ import annotations

import pytest

from anabranch.engine import throttling
from anabranch.engine.choking import RECHOKE_EVERY, SLOTS
from anabranch.engine.state import TorrentState
from anabranch.engine.throttling import RATE, TIMES
from anabranch.model import BLOCK_SIZE
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run
from engine.samples import Sample, sample

CONTENT = sample(pieces=4, blocks=4)
SHARE = TIMES * len(CONTENT.content) + 4 * BLOCK_SIZE


@pytest.fixture(autouse=True)
def little_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests need not move 16 MiB."""
    monkeypatch.setattr(throttling, "SLACK", 4 * BLOCK_SIZE)


def world() -> tuple[Node, Clock, TorrentState]:
    node = Node(clock := Clock())
    torrent = node.seed(CONTENT)
    return node, clock, torrent


def come(node: Node, torrent: TorrentState, host: str, content: Sample = CONTENT) -> Remote:
    remote = Remote(node, torrent, content, pieces=[], host=host)
    remote.talk.interested()
    remote.send()
    node.settle()
    return remote


def take(node: Node, remote: Remote, size: int) -> None:
    """Ask for so many bytes, the same blocks again and again."""
    for number in range(size // BLOCK_SIZE):
        block = number % 16
        remote.ask(block // 4, block % 4 * BLOCK_SIZE, BLOCK_SIZE)
        if block == 15:
            node.settle()
    node.settle()


def taken_in(node: Node, clock: Clock, remote: Remote, seconds: int) -> int:
    """What it gets in that time if it asks for the whole torrent."""
    before = remote.peer.flow.up.total
    take(node, remote, len(CONTENT.content))
    run(clock, node, seconds)
    return remote.peer.flow.up.total - before


def test_who_took_more_than_its_share_gets_a_trickle() -> None:
    """Neither choked nor banned: it may be more people than can be seen."""
    node, clock, torrent = world()
    leech, other = come(node, torrent, "10.9.0.1"), come(node, torrent, "10.9.0.2")
    take(node, leech, SHARE)
    run(clock, node, RECHOKE_EVERY + 1)
    assert leech.peer.serving.throttle is None
    take(node, leech, BLOCK_SIZE)
    run(clock, node, RECHOKE_EVERY + 1)
    assert leech.peer.serving.throttle is not None
    taken_in(node, clock, leech, 8)  # what it had saved up
    assert 8 * RATE <= taken_in(node, clock, leech, 10) + BLOCK_SIZE <= 12 * RATE
    assert not leech.talk.peer_choking
    assert taken_in(node, clock, other, 1) == len(CONTENT.content)


def test_a_trickle_goes_on_by_itself() -> None:
    """Nobody but time wakes a peer that waits for its share."""
    node, clock, torrent = world()
    leech = come(node, torrent, "10.9.0.1")
    take(node, leech, SHARE + BLOCK_SIZE)
    run(clock, node, RECHOKE_EVERY + 1)
    taken_in(node, clock, leech, 4)
    node.begin_tenth = lambda: None  # type: ignore[method-assign]  # what nobody touches is not flushed
    before = leech.peer.flow.up.total
    run(clock, node, 3)
    assert leech.peer.flow.up.total >= before + 2 * RATE


def test_to_come_back_does_not_help() -> None:
    """What an address took before counts, and it is throttled from its first request on."""
    node, _, torrent = world()
    for _ in range(6):
        leech = come(node, torrent, "10.9.0.1")
        take(node, leech, SHARE // 5)
        leech.leave()
    again = come(node, torrent, "10.9.0.1")
    assert again.peer.serving.throttle is not None
    take(node, again, 2 * SHARE)
    assert again.peer.flow.up.total <= 128 * 1024
    assert come(node, torrent, "10.9.0.2").peer.serving.throttle is None


def test_an_address_with_several_peers_has_a_share_for_each() -> None:
    """They are told apart by their ids while they are here together; a share once seen is kept."""
    node, clock, torrent = world()
    family = [come(node, torrent, "10.9.0.1") for _ in range(3)]
    for one in family:
        take(node, one, SHARE)
    run(clock, node, RECHOKE_EVERY + 1)
    assert all(one.peer.serving.throttle is None for one in family)
    for one in family[1:]:
        one.leave()
    run(clock, node, RECHOKE_EVERY + 1)
    assert family[0].peer.serving.throttle is None
    take(node, family[0], BLOCK_SIZE)
    run(clock, node, RECHOKE_EVERY + 1)
    assert family[0].peer.serving.throttle is not None


def test_all_connections_of_an_address_share_one_trickle() -> None:
    """Else it would ask for one more connection."""
    node, clock, torrent = world()
    pair = [come(node, torrent, "10.9.0.1") for _ in range(2)]
    for one in pair:
        take(node, one, SHARE + BLOCK_SIZE)
    run(clock, node, RECHOKE_EVERY + 1)
    assert pair[0].peer.serving.throttle is pair[1].peer.serving.throttle is not None


def test_who_took_too_much_has_no_slot_while_others_want_it() -> None:
    """However fast it is."""
    node, clock, torrent = world()
    leech = come(node, torrent, "10.9.0.1")
    take(node, leech, SHARE + BLOCK_SIZE)
    run(clock, node, RECHOKE_EVERY + 1)
    assert not leech.talk.peer_choking
    others = [come(node, torrent, f"10.9.1.{number}") for number in range(SLOTS + 1)]
    run(clock, node, 3 * RECHOKE_EVERY)
    assert leech.talk.peer_choking
    for one in others[:4]:
        one.leave()
    run(clock, node, RECHOKE_EVERY + 1)
    assert not leech.talk.peer_choking


def test_only_the_latest_addresses_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """And of those that took nothing, none."""
    monkeypatch.setattr(throttling, "REMEMBERED", 20)
    node, _, torrent = world()
    for number in range(25):
        one = come(node, torrent, f"10.8.0.{number + 1}")
        take(node, one, BLOCK_SIZE)
        one.leave()
    assert len(torrent.swarm.takers) == 20
    assert "10.8.0.1" not in torrent.swarm.takers
    come(node, torrent, "10.7.0.1").leave()
    assert "10.7.0.1" not in torrent.swarm.takers


def test_ordinary_peers_leave_no_record_while_they_are_here() -> None:
    """Nothing is paid for those who take what there is once."""
    node, clock, torrent = world()
    for number in range(5):
        take(node, come(node, torrent, f"10.9.0.{number + 1}"), len(CONTENT.content))
    run(clock, node, RECHOKE_EVERY + 1)
    assert not torrent.swarm.takers


@pytest.mark.parametrize("host", ["127.9.8.7", "::1"])
def test_programs_on_this_machine_take_what_they_like(host: str) -> None:
    """They use up no line, and may be a hundred different ones, one after the other."""
    node, clock, torrent = world()
    first = come(node, torrent, host)
    for _ in range(3):
        take(node, first, SHARE)
        run(clock, node, RECHOKE_EVERY)
    assert taken_in(node, clock, first, 1) == len(CONTENT.content)
    first.link.close("gone")
    node.settle()
    assert torrent.swarm.takers == {}
