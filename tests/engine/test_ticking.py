"""What time brings about: peers that keep us waiting, pieces that stall."""

from __future__ import annotations

from itertools import pairwise

import pytest

from anabranch.engine import dialing
from anabranch.engine.stage import Live
from anabranch.engine.ticking import IDLE_AFTER, SNUBBED_AFTER, ZOMBIE_AFTER
from anabranch.metainfo import Magnet
from anabranch.model import BLOCK_SIZE, Address, Priority
from anabranch.wire import CancelRun
from engine.clocks import Clock
from engine.remotes import Deaf, Remote, Teacher
from engine.rig import Node, run, until
from engine.samples import modern, on_disk, sample
from engine.truth import check

GONE = Address("192.0.2.1", 6881)  # nobody is there


def test_a_peer_that_never_answers_is_snubbed_and_others_are_asked() -> None:
    """After 30 seconds, also when the other had nothing to do and its pieces were not the last ones."""
    content = sample(pieces=4, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    deaf = Deaf(node, torrent, content, pieces=[0, 1])
    run(clock, node, SNUBBED_AFTER - 2)
    assert deaf.peer.talk.outstanding == 8
    assert not deaf.peer.flow.snubbed
    run(clock, node, 4, lambda: check(node))
    assert deaf.peer.flow.snubbed
    assert deaf.said(CancelRun)
    Remote(node, torrent, content)
    node.settle()
    assert torrent.pieces.complete_count >= 2


@pytest.mark.parametrize("others", [0, 1])
def test_a_peer_that_never_answers_is_dropped_after_two_minutes(others: int) -> None:
    """W29: 120 seconds, however often it was asked again meanwhile."""
    content = sample(pieces=20, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    deaf = Deaf(node, torrent, content)
    for _ in range(others):
        Remote(node, torrent, content, rate=0.2)
    begun = clock.now
    until(clock, node, lambda: bool(deaf.link.closed), 130)
    assert ZOMBIE_AFTER - 1 <= clock.now - begun <= ZOMBIE_AFTER + 3
    assert "did not answer" in deaf.link.closed
    check(node)


def test_a_slow_peer_is_kept_while_it_is_alive() -> None:
    """W29: a block each 110 seconds, though it does not listen to cancels."""
    content = sample(pieces=1, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    slow = Remote(node, torrent, content, rate=0)
    slow.cancelled = lambda run: None  # type: ignore[method-assign]  # it answers in the order it was asked
    for _ in range(4):
        run(clock, node, 110, lambda: check(node))
        slow.serve(1)
        slow.send()
        node.settle()
    assert not slow.link.closed
    assert torrent.totals.downloaded > 0


def test_a_peer_that_was_idle_for_long_is_not_dropped_when_it_is_asked() -> None:
    """W29: 5 minutes without requests, then one: its time begins with the request."""
    content = sample(pieces=2, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content, want=Priority.NONE)
    node.settle()
    remote = Remote(node, torrent, content, rate=0)
    run(clock, node, 300)
    assert not remote.link.closed
    node.want(torrent, [Priority.NORMAL])
    run(clock, node, 20)
    assert not remote.link.closed
    assert remote.asked
    remote.rate = None
    remote.serve(len(remote.asked))
    remote.send()
    node.settle()
    assert torrent.signals.complete.is_set


@pytest.mark.parametrize("before", [5, 45])
def test_who_chokes_us_and_keeps_our_requests_is_no_zombie(before: int) -> None:
    """W29: with the fast extension requests outlive a choke (BEP 6). Others get them; also if it was silent before."""
    content = sample(pieces=4, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    deaf = Deaf(node, torrent, content)
    run(clock, node, before)
    deaf.talk.choke()
    deaf.send()
    run(clock, node, 500)
    assert not deaf.link.closed
    assert not deaf.peer.talk.outstanding
    deaf.talk.unchoke()
    deaf.send()
    run(clock, node, ZOMBIE_AFTER - 5)
    assert not deaf.link.closed
    until(clock, node, lambda: bool(deaf.link.closed), 30)


def test_the_time_of_what_was_asked_before_a_choke_begins_with_the_unchoke() -> None:
    """W29: it could not answer meanwhile."""
    content = sample(pieces=4, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    deaf = Deaf(node, torrent, content)
    run(clock, node, SNUBBED_AFTER - 5)
    deaf.talk.choke()
    deaf.talk.unchoke()
    deaf.send()
    run(clock, node, ZOMBIE_AFTER - 5)
    assert not deaf.link.closed
    until(clock, node, lambda: bool(deaf.link.closed), 10)


def test_who_owes_nothing_but_metadata_is_no_zombie() -> None:
    """W29: only requests for blocks count; who does not tell the info dictionary is for learning.py to judge."""
    content = sample(pieces=4, blocks=4)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    node.settle()
    silent = Teacher(node, torrent, content, silent=True)
    run(clock, node, 2 * ZOMBIE_AFTER)
    assert silent.asked_info
    assert not silent.link.closed


def test_a_block_is_as_young_as_its_last_byte() -> None:
    """W46: after three minutes of silence a block comes; that is when the peer was last of use, and it stays."""
    content = sample(pieces=2, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content, want=Priority.NONE)
    node.settle()
    remote = Remote(node, torrent, content, rate=0)
    run(clock, node, 180)
    node.want(torrent, [Priority.NORMAL])
    run(clock, node, 20)
    remote.serve(1)
    remote.send()
    node.settle()
    assert remote.peer.flow.last_block == clock.now
    run(clock, node, 110)
    assert not remote.link.closed


def test_a_peer_that_was_snubbed_and_then_idle_is_not_dropped_when_it_is_asked() -> None:
    """To owe nothing for long is no silence."""
    content = sample(pieces=2, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    deaf = Deaf(node, torrent, content)
    run(clock, node, 40)
    assert deaf.peer.flow.snubbed
    node.want(torrent, [Priority.NONE])
    with node.engine.turn:
        for run_owed in deaf.peer.talk.expected_runs():
            deaf.peer.talk.cancel(run_owed.piece, run_owed.begin, run_owed.length)
        torrent.pieces.begun.clear()
    run(clock, node, 300)
    assert not deaf.link.closed
    node.want(torrent, [Priority.NORMAL])
    run(clock, node, 100)
    assert not deaf.link.closed


def test_a_piece_that_gains_nothing_is_written_and_gives_its_memory_back() -> None:
    """After 5 seconds, when nobody owes anything of it; what is missing is fetched later."""
    content = sample(pieces=1, blocks=6)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    remote = Remote(node, torrent, content, rate=0)
    node.settle()
    remote.serve(2)
    remote.send()
    node.settle()
    remote.leave()
    run(clock, node, IDLE_AFTER - 1)
    assert node.engine.pool.lent
    run(clock, node, 3, lambda: check(node))
    assert not node.engine.pool.lent
    assert torrent.holding.written[0].count() == 2
    again = Remote(node, torrent, content)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert again.sent == 4
    assert on_disk(torrent.opened(), content) == content.content


@pytest.mark.parametrize(("pieces", "blocks"), [(24, 4), (6, 16), (3, 60), (1, 200)])
def test_a_tiny_pool_never_starves(pieces: int, blocks: int) -> None:
    """1 MiB of memory, ten slow peers with different pieces: all completes, and the limit holds at every step."""
    content = sample(pieces=pieces, blocks=blocks, cut=300)
    node = Node(clock := Clock(), pool=1 << 20)
    torrent = node.add(content)
    node.settle()
    for number in range(10):
        have = None if number % 3 == 0 else [piece for piece in range(pieces) if piece % 3 != number % 3]
        Remote(node, torrent, content, have, rate=0.7 + number / 2)

    def step() -> None:
        check(node)
        assert node.engine.pool.lent <= 1 << 20

    for _ in range(120):
        run(clock, node, 1, step)
        if torrent.signals.complete.is_set:
            break
    assert torrent.signals.complete.is_set
    assert on_disk(torrent.opened(), content) == content.content
    assert node.engine.pool.lent == 0


def test_memory_that_was_just_given_is_not_taken_back_at_once() -> None:
    """For want of gain before it was given; else each second all that is on its way is called off, for ever."""
    for _ in range(30):  # it takes peers of some rates, and pieces asked for in some order
        test_a_tiny_pool_never_starves(3, 60)


def test_peers_that_stall_do_not_keep_the_memory_from_those_who_deliver() -> None:
    """Deaf peers hold every buffer of a tiny pool; in need their pieces are called off after a second."""
    content = sample(pieces=32, blocks=4)
    node = Node(clock := Clock(), pool=256 * 1024)
    torrent = node.add(content)
    node.settle()
    for _ in range(4):
        Deaf(node, torrent, content)
    node.settle()
    assert node.engine.pool.short
    Remote(node, torrent, content)
    seconds = until(clock, node, lambda: torrent.signals.complete.is_set, 60)
    check(node)
    assert seconds < 30


def test_two_torrents_share_a_tiny_pool() -> None:
    """One whose peer is slow, one whose peer is fast: the fast one does not wait for the slow one's end."""
    slow_content, fast_content = sample(pieces=8, blocks=8, seed=1), sample(pieces=8, blocks=8, seed=2)
    node = Node(clock := Clock(), pool=512 * 1024)
    slow, fast = node.add(slow_content), node.add(fast_content)
    node.settle()
    Remote(node, slow, slow_content, rate=0.1)
    run(clock, node, 3)
    Remote(node, fast, fast_content)
    assert until(clock, node, lambda: fast.signals.complete.is_set, 60) < 40
    check(node)


def test_a_torrent_with_nothing_going_on_is_not_looked_at() -> None:
    """Thousands of quiet torrents cost nothing."""
    content = sample(pieces=2, blocks=2)
    node = Node(clock := Clock())
    torrent = node.seed(content)
    run(clock, node, 2)
    assert isinstance(torrent.stage, Live)
    assert torrent not in node.engine.due.lively
    remote = Remote(node, torrent, content, pieces=[])
    assert torrent in node.engine.due.lively
    remote.leave()
    run(clock, node, 2)
    assert torrent not in node.engine.due.lively


def test_a_link_that_nobody_serves_is_not_looked_at() -> None:
    """Nor one whose metadata can come from a peer only; who knows it wakes it, and so does what comes of that."""
    content = modern("v2", (100_000,))
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    run(clock, node, 2)
    assert torrent not in node.engine.due.lively
    teacher = Teacher(node, torrent, content)
    assert torrent in node.engine.due.lively
    node.settle()
    teacher.leave()
    run(clock, node, 2)
    assert torrent.pieces.learned
    Remote(node, torrent, content)
    assert until(clock, node, lambda: torrent.signals.complete.is_set, 60) < 40
    check(node)


@pytest.mark.parametrize("wants", [True, False])
def test_a_torrent_whose_candidates_rest_is_not_looked_at_before_one_can_be_dialed(wants: bool) -> None:
    """Thousands of them know nobody but who is gone. He is dialed again, at his time, unless nobody is wanted."""
    content = sample(pieces=2, blocks=2)
    node = Node(clock := Clock())
    torrent = node.add(content) if wants else node.add(content, want=None)
    node.settle()
    with node.engine.turn:
        torrent.swarm.candidates.add(GONE, "dht")
        node.engine.due.lively.add(torrent)
    ticks, dialed = 0, []
    for _ in range(100):
        ticks += torrent in node.engine.due.lively
        run(clock, node, 1)
        with node.engine.turn:
            for dial in dialing.choose(node.engine, clock.now):
                dialed.append(clock.now)
                dialing.ended(node.engine, torrent, dial.candidate)
    pauses = [later - earlier for earlier, later in pairwise(dialed)]
    assert pauses == pytest.approx([2, 4, 8, 16, 32] if wants else [], abs=1.1)  # we look once a second
    assert ticks == len(dialed) + 1
    if not wants:
        node.want(torrent, [Priority.NORMAL])
        with node.engine.turn:
            assert [dial.candidate.address for dial in dialing.choose(node.engine, clock.now)] == [GONE]


def test_a_torrent_that_is_dropped_while_it_dials_stays_away() -> None:
    """What comes of the dial wakes nobody."""
    node = Node(Clock())
    torrent = node.add(sample(pieces=2, blocks=2))
    node.settle()
    with node.engine.turn:
        torrent.swarm.candidates.add(GONE, "dht")
        node.engine.due.lively.add(torrent)
        [dial] = dialing.choose(node.engine, node.engine.clock())
    node.drop(torrent)
    with node.engine.turn:
        dialing.ended(node.engine, torrent, dial.candidate)
    assert torrent not in node.engine.due.lively
    assert torrent not in node.engine.due.lively.dials


def test_idle_memory_goes_back_to_the_system_when_nobody_downloads() -> None:
    """A client that only seeds needs no pool."""
    content = sample(pieces=4, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    Remote(node, torrent, content)
    node.settle()
    assert torrent.signals.complete.is_set
    assert node.engine.pool._idle_size >= 4 * BLOCK_SIZE
    run(clock, node, 1)
    assert node.engine.pool._idle_size == 0


def test_a_peer_whose_wake_was_lost_is_asked_within_a_second() -> None:
    """W04: flags are level-triggered; a tick looks at every idle peer."""
    content = sample(pieces=4, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content, want=Priority.NONE)
    node.settle()
    remote = Remote(node, torrent, content)
    remote.talk.unchoke()  # already: it will not say anything that would wake us
    remote.send()
    node.settle()
    with node.engine.turn:  # behind everybody's back
        torrent.worth.of_file[:] = [Priority.NORMAL]
        for piece in range(4):
            torrent.pieces.set_worth(piece, Priority.NORMAL)
    node.settle()
    assert torrent.totals.downloaded == 0
    run(clock, node, 1)
    assert torrent.pieces.is_seed


def test_who_unchokes_us_again_and_again_and_delivers_nothing_is_snubbed_and_then_dropped() -> None:
    """To say so once more is no answer to what it was asked."""
    content = sample()
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    deaf = Deaf(node, torrent, content)
    for _ in range(int(SNUBBED_AFTER) + 3):
        run(clock, node, 1)
        deaf.talk.choke()
        deaf.talk.unchoke()
        deaf.send()
    node.settle()
    assert deaf.peer.flow.snubbed
