"""The file back end: a torrent's data as the files it is made of, below one data directory.

Joins the torrent's own files, the parts file and a completion store, in the order that keeps a kill at any moment from
leaving a wrong piece recorded as good: bytes written, files synced, directories synced, pieces recorded, files renamed.
The other way round a piece is recorded as missing before a byte of it is overwritten. Who wants what, hashing and trust
are the engine's affair. Of BEP 47, symbolic links are never made, and pad files never written: they read as zeros.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache, partial
from hashlib import sha1

from bitarray import bitarray

from anabranch.model import Closed, InfoHash, StorageFailed, no_pieces

from .backend import Buffer, Completion, Layout, Room, Run
from .completion import CompletionStore, MemoryCompletion
from .direct_io import Lender, lend
from .files_io import Files, Lost
from .folder_io import Folder
from .handles_io import Handles
from .layout import Extent, FileMap, check_names, check_range, cut, is_on_disk
from .parts_io import PartsFile
from .piece import PieceHandle
from .positional_io import WarmReader

_ZEROS = 1024 * 1024  # bytes hashed at a time

log = logging.getLogger(__name__)


class FileStorage:
    """A ClientStorage of plain files.

    Args:
        directory: The data directory; made, with those that lead to it, at the first write.
        completion: Gives each torrent its completion store; without it completion is forgotten at exit.
        handles: The open files, to be shared by all storages of a client.
        preallocate: At the first write all wanted files get room for their whole length, or it fails for lack of it
            ("No space left on device"). Without it they are sparse, and grow with what is written.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        completion: Callable[[InfoHash], CompletionStore] | None = None,
        handles: Handles | None = None,
        *,
        preallocate: bool = False,
    ) -> None:
        self._folder = Folder(directory)
        self._completion = completion or (lambda info_hash: MemoryCompletion())
        self._handles = Handles() if handles is None else handles  # an empty one is false
        self._warm = WarmReader()
        self._preallocate = preallocate

    def open(self, info: Layout, info_hash: InfoHash) -> FileTorrent:
        """See ClientStorage. Looks at every file's size, reads none."""
        return FileTorrent(info, *self._laid_out(info, info_hash))

    def _laid_out(self, info: Layout, info_hash: InfoHash) -> tuple[Files, PartsFile, Folder, CompletionStore]:
        """What a torrent is made of."""
        check_names(info.files)
        files = Files(info.files, self._folder, self._handles, self._warm, preallocate=self._preallocate)
        parts = PartsFile(info.files, info.geometry.total, info_hash, self._folder, self._handles)
        return files, parts, self._folder, self._completion(info_hash)


class _ThisRun:
    """What is known of pieces as long as the torrent is open.

    Attributes:
        denied: They are recorded as incomplete, not just found missing.
        written: They were written to, and not recorded since.
        doubtful: Of those, what was written to files that somebody has removed since.
        lost: Such files.
        tell: Who hears of recorded pieces that are gone.
    """

    def __init__(self, denied: bitarray) -> None:
        self.denied = denied
        self.written = no_pieces(len(denied))
        self.doubtful = no_pieces(len(denied))
        self.lost: set[int] = set()
        self.tell: Callable[[Sequence[int]], object] = len  # until somebody listens


