"""The suite for storage back ends finds what is wrong with them, by the rule that is meant for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from bitarray import bitarray

from anabranch.model import Closed, StorageFailed
from anabranch.storage import Buffer, ClientStorage, Completion, MemoryStorage
from anabranch.storage.backend import Room, Run
from anabranch.storage.memory import MemoryTorrent
from anabranch.storage.piece import PieceHandle
from anabranch.testing import SPACE, STORAGE_CHECKS, ConformanceFailed, StorageCheck, check_storage
from testing.broken import AbleStorage, AbleTorrent

BY_NAME = {check.name: check for check in STORAGE_CHECKS}


@pytest.mark.parametrize("check", STORAGE_CHECKS, ids=str)
@pytest.mark.parametrize("limit", [None, SPACE])
def test_a_back_end_with_every_ability_passes(check: StorageCheck, limit: int | None) -> None:
    """With and without a limit; so each fault below is what its check finds, and nothing else."""
    check(lambda: AbleStorage(limit=limit), persistent=True)


def test_one_back_end_serves_for_all_checks() -> None:
    """Each has torrents of its own."""
    home = AbleStorage(limit=SPACE)
    check_storage(lambda: home, persistent=True)


class ReadsShort(AbleTorrent):
    """As io's readinto() does: it answers how many bytes, which may be fewer."""

    class Piece(PieceHandle):
        def readinto(self, begin: int, buffer: Room) -> None:
            size = min(len(buffer), 40)
            super().readinto(begin, memoryview(buffer)[:size])
            return size  # type: ignore[return-value]  # the fault

    def piece(self, index: int) -> PieceHandle:
        return self.Piece(self, self._geometry.piece(index))


class ReadsInventing(AbleTorrent):
    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        if piece not in self._pieces:
            memoryview(buffer).cast("B")[:] = b"?" * memoryview(buffer).nbytes
            return
        super().readinto(piece, begin, buffer)


class ReadsGarbageBetween(AbleTorrent):
    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        if self._pieces and piece not in self._pieces:
            memoryview(buffer).cast("B")[:] = b"?" * memoryview(buffer).nbytes
            return
        super().readinto(piece, begin, buffer)


class FailsWithoutPlace(AbleTorrent):
    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        try:
            super().readinto(piece, begin, buffer)
        except StorageFailed as failed:
            raise StorageFailed("", failed.reason) from failed


class LetsSystemErrorsThrough(AbleTorrent):
    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        try:
            super().readinto(piece, begin, buffer)
        except StorageFailed as failed:
            raise FileNotFoundError(2, "No such file or directory") from failed


class ReadsOverThePiecesEnd(AbleTorrent):
    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        with suppress(ValueError):
            super().readinto(piece, begin, buffer)


class WritesOverThePiecesEnd(AbleTorrent):
    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        with suppress(ValueError):
            super().writev(piece, begin, buffers)


class ForgetsHowLongAShortPieceIs(AbleTorrent):
    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        if piece == 1 and self.geometry.length_of(1) < self.geometry.piece_length and begin == 30:
            return
        super().readinto(piece, begin, buffer)


class TakesTheLastByteForTheEnd(AbleTorrent):
    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        super().readinto(piece, begin, buffer)
        if begin and begin + memoryview(buffer).nbytes == 64 and memoryview(buffer).nbytes == 1:
            memoryview(buffer).cast("B")[0] ^= 1


class WritesFirstBufferOnly(AbleTorrent):
    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        super().writev(piece, begin, buffers if len(buffers) < 3 else buffers[:-1])


class WritesAtMostAThousandBuffers(AbleTorrent):
    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        super().writev(piece, begin, buffers[:1024])


class WritesAlwaysFromTheStart(AbleTorrent):
    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        super().writev(piece, begin, buffers)
        if begin == 63:
            super().writev(piece, 0, buffers)


class WritesOnce(AbleTorrent):
    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        if not begin and piece in self._pieces and len(buffers) == 2:
            return
        super().writev(piece, begin, buffers)


class NeverOverwritesAByte(AbleTorrent):
    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        before = bytes(self._pieces.get(piece, b""))
        super().writev(piece, begin, buffers)
        if begin and before and before[begin]:
            self._pieces[piece][begin] = before[begin]


