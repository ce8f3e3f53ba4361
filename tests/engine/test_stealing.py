"""Who takes whose blocks over, and how many."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine.asking import ask
from anabranch.engine.stealing import MOST_OWNERS, MOST_RUNS, SOON, TRIAL, share, takings
from anabranch.engine.wanting import choose_pieces
from anabranch.model import BLOCK_SIZE, Priority
from anabranch.wire import CancelRun
from anabranch.wire.expected import Run
from engine.clocks import Clock
from engine.lines import Line, flow
from engine.remotes import Remote
from engine.rig import Node
from engine.samples import sample
from engine.truth import check

BLOCKS = st.integers(0, 5000)
PACES = st.floats(0.05, 5000)


def one_by_one(mine: int, theirs: int, later: bool) -> int:
    """The Go engine's comparison, for one block after the other."""
    taken = 0
    while theirs > 0:
        difference = (mine + 1) - (theirs - 1)
        if difference > 1 or (difference == 1 and not later):
            break
        mine, theirs, taken = mine + 1, theirs - 1, taken + 1
    return taken


@given(BLOCKS, BLOCKS, st.booleans())
def test_equal_peers_share_by_the_documented_comparison(mine: int, theirs: int, later: bool) -> None:
    """In one go as many as block by block: half of the difference, and the odd one to who delivered later."""
    assert share(mine, theirs, 0, 0, later=later) == one_by_one(mine, theirs, later)
    assert share(mine, theirs, 3.0, 0, later=later) == one_by_one(mine, theirs, later)


@given(BLOCKS, BLOCKS, PACES, PACES, st.booleans())
def test_what_changes_hands_comes_sooner_and_does_not_change_back(
    mine: int, theirs: int, my_pace: float, their_pace: float, later: bool
) -> None:
    """The last block taken comes no later than it would have, and the owner has no reason to take it back."""
    taken = share(mine, theirs, my_pace, their_pace, later=later)
    assert 0 <= taken <= theirs
    if not taken:
        return
    assert theirs >= SOON * their_pace
    if not later:
        assert (mine + taken) / my_pace <= (theirs - taken) / their_pace + 1e-6
    assert share(theirs - taken, mine + taken, their_pace, my_pace, later=not later) == 0


def test_what_is_about_to_come_is_left_alone() -> None:
    """Fifty blocks of a peer that sends five hundred a second are on their way."""
    assert share(0, 50, 500.0, 500.0, later=True) == 0
    assert share(0, 500, 500.0, 500.0, later=True) == 250


