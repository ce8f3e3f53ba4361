"""Downloads from scripted peers, from the first request to the last byte."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from anabranch.engine import receiving
from anabranch.engine.advice import LONGEST_REST
from anabranch.engine.asking import COPIES
from anabranch.engine.stage import Live
from anabranch.model import BLOCK_SIZE, PeerFault
from anabranch.picker.window import START
from anabranch.streaming import Reader
from anabranch.wire import BlocksLanded, CancelledBlock, CancelRun, Rejected, RequestRun, UnexpectedBlock
from engine.clocks import Clock
from engine.lines import Line, flow
from engine.remotes import Deaf, Refuser, Remote
from engine.rig import Node, connect, run, until
from engine.samples import modern, on_disk, sample
from engine.truth import check


@pytest.mark.parametrize("seeds", [1, 5])
@pytest.mark.parametrize("seed", range(3))
def test_a_torrent_is_fetched_whole(seeds: int, seed: int) -> None:
    """From one peer or from several, however the bytes are cut on the way."""
    content = sample(pieces=10, blocks=3, cut=5000)
    node = Node(Clock(), seed)
    torrent = node.add(content)
    node.settle()
    remotes = [Remote(node, torrent, content, fast=bool(number % 2)) for number in range(seeds)]
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert on_disk(torrent.opened(), content) == content.content
    assert torrent.totals.downloaded == content.geometry.total
    assert sum(remote.sent for remote in remotes) == 30


@pytest.mark.parametrize("kind", ["v1", "v2", "hybrid"])
def test_files_much_shorter_than_a_piece_that_begin_at_pieces_come_whole(kind: str) -> None:
    """Two of 500 KB in pieces of 2 MiB: the Go engine numbers blocks as if all pieces were full, and missed these."""
    content = modern(kind, (500_000, 500_000), piece_length=2 << 20)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    remote = Remote(node, torrent, content)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert on_disk(torrent.opened(), content) == content.content
    assert torrent.totals.downloaded == content.geometry.content
    assert remote.sent == sum(map(content.geometry.blocks_of, range(2)))
    for file in content.metainfo.info.files:
        if not file.pad:
            with Reader(node, torrent, file.offset, file.length) as reader:
                assert reader.read() == content.content[file.offset :][: file.length]


def test_blocks_may_come_in_any_order() -> None:
    """What was foreseen is not what comes: it is copied to its place."""
    content = sample(pieces=6, blocks=5)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    remote = Remote(node, torrent, content, rate=3)
    draw = Random(7)

    def shuffle_and_check() -> None:
        draw.shuffle(remote.asked)
        check(node)

    run(clock, node, 15, shuffle_and_check)
    assert torrent.signals.complete.is_set
    assert on_disk(torrent.opened(), content) == content.content
    assert torrent.totals.wasted == 0


def test_what_one_peer_rejects_another_is_asked_for() -> None:
    """BEP 6."""
    content = sample(pieces=4, blocks=4)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    refuser = Refuser(node, torrent, content)
    node.settle(lambda: check(node))
    assert torrent.pieces.complete_count == 0
    Remote(node, torrent, content)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert not refuser.link.closed


def test_who_rejects_everything_is_asked_ever_more_seldom() -> None:
    """It would go on rejecting as fast as the line allows. When it thinks better, it is asked soon."""
    content = sample(pieces=4, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    refuser = Refuser(node, torrent, content)
    run(clock, node, 60)
    assert refuser.said(RequestRun) <= 40
    before = refuser.said(RequestRun)
    run(clock, node, 60)
    assert refuser.said(RequestRun) - before <= 5 * 4
    refuser.requested = lambda run: Remote.requested(refuser, run)  # type: ignore[method-assign]  # it thinks better
    run(clock, node, LONGEST_REST + 2)
    assert torrent.signals.complete.is_set


def test_a_good_peer_that_rejects_once_goes_on_at_its_rate() -> None:
    """One piece that it has lost: the others come as before, and it is asked for that one at the end."""
    content = sample(pieces=60, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()

    class Loser(Line):
        def requested(self, run: RequestRun) -> None:
            if run.piece == 20:
                self.talk.reject(run.piece, run.begin, run.length, run.block)
            else:
                super().requested(run)

    loser = Loser(node, torrent, content, speed=20, latency=0.1)
    seconds = flow(clock, node, [loser], 60, done=lambda: torrent.pieces.complete_count == 59)
    assert seconds < 59 * 4 / 20 * 1.05 + 0.5
    assert loser.peer.window.size(500) > START
    flow(clock, node, [loser], 60)
    assert sum(event.piece == 20 for event in loser.heard if isinstance(event, RequestRun)) <= 40
    other = Remote(node, torrent, content, pieces=[20])
    node.settle(lambda: check(node))
    assert other.sent == 4
    assert torrent.signals.complete.is_set


def test_what_we_cancelled_counts_against_nobody() -> None:
    """The blocks of a peer that goes on to send them are wasted, and never the reason to drop it."""
    content = sample(pieces=2, blocks=2)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    remote = Remote(node, torrent, content, pieces=[])
    with node.engine.turn:
        receiving.take(node.engine, remote.peer, [CancelledBlock(0, 0, BLOCK_SIZE)] * 1000, 1000.0)
        receiving.take(node.engine, remote.peer, [UnexpectedBlock(0, 0, BLOCK_SIZE)] * 100, 1000.0)
    assert torrent.totals.wasted == 1100 * BLOCK_SIZE


@pytest.mark.parametrize("fast", [True, False])
def test_a_choke_in_the_middle_gives_the_blocks_back(fast: bool) -> None:
    """Without the fast extension at once; with it the peer rejects each (BEP 6), and then others are asked."""
    content = sample(pieces=4, blocks=8)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    first = Remote(node, torrent, content, rate=4, fast=fast)
    run(clock, node, 3, lambda: check(node))
    assert 0 < torrent.totals.downloaded < content.geometry.total
    first.talk.choke()
    if fast:
        for piece, begin, length in first.asked:
            first.talk.reject(piece, begin, length, length)
    first.asked.clear()
    first.send()
    node.settle(lambda: check(node))
    assert first.peer.talk.outstanding == 0
    before = torrent.totals.downloaded
    Remote(node, torrent, content)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert torrent.totals.downloaded - before == content.geometry.total - before, "nothing is fetched twice"


def test_an_unchoke_is_answered_at_once() -> None:
    """A choked peer that lets us in again is asked in the same moment."""
    content = sample(pieces=4, blocks=4)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    remote = Remote(node, torrent, content, unchokes=False)
    node.settle()
    assert remote.peer.talk.am_interested
    assert torrent.totals.downloaded == 0
    remote.talk.unchoke()
    remote.send()
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set


def test_a_peer_that_leaves_in_the_middle_of_a_piece_gives_its_blocks_back() -> None:
    """What it delivered is kept, also the half of a block that was under way is asked for again."""
    content = sample(pieces=3, blocks=8)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    first = Remote(node, torrent, content, rate=3)
    run(clock, node, 2)
    first.serve(1)
    first.send()
    del first.link.inbox[-1000:]  # the line is cut within a block
    node.settle()
    first.leave()
    node.settle(lambda: check(node))
    got = torrent.totals.downloaded
    assert 0 < got < content.geometry.total
    second = Remote(node, torrent, content)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert second.sent * BLOCK_SIZE == content.geometry.total - got


def test_the_last_blocks_are_asked_for_from_several_and_cancelled_on_arrival() -> None:
    """W24: the end game, at most three copies of a block; the slow peer does not hold up the end, nor is it blamed."""
    content = sample(pieces=4, blocks=8)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    slow = Remote(node, torrent, content, rate=1)
    run(clock, node, 2, lambda: check(node))
    fast = [Remote(node, torrent, content, rate=50) for _ in range(5)]
    seconds = until(clock, node, lambda: torrent.signals.complete.is_set, 10)
    check(node)
    assert seconds <= 3
    assert on_disk(torrent.opened(), content) == content.content
    assert slow.said(CancelRun)
    assert sum(remote.sent for remote in (slow, *fast)) <= 32 * COPIES
    assert not any(remote.link.closed for remote in (slow, *fast))


@pytest.mark.parametrize(("proven", "copies"), [(6, COPIES), (1, COPIES - 1), (0, COPIES)])
def test_a_block_is_asked_of_three_peers_at_most(proven: int, copies: int) -> None:
    """W24: however many are idle, and however long it does not come. One is kept for who has delivered anything."""
    content = sample(pieces=1, blocks=1)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    silent = [Remote(node, torrent, content, rate=0) for _ in range(6)]
    for remote in silent[:proven]:
        remote.peer.flow.last_block = clock.now
    most = 0
    for _ in range(20):
        run(clock, node, 1, lambda: check(node))
        owed = Counter(block for remote in silent for block in remote.asked)
        most = max(most, *owed.values())
    assert most == copies


def test_whoever_is_overtaken_by_a_copy_is_told_to_keep_the_block() -> None:
    """A block that is here is owed by nobody: the first to be asked hears a cancel, too."""
    content = sample(pieces=1, blocks=2)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    silent = Remote(node, torrent, content, rate=0)
    node.settle()
    assert len(silent.asked) == 2
    Remote(node, torrent, content, rate=50)
    until(clock, node, lambda: torrent.signals.complete.is_set, 10)
    assert silent.said(CancelRun)
    assert not silent.asked
    assert silent.peer.talk.outstanding == 0
    assert torrent.totals.wasted == 0


def test_a_cancelled_block_that_comes_all_the_same_is_wasted_and_no_fault() -> None:
    """It may have been on its way."""
    content = sample(pieces=1, blocks=2)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    slow = Remote(node, torrent, content, rate=0)
    slow.cancelled = lambda run: None  # type: ignore[method-assign]  # it does not listen
    node.settle()
    Remote(node, torrent, content, rate=50)
    until(clock, node, lambda: torrent.signals.complete.is_set, 10)
    slow.serve(2)
    slow.send()
    node.settle(lambda: check(node))
    assert not slow.link.closed
    assert torrent.totals.wasted == slow.peer.flow.wasted == 2 * BLOCK_SIZE


def test_a_peer_that_pours_out_what_nobody_asked_for_is_dropped() -> None:
    """2 MiB and half of what it gave that was of use."""
    content = sample(pieces=2, blocks=2)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    remote = Remote(node, torrent, content, pieces=[])
    unasked = [UnexpectedBlock(0, 0, BLOCK_SIZE)] * 300
    with node.engine.turn, pytest.raises(PeerFault, match="nobody asked for"):
        receiving.take(node.engine, remote.peer, unasked, 1000.0)
    assert 2 * 1024 * 1024 < remote.peer.flow.wasted < 5 * 1024 * 1024


def test_what_lands_for_a_piece_that_is_through_is_wasted() -> None:
    """The wire may tell of it after the engine has forgotten."""
    content = sample(pieces=2, blocks=2)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    remote = Remote(node, torrent, content)
    node.settle()
    with node.engine.turn:
        receiving.take(node.engine, remote.peer, [BlocksLanded(0, 0, BLOCK_SIZE, object())], 1000.0)
    assert torrent.totals.wasted == BLOCK_SIZE
    assert isinstance(torrent.stage, Live)


def test_a_peer_that_gets_a_wanted_piece_is_asked_for_it() -> None:
    """HAVE."""
    content = sample(pieces=3, blocks=2)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    remote = Remote(node, torrent, content, pieces=[])
    node.settle()
    assert not remote.peer.talk.am_interested
    for piece in range(3):
        remote.talk.have(piece)
    remote.send()
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert remote.peer.has_all


def test_where_an_incoming_peer_listens_is_remembered() -> None:
    """So that it can be called back when this connection is lost, and not before."""
    content = sample(pieces=2, blocks=2)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    other = Node(clock, 2)
    theirs = other.seed(content)
    near, _ = connect(node, torrent, other, theirs)
    node.settle()
    [candidate] = torrent.swarm.candidates._known.values()
    assert candidate.sources == {"incoming"}
    assert candidate.address.port == 42069
    assert candidate.engaged
    near.close("gone")
    assert not candidate.engaged


def test_deaf_peers_do_not_hold_up_those_who_speak() -> None:
    """Nine that take requests and never answer, and one that does."""
    content = sample(pieces=12, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    for _ in range(9):
        Deaf(node, torrent, content)
    run(clock, node, 1)
    Remote(node, torrent, content)
    seconds = until(clock, node, lambda: torrent.signals.complete.is_set, 60)
    check(node)
    assert seconds <= 40


def test_what_came_together_with_a_fault_is_booked() -> None:
    """W16: the peer goes, and no block is left behind that nobody owes and nobody may be asked for."""
    content = sample(pieces=8, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    flood = Remote(node, torrent, content, rate=0)
    node.settle()
    piece, begin, length = flood.asked[0]
    unasked = [UnexpectedBlock(piece, begin, length)] * 400
    rejected = flood.asked[1]
    token = flood.peer.talk.expected_runs()[0].token
    flood.peer.talk._expected.take(*rejected)  # as the wire does before it tells
    with node.engine.turn, pytest.raises(PeerFault, match="nobody asked for"):
        receiving.take(node.engine, flood.peer, [*unasked, Rejected(*rejected, token)], clock())
    flood.leave()
    node.settle(lambda: check(node))
    Remote(node, torrent, content)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