class BorrowsBuffers(AbleTorrent):
    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        super().writev(piece, begin, buffers)
        if isinstance(buffers[0] if buffers else b"", bytearray) and not begin:
            self._pieces[piece] = buffers[0]  # type: ignore[assignment]  # the fault


class TakesOnlyBytes(AbleTorrent):
    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        if any(isinstance(buffer, memoryview) and buffer.itemsize > 1 for buffer in buffers):
            raise TypeError("a buffer of bytes was expected")
        super().writev(piece, begin, buffers)


class ReadsOnlyIntoBytes(AbleTorrent):
    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        if memoryview(buffer).itemsize > 1:
            raise TypeError("a buffer of bytes was expected")
        super().readinto(piece, begin, buffer)


class StaysComplete(AbleTorrent):
    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        was = self._complete[piece]
        super().writev(piece, begin, buffers)
        self._complete[piece] = was


class IsCompleteAtFirst(AbleTorrent):
    def completion(self, piece: int) -> Completion:
        return super().completion(piece) if self._pieces else Completion.COMPLETE


class MarksTooMuch(AbleTorrent):
    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        super().record([*complete, *(piece - 1 for piece in complete if piece == 2)], incomplete)


class ForgetsWhatIsIncomplete(AbleTorrent):
    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        super().record(complete, () if complete else incomplete[1:])


class StaysOpen(AbleTorrent):
    def _check_open(self) -> None:
        return


class FlushesWhatIsClosed(AbleTorrent):
    def flush(self) -> None:
        return


class FlushForgets(AbleTorrent):
    def flush(self) -> None:
        super().flush()
        self._pieces.pop(0, None)


class ManyCapacities(AbleTorrent):
    @property
    def capacity(self) -> object:
        return object()


class NegativeCapacity(AbleTorrent):
    class Debt:
        def capacity(self) -> int:
            return -1

    debt = Debt()

    @property
    def capacity(self) -> object:
        return self.debt


class OneCursorForAll(AbleTorrent):
    """Seeks, then reads: between the two another thread seeks."""

    at = 0
    meeting = threading.Barrier(2, timeout=0.2)

    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        self.at = piece
        self.meeting.wait()
        super().readinto(self.at, begin, buffer)


class WarmLies(AbleTorrent):
    def read_warm(self, offset: int, buffer: Room) -> int:
        return super().read_warm(offset, buffer) or min(5, len(buffer))


class WarmInvents(AbleTorrent):
    def read_warm(self, offset: int, buffer: Room) -> int:
        memoryview(buffer)[:] = b"x" * len(buffer)
        return len(buffer)


class AcrossReadsOnePiece(AbleTorrent):
    def read_across(self, offset: int, buffer: Room) -> None:
        room = self.geometry.piece_length - offset % self.geometry.piece_length
        super().read_across(offset, memoryview(buffer)[:room])


class AcrossReadsGaps(AbleTorrent):
    def read_across(self, offset: int, buffer: Room) -> None:
        try:
            super().read_across(offset, buffer)
        except ValueError:
            if offset < 0 or offset + len(buffer) > self.geometry.total:
                raise


class RecordsNoLack(AbleTorrent):
    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        super().record(complete, () if len(incomplete) > 1 else incomplete)


class TellsOfAllWhatIsNot(AbleTorrent):
    def completions(self) -> tuple[bitarray, bitarray]:
        known, complete = super().completions()
        return ~known, complete


class GivesItsOwnSetsAway(AbleTorrent):
    def completions(self) -> tuple[bitarray, bitarray]:
        return self._known, self._complete


class DropsWhatIsNotWanted(AbleTorrent):
    def select(self, wanted: Sequence[bool]) -> None:
        super().select(wanted)
        if not all(wanted):
            self._pieces.pop(1, None)


class TakesAnyWishes(AbleTorrent):
    def select(self, wanted: Sequence[bool]) -> None:
        self._check_open()


class DeniesWhatIsThere(AbleTorrent):
    def present(self, piece: int) -> bool:
        return super().present(piece) and piece != 2


class StreamsTooLittle(AbleTorrent):
    def stream(self, piece: int) -> Iterator[Buffer]:
        parts = list(map(bytes, super().stream(piece)))
        yield from parts[:-1]


