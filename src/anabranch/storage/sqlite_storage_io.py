"""The SQLite back end: the data of many torrents in one database file, with what is known of it, and a limit if wanted.

For those who want one file instead of many, or a limited space that torrents share. What is over the limit is given up,
what nobody wants before the rest, the longest unused first. The database is open while a torrent of it is. How it is
kept, and why a piece cannot be recorded without its bytes: sqlite_shelf_io.py and sqlite_database_io.py.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from bitarray import bitarray

from anabranch.model import Closed, Geometry, InfoHash, InputRefused

from .backend import Buffer, Completion, Layout, Room
from .layout import check_range
from .piece import PieceHandle
from .sqlite_rows_io import STRETCH
from .sqlite_shelf_io import Kept, Shelf
from .sqlite_space_io import SharedSpace


class SqliteStorage:
    """A ClientStorage in one database file, used by one process at a time.

    Args:
        path: The file; made, with the directories that lead to it, when the first torrent is opened.
        capacity: Bytes of pieces that it has room for, of all torrents together; None for no limit. The file is some
            percent larger, and has a log of up to 128 MiB beside it, or of the capacity if that is less.
    """

    def __init__(self, path: str | os.PathLike[str], capacity: int | None = None) -> None:
        if capacity is not None and capacity < 0:
            raise ValueError(f"a capacity of {capacity} bytes")
        self._path = os.path.abspath(path)
        self._space = SharedSpace(capacity)
        self._opening = threading.Lock()
        self._shelf: Shelf | None = None

    def open(self, info: Layout, info_hash: InfoHash) -> SqliteTorrent:
        """See ClientStorage. Reads what is known of the torrent, and none of its bytes.

        Raises:
            StorageFailed: the database cannot be used, or another process uses it.
            InputRefused: it was written by a later version or another program, or has the torrent with other measures;
                or a piece is longer than the capacity.
        """
        limit, piece_length = self._space.limit, info.geometry.piece_length
        if limit is not None and piece_length > limit:
            raise InputRefused(f"a database that keeps {limit} bytes has no room for a piece of {piece_length}")
        with self._opening:
            shelf = self._shelf or Shelf(self._path, self._space)
            try:
                kept = shelf.join(info_hash, info.geometry)
            except BaseException:
                if self._shelf is None:
                    shelf.close()
                raise
            self._shelf = shelf
            return SqliteTorrent(info.geometry, shelf, kept, self._space, self._leave)

    def _leave(self, kept: Kept) -> None:
        """A torrent was closed; the database is, with the last one."""
        with self._opening:
            shelf = self._shelf
            if shelf is not None and shelf.leave(kept):
                self._shelf = None
                shelf.close()


class SqliteTorrent:
    """One torrent in a database: Groups, Bulk, Sparse, Streams, ReadsAcross, GivesUp, Heeds and Removes."""

    def __init__(
        self, geometry: Geometry, shelf: Shelf, kept: Kept, space: SharedSpace, leave: Callable[[Kept], None]
    ) -> None:
        self._geometry = geometry
        self._shelf = shelf
        self._kept = kept
        self._space = space
        self._leave = leave
        self._tell: Callable[[Sequence[int]], None] | None = None
        self._heed: Callable[[], Mapping[InfoHash, bitarray]] | None = None
        self._closing = threading.Lock()
        self._closed = False

    @property
    def capacity(self) -> object | None:
        """The space that all torrents of the database share; None without a limit."""
        return self._space if self._space.limit is not None else None

    def piece(self, index: int) -> PieceHandle:
        """See TorrentStorage."""
        return PieceHandle(self, self._geometry.piece(index))

    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        """See PieceStorage."""
        view = memoryview(buffer).cast("B")
        check_range(begin, len(view), self._geometry.length_of(piece))
        self._check_open()
        self._shelf.read(self._kept, [(piece, begin, len(view))], view)

    def read_across(self, offset: int, buffer: Room) -> None:
        """See ReadsAcross."""
        view = memoryview(buffer).cast("B")
        check_range(offset, len(view), self._geometry.total)
        self._check_open()
        self._shelf.read(self._kept, list(self._spans(offset, len(view))), view)

    def stream(self, piece: int) -> Iterator[Buffer]:
        """See Streams."""
        length = self._geometry.length_of(self._geometry.piece(piece))
        room = memoryview(bytearray(min(STRETCH, length)))
        for begin in range(0, length, STRETCH):
            view = room[: min(STRETCH, length - begin)]
            self.readinto(piece, begin, view)
            yield view

    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        """See PieceStorage. One transaction, in which the piece stops being complete, too."""
        length = sum(memoryview(buffer).nbytes for buffer in buffers)
        check_range(begin, length, self._geometry.length_of(piece))
        self._check_open()
        if length:
            self._shelf.write(self._kept, piece, begin, length, buffers)

    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        """See Groups. A piece without bytes is never recorded as complete."""
        complete = sorted({self._geometry.piece(piece) for piece in complete})
        incomplete = sorted({self._geometry.piece(piece) for piece in incomplete})
        self._check_open()
        self._shelf.record(self._kept, complete, incomplete)

    def completion(self, piece: int) -> Completion:
        """See PieceStorage."""
        bits = self._kept.bits
        if bits.complete[piece]:
            return Completion.COMPLETE
        return Completion.INCOMPLETE if bits.known[piece] or not bits.written[piece] else Completion.UNKNOWN

    def completions(self) -> tuple[bitarray, bitarray]:
        """See Bulk."""
        bits = self._kept.bits
        complete = bits.complete.copy()
        return complete | bits.known | ~bits.written, complete

    def present(self, piece: int) -> bool:
        """See Sparse."""
        return bool(self._kept.bits.written[self._geometry.piece(piece)])

    def on_given_up(self, tell: Callable[[Sequence[int]], None]) -> None:
        """See GivesUp."""
        self._tell = tell
        self._kept.tells.append(tell)

    def heed(self, wanted: Callable[[], Mapping[InfoHash, bitarray]]) -> None:
        """See Heeds."""
        self._heed = wanted
        self._kept.heeds.append(wanted)

    def flush(self) -> None:
        """See TorrentStorage."""
        self._check_open()
        self._shelf.sync()

    def remove(self) -> None:
        """See Removes. The file becomes smaller by it; others read and write meanwhile."""
        self._check_open()
        self._shelf.remove(self._kept)

    def close(self) -> None:
        """See TorrentStorage. Again is harmless."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        if self._tell is not None:
            self._kept.tells.remove(self._tell)
        if self._heed is not None:
            self._kept.heeds.remove(self._heed)
        self._leave(self._kept)

    def _spans(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """The pieces that make up a range: their number, where in them, and how much."""
        end = offset + length
        while offset < end:
            piece, begin = divmod(offset, self._geometry.piece_length)
            run = min(self._geometry.length_of(piece) - begin, end - offset)
            if run <= 0:
                raise ValueError(f"no piece has the byte at offset {offset}")
            yield piece, begin, run
            offset += run

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the torrent's storage is closed")
