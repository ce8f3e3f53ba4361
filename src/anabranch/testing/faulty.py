"""Storage that fails on order: any back end inside, and around it a plan of which calls go wrong, and how.

For tests of whatever stands on storage. The plan may be changed at any time, from any thread. A call can be refused
with an error of the system, before it is done or after; a read can be short, in words or in silence; a bit can be
flipped on the way in or out; a call can be held until the test lets it go. All calls are counted.

    storage = FaultyStorage(FileStorage(folder))
    storage.faults.add(Fault("write", errno.ENOSPC, skip=2, times=1))  # the third write from now on, once
    held = storage.faults.add(Fault("record", gate=Gate()))
    ...
    assert storage.faults.calls["read"] == 4

What a torrent of it can do beside the plain calls is what the one inside can. While faults of reading are planned,
nothing is sent past them: bytes are neither mapped nor lent to the kernel then, and none are warm.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

from bitarray import bitarray

from anabranch.model import InfoHash, StorageFailed
from anabranch.storage import (
    Buffer,
    Bulk,
    ClientStorage,
    Completion,
    Direct,
    Finds,
    GivesUp,
    Groups,
    Hashes,
    Layout,
    Loses,
    Mapped,
    PieceStorage,
    ReadsAcross,
    ReadsWarm,
    Room,
    Run,
    Selects,
    Sparse,
    Streams,
    Surveys,
    TorrentStorage,
)

Call = Literal["open", "read", "write", "record", "flush", "completion", "select", "present", "sha1", "close"]


class Gate:
    """Where calls wait until the test lets them go on."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._opened = threading.Event()

    def arrived(self, timeout: float = 10.0) -> bool:
        """Wait until one more call has come; False if none does within so many seconds."""
        return self._arrived.acquire(timeout=timeout)

    def open(self) -> None:
        """Let go on who waits, and whoever comes later."""
        self._opened.set()

    def wait(self) -> None:
        """Called by the storage: come, and wait."""
        self._arrived.release()
        self._opened.wait()


@dataclass(frozen=True, eq=False)
class Fault:
    """What happens to some calls.

    Args:
        call: Which kind: "read" is all ways to read bytes, "record" all ways to record complete and incomplete pieces,
            "completion" all ways to ask what is recorded.
        errno: The system's error that it is refused with; 0: it is not.
        path: The file that the error names.
        late: It is refused after it was done.
        short: So many bytes are missing at the end of a read.
        silent: A short read answers how many bytes it read, as io's readinto() does, and raises nothing.
        flip: The byte of the call's whose lowest bit is flipped on its way, counted round if there are fewer.
        gate: Where it waits first.
        pieces: Only calls for these pieces; None: all.
        skip: So many calls that it would happen to are let pass before.
        times: To so many calls it happens; None: to all, until it is taken away.
    """

    call: Call
    errno: int = 0
    path: str = "/the/disk"
    late: bool = False
    short: int = 0
    silent: bool = False
    flip: int | None = None
    gate: Gate | None = None
    pieces: Container[int] | None = None
    skip: int = 0
    times: int | None = None


_NO_FAULT = Fault("open")


class Faults:
    """The plan of one FaultyStorage.

    Attributes:
        calls: How many there were of each kind, those that failed included.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._planned: dict[Fault, int] = {}  # how many calls each would have happened to
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """Plan a fault. Where several would happen to a call, the one that was planned first does."""
        with self._lock:
            self._planned[fault] = 0
        return fault

    def remove(self, fault: Fault) -> None:
        """Let it happen no more; its gate is opened."""
        with self._lock:
            self._planned.pop(fault, None)
        if fault.gate is not None:
            fault.gate.open()

    def clear(self) -> None:
        """Let nothing happen any more."""
        for fault in list(self._planned):
            self.remove(fault)

    def planned(self, call: Call) -> bool:
        """Whether any fault of that kind may still happen."""
        with self._lock:
            return any(fault.call == call for fault in self._planned)

    def meet(self, call: Call, pieces: Sequence[int] = ()) -> Fault:
        """Count a call for these pieces; it waits here if it must. What is to happen to it.

        Raises:
            StorageFailed: it is refused.
        """
        with self._lock:
            self.calls[call] += 1
            fault = self._due(call, pieces)
        if fault.gate is not None:
            fault.gate.wait()
        if not fault.late:
            refuse(fault)
        return fault

    def _due(self, call: Call, pieces: Sequence[int]) -> Fault:
        for fault, before in self._planned.items():
            if fault.call != call:
                continue
            if fault.pieces is not None and not any(piece in fault.pieces for piece in pieces):
                continue
            self._planned[fault] = before + 1
            if before < fault.skip:
                continue
            if fault.times is not None and before + 1 >= fault.skip + fault.times:
                del self._planned[fault]
            return fault
        return _NO_FAULT


def refuse(fault: Fault) -> None:
    """Raise the system's error, if the fault has one."""
    if fault.errno:
        raise StorageFailed(fault.path, os.strerror(fault.errno), fault.errno)


