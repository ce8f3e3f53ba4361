"""A back end that keeps everything in memory: for tests, and for those who only want to pass data on.

It has every optional ability but Selects, since there are no files to leave out. Its bytes live until the torrent is
closed; a piece takes its whole length once a byte of it is written. No lock is needed: a slice is assigned in one step.
"""

from __future__ import annotations

from collections.abc import Sequence

from bitarray import bitarray

from anabranch.model import Closed, Geometry, InfoHash, StorageFailed, no_pieces

from .backend import Buffer, Completion, Layout, Room
from .layout import check_range
from .piece import PieceHandle


class MemoryStorage:
    """A ClientStorage in memory."""

    def open(self, info: Layout, info_hash: InfoHash) -> MemoryTorrent:
        """Begin with nothing."""
        return MemoryTorrent(info.geometry, info_hash)


class MemoryTorrent:
    """One torrent in memory: ReadsWarm, Groups, Bulk, Sparse and Removes."""

    def __init__(self, geometry: Geometry, info_hash: InfoHash) -> None:
        self._geometry = geometry
        self._name = f"memory of {info_hash}"
        self._pieces: dict[int, bytearray] = {}
        self._known = no_pieces(geometry.piece_count)
        self._known.setall(True)  # nothing is there: that much is certain
        self._complete = no_pieces(geometry.piece_count)
        self._closed = False

    @property
    def capacity(self) -> object | None:
        """No limit."""
        return None

    def piece(self, index: int) -> PieceHandle:
        """See TorrentStorage."""
        return PieceHandle(self, self._geometry.piece(index))

    def flush(self) -> None:
        """Nothing is ever durable here."""
        self._check_open()

    def close(self) -> None:
        """Forget all bytes."""
        self._closed = True
        self._pieces = {}

    def remove(self) -> None:
        """See Removes."""
        self._check_open()
        self._pieces = {}
        self._complete.setall(False)

    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        """See PieceStorage."""
        view = memoryview(buffer).cast("B")
        check_range(begin, len(view), self._geometry.length_of(piece))
        self._check_open()
        held = self._pieces.get(piece)
        if held is None:
            offset = self._geometry.offset_of(piece) + begin
            raise StorageFailed(self._name, f"{len(view)} bytes short at offset {offset}")
        view[:] = memoryview(held)[begin : begin + len(view)]

    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        """See PieceStorage."""
        length = self._geometry.length_of(piece)
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        check_range(begin, sum(map(len, views)), length)
        self._check_open()
        self._complete[piece] = False
        held = memoryview(self._pieces.setdefault(piece, bytearray(length)))
        for view in views:
            held[begin : begin + len(view)] = view
            begin += len(view)

    def read_warm(self, offset: int, buffer: Room) -> int:
        """See ReadsWarm: everything is in memory, or nowhere."""
        view = memoryview(buffer).cast("B")
        check_range(offset, len(view), self._geometry.total)
        got = 0
        while got < len(view):
            piece, begin = divmod(offset + got, self._geometry.piece_length)
            held = self._pieces.get(piece)
            if held is None:
                break
            run = memoryview(held)[begin : begin + len(view) - got]
            if not run:
                break  # behind the end of a short piece, where a v2 torrent has nothing
            view[got : got + len(run)] = run
            got += len(run)
        return got

    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        """See Groups."""
        self._check_open()
        for piece in complete:
            self._complete[self._geometry.piece(piece)] = True
        for piece in incomplete:
            self._complete[self._geometry.piece(piece)] = False

    def completion(self, piece: int) -> Completion:
        """See PieceStorage."""
        return Completion.COMPLETE if self._complete[piece] else Completion.INCOMPLETE

    def completions(self) -> tuple[bitarray, bitarray]:
        """See Bulk."""
        return self._known.copy(), self._complete.copy()

    def present(self, piece: int) -> bool:
        """See Sparse."""
        self._check_open()
        return self._geometry.piece(piece) in self._pieces

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"{self._name} is closed")
