"""What readers are told: whether bytes are there, and a signal for when they will be."""

from __future__ import annotations

from random import Random
from typing import cast

import pytest
from bitarray import bitarray
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.engine.files import Worth
from anabranch.engine.pieces import PieceTable
from anabranch.engine.reading import Place, peek, read_found, stop_waiting, wait_for, written
from anabranch.engine.stage import Failed
from anabranch.model import BLOCK_SIZE, Closed, Priority, StorageFailed
from anabranch.storage import Completion
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import Faults, Held, PlainStorage, huge, sample
from engine.truth import check


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_what_is_there_is_told_up_to_the_first_missing_piece(seed: int) -> None:
    """Never past what was asked for, nor past the end; and the bytes are the right ones."""
    draw = Random(seed)
    content = sample(pieces=7, blocks=1, cut=9_000)
    total = content.geometry.total
    node = Node(Clock())
    have = draw.sample(range(7), draw.randint(0, 7))
    torrent = node.add(content, Held(content, have), want=None)
    node.settle()
    offset = draw.randrange(total)
    wanted = draw.randint(1, total - offset)
    found = wait_for(node, torrent, offset, wanted, False)
    there = 0
    while there < wanted and (offset + there) // BLOCK_SIZE in have:
        there += 1
    assert found.length == there
    assert (found.signal is None) == bool(there)
    if there:
        room = bytearray(there)
        assert read_found(node, torrent, found, offset, memoryview(room)) == there
        assert room == content.content[offset : offset + there]
    else:
        assert found.piece == offset // BLOCK_SIZE
        stop_waiting(node, torrent, found)
        assert not torrent.signals.of_piece


def test_a_reader_hears_when_its_piece_is_there() -> None:
    """Each of them, and nobody is remembered afterwards."""
    content = sample(pieces=3, blocks=2)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    waiting = [wait_for(node, torrent, 40_000, 10, False) for _ in range(3)]
    Remote(node, torrent, content)
    node.settle()
    for found in waiting:
        assert found.signal is not None
        assert found.signal.is_set
        stop_waiting(node, torrent, found)
    assert not torrent.signals.of_piece
    assert wait_for(node, torrent, 40_000, 10, False).length == 10


def test_a_drop_wakes_readers_with_closed() -> None:
    """And whoever comes later hears it at once."""
    node = Node(Clock())
    torrent = node.add(sample())
    node.settle()
    found = wait_for(node, torrent, 0, 10, False)
    node.drop(torrent)
    node.settle()
    assert found.signal is not None
    with pytest.raises(Closed):
        found.signal.wait(0)
    stop_waiting(node, torrent, found)
    with pytest.raises(Closed):
        wait_for(node, torrent, 0, 10, False)


def test_a_failed_disk_wakes_readers_with_its_error() -> None:
    """They would wait for what nobody asks for; what is there can still be read."""
    content = sample(pieces=4, blocks=2)
    faults = Faults()
    node = Node(clock := Clock())
    torrent = node.add(content, PlainStorage(faults))
    node.settle()
    remote = Remote(node, torrent, content, rate=2)
    until(clock, node, lambda: torrent.pieces.complete_count == 1, 10)
    there = next(torrent.pieces.complete.search(1))
    missing = next(torrent.pieces.complete.search(0))
    found = wait_for(node, torrent, content.geometry.offset_of(missing), 10, False)
    faults.always.add("write")
    until(clock, node, lambda: isinstance(torrent.stage, Failed), 10)
    assert found.signal is not None
    assert found.signal.is_set
    stop_waiting(node, torrent, found)
    with pytest.raises(StorageFailed, match="No space left"):
        wait_for(node, torrent, content.geometry.offset_of(missing), 10, False)
    assert wait_for(node, torrent, content.geometry.offset_of(there), 10, False).length == 10
    assert not remote.link.closed