class FaultyStorage:
    """A ClientStorage around another one.

    Args:
        inner: Where the bytes really are.
        faults: The plan; several storages may share one.
    """

    def __init__(self, inner: ClientStorage, faults: Faults | None = None) -> None:
        self.faults = Faults() if faults is None else faults
        self._inner = inner

    def open(self, info: Layout, info_hash: InfoHash) -> FaultyTorrent:
        """See ClientStorage."""
        fault = self.faults.meet("open")
        inner = self._inner.open(info, info_hash)
        if fault.errno:
            inner.close()
            refuse(fault)
        return _torrent_like(type(inner))(inner, info, self.faults)


class FaultyTorrent:
    """A TorrentStorage around another one; the class of each has mixed in what that one can."""

    def __init__(self, inner: TorrentStorage, info: Layout, faults: Faults) -> None:
        self.inner = inner
        self.geometry = info.geometry
        self.faults = faults

    @property
    def capacity(self) -> object | None:
        """See TorrentStorage."""
        return self.inner.capacity

    def piece(self, index: int) -> FaultyPiece:
        """See TorrentStorage."""
        return FaultyPiece(self.inner.piece(index), index, self.faults)

    def flush(self) -> None:
        """See TorrentStorage."""
        fault = self.faults.meet("flush")
        self.inner.flush()
        refuse(fault)

    def close(self) -> None:
        """See TorrentStorage."""
        fault = self.faults.meet("close")
        self.inner.close()
        refuse(fault)


class FaultyPiece:
    """A PieceStorage around another one."""

    def __init__(self, inner: PieceStorage, index: int, faults: Faults) -> None:
        self._inner = inner
        self._index = index
        self._faults = faults

    def readinto(self, begin: int, buffer: Room) -> None:
        """See PieceStorage; a silent short read answers how many bytes it read, against the rules."""
        fault = self._faults.meet("read", [self._index])
        return _spoiled(fault, buffer, lambda view: self._inner.readinto(begin, view))

    def writev(self, begin: int, buffers: Sequence[Buffer]) -> None:
        """See PieceStorage."""
        fault = self._faults.meet("write", [self._index])
        if fault.flip is not None:
            whole = bytearray().join(buffers)
            _flip(fault, memoryview(whole))
            buffers = [whole]
        self._inner.writev(begin, buffers)
        refuse(fault)

    def mark_complete(self) -> None:
        """See PieceStorage."""
        fault = self._faults.meet("record", [self._index])
        self._inner.mark_complete()
        refuse(fault)

    def mark_incomplete(self) -> None:
        """See PieceStorage."""
        fault = self._faults.meet("record", [self._index])
        self._inner.mark_incomplete()
        refuse(fault)

    def completion(self) -> Completion:
        """See PieceStorage."""
        self._faults.meet("completion", [self._index])
        return self._inner.completion()


def _spoiled(fault: Fault, buffer: Room, read: Callable[[memoryview], object]) -> None:
    """Read as the fault has it."""
    view = memoryview(buffer).cast("B")
    size = max(len(view) - fault.short, 0)
    read(view[:size])
    _flip(fault, view[:size])
    refuse(fault)
    if size < len(view):
        if not fault.silent:
            raise StorageFailed(fault.path, f"{len(view) - size} bytes short")
        return cast(None, size)  # the fault: a number where there should be none
    return None


def _flip(fault: Fault, view: memoryview) -> None:
    if fault.flip is not None and len(view):
        view[fault.flip % len(view)] ^= 1


class _WarmTorrent(FaultyTorrent):
    def read_warm(self, offset: int, buffer: Room) -> int:
        if self.faults.planned("read"):
            return 0  # a worker's read will meet them
        return cast(ReadsWarm, self.inner).read_warm(offset, buffer)