class StreamsTooMuch(AbleTorrent):
    def stream(self, piece: int) -> Iterator[Buffer]:
        yield from super().stream(piece)
        yield b"\0"


class OneStreamForAll(AbleTorrent):
    at = 0

    def stream(self, piece: int) -> Iterator[Buffer]:
        self.at = self._geometry.piece(piece)
        for part in range(0, self._geometry.length_of(piece), 10):
            room = bytearray(min(10, self._geometry.length_of(piece) - part))
            self.readinto(self.at, part, room)
            yield room


class RemembersOldHashes(AbleTorrent):
    def sha1(self, piece: int) -> bytes | None:
        sums = self.__dict__.setdefault("sums", {})
        found = super().sha1(piece)
        return sums.setdefault(piece, found) if found else None


class DirectIsElsewhere(AbleTorrent):
    def direct(self, offset: int, length: int) -> object:  # type: ignore[override]  # the fault is in the place
        whole = super().direct

        @contextmanager
        def run() -> Iterator[Run | None]:
            with whole(offset, length) as found:
                yield found and found._replace(place=found.place - 1)

        return run()


class MappedCanBeWrittenTo(AbleTorrent):
    def mapped(self, offset: int, length: int) -> memoryview | None:
        view = super().mapped(offset, length)
        return view and memoryview(bytearray(view))


class MappedIsStale(AbleTorrent):
    def mapped(self, offset: int, length: int) -> memoryview | None:
        views = self.__dict__.setdefault("views", {})
        view = super().mapped(offset, length)
        key = offset, length
        if view is not None and key not in views and offset == 0:
            views[key] = bytes(view)
        return memoryview(views[key]) if key in views else view


class GivesUpInSilence(AbleTorrent):
    def give_up(self, piece: int) -> None:
        tell, self.tell = self.tell, lambda pieces: None
        super().give_up(piece)
        self.tell = tell


class TellsOfWhatIsThere(AbleTorrent):
    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        super().record(complete, incomplete)
        if 11 in complete:
            self.tell([11])


