"""A torrent's own files on the disk: where each is, reading and writing it, syncing it, and its names.

A file is NAME.part until its last piece is recorded (then promote()), and again once a piece is found missing
(demote()). What exists is used under the name that it has; only a write takes back a name of something complete. Which
pieces there are, and files that nobody wants, are not known here.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Iterable, Sequence
from enum import IntEnum

from anabranch.model import StorageFailed

from .backend import LaidFile
from .folder_io import Folder, Path
from .handles_io import Handle, Handles, lone_handle
from .layout import is_on_disk, partial_names
from .positional_io import WarmReader, copy_data, forget_cached, has_data, read_at, sync_data, write_at

log = logging.getLogger(__name__)


class Where(IntEnum):
    """Under which name a file exists."""

    MISSING = 0
    PARTIAL = 1
    FINAL = 2


class Vanished(StorageFailed):
    """Files that were there are gone: their pieces are not there any more, whatever is recorded."""

    def __init__(self, path: str, files: Iterable[int]) -> None:
        super().__init__(path, os.strerror(errno.ENOENT), errno.ENOENT)
        self.files = frozenset(files)


class Files:
    """All files of one torrent. Safe from any thread; every method raises StorageFailed."""

    def __init__(self, entries: Sequence[LaidFile], folder: Folder, handles: Handles, warm: WarmReader) -> None:
        self._entries = entries
        self._partial = tuple(partial_names(entries))
        self._folder = folder
        self._handles = handles
        self._warm = warm
        self._where = bytearray(len(entries))  # a Where for each file
        self._dirty: set[int] = set()
        self._lock = threading.RLock()  # held while names are looked up and changed, never while bytes move

    def survey(self) -> list[int | None]:
        """Look which files exist: their sizes in bytes, None for those that do not (and for what is never made)."""
        by_parents: dict[Path, list[int]] = {}
        for file, entry in enumerate(self._entries):
            if is_on_disk(entry):
                by_parents.setdefault(entry.path[:-1], []).append(file)
        sizes: list[int | None] = [None] * len(self._entries)
        with self._lock:
            looked = self._folder.sizes_below(
                {
                    parents: [name for file in files for name in (self._partial[file], self._entries[file].path[-1])]
                    for parents, files in by_parents.items()
                }
            )
            for files, there in zip(by_parents.values(), looked, strict=True):
                for file, partial, final in zip(files, there[::2], there[1::2], strict=True):
                    if partial is not None:
                        self._where[file], sizes[file] = Where.PARTIAL, partial
                    elif final is not None:
                        self._where[file], sizes[file] = Where.FINAL, final
                        if final != self._entries[file].length:
                            log.warning("file of wrong size path=%s size=%s", self.shown(file), final)
                    else:
                        self._where[file] = Where.MISSING
        return sizes

    def exists(self, file: int) -> bool:
        """Whether the file has a name of its own on the disk."""
        return self._where[file] != Where.MISSING

    def is_partial(self, file: int) -> bool:
        """Whether the file exists under the name of what is not complete."""
        return self._where[file] == Where.PARTIAL

    def shown(self, file: int) -> str:
        """The whole path of the file as it is now named."""
        return self._folder.shown(self._path(file))

    def create(self, file: int) -> None:
        """Make the file, and the directories that lead to it, unless it exists. An empty file is complete at once."""
        with self._lock:
            if self._where[file] != Where.MISSING:
                return
            where = Where.PARTIAL if self._entries[file].length else Where.FINAL
            os.close(self._folder.open(self._path(file, where), os.O_RDWR | os.O_CREAT))
            self._where[file] = where

    def read(self, file: int, place: int, view: memoryview) -> None:
        """Fill the view from *place* in the file."""
        with self._borrow(file) as handle:
            try:
                got = read_at(handle, view, place)
            except OSError as error:
                raise StorageFailed.from_os(error, self.shown(file)) from error
        if got < len(view):
            raise StorageFailed(self.shown(file), f"{len(view) - got} bytes short at offset {place + got}")

    def read_warm(self, file: int, place: int, view: memoryview) -> int:
        """Fill the view's front with what is in memory; opens nothing, since that may take a disk."""
        handle = self._handles.borrow_cached((self, file))
        if handle is None:
            return 0
        with handle:
            return self._warm.read(handle, view, place)

    def write(self, file: int, place: int, views: list[memoryview]) -> None:
        """Write to an existing file."""
        if self._where[file] == Where.FINAL:
            self.demote(file)
        with self._borrow(file, writable=True) as handle:
            try:
                write_at(handle, views, place)
            except OSError as error:
                raise StorageFailed.from_os(error, self.shown(file)) from error
            finally:
                self.soil([file])  # after the write: a sync that began before it does not count

    def soil(self, files: Iterable[int]) -> None:
        """Let the next sync take these files along."""
        with self._lock:
            self._dirty.update(files)

    def sync(self, files: Iterable[int] | None = None) -> None:
        """Make durable what was written to these files, or to all. On an error they are due again."""
        with self._lock:
            due = self._dirty & set(files) if files is not None else self._dirty.copy()
            self._dirty -= due
        try:
            for file in sorted(due):
                self._sync(file)
                due.remove(file)
        except Vanished as gone:
            due -= gone.files
            raise
        finally:
            self.soil(due)

    def promote(self, file: int) -> None:
        """Give a complete file its final name, and its executable attribute."""
        if self._entries[file].executable and hasattr(os, "fchmod"):
            with self._borrow(file) as handle:
                try:
                    mode = os.fstat(handle.fd).st_mode
                    os.fchmod(handle.fd, mode | (mode & 0o444) >> 2)
                except OSError as error:
                    log.warning("not made executable path=%s reason=%s", self.shown(file), error.strerror)
        self._rename(file, Where.PARTIAL, Where.FINAL)

    def demote(self, file: int) -> None:
        """Take the final name from a file that is not complete; where that is forbidden it keeps it."""
        try:
            self._rename(file, Where.FINAL, Where.PARTIAL)
        except StorageFailed as failed:
            log.warning("incomplete file keeps its name path=%s reason=%s", failed.path, failed.reason)

    def has_data(self, file: int, place: int, length: int) -> bool:
        """Whether anything in that range was ever written, as far as the system can tell.

        A file under its final name was whole once, or another program made it: there a hole is zeros like any others.
        """
        if self._where[file] == Where.MISSING:
            return False
        with self._borrow(file) as handle:
            try:
                if self._where[file] == Where.FINAL:
                    return place < os.fstat(handle.fd).st_size
                return has_data(handle, place, length)
            except OSError as error:
                raise StorageFailed.from_os(error, self.shown(file)) from error

    def adopt(self, file: int, source: Handle, place: int, via: Path) -> None:
        """Make a file from bytes that lie at *place* of another: durable, and whole before it has its name.

        *via* is the name it has until then, which may be left over from a run that was killed.
        """
        fd = self._folder.open(via, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        with lone_handle(fd) as target:
            try:
                os.ftruncate(fd, self._entries[file].length)  # a file system may keep zeros at its end as a hole
                copy_data(source, place, self._entries[file].length, target, 0)
                sync_data(target)
            except OSError as error:
                raise StorageFailed.from_os(error, self._folder.shown(via)) from error
        with self._lock:
            self._folder.rename(via, self._path(file, Where.PARTIAL))
            self._where[file] = Where.PARTIAL
        self._folder.sync()

    def close(self) -> None:
        """Let go of all descriptors."""
        self._handles.drop_all(self)

    def _path(self, file: int, where: int | None = None) -> Path:
        path = self._entries[file].path
        is_final = (self._where[file] if where is None else where) == Where.FINAL
        return path if is_final else (*path[:-1], self._partial[file])

    def _borrow(self, file: int, writable: bool = False) -> Handle:
        key = (self, file)
        handle = self._handles.borrow_cached(key, writable)
        if handle is not None:
            if os.fstat(handle.fd).st_nlink:
                return handle
            self._handles.drop(key)  # removed, or another put in its place: what we write here would be lost
            handle.__exit__(None, None, None)
        return self._handles.borrow(key, writable, lambda writable: self._open(file, writable))

    def _open(self, file: int, writable: bool) -> int:
        with self._lock:
            existed = self._where[file] != Where.MISSING
            for where in (self._where[file], Where.PARTIAL, Where.FINAL):  # somebody may have renamed it
                if where == Where.MISSING:
                    continue
                try:
                    fd = self._folder.open(self._path(file, where), os.O_RDWR if writable else os.O_RDONLY)
                except StorageFailed as failed:
                    if failed.errno != errno.ENOENT:
                        raise
                    continue
                self._where[file] = where
                if writable:
                    self._shorten(file, fd)
                return fd
            self._where[file] = Where.MISSING
            shown = self._folder.shown(self._entries[file].path)
            if existed:
                raise Vanished(shown, [file])
            raise StorageFailed(shown, os.strerror(errno.ENOENT), errno.ENOENT)

    def _shorten(self, file: int, fd: int) -> None:
        """Cut off what lies behind the file's end: it is not the torrent's, and the file is about to be."""
        length = self._entries[file].length
        try:
            if os.fstat(fd).st_size > length:
                os.ftruncate(fd, length)
        except OSError as error:
            os.close(fd)
            raise StorageFailed.from_os(error, self.shown(file)) from error

    def _sync(self, file: int) -> None:
        with self._borrow(file, writable=os.name == "nt") as handle:  # Windows syncs only what it may write
            try:
                sync_data(handle)
            except OSError as error:
                forget_cached(handle)
                raise StorageFailed.from_os(error, self.shown(file)) from error

    def _rename(self, file: int, where: Where, to: Where) -> None:
        with self._lock:
            if self._where[file] != where:
                return
            if os.name == "nt":
                self._handles.drop((self, file))  # Windows renames no open file
            try:
                self._folder.rename(self._path(file, where), self._path(file, to))
            except StorageFailed as failed:
                target = self._path(file, to)
                if failed.errno != errno.ENOENT or self._folder.sizes(target[:-1], [target[-1]]) == [None]:
                    raise
                log.warning("somebody else has renamed path=%s", self._folder.shown(target))
            self._where[file] = to
