"""Hashing what is on disk: at start, and when the user asks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, pairwise

from anabranch.engine import checking, events
from anabranch.engine.checking import want_check
from anabranch.engine.closing import begin
from anabranch.engine.rereading import fail_reading
from anabranch.engine.stage import Checking, Dropped, Failed, Live
from anabranch.engine.state import TorrentState
from anabranch.engine.stats import stats_of
from anabranch.model import StorageFailed, all_pieces, no_pieces
from anabranch.storage import Completion
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import Faults, GroupedStorage, PlainStorage, huge, sample
from engine.truth import check


def verify(node: Node, torrent: TorrentState, *pieces: int) -> None:
    wanted = all_pieces(torrent.pieces.geometry.piece_count)
    if pieces:
        wanted.setall(False)
        wanted[list(pieces)] = True
    with node.engine.turn:
        want_check(node.engine, torrent, wanted)


def test_unknown_pieces_are_hashed_before_anything_is_asked_for() -> None:
    """W08: what is there is not fetched again, and what is wrong is."""
    content = sample(pieces=8, blocks=2)
    home = PlainStorage()
    home.hold(content, range(6))
    home.data[3][7] ^= 1
    node = Node(Clock())
    node.disk.held = True
    torrent = node.add(content, home)
    node.disk.held = False
    while not isinstance(torrent.stage, Checking):
        assert node.step()
    node.disk.held = True
    node.settle()
    assert stats_of(node.engine, torrent).stage == "checking"
    assert stats_of(node.engine, torrent).checked == 0.0
    assert not torrent.signals.checked.is_set
    node.make_order(torrent)
    assert len(torrent.pieces.order) == 2, "what is known to be missing may be asked for as soon as it is live"
    node.disk.held = False
    node.settle(lambda: check(node))
    assert isinstance(torrent.stage, Live)
    assert torrent.signals.checked.is_set
    assert set(torrent.pieces.complete.search(1)) == {0, 1, 2, 4, 5}
    remote = Remote(node, torrent, content)
    node.settle()
    assert torrent.signals.complete.is_set
    assert remote.sent == 6


def test_what_a_check_finds_right_is_recorded() -> None:
    """So that the next start need not hash it."""
    content = sample(pieces=4, blocks=2)
    home = GroupedStorage()
    home.hold(content, range(4))
    node = Node(clock := Clock())
    torrent = node.add(content, home)
    until(clock, node, lambda: torrent.signals.complete.is_set, 3)
    assert set(home.recorded.values()) == {Completion.COMPLETE}


def test_a_flipped_byte_is_found_told_and_fetched_again() -> None:
    """For exactly that piece: peers hear that we lack it, nobody believes the record, complete is taken back."""
    content = sample(pieces=6, blocks=2)
    home = GroupedStorage()
    home.hold(content, range(6), Completion.COMPLETE)
    node = Node(Clock())
    torrent = node.add(content, home)
    node.settle()
    assert torrent.signals.complete.is_set
    assert home.faults.calls["read"] == 0, "what is recorded is not hashed at start"
    remote = Remote(node, torrent, content, pieces=[0], unchokes=False)
    node.settle()
    node.told()
    home.data[4][0] ^= 1
    verify(node, torrent)
    assert not torrent.signals.checked.is_set
    node.settle(lambda: check(node))
    assert torrent.signals.checked.is_set
    assert not torrent.signals.complete.is_set
    assert list(torrent.pieces.complete.search(0)) == [4]
    assert home.recorded[4] is Completion.INCOMPLETE
    assert [(event.piece, event.complete) for event in node.told() if isinstance(event, events.PieceChanged)] == [
        (4, False)
    ]
    assert [type(event).__name__ for event in remote.heard].count("DontHave") == 1
    seed = Remote(node, torrent, content)
    node.settle()
    assert torrent.signals.complete.is_set
    assert seed.sent == 2


def test_peers_that_are_there_are_asked_as_soon_as_a_check_found_something_wrong() -> None:
    """We had no interest in them while we had everything: it is shown now, without waiting for any wake."""
    content = sample(pieces=4, blocks=2)
    home = PlainStorage()
    home.hold(content, range(4), Completion.COMPLETE)
    node = Node(Clock(), drop_mutually_complete_peers=False)
    torrent = node.add(content, home)
    node.settle()
    Remote(node, torrent, content)
    node.settle()
    home.data[1][0] ^= 1
    verify(node, torrent)
    node.settle(lambda: check(node))
    assert torrent.pieces.is_seed
    assert home.data[1] == content.of_piece(1)


def test_a_check_of_one_piece_reads_one_piece() -> None:
    """Piece.verify()."""
    content = sample(pieces=6, blocks=2)
    home = PlainStorage()
    home.hold(content, range(6), Completion.COMPLETE)
    node = Node(Clock())
    torrent = node.add(content, home)
    node.settle()
    verify(node, torrent, 3)
    node.settle()
    assert home.faults.calls["read"] == 1
    assert torrent.signals.checked.is_set


def test_each_piece_is_queued_once() -> None:
    """Asking twice does not hash twice."""
    content = sample(pieces=5, blocks=2)
    home = PlainStorage()
    home.hold(content, range(5), Completion.COMPLETE)
    node = Node(Clock(), piece_hashers_per_torrent=1)
    torrent = node.add(content, home)
    node.settle()
    checking_size, checking.JOB_SIZE = checking.JOB_SIZE, 1
    try:
        node.disk.held = True
        verify(node, torrent)
        verify(node, torrent)
        node.settle()
        assert torrent.disk.checks.left == 6, "one was handed out before it was asked for again"
        node.disk.held = False
        node.settle()
    finally:
        checking.JOB_SIZE = checking_size
    assert torrent.disk.checks.left == 0
    assert home.faults.calls["read"] == 6
    assert torrent.signals.checked.is_set


def test_a_check_that_was_asked_for_before_there_is_a_storage_is_done_when_there_is() -> None:
    """verify() right after add()."""
    content = sample(pieces=4, blocks=2)
    home = PlainStorage()
    home.hold(content, range(4), Completion.COMPLETE)
    home.data[2][0] ^= 1
    node = Node(Clock())
    torrent = node.add(content, home)
    verify(node, torrent)
    node.settle(lambda: check(node))
    assert list(torrent.pieces.complete.search(0)) == [2]
    assert torrent.signals.checked.is_set
    assert torrent.disk.checks.left == 0


def test_what_was_received_during_a_check_is_not_undone_by_it() -> None:
    """The check has read the disk before the piece was written."""
    content = sample(pieces=2, blocks=2)
    home = PlainStorage()
    node = Node(Clock())
    torrent = node.add(content, home)
    node.settle()
    node.disk.held = True
    verify(node, torrent)
    node.settle()
    [job] = node.disk.waiting
    node.disk.waiting.clear()
    results = job[0]()
    node.disk.held = False
    Remote(node, torrent, content)
    node.settle()
    assert torrent.pieces.is_seed
    job[1](results)
    node.settle(lambda: check(node))
    assert torrent.pieces.is_seed
    assert torrent.signals.checked.is_set


def test_pieces_that_are_being_hashed_or_fetched_are_left_alone() -> None:
    """They will be hashed anyway."""
    content = sample(pieces=3, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content, PlainStorage())
    node.settle()
    remote = Remote(node, torrent, content, rate=2)
    run(clock, node, 1)
    verify(node, torrent)
    node.settle(lambda: check(node))
    remote.rate = None
    remote.serve(len(remote.asked))
    remote.send()
    node.settle(lambda: check(node))
    assert torrent.pieces.is_seed


def test_an_error_in_a_check_is_told_and_the_check_goes_on_after_it() -> None:
    """Whichever of the two jobs under way failed, and when: nothing is left unchecked, nothing waits for ever."""
    content = sample(pieces=12, blocks=2)
    for failing in range(1, 13):
        faults = Faults()
        home = PlainStorage(faults)
        home.hold(content, range(12))
        node = Node(clock := Clock())
        size, checking.MOST_PIECES = checking.MOST_PIECES, 1
        try:
            torrent = node.add(content, home)
            faults.at("read", failing)
            node.settle()
            until(clock, node, lambda: isinstance(torrent.stage, Live), 40)  # noqa: B023 - called here
        finally:
            checking.MOST_PIECES = size
        assert torrent.pieces.is_seed
        assert len([event for event in node.told() if isinstance(event, events.Failed)]) == 1
        assert torrent.signals.complete.is_set


def test_a_piece_that_cannot_be_read_any_more_stops_the_torrent_until_it_can() -> None:
    """Then everything around it is hashed: whoever put the file back may have put back another one."""
    content = sample(pieces=6, blocks=2)
    home = PlainStorage()
    home.hold(content, range(6), Completion.COMPLETE)
    node = Node(clock := Clock())
    torrent = node.add(content, home)
    node.settle()
    leech = Remote(node, torrent, content, pieces=[])
    leech.talk.interested()
    leech.send()
    node.settle()
    away = home.data.pop(3)
    leech.ask(3, 0, 16384)
    node.settle()
    assert isinstance(torrent.stage, Failed)
    assert not leech.answers().get((3, 0))
    run(clock, node, 25)
    assert isinstance(torrent.stage, Failed)
    away[5] ^= 1
    home.data[3] = away
    until(clock, node, lambda: isinstance(torrent.stage, Live), 15)
    assert list(torrent.pieces.complete.search(0)) == [3]


def test_one_witness_is_enough_to_stop_a_torrent() -> None:
    """Many peers may read at once; the torrent fails once, and is tried again once."""
    content = sample(pieces=2, blocks=2)
    home = PlainStorage()
    home.hold(content, range(2), Completion.COMPLETE)
    node = Node(Clock())
    torrent = node.add(content, home)
    node.settle()
    for piece in (0, 1, 1):
        node.loop.run(fail_reading, node.engine, torrent, piece, StorageFailed("/data/x", "Input/output error", 5))
    assert len(torrent.disk.again) == 1
    assert len([event for event in node.told() if isinstance(event, events.Failed)]) == 1


def test_a_check_of_very_many_pieces_is_settled_in_small_turns() -> None:
    """W01: no turn handles more than a slice of them."""
    content = huge(30_000)
    home = PlainStorage()
    node = Node(Clock())
    torrent = node.add(content, home)
    node.settle()
    verify(node, torrent)
    left = [30_000]
    while node.step():
        left.append(torrent.disk.checks.left or left[-1])
    assert max(before - after for before, after in pairwise(left)) <= checking.MOST_PIECES
    assert torrent.signals.checked.is_set
    assert no_pieces(30_000) == torrent.pieces.complete


def test_a_check_takes_a_job_and_two_turns_for_a_thousand_pieces() -> None:
    """W01: not a job for each. What is handed out, settled and recorded are counted for 30,000 pieces."""
    content = huge(30_000)
    home = PlainStorage()
    node = Node(Clock())
    torrent = node.add(content, home)
    node.settle()
    jobs = 0

    def count(job: Callable[[], object]) -> Callable[[], object]:
        nonlocal jobs
        jobs += 1
        return job

    submit = node.disk.submit
    node.disk.submit = lambda job, *rest: submit(count(job), *rest)  # type: ignore[method-assign]  # counted
    before = node.engine.turn.taken
    verify(node, torrent)
    node.settle()
    assert jobs == -(-30_000 // checking.MOST_PIECES)
    assert node.engine.turn.taken - before <= 2 * jobs + 10


def test_what_has_to_be_told_to_many_peers_is_settled_in_smaller_turns() -> None:
    """Each piece that is lost is a message to each peer: with forty of them a turn finds fewer pieces."""
    content = huge(3_000)
    home = PlainStorage()
    node = Node(Clock())
    torrent = node.add(content, home)
    node.settle()
    for _ in range(40):
        Remote(node, torrent, content, pieces=[], unchokes=False)
    node.settle()
    assert len(torrent.swarm.peers) == 40
    verify(node, torrent)
    left = [3_000]
    while node.step():
        left.append(torrent.disk.checks.left or left[-1])
    assert max(before - after for before, after in pairwise(left)) <= checking.MOST_WORDS // 41
    assert torrent.signals.checked.is_set


def test_no_new_piece_is_begun_after_the_close() -> None:
    """The flaw: a hasher that kept to its torrent began the next piece after the close of its storage."""
    content = sample(pieces=3000, blocks=1)
    home = PlainStorage()
    home.hold(content, range(3000), Completion.COMPLETE)
    node = Node(Clock())
    torrent = node.add(content, home)
    node.settle()
    read = count(1)
    handed_out: list[int] = []

    def close_at_the_last_piece_of_a_job() -> None:
        if next(read) == checking.MOST_PIECES:
            with node.engine.turn:
                begin(node.engine, torrent, forget=False)
            handed_out.append(torrent.disk.checks.queued.count(0))

    home.before_piece = close_at_the_last_piece_of_a_job
    verify(node, torrent)
    node.settle()
    assert isinstance(torrent.stage, Dropped)
    assert next(read) == checking.MOST_PIECES + 1
    assert handed_out == [2 * checking.MOST_PIECES]
    assert not torrent.disk.checks.queued[handed_out[0] :].any()  # else a worker has had them, and given them back


def test_a_dropped_torrents_check_ends_at_once() -> None:
    """The worker sees before its next read that nobody wants the answer, and the torrent is let go of."""
    content = sample(pieces=64, blocks=16)
    home = PlainStorage()
    home.hold(content, range(64), Completion.COMPLETE)
    node = Node(Clock())
    torrent = node.add(content, home)
    node.settle()
    reads = home.faults.calls["read"]
    node.disk.held = True
    verify(node, torrent)
    node.settle()
    with node.engine.turn:
        begin(node.engine, torrent, forget=False)
    node.disk.held = False
    node.settle()
    assert home.faults.calls["read"] == reads
    assert isinstance(torrent.stage, Dropped)