def test_a_responsive_reader_gets_blocks_as_they_come() -> None:
    """Before their piece is verified, block by block, wherever they lie."""
    content = sample(pieces=1, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content, PlainStorage())
    node.settle()
    remote = Remote(node, torrent, content, rate=0)
    node.settle()
    found = wait_for(node, torrent, 5, 100_000, True)
    assert found.early is None
    remote.serve(2)
    remote.send()
    node.settle()
    assert found.signal is not None
    assert found.signal.is_set
    assert wait_for(node, torrent, 5, 100_000, False).length == 0
    assert wait_for(node, torrent, 5, 100_000, True).early == content.content[5:BLOCK_SIZE]
    assert wait_for(node, torrent, BLOCK_SIZE, 7, True).early == content.content[BLOCK_SIZE:][:7]
    assert wait_for(node, torrent, 2 * BLOCK_SIZE, 7, True).early is None
    remote.leave()
    run(clock, node, 8)
    assert torrent.holding.written
    found = wait_for(node, torrent, 5, 100_000, True)
    assert (found.length, found.early, found.verified) == (2 * BLOCK_SIZE - 5, None, False)
    room = bytearray(found.length)
    assert read_found(node, torrent, found, 5, memoryview(room)) == found.length
    assert room == content.content[5 : 2 * BLOCK_SIZE]
    assert wait_for(node, torrent, 5, 100_000, False).length == 0
    with node.engine.turn:
        assert peek(torrent, 0, 5, 10) == b""
        assert peek(torrent, 3, 5, 10) == b""
        assert written(torrent, 3, 5, 10) == 0


def test_a_block_wakes_who_waits_for_its_piece_and_nobody_else() -> None:
    """The Go engine woke everybody who waited for anything, in all torrents, whenever a block had been written."""
    content, other = sample(pieces=4, blocks=4), sample(pieces=4, blocks=4, seed=1)
    node = Node(Clock())
    torrents = [node.add(content, PlainStorage()), node.add(other, PlainStorage())]
    node.settle()
    remote = Remote(node, torrents[0], content, rate=0)
    node.settle()
    [piece] = {piece for piece, _, _ in list(remote.asked)[:2]}
    waiting = {
        (torrent.info_hash, number): wait_for(node, torrent, number * 4 * BLOCK_SIZE, 5, True).signal
        for torrent in torrents
        for number in range(4)
    }
    remote.serve(2)
    remote.send()
    node.settle()
    woken = [who for who, signal in waiting.items() if signal is not None and signal.is_set]
    assert woken == [(content.info_hash, piece)]


def test_what_is_still_being_written_is_not_read() -> None:
    """A responsive reader hears when it is there, and finds what an earlier write has brought meanwhile."""
    content = sample(pieces=1, blocks=8)
    node = Node(Clock(), pool=16 * BLOCK_SIZE)  # the piece is received in stretches of two blocks
    torrent = node.add(content, PlainStorage())
    node.settle()
    assert torrent.holding.stretch_blocks == 2
    remote = Remote(node, torrent, content, rate=0)
    node.settle()
    remote.serve(2)
    remote.send()
    while not torrent.holding.writing:
        assert node.step()
    found = wait_for(node, torrent, 0, 100_000, True)
    assert found.signal is not None
    node.settle()
    assert found.signal.is_set
    remote.serve(2)
    remote.send()
    while not torrent.holding.writing:
        assert node.step()
    assert wait_for(node, torrent, 0, 1_000_000, True).length == 2 * BLOCK_SIZE
    node.settle()
    found = wait_for(node, torrent, 0, 1_000_000, True)
    assert (found.length, found.verified) == (4 * BLOCK_SIZE, False)
    assert not torrent.holding.under_way