class _AcrossTorrent(FaultyTorrent):
    def read_across(self, offset: int, buffer: Room) -> None:
        fault = self.faults.meet("read", self.geometry.pieces_of(offset, memoryview(buffer).nbytes))
        inner = cast(ReadsAcross, self.inner)
        return _spoiled(fault, buffer, lambda view: inner.read_across(offset, view))


class _StreamsTorrent(FaultyTorrent):
    def stream(self, piece: int) -> Iterator[Buffer]:
        """A short stream ends early; the last of its buffers counts for flips."""
        fault = self.faults.meet("read", [piece])
        left = self.geometry.length_of(piece) - fault.short
        for part in cast(Streams, self.inner).stream(piece):
            copied = bytearray(part)[: max(left, 0)]
            left -= len(copied)
            if not left:
                _flip(fault, memoryview(copied))
            if copied:
                yield copied
        refuse(fault)
        if fault.short and not fault.silent:
            raise StorageFailed(fault.path, f"{fault.short} bytes short")


class _GroupsTorrent(FaultyTorrent):
    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        fault = self.faults.meet("record", [*complete, *incomplete])
        cast(Groups, self.inner).record(complete, incomplete)
        refuse(fault)


class _BulkTorrent(FaultyTorrent):
    def completions(self) -> tuple[bitarray, bitarray]:
        self.faults.meet("completion", range(self.geometry.piece_count))
        return cast(Bulk, self.inner).completions()


class _SelectsTorrent(FaultyTorrent):
    def select(self, wanted: Sequence[bool]) -> None:
        fault = self.faults.meet("select")
        cast(Selects, self.inner).select(wanted)
        refuse(fault)


class _SparseTorrent(FaultyTorrent):
    def present(self, piece: int) -> bool:
        self.faults.meet("present", [piece])
        return cast(Sparse, self.inner).present(piece)


class _SurveysTorrent(FaultyTorrent):
    def presence(self) -> bitarray:
        self.faults.meet("present", range(self.geometry.piece_count))
        return cast(Surveys, self.inner).presence()


class _HashesTorrent(FaultyTorrent):
    def sha1(self, piece: int) -> bytes | None:
        self.faults.meet("sha1", [piece])
        return None if self.faults.planned("read") else cast(Hashes, self.inner).sha1(piece)


class _DirectTorrent(FaultyTorrent):
    def direct(self, offset: int, length: int) -> AbstractContextManager[Run | None]:
        if self.faults.planned("read"):
            return nullcontext()
        return cast(Direct, self.inner).direct(offset, length)


class _MappedTorrent(FaultyTorrent):
    def mapped(self, offset: int, length: int) -> memoryview | None:
        return None if self.faults.planned("read") else cast(Mapped, self.inner).mapped(offset, length)


class _GivesUpTorrent(FaultyTorrent):
    def on_given_up(self, tell: Callable[[Sequence[int]], None]) -> None:
        cast(GivesUp, self.inner).on_given_up(tell)


class _LosesTorrent(FaultyTorrent):
    def on_lost(self, tell: Callable[[Sequence[int]], None]) -> None:
        cast(Loses, self.inner).on_lost(tell)


class _FindsTorrent(FaultyTorrent):
    def find(self, pieces: range) -> bitarray:
        self.faults.meet("present", pieces)
        return cast(Finds, self.inner).find(pieces)


_MIXED_IN: dict[type, type[FaultyTorrent]] = {
    ReadsWarm: _WarmTorrent,
    ReadsAcross: _AcrossTorrent,
    Streams: _StreamsTorrent,
    Groups: _GroupsTorrent,
    Bulk: _BulkTorrent,
    Selects: _SelectsTorrent,
    Sparse: _SparseTorrent,
    Surveys: _SurveysTorrent,
    Hashes: _HashesTorrent,
    Direct: _DirectTorrent,
    Mapped: _MappedTorrent,
    GivesUp: _GivesUpTorrent,
    Loses: _LosesTorrent,
    Finds: _FindsTorrent,
}


@cache
def _torrent_like(kind: type[TorrentStorage]) -> type[FaultyTorrent]:
    """The class of torrents around one of that kind: with its abilities, and no others."""
    bases = tuple(mixed for ability, mixed in _MIXED_IN.items() if issubclass(kind, ability))
    return type("FaultyTorrent", bases or (FaultyTorrent,), {})
