"""The parts file: where the bytes of files that nobody wants go, when a piece that is wanted reaches into them.

One sparse file, `.{info hash}.parts` in the data directory. A byte lies at its offset in the torrent. Behind the
torrent's end there is one byte for each file, 1 while the file's bytes are here and not in a file of its own: so that
what was left behind by a file that moved out is never taken for that file's data later.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress

from anabranch.model import InfoHash, StorageFailed

from .backend import LaidFile
from .direct_io import Lender
from .files_io import Files, Vanished
from .folder_io import Folder
from .handles_io import Handle, Handles
from .layout import moving_name, parts_name
from .positional_io import data_runs, forget_cached, has_data, read_at, sync_data, write_at

_HERE, _ELSEWHERE = b"\1", b"\0"


class PartsFile:
    """The parts file of one torrent. Its caller lets one thread in at a time, but for sync()."""

    def __init__(self, entries: Sequence[LaidFile], total: int, info_hash: InfoHash, folder: Folder, handles: Handles):
        self._entries = entries
        self._total = total
        self._path = (parts_name(info_hash),)
        self._via = (moving_name(info_hash),)
        self._folder = folder
        self._handles = handles
        self._dirty = False  # written and not synced
        self._there = False  # there may be a file
        self.lives: set[int] = set()  # files whose bytes are here

    def survey(self) -> None:
        """Look which files' bytes are here."""
        size, stale = self._folder.sizes((), (*self._path, *self._via))
        if stale is not None:
            with suppress(StorageFailed):  # it is only in the way of the eye
                self._folder.remove(self._via)
        self._there = size is not None
        if not self._there:
            return
        flags = memoryview(bytearray(len(self._entries)))
        with self._borrow() as handle:
            try:
                read_at(handle, flags, self._total)
            except OSError as error:
                raise self._failed(error) from error
        self.lives = {file for file, flag in enumerate(flags) if flag and not self._entries[file].pad}
        self._dirty = True  # a run that was killed may have synced nothing

    def read(self, file: int, place: int, view: memoryview) -> None:
        """Fill the view from *place* in the file."""
        with self._borrow() as handle:
            try:
                got = read_at(handle, view, self._entries[file].offset + place)
            except OSError as error:
                raise self._failed(error) from error
        if got < len(view):
            shown = self._folder.shown(self._path)
            raise StorageFailed(shown, f"{len(view) - got} bytes short at offset {self._entries[file].offset + place}")

    def lend(self, file: int, place: int) -> Lender:
        """The parts file, open for reading, and where in it the bytes from *place* in the file are."""
        return Lender(self._borrow(), self._entries[file].offset + place, self._folder.shown(self._path))

    def write(self, file: int, place: int, views: list[memoryview]) -> None:
        """Write to *place* in a file that has no file of its own."""
        with self._borrow(writable=True) as handle:
            try:
                write_at(handle, views, self._entries[file].offset + place)
                if file not in self.lives:
                    self._flag(handle, file, _HERE)
            except OSError as error:
                raise self._failed(error) from error
            finally:
                self._dirty = True
        self.lives.add(file)

    def has_data(self, file: int, place: int, length: int) -> bool:
        """Whether anything in that range of the file was ever written, as far as the system can tell."""
        with self._borrow() as handle:
            try:
                return has_data(handle, self._entries[file].offset + place, length)
            except OSError as error:
                raise self._failed(error) from error

    def runs(self, file: int) -> list[tuple[int, int]]:
        """Where in the file that is true: (place, length)."""
        offset, length = self._entries[file].offset, self._entries[file].length
        with self._borrow() as handle:
            try:
                return [(place - offset, run) for place, run in data_runs(handle, offset, length)]
            except OSError as error:
                raise self._failed(error) from error

    def move_out(self, file: int, files: Files) -> None:
        """Give a file its own file, with the bytes that are here."""
        with self._borrow(writable=True) as handle:
            files.adopt(file, handle, self._entries[file].offset, self._via)
            self.leave(file)

    def leave(self, file: int) -> None:
        """Take note that a file's bytes are not here any more."""
        with self._borrow(writable=True) as handle:
            try:
                self._flag(handle, file, _ELSEWHERE)
            except OSError as error:
                raise self._failed(error) from error
        self.lives.discard(file)
        self._dirty = True

    def sync(self) -> None:
        """Make durable what was written."""
        if not self._dirty:
            return
        self._dirty = False
        with self._borrow(writable=os.name == "nt") as handle:
            try:
                sync_data(handle)
            except OSError as error:
                forget_cached(handle)
                self._dirty = True
                raise self._failed(error) from error

    def remove(self) -> None:
        """Remove the file, if it is there, once nothing lives in it."""
        if not self._there:
            return
        self._handles.drop((self, 0))
        self._folder.remove(self._path)
        self._dirty = self._there = False

    def close(self) -> None:
        """Let go of the descriptor."""
        self._handles.drop_all(self)

    def _flag(self, handle: Handle, file: int, flag: bytes) -> None:
        write_at(handle, [memoryview(flag)], self._total + file)

    def _borrow(self, writable: bool = False) -> Handle:
        handle = self._handles.borrow_cached((self, 0), writable)
        if handle is not None:
            if os.fstat(handle.fd).st_nlink:
                return handle
            self._handles.drop((self, 0))
            handle.__exit__(None, None, None)
        return self._handles.borrow((self, 0), writable, self._open)

    def _open(self, writable: bool) -> int:
        flags = os.O_RDWR if writable else os.O_RDONLY
        if writable and not self.lives:
            flags |= os.O_CREAT
            self._there = True
        try:
            return self._folder.open(self._path, flags)
        except StorageFailed as failed:
            if failed.errno == errno.ENOENT and self.lives:
                gone, self.lives = self.lives, set()
                raise Vanished(failed.path, gone) from failed
            raise

    def _failed(self, error: OSError) -> StorageFailed:
        return StorageFailed.from_os(error, self._folder.shown(self._path))
