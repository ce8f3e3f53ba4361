"""The disk cache back end: a limited space in one directory that torrents share, for content larger than the disk.

Source: possum, the Go engine's cache of this kind: what was used longest ago is given up, and its place in the file
becomes a hole. The files of a torrent are nowhere by their names; who wants these has the file back end. What is known
of torrents' files does not matter here, padding is kept like any other bytes. Where bytes lie and how they go is
cache_space_io's affair, what goes first ledger's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence

from bitarray import bitarray

from anabranch.model import Geometry, InfoHash, InputRefused, StorageFailed

from .backend import Buffer, Completion, Layout, Room
from .cache_space_io import CacheSpace
from .handles_io import Handles
from .layout import check_range
from .ledger import Shelf
from .piece import PieceHandle
from .positional_io import WarmReader, forget_cached, read_at, sync_data, write_at


class CacheStorage:
    """A ClientStorage that takes no more of the disk than it may.

    Args:
        directory: Its own, made with those that lead to it. One process at a time uses it.
        capacity: Bytes that the pieces in it may take. Metadata of the file system and the index come on top, and,
            while it is full of pieces that are not complete, those.
        handles: The open files, to be shared by all storages of a client.
    """

    def __init__(self, directory: str | os.PathLike[str], capacity: int, handles: Handles | None = None) -> None:
        self._space = CacheSpace(directory, _checked(capacity), Handles() if handles is None else handles)
        self._warm = WarmReader()

    @property
    def capacity(self) -> int:
        """Bytes that the pieces may take."""
        return self._space.ledger.limit

    @property
    def used(self) -> int:
        """Bytes that they take, 0 while no torrent is open."""
        return self._space.ledger.used

    def set_capacity(self, capacity: int) -> None:
        """Change how much it may take; what does not fit any more is given up at once.

        Raises:
            StorageFailed: not all of that could be given up.
            InputRefused: a piece of an open torrent is longer; nothing is changed.
        """
        self._space.resize(_checked(capacity))

    def open(self, info: Layout, info_hash: InfoHash) -> CacheTorrent:
        """See ClientStorage. A torrent is open once at a time.

        Raises:
            StorageFailed: another process uses the directory, the file system cannot free parts of files, or refused.
            InputRefused: a piece is longer than the capacity.
        """
        return CacheTorrent(self._space, self._space.enter(info.geometry, info_hash), info.geometry, self._warm)


class CacheTorrent:
    """One torrent in the cache: a TorrentStorage that gives up pieces by itself, and has most other abilities.

    Not Selects and Direct: there are no files, and a piece stays only while it is read here.
    """

    def __init__(self, space: CacheSpace, shelf: Shelf, geometry: Geometry, warm: WarmReader) -> None:
        self._space = space
        self._shelf = shelf
        self._geometry = geometry
        self._warm = warm
        self._shown = space.folder.shown(shelf.path)
        self._recording = threading.Lock()  # one group at a time

    @property
    def capacity(self) -> object | None:
        """The space, which all torrents in the directory share."""
        return self._space

    def piece(self, index: int) -> PieceHandle:
        """See TorrentStorage."""
        return PieceHandle(self, self._geometry.piece(index))

    def on_given_up(self, tell: Callable[[Sequence[int]], None]) -> None:
        """See GivesUp."""
        self._shelf.tell = tell

    def heed(self, wanted: Callable[[], Mapping[InfoHash, bitarray]]) -> None:
        """See Heeds."""
        self._shelf.wanted = wanted

    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        """See PieceStorage. A piece that is not there is a failure without a system's number."""
        view = memoryview(buffer).cast("B")
        check_range(begin, len(view), self._geometry.length_of(piece))
        with self._space.reading(self._shelf, range(piece, piece + 1)):
            self._read(piece, begin, view)

    def read_across(self, offset: int, buffer: Room) -> None:
        """See ReadsAcross."""
        view = memoryview(buffer).cast("B")
        check_range(offset, len(view), self._geometry.total)
        pieces = self._geometry.pieces_of(offset, len(view))
        begin = offset - self._geometry.offset_of(pieces.start) if pieces else 0
        with self._space.reading(self._shelf, pieces):
            for piece in pieces:
                length = self._geometry.length_of(piece)
                wanted = min(len(view), self._geometry.piece_length - begin)
                if begin + wanted > length:
                    raise ValueError(f"no piece has the byte at offset {self._geometry.offset_of(piece) + length}")
                self._read(piece, begin, view[:wanted])
                view, begin = view[wanted:], 0

    def read_warm(self, offset: int, buffer: Room) -> int:
        """See ReadsWarm."""
        view = memoryview(buffer).cast("B")
        check_range(offset, len(view), self._geometry.total)
        got = 0
        while got < len(view):
            piece, begin = divmod(offset + got, self._geometry.piece_length)
            wanted = min(len(view) - got, self._geometry.length_of(piece) - begin)
            if wanted <= 0:
                break  # behind the end of a short piece, where a v2 torrent has nothing
            more = self._read_warm(piece, begin, view[got : got + wanted])
            got += more
            if more < wanted:
                break
        return got

    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        """See PieceStorage. Makes room first; of a complete piece the record goes before its bytes do."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        check_range(begin, sum(map(len, views)), self._geometry.length_of(piece))
        if self._shelf.complete[piece]:
            self.record((), [piece])
        self._space.hold(self._shelf, piece)
        with self._space.borrow(self._shelf, writable=True) as handle:
            try:
                write_at(handle, views, piece * self._shelf.stride + begin)
            except OSError as error:
                raise StorageFailed.from_os(error, self._shown) from error
            finally:
                self._shelf.dirty = True

    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        """See Groups. What nobody ever wrote here is not complete, whoever says so."""
        complete = sorted({self._geometry.piece(piece) for piece in complete})
        incomplete = sorted({self._geometry.piece(piece) for piece in incomplete})
        with self._recording:
            self._space.record(self._shelf, complete, incomplete, self._sync)

    def completion(self, piece: int) -> Completion:
        """See PieceStorage."""
        shelf = self._shelf
        if shelf.complete[piece]:
            return Completion.COMPLETE
        return Completion.UNKNOWN if shelf.kept[piece] and not shelf.denied[piece] else Completion.INCOMPLETE

    def completions(self) -> tuple[bitarray, bitarray]:
        """See Bulk."""
        shelf = self._shelf
        complete = shelf.complete.copy()
        return complete | shelf.denied | ~shelf.kept, complete

    def present(self, piece: int) -> bool:
        """See Sparse."""
        return bool(self._shelf.kept[self._geometry.piece(piece)])

    def remove(self) -> None:
        """See Removes."""
        with self._recording:  # else a record might outlive its bytes
            self._space.clear(self._shelf)

    def flush(self) -> None:
        """See TorrentStorage."""
        with self._recording:
            self._space.check_open(self._shelf)
            self._sync()

    def close(self) -> None:
        """See TorrentStorage. From here on what is not complete may be given up, too."""
        with self._recording:
            self._space.leave(self._shelf)

    def _read(self, piece: int, begin: int, view: memoryview) -> None:
        place = piece * self._shelf.stride + begin
        with self._space.borrow(self._shelf) as handle:
            try:
                got = read_at(handle, view, place)
            except OSError as error:
                raise StorageFailed.from_os(error, self._shown) from error
        if got < len(view):
            raise StorageFailed(self._shown, f"{len(view) - got} bytes short at offset {place + got}")

    def _read_warm(self, piece: int, begin: int, view: memoryview) -> int:
        with self._space.reading_at_once(self._shelf, range(piece, piece + 1)) as there:
            handle = self._space.borrow_at_once(self._shelf) if there else None
            if handle is None:
                return 0
            with handle:
                got = self._warm.read(handle, view, piece * self._shelf.stride + begin)
            return got if self._shelf.open else 0  # closed meanwhile: it may have gone

    def _sync(self) -> None:
        shelf = self._shelf
        if shelf.dirty and shelf.made:
            shelf.dirty = False
            with self._space.borrow(shelf, writable=os.name == "nt") as handle:
                try:
                    sync_data(handle)
                except OSError as error:
                    forget_cached(handle)
                    shelf.dirty = True
                    raise StorageFailed.from_os(error, self._shown) from error
        self._space.folder.sync()


def _checked(capacity: int) -> int:
    if capacity <= 0:
        raise InputRefused(f"no cache has a capacity of {capacity} bytes")
    return capacity