def bitten(check: StorageCheck, make: Callable[[], ClientStorage]) -> bool:
    try:
        check(make, persistent=True)
    except ConformanceFailed as failed:
        return failed.rule == check.rule and bool(failed.expected) and bool(failed.came)
    return False


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        (ReadsShort, "a_piece_is_read_as_it_was_written"),
        (ReadsInventing, "what_was_never_written_is_not_read"),
        (ReadsGarbageBetween, "what_was_not_written_is_never_garbage"),
        (FailsWithoutPlace, "what_was_never_written_is_not_read"),
        (LetsSystemErrorsThrough, "what_was_never_written_is_not_read"),
        (ReadsOverThePiecesEnd, "nothing_is_read_or_written_outside_of_a_piece"),
        (WritesOverThePiecesEnd, "nothing_is_read_or_written_outside_of_a_piece"),
        (ForgetsHowLongAShortPieceIs, "gaps_between_files_are_nowhere"),
        (TakesTheLastByteForTheEnd, "reads_go_from_any_byte_to_any_byte"),
        (WritesFirstBufferOnly, "a_write_takes_any_buffers_and_as_many_as_there_are"),
        (WritesAtMostAThousandBuffers, "a_write_takes_any_buffers_and_as_many_as_there_are"),
        (WritesAlwaysFromTheStart, "a_part_of_a_piece_is_there_once_it_is_written"),
        (WritesOnce, "what_is_written_last_counts"),
        (NeverOverwritesAByte, "writes_go_from_any_byte_to_any_byte"),
        (BorrowsBuffers, "what_is_written_is_taken_at_once"),
        (TakesOnlyBytes, "a_write_takes_any_buffers_and_as_many_as_there_are"),
        (ReadsOnlyIntoBytes, "a_read_takes_any_buffer_that_can_be_written_to"),
        (StaysComplete, "a_piece_that_is_written_over_is_not_complete"),
        (IsCompleteAtFirst, "nothing_is_complete_at_first"),
        (MarksTooMuch, "what_is_recorded_is_told"),
        (ForgetsWhatIsIncomplete, "what_is_recorded_is_told"),
        (StaysOpen, "what_is_closed_says_so"),
        (FlushesWhatIsClosed, "what_is_closed_says_so"),
        (FlushForgets, "flushing_changes_nothing_that_is_read"),
        (ManyCapacities, "the_capacity_is_one_object"),
        (NegativeCapacity, "the_capacity_is_one_object"),
        (OneCursorForAll, "threads_may_come_together"),
        (WarmLies, "warm_reads_are_right_or_short"),
        (WarmInvents, "warm_reads_are_right_or_short"),
        (AcrossReadsOnePiece, "reads_across_pieces_are_right"),
        (AcrossReadsGaps, "reads_across_pieces_are_right"),
        (RecordsNoLack, "groups_are_recorded_like_their_pieces"),
        (TellsOfAllWhatIsNot, "all_completions_are_those_of_the_pieces"),
        (GivesItsOwnSetsAway, "all_completions_are_those_of_the_pieces"),
        (DropsWhatIsNotWanted, "files_that_nobody_wants_lose_no_byte"),
        (TakesAnyWishes, "files_that_nobody_wants_lose_no_byte"),
        (DeniesWhatIsThere, "what_is_not_present_was_never_written"),
        (StreamsTooLittle, "a_stream_is_the_whole_piece"),
        (StreamsTooMuch, "a_stream_is_the_whole_piece"),
        (OneStreamForAll, "a_stream_is_the_whole_piece"),
        (RemembersOldHashes, "a_hash_is_that_of_the_bytes"),
        (DirectIsElsewhere, "bytes_lie_where_direct_says"),
        (MappedCanBeWrittenTo, "mapped_bytes_are_right"),
        (MappedIsStale, "mapped_bytes_are_right"),
        (GivesUpInSilence, "what_is_given_up_is_told"),
        (TellsOfWhatIsThere, "what_is_given_up_is_told"),
    ],
)
def test_a_fault_is_found_by_the_rule_that_is_meant_for_it(
    fault: type[AbleTorrent], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And by one only as far as it goes: the rule that bites is named by the error."""
    monkeypatch.setattr("anabranch.testing.conformance_abilities._PATIENCE", 0.0)
    assert bitten(BY_NAME[rule], partial(AbleStorage, fault, SPACE))


def test_torrents_that_share_their_bytes_are_found() -> None:
    """A back end that knows torrents by less than their info hash."""
    home = MemoryStorage()

    class OneForAll:
        only: dict[str, MemoryTorrent] = {}  # noqa: RUF012  # the fault

        def open(self, info: object, info_hash: object) -> MemoryTorrent:
            return self.only.setdefault("it", home.open(info, info_hash))  # type: ignore[arg-type]  # as they came

    assert bitten(BY_NAME["torrents_do_not_see_each_other"], OneForAll)


def test_records_without_bytes_are_found() -> None:
    """A back end that keeps what was recorded, and forgets the bytes."""

    class Keeps(AbleStorage):
        def open(self, info: object, info_hash: object) -> AbleTorrent:
            torrent = super().open(info, info_hash)  # type: ignore[arg-type]  # as it came
            torrent._pieces = {}
            return torrent

    assert bitten(BY_NAME["a_torrent_that_is_opened_again_promises_nothing_false"], Keeps)
    assert bitten(BY_NAME["what_was_recorded_outlives_closing"], Keeps)


def test_a_back_end_that_forgets_is_only_wrong_where_it_says_otherwise() -> None:
    """Memory forgets at close()."""
    forgetful = BY_NAME["what_was_recorded_outlives_closing"]
    forgetful(MemoryStorage)
    assert bitten(forgetful, MemoryStorage)


def test_a_failure_says_the_rule_and_what_came_instead() -> None:
    """In words, for who reads the report of a test."""
    with pytest.raises(ConformanceFailed) as failed:
        BY_NAME["a_stream_is_the_whole_piece"](partial(AbleStorage, StreamsTooMuch))
    words = str(failed.value)
    assert words.startswith("Streams: stream() gives all bytes of the piece and no more")
    assert "\n  expected: the stream of piece 0: b" in words
    assert "\n  came:     b" in words


def test_every_rule_bites() -> None:
    """A check that no back end can fail is none. (A Closed error out of nowhere fails them all.)"""

    class Shut:
        def open(self, info: object, info_hash: object) -> MemoryTorrent:
            raise Closed("at lunch")

    assert all(bitten(check, Shut) for check in STORAGE_CHECKS)