def test_a_peer_with_nothing_new_takes_half_from_the_end_of_the_longest_queue() -> None:
    """Not what the owner serves next; the owner is told, and nothing is asked twice."""
    content = sample(pieces=4, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    owner = Remote(node, torrent, content, rate=0)
    node.settle()
    queue = list(owner.asked)
    assert len(queue) == 16
    thief = Remote(node, torrent, content, rate=0, pieces=[])
    node.settle()
    thief.peer.flow.last_block = clock.now  # it has proven itself elsewhere
    thief.peer.window._rate = owner.peer.window._rate = 10.0
    thief.peer.window._last = owner.peer.window._last = clock.now
    for piece in range(4):
        thief.talk.have(piece)
    thief.send()
    node.settle(lambda: check(node))
    assert list(owner.asked) == queue[:8]
    assert sorted(thief.asked) == sorted(queue[8:])
    assert owner.said(CancelRun) <= 4
    check(node)


def test_free_blocks_come_before_those_of_others() -> None:
    """As long as there are any, nobody is robbed."""
    content = sample(pieces=40, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    lines = [Line(node, torrent, content, speed=20) for _ in range(3)]
    flow(clock, node, lines, 60, done=lambda: not len(torrent.pieces.order))
    assert not any(line.said(CancelRun) for line in lines)


def test_who_has_delivered_nothing_is_tried_with_a_few_blocks_once() -> None:
    """They may be lost for half a minute."""
    content = sample(pieces=4, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    owner = Remote(node, torrent, content, rate=0)
    node.settle()
    newcomer = Remote(node, torrent, content, rate=0)
    node.settle()
    for _ in range(5):
        node.loop.run(ask, node.engine, newcomer.peer, clock())
    node.settle()
    assert len(newcomer.asked) == TRIAL
    assert len(owner.asked) == 16 - TRIAL


@pytest.mark.parametrize("why", ["snubbed", "robbed", "refused", "unwanted"])
def test_some_blocks_and_some_peers_are_left_out(why: str) -> None:
    """Who is silent or was just robbed takes over nothing, nobody what it has refused, and what nobody wants stays."""
    content = sample(pieces=2, blocks=8)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    Remote(node, torrent, content, rate=0)
    node.settle()
    thief = Remote(node, torrent, content, rate=0, unchokes=False)
    node.settle()
    assert takings(thief.peer, 8, clock.now)
    if why == "snubbed":
        thief.peer.flow.snubbed = True
    elif why == "robbed":
        thief.peer.flow.robbed_at = clock.now
    elif why == "refused":
        for piece in range(2):
            thief.peer.profile.advice.refuse(piece, clock.now)
    else:
        with node.engine.turn:
            torrent.worth.of_file[:] = [Priority.NONE]
            choose_pieces(node.engine, torrent, range(2), Priority.NONE)
    assert not takings(thief.peer, 8, clock.now)


def test_long_queues_and_many_owners_are_not_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty owners of many runs: the ends of four queues are looked at."""
    content = sample(pieces=2000, blocks=1)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    owners = [Remote(node, torrent, content, rate=0, unchokes=False) for _ in range(30)]
    node.settle()
    for owner in owners:
        owner.peer.window._size = 80
        owner.talk.unchoke()
        owner.send()
    node.settle()
    assert not len(torrent.pieces.order)
    thief = Remote(node, torrent, content, rate=0, unchokes=False)
    node.settle()
    looked = 0
    as_expected = Run.as_expected

    def counted(run: Run):  # type: ignore[no-untyped-def]  # as as_expected
        nonlocal looked
        looked += 1
        return as_expected(run)

    monkeypatch.setattr(Run, "as_expected", counted)
    thief.peer.window._rate, thief.peer.window._last = 5000.0, node.engine.clock()
    assert MOST_RUNS < len(takings(thief.peer, 4000, node.engine.clock())) <= MOST_OWNERS * MOST_RUNS
    assert looked <= MOST_OWNERS * MOST_RUNS


def test_a_slow_owner_of_few_blocks_is_robbed_by_a_fast_peer() -> None:
    """It owes four blocks and would take four seconds; who sends fifty a second takes nearly all of them."""
    content = sample(pieces=60, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    slow, fast = Line(node, torrent, content, speed=1), Line(node, torrent, content, speed=50)
    seconds = flow(clock, node, [slow, fast], 60, done=lambda: torrent.signals.complete.is_set)
    assert seconds < 240 / 51 * 1.15 + 0.2
    assert slow.said(CancelRun)
    assert torrent.totals.wasted <= 2 * BLOCK_SIZE


@pytest.mark.parametrize("speeds", [[30, 30], [5, 40, 40, 40], [1, 2, 4, 8, 16, 32]])
def test_the_end_comes_when_all_together_can_bring_it(speeds: list[float]) -> None:
    """W24: whatever their rates, all are busy to the end. Blocks do not go to and fro, and hardly any comes twice."""
    content = sample(pieces=60, blocks=8)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    lines = [Line(node, torrent, content, speed=speed, latency=0.05) for speed in speeds]

    def done() -> bool:
        return torrent.signals.complete.is_set

    seconds = flow(clock, node, lines, 60, each=lambda: check(node), done=done)
    assert seconds < 480 / sum(speeds) * 1.1 + 0.5
    assert torrent.totals.wasted <= 0.02 * content.geometry.total
    assert not any(line.link.closed or line.peer.flow.snubbed for line in lines)
    changed_hands = sum(
        -(-event.length // BLOCK_SIZE) for line in lines for event in line.heard if isinstance(event, CancelRun)
    )
    assert changed_hands <= 0.2 * 480


def test_a_run_changes_hands_as_one() -> None:
    """Not block by block: the words sent are few."""
    content = sample(pieces=2, blocks=64)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    lines = [Line(node, torrent, content, speed=40, unchokes=False) for _ in range(2)]
    node.settle()
    lines[0].peer.window._size = 128
    lines[0].talk.unchoke()
    lines[0].send()
    flow(clock, node, lines, 1)
    lines[1].talk.unchoke()
    lines[1].send()
    flow(clock, node, lines, 60, done=lambda: torrent.signals.complete.is_set)
    cancels = [event for event in lines[0].heard if isinstance(event, CancelRun)]
    assert 0 < len([key for key, _ in groupby(cancels, key=lambda one: one.piece)]) <= len(cancels) <= 16