@pytest.fixture
def weighed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pieces whose worth was worked out."""
    pieces: list[int] = []
    of = Worth.of

    def counting(self: Worth, piece: int) -> Priority:
        pieces.append(piece)
        return of(self, piece)

    monkeypatch.setattr(Worth, "of", counting)
    return pieces


def test_a_reader_moves_without_a_turn_and_the_next_one_heeds_the_last_move(weighed: list[int]) -> None:
    """W39: a thousand moves between two turns are one change of priorities, to the last place."""
    node = Node(Clock())
    torrent = node.add(sample(pieces=100, blocks=1), want=None)
    node.settle()
    place, taken = Place(node, torrent), node.turn.taken
    for piece in range(1000):
        place.move(range(piece % 50, piece % 50 + 2), piece % 50)
    place.move(range(1, 3), 1)
    assert node.turn.taken == taken
    assert not node.loop.calls
    weighed.clear()
    with node.turn:
        assert len(weighed) <= 3
        worth = list(torrent.pieces.worth)
        assert worth[:4] == [0, Priority.NOW, Priority.READAHEAD, 0]
        assert not any(worth[3:])
        place.move(range(0), -1)  # also within a turn, where a finaliser may come
        assert torrent.worth.readers
    with node.turn:
        assert not torrent.worth.readers
        assert not any(torrent.pieces.worth)


def test_a_move_costs_what_changes_and_not_what_stays(weighed: list[int]) -> None:
    """A window of thousands that moves on by a piece has a handful of pieces weighed; one that closes, its own."""
    node = Node(Clock())
    torrent = node.add(huge(10_000), want=None)
    node.settle()
    place = Place(node, torrent)
    for window, most in [(range(4000), 4001), (range(1, 4001), 4), (range(2, 4003), 5), (range(0), 4002)]:
        weighed.clear()
        place.move(window, window.start if window else -1)
        with node.turn:
            assert 0 < len(weighed) <= most
    assert not any(torrent.pieces.worth)


def test_a_reader_that_closes_has_its_own_pieces_looked_at_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """W38: the Go engine worked out all priorities anew whenever any reader was closed."""
    node = Node(Clock())
    content = huge(10_000)
    torrent = node.add(content)
    node.settle()
    Remote(node, torrent, content, pieces=[])
    node.settle()
    assert torrent.pieces.ordered
    place = Place(node, torrent)
    place.move(range(5, 9), 5)
    with node.turn:
        assert torrent.worth.readers
    node.settle()
    looked_at: list[int] = []
    refresh = PieceTable.refresh

    def counting(self: PieceTable, piece: int) -> None:
        looked_at.append(piece)
        refresh(self, piece)

    monkeypatch.setattr(PieceTable, "refresh", counting)
    place.move(range(0), -1)
    with node.turn:
        assert not torrent.worth.readers
    node.settle()
    assert sorted(looked_at) == [5, 6, 7, 8]


def test_a_reader_of_what_is_there_hurries_the_engine_once_where_its_window_misses_something() -> None:
    """It takes no turn itself, and nobody else might for a second; where all is there, nobody is disturbed."""
    content = sample(pieces=10, blocks=1)
    node = Node(Clock())
    torrent = node.add(content, Held(content, range(5)), want=None)
    node.settle()
    place, taken = Place(node, torrent), node.turn.taken
    place.move(range(5), 0)
    place.hurry()
    assert (node.turn.taken, len(node.loop.calls)) == (taken, 0)
    for first in range(1, 4):
        place.move(range(first, first + 5), first)
        place.hurry()
    assert (node.turn.taken, len(node.loop.calls)) == (taken, 1)
    node.settle()
    assert [piece for piece, worth in enumerate(torrent.pieces.worth) if worth] == [3, 4, 5, 6, 7]
    place.move(range(4, 9), 4)
    place.hurry()
    assert len(node.loop.calls) == 1


def test_a_reader_hurries_again_after_a_turn_that_came_between() -> None:
    """A turn may heed the note in the middle of hurry(); the next note must not lie there until somebody comes by."""
    node = Node(Clock())
    torrent = node.add(sample(pieces=16, blocks=1))
    node.settle()
    place = Place(node, torrent)
    complete = torrent.pieces.complete

    class Crossed:
        def find(self, bit: int, start: int, stop: int) -> int:
            with node.turn:  # of another thread
                return complete.find(bit, start, stop)

    place.move(range(2, 5), 2)
    torrent.pieces.complete = cast(bitarray, Crossed())
    place.hurry()
    torrent.pieces.complete = complete
    node.settle()
    place.move(range(3, 6), 3)
    place.hurry()
    assert node.loop.calls
    node.settle()
    assert torrent.worth.readers[place] == (range(3, 6), 3)


def test_a_read_that_a_drop_overtakes_is_closed_and_no_fault_of_the_disk() -> None:
    """The storage may be closed between the look and the read."""
    content = sample(pieces=4, blocks=2)
    faults = Faults()
    node = Node(Clock())
    home = PlainStorage(faults)
    home.hold(content, range(4), Completion.COMPLETE)
    torrent = node.add(content, home)
    node.settle()
    room = bytearray(10)
    found = wait_for(node, torrent, 0, len(room), False)
    assert found.length == len(room)
    faults.always.add("read")
    node.drop(torrent)
    with pytest.raises(Closed):
        read_found(node, torrent, found, 0, memoryview(room))


@pytest.mark.parametrize("said", [Completion.INCOMPLETE, Completion.UNKNOWN])
def test_a_piece_that_the_storage_has_lost_is_waited_for_and_fetched_again(said: Completion) -> None:
    """A storage of limited space gave it up, say. Only that piece; peers and subscribers hear of it."""
    content = sample(pieces=4, blocks=2)
    home = PlainStorage()
    home.hold(content, range(4), Completion.COMPLETE)
    node = Node(clock := Clock())
    torrent = node.add(content, home)
    node.settle()
    Remote(node, torrent, content)
    node.settle()
    assert torrent.signals.complete.is_set
    del home.data[2]
    home.recorded[2] = said
    room, offset = bytearray(BLOCK_SIZE), content.geometry.offset_of(2)
    found = wait_for(node, torrent, offset, len(room), False)
    assert found.length == len(room)
    assert read_found(node, torrent, found, offset, memoryview(room)) == 0
    assert list(torrent.pieces.complete.search(0)) == [2]
    waiting = wait_for(node, torrent, offset, len(room), False)
    assert waiting.signal is not None
    run(clock, node, 3)
    assert waiting.signal.is_set
    assert read_found(node, torrent, found, offset, memoryview(room)) == len(room)
    assert room == content.content[offset:][: len(room)]
    assert torrent.totals.downloaded == content.geometry.piece_length
    check(node)


def test_a_read_ends_in_front_of_a_piece_that_fails() -> None:
    """What was read is given; the next read meets the failure."""
    content = sample(pieces=4, blocks=1)
    home = PlainStorage()
    home.hold(content, range(4), Completion.COMPLETE)
    node = Node(Clock())
    torrent = node.add(content, home)
    node.settle()
    del home.data[2]
    room = bytearray(4 * BLOCK_SIZE)
    found = wait_for(node, torrent, 0, len(room), False)
    assert found.length == len(room)
    assert read_found(node, torrent, found, 0, memoryview(room)) == 2 * BLOCK_SIZE
    assert room[: 2 * BLOCK_SIZE] == content.content[: 2 * BLOCK_SIZE]
    with pytest.raises(StorageFailed, match="short"):  # it is recorded complete all the same: the disk is at fault
        read_found(node, torrent, found, 2 * BLOCK_SIZE, memoryview(room))
    assert torrent.pieces.complete.all()


def test_what_is_not_recorded_yet_is_not_lost_by_a_failing_read() -> None:
    """The storage's records are behind: they are no witness."""
    content = sample(pieces=2, blocks=1)
    node = Node(clock := Clock())
    faults = Faults()
    torrent = node.add(content, PlainStorage(faults))
    node.settle()
    Remote(node, torrent, content, pieces=[0])
    until(clock, node, lambda: bool(torrent.pieces.complete[0]), 10)
    torrent.disk.unrecorded.append(0)
    faults.always.add("read")
    found = wait_for(node, torrent, 0, 10, False)
    with pytest.raises(StorageFailed):
        read_found(node, torrent, found, 0, memoryview(bytearray(10)))
    assert torrent.pieces.complete[0]


def test_a_wait_that_changes_nothing_is_no_wish() -> None:
    """W38: passive readers look and wait, and the scheduler is as it was."""
    content = sample(pieces=4, blocks=1)
    node = Node(Clock())
    torrent = node.add(content, want=None)
    node.settle()
    Remote(node, torrent, content)
    node.settle()
    before = (bytes(torrent.pieces.worth), list(torrent.pieces.order.scan()), dict(torrent.pieces.begun))
    found = wait_for(node, torrent, 20_000, 10, False)
    node.settle()
    stop_waiting(node, torrent, found)
    node.settle()
    assert (bytes(torrent.pieces.worth), list(torrent.pieces.order.scan()), dict(torrent.pieces.begun)) == before
    assert torrent.totals.downloaded == 0


def test_nothing_is_waited_for_where_nothing_is_wanted() -> None:
    """At the end of an extent."""
    node = Node(Clock())
    torrent = node.add(sample())
    node.settle()
    found = wait_for(node, torrent, 0, 0, False)
    assert (found.length, found.signal) == (0, None)