class FileTorrent:
    """One torrent's files: a TorrentStorage with every optional ability."""

    def __init__(self, info: Layout, files: Files, parts: PartsFile, folder: Folder, store: CompletionStore) -> None:
        self._entries = info.files
        self._geometry = info.geometry
        self._map = FileMap(info.files, info.geometry)
        self._files = files
        self._parts = parts
        self._folder = folder
        self._store = store
        self._wanted: Sequence[bool] = (True,) * len(info.files)
        self._empty = {number for number, file in enumerate(info.files) if not file.length and is_on_disk(file)}
        self._closed = False
        self._recording = threading.RLock()  # one group, or one piece less, at a time; taken before the other
        self._placing = threading.RLock()  # held to decide between a file of its own and the parts file
        self._known, self._complete = store.load(self._geometry.piece_count)
        self._run = _ThisRun(self._known & ~self._complete)
        self._survey()

    @property
    def capacity(self) -> object | None:
        """No limit but the disk's, which nobody can promise."""
        return None

    def piece(self, index: int) -> PieceHandle:
        """See TorrentStorage."""
        return PieceHandle(self, self._geometry.piece(index))

    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        """See PieceStorage."""
        check_range(begin, memoryview(buffer).nbytes, self._geometry.length_of(piece))
        self.read_across(self._geometry.offset_of(piece) + begin, buffer)

    def read_across(self, offset: int, buffer: Room) -> None:
        """See ReadsAcross."""
        view = memoryview(buffer).cast("B")
        check_range(offset, len(view), self._geometry.total)
        with self._losing():
            for extent in self._map.extents(offset, len(view)):
                self._read(extent, view[: extent.length])
                view = view[extent.length :]

    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        """See PieceStorage. First it is recorded that the piece is not complete, or not known to be incomplete."""
        size = sum(memoryview(buffer).nbytes for buffer in buffers)
        check_range(begin, size, self._geometry.length_of(piece))
        self._unsettle(piece)
        extents = list(self._map.extents(self._geometry.offset_of(piece) + begin, size))
        with self._losing():
            if self._files.unallocated:
                with self._placing:
                    self._files.allocate(self._parts.lives)
            for extent, views in zip(extents, cut(buffers, (extent.length for extent in extents)), strict=True):
                self._write(extent, views)

    def read_warm(self, offset: int, buffer: Room) -> int:
        """See ReadsWarm."""
        view = memoryview(buffer).cast("B")
        check_range(offset, len(view), self._geometry.total)
        got = 0
        for file, place, length in self._map.extents(offset, len(view)):
            if self._entries[file].pad:
                view[got : got + length] = bytes(length)
                got += length
                continue
            more = self._files.read_warm(file, place, view[got : got + length])
            got += more
            if more < length:
                break
        return got

    def direct(self, offset: int, length: int) -> AbstractContextManager[Run | None]:
        """See Direct."""
        check_range(offset, length, self._geometry.total)
        if length < 1:
            raise ValueError(f"a run of {length} bytes")
        extent = next(self._map.extents(offset, length))
        return lend(partial(self._lender, extent), extent.length)

    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        """See Groups. Files that are complete with it get their final names, those that are not lose them."""
        complete = sorted({self._geometry.piece(piece) for piece in complete})
        incomplete = sorted({self._geometry.piece(piece) for piece in incomplete})
        with self._losing(), self._recording:
            gaining = self._files_of(complete)
            try:
                self._sync(gaining)
                self._check_written(complete, gaining)
            except StorageFailed:
                self._run.written[complete] = self._run.doubtful[complete] = False  # who is refused hashes them
                raise
            self._store.record(complete, incomplete)
            self._run.written[complete] = False
            for piece in complete:
                self._known[piece], self._complete[piece], self._run.denied[piece] = True, True, False
            for piece in incomplete:
                self._known[piece], self._complete[piece], self._run.denied[piece] = True, False, True
            for file in self._files_of(incomplete):
                self._files.demote(file)
            self._make_empty_files()
            for file in gaining:
                self._promote(file)

    def completion(self, piece: int) -> Completion:
        """See PieceStorage."""
        if not self._known[piece]:
            return Completion.UNKNOWN
        return Completion.COMPLETE if self._complete[piece] else Completion.INCOMPLETE

    def completions(self) -> tuple[bitarray, bitarray]:
        """See Bulk."""
        with self._recording:
            return self._known.copy(), self._complete.copy()

    def present(self, piece: int) -> bool:
        """See Sparse. A piece of which nothing can be said counts as present."""
        self._geometry.piece(piece)
        with self._losing():
            return any(self._has_data(extent) for extent in self._map.extents_of(piece))

    def presence(self) -> bitarray:
        """See Surveys. Two system calls for each run of data, and some for each file."""
        found = no_pieces(self._geometry.piece_count)
        with self._losing():
            for file, entry in enumerate(self._entries):
                if entry.pad or not entry.length:
                    continue
                for place, length in self._runs(file):
                    pieces = self._geometry.pieces_of(entry.offset + place, length)
                    found[pieces.start : pieces.stop] = True
        return found

    def sha1(self, piece: int) -> bytes | None:
        """See Hashes. It is known of pieces that are only holes, of whatever name: zeros, which need no reading."""
        length = self._geometry.length_of(self._geometry.piece(piece))
        with self._losing():
            if all(self._is_hole(extent) for extent in self._map.extents_of(piece)):
                return _sum_of_zeros(length)
        return None

    def select(self, wanted: Sequence[bool]) -> None:
        """See Selects. Empty files that are wanted are made here (and at record(), should it fail now)."""
        if len(wanted) != len(self._entries):
            raise ValueError(f"{len(wanted)} wishes for {len(self._entries)} files")
        moved = []
        with self._losing(), self._placing:
            self._wanted = tuple(map(bool, wanted))
            for file in sorted(self._parts.lives):
                if self._wanted[file]:
                    if self._files.exists(file):  # it moved out before, and taking note of it failed
                        self._parts.leave(file)
                    else:
                        self._parts.move_out(file, self._files)
                    moved.append(file)
            if not self._parts.lives:
                self._parts.remove()
            self._files.expect(file for file, wish in enumerate(self._wanted) if wish)
        try:
            self._make_empty_files()
        except StorageFailed as failed:
            log.warning("empty file not made path=%s reason=%s", failed.path, failed.reason)  # data may be read-only
        with self._recording:
            for file in moved:
                self._promote(file)

    def on_lost(self, tell: Callable[[Sequence[int]], None]) -> None:
        """See Loses."""
        self._run.tell = tell

    def find(self, pieces: range) -> bitarray:
        """See Finds. Whoever put a file beside one of ours, or beside bytes in the parts file, is not believed."""
        with self._losing(), self._placing:
            ours = set(self._parts.lives)
            if not ours:
                self._parts.survey()  # it comes with the disk that it is on
            found = self._files.find(file for file in self._map.files_of(pieces) if file not in ours)
            for file in self._parts.lives.intersection(found):
                self._parts.leave(file)
            came = no_pieces(self._geometry.piece_count)
            for there in (self._map.pieces_of(file) for file in {*found, *self._parts.lives} - ours):
                came[there.start : there.stop] = True
        return came

    def flush(self) -> None:
        """See TorrentStorage."""
        with self._losing(), self._recording:
            self._sync(None)

    def close(self) -> None:
        """See TorrentStorage. Syncs nothing: what was not recorded is hashed at the next start."""
        self._closed = True
        self._files.close()
        self._parts.close()

    def _survey(self) -> None:
        """Compare what is recorded with the files that are there."""
        sizes = self._files.survey()
        self._parts.survey()
        for file in sorted(self._parts.lives):
            if self._files.exists(file):  # killed while it moved out
                self._parts.leave(file)
        self._lose(
            self._map.pieces_of(file, size or 0)
            for file, (entry, size) in enumerate(zip(self._entries, sizes, strict=True))
            if not entry.pad and file not in self._parts.lives and (size or 0) < entry.length
        )
        self._empty = {file for file in self._empty if not self._files.exists(file)}
        incomplete = [file for file in range(len(sizes)) if sizes[file] and not self._is_complete(file)]
        self._files.soil(incomplete)  # a run that was killed may have synced nothing
        for file in range(len(sizes)):
            self._promote_early(file)

    def _promote_early(self, file: int) -> None:
        """Give a file the name that a run that was killed could not."""
        try:
            self._promote(file)
        except StorageFailed as failed:
            log.warning("complete file keeps its name path=%s reason=%s", failed.path, failed.reason)

    def _promote(self, file: int) -> None:
        if self._files.is_partial(file) and self._is_complete(file):
            self._files.promote(file)

    def _check_written(self, pieces: Sequence[int], files: Iterable[int]) -> None:
        """Before they are recorded: the files have their names still, and those that are complete then their length."""
        doubtful = [piece for piece in pieces if self._run.doubtful[piece]]
        if doubtful:
            path = next(self._files.shown(file) for file in self._files_of(doubtful) if file in self._run.lost)
            raise StorageFailed(path, os.strerror(errno.ENOENT), errno.ENOENT)
        complete = self._complete.copy()
        complete[pieces] = True
        for file in files:
            if self._files.is_partial(file) and self._is_complete(file, complete):
                self._files.check_size(file)

    def _is_complete(self, file: int, complete: bitarray | None = None) -> bool:
        pieces = self._map.pieces_of(file)
        return (self._complete if complete is None else complete).find(False, pieces.start, pieces.stop) < 0

    def _files_of(self, pieces: Iterable[int]) -> list[int]:
        files = {extent.file for piece in pieces for extent in self._map.extents_of(piece)}
        return sorted(file for file in files if not self._entries[file].pad)

    def _lose(self, missing: Iterable[range]) -> list[int]:
        """Take note of pieces whose files are gone or too short. Gives those that were recorded.

        For this run they are missing. The next one shall find out for itself: the disk may only have been unmounted.
        """
        recorded = self._complete.copy()
        for pieces in missing:
            self._run.doubtful[pieces.start : pieces.stop] |= self._run.written[pieces.start : pieces.stop]
            self._known[pieces.start : pieces.stop] = True
            self._complete[pieces.start : pieces.stop] = False
        gone = list((recorded & ~self._complete).search(1))
        if gone:
            log.warning("recorded pieces are gone directory=%s count=%s", self._folder.root, len(gone))
            self._store.record((), gone)  # first, since only this survives a loss of power
            self._store.forget(gone)
        return gone

    def _unsettle(self, piece: int) -> None:
        """Before a write: after a kill the piece shall be hashed, neither believed nor fetched for nothing."""
        if self._complete[piece] or self._run.denied[piece]:
            with self._recording:
                self._check_open()
                if self._complete[piece]:
                    self.record((), [piece])
                if self._run.denied[piece]:
                    self._store.forget([piece])
                    self._run.denied[piece] = False
        self._known[piece] = False
        self._run.written[piece], self._run.doubtful[piece] = True, False

    def _sync(self, files: Iterable[int] | None) -> None:
        self._files.sync(files)
        if files is None or not self._parts.lives.isdisjoint(files):
            self._parts.sync()
        self._folder.sync()

    def _make_empty_files(self) -> None:
        for file in sorted(self._empty):
            if self._wanted[file]:
                self._files.create(file)
                self._empty.discard(file)

    def _read(self, extent: Extent, view: memoryview) -> None:
        file = extent.file
        if self._entries[file].pad:
            view[:] = bytes(len(view))
            return
        if not self._files.exists(file):
            with self._placing:
                if file in self._parts.lives:
                    self._parts.read(file, extent.place, view)
                    return
        self._files.read(file, extent.place, view)

    def _lender(self, extent: Extent) -> Lender | None:
        file = extent.file
        if self._entries[file].pad:
            return None
        with self._losing():
            if not self._files.exists(file):
                with self._placing:
                    if file in self._parts.lives:
                        return self._parts.lend(file, extent.place)
            return self._files.lend(file, extent.place)

    def _write(self, extent: Extent, views: list[memoryview]) -> None:
        file = extent.file
        if self._entries[file].pad:
            return
        if not self._files.exists(file):
            with self._placing:  # nobody may make the file, or select it, until the bytes are in the other place
                if not self._files.exists(file) and (file in self._parts.lives or not self._wanted[file]):
                    self._parts.write(file, extent.place, views)
                    return
                self._files.create(file)
        self._files.write(file, extent.place, views)

    def _is_hole(self, extent: Extent) -> bool:
        file = extent.file
        return self._entries[file].pad or self._files.is_hole(file, extent.place, extent.length)

    def _runs(self, file: int) -> list[tuple[int, int]]:
        if not self._files.exists(file):
            with self._placing:
                if file in self._parts.lives:
                    return self._parts.runs(file)
        return self._files.runs(file)

    def _has_data(self, extent: Extent) -> bool:
        file = extent.file
        if self._entries[file].pad:
            return False
        if not self._files.exists(file):
            with self._placing:
                if file in self._parts.lives:
                    return self._parts.has_data(file, extent.place, extent.length)
        return self._files.has_data(file, extent.place, extent.length)

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Work on an open torrent; if a file turns out to have been removed, so are its pieces."""
        self._check_open()
        try:
            yield
        except Lost as gone:
            with self._recording:
                self._run.lost.update(gone.left)
                pieces = self._lose(self._map.pieces_of(file, left) for file, left in gone.left.items())
            if pieces:
                self._run.tell(pieces)
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"the storage below {self._folder.root} is closed")


@lru_cache(maxsize=8)
def _sum_of_zeros(length: int) -> bytes:
    """The SHA-1 of that many zeros: of a torrent's pieces there are few lengths."""
    zeros = bytes(min(length, _ZEROS))
    hasher = sha1(usedforsecurity=False)
    for at in range(0, length, _ZEROS):
        hasher.update(zeros[: length - at])
    return hasher.digest()
