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
from collections.abc import Container, Iterable, Mapping, Sequence
from enum import IntEnum

from anabranch.model import StorageFailed

from .backend import LaidFile
from .direct_io import Lender
from .folder_io import Folder, Path
from .handles_io import Handle, Handles, lone_handle
from .layout import is_on_disk, partial_names
from .positional_io import (
    WarmReader,
    allocate,
    copy_data,
    data_runs,
    forget_cached,
    has_data,
    read_at,
    sync_data,
    write_at,
)

log = logging.getLogger(__name__)


class Where(IntEnum):
    """Under which name a file exists."""

    MISSING = 0
    PARTIAL = 1
    FINAL = 2


class Lost(StorageFailed):
    """Bytes that were there are gone, and with them their pieces, whatever is recorded.

    Args:
        path: Of the file, as it is shown.
        reason: What is wrong with it.
        errno: The system's number for that, or 0.
        left: The files, each with the bytes of its front that are still there.
    """

    def __init__(self, path: str, reason: str, errno: int, left: Mapping[int, int]) -> None:
        super().__init__(path, reason, errno)
        self.left = left


class Vanished(Lost):
    """Somebody removed the files."""

    def __init__(self, path: str, files: Iterable[int]) -> None:
        super().__init__(path, os.strerror(errno.ENOENT), errno.ENOENT, dict.fromkeys(files, 0))


class Files:
    """All files of one torrent. Safe from any thread; every method raises StorageFailed.

    Args:
        entries: The files.
        folder: Where they are.
        handles: The open files.
        warm: Reads what is in memory.
        preallocate: Files are given room for their whole length; else they grow with what is written.

    Attributes:
        unallocated: Files that are due to be given it.
    """

    def __init__(
        self,
        entries: Sequence[LaidFile],
        folder: Folder,
        handles: Handles,
        warm: WarmReader,
        *,
        preallocate: bool = False,
    ) -> None:
        self._entries = entries
        self._partial = tuple(partial_names(entries))
        self._folder = folder
        self._handles = handles
        self._warm = warm
        self._where = bytearray(len(entries))  # a Where for each file
        self._dirty: set[int] = set()
        self._preallocate = preallocate
        self._allocated: set[int] = set()  # files that have had their room
        self.unallocated: set[int] = set()
        self.expect(range(len(entries)))
        self._lock = threading.RLock()  # held while names are looked up and changed, never while bytes move

    def survey(self, files: Iterable[int] | None = None) -> list[int | None]:
        """Look which files exist: their sizes in bytes, None for those that do not (and for what is never made).

        Args:
            files: Only these are looked for; else all.
        """
        by_parents: dict[Path, list[int]] = {}
        for file in range(len(self._entries)) if files is None else files:
            if is_on_disk(self._entries[file]):
                by_parents.setdefault(self._entries[file].path[:-1], []).append(file)
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

    def find(self, files: Iterable[int]) -> list[int]:
        """Look for those of the files that were not there. Gives what is now, to be synced before it is recorded.

        Those that were there are left alone: whoever uses one notices what has become of it.
        """
        with self._lock:  # so that nobody makes one of them meanwhile
            missing = [file for file in files if self._where[file] == Where.MISSING]
            sizes = self.survey(missing)
            found = [file for file in missing if sizes[file] is not None]
            self.soil(found)
        return found

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

    def expect(self, files: Iterable[int]) -> None:
        """These files, and no others, will be written; allocate() shall give them room."""
        if self._preallocate:
            due = {file for file in files if is_on_disk(self._entries[file]) and self._entries[file].length}
            self.unallocated = due - self._allocated

    def allocate(self, aside: Container[int]) -> None:
        """Give every file that is due, and not complete, room for its whole length; made where it is not there.

        But for those *aside*, whose bytes are elsewhere.
        """
        for file in sorted(self.unallocated):
            if file in aside:
                self.unallocated.discard(file)
                continue
            self.create(file)
            if self.is_partial(file):
                with self._borrow(file, writable=True) as handle:
                    try:
                        allocate(handle, self._entries[file].length)
                    except OSError as error:
                        raise StorageFailed.from_os(error, self.shown(file)) from error
            self._allocated.add(file)
            self.unallocated.discard(file)

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
        handle = self.borrow_open(file)
        if handle is None:
            return 0
        with handle:
            return self._warm.read(handle, view, place)

    def borrow_open(self, file: int) -> Handle | None:
        """The file if it is open; opens nothing."""
        return self._handles.borrow_cached((self, file))

    def is_warm(self, handle: Handle, place: int, length: int) -> bool:
        """Whether a run of bytes is in memory, by its first and last one: bytes come there and go in long stretches."""
        byte = memoryview(bytearray(1))
        return bool(self._warm.read(handle, byte, place) and self._warm.read(handle, byte, place + length - 1))

    def lend(self, file: int, place: int) -> Lender:
        """The file, open for reading."""
        return Lender(self._borrow(file), place, self.shown(file))

    def write(self, file: int, place: int, views: list[memoryview]) -> None:
        """Write to an existing file."""
        if self._where[file] == Where.FINAL:
            self.demote(file)
        with self._borrow(file, writable=True, same=True) as handle:
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
            due.difference_update(gone.left)
            raise
        finally:
            self.soil(due)

    def promote(self, file: int) -> None:
        """Give a complete file its final name, and its executable attribute.

        If another file has got that name meanwhile, it is left alone, and ours keeps the name that it has.
        """
        if self._entries[file].executable and hasattr(os, "fchmod"):
            with self._borrow(file) as handle:
                try:
                    mode = os.fstat(handle.fd).st_mode
                    os.fchmod(handle.fd, mode | (mode & 0o444) >> 2)
                except OSError as error:
                    log.warning("not made executable path=%s reason=%s", self.shown(file), error.strerror)
        try:
            self._rename(file, Where.PARTIAL, Where.FINAL)
        except StorageFailed as failed:
            if failed.errno not in (errno.EEXIST, errno.ELOOP, errno.EINVAL):
                raise
            log.warning(
                "complete file keeps its name path=%s, something else is at path=%s", self.shown(file), failed.path
            )

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

    def runs(self, file: int) -> list[tuple[int, int]]:
        """Where in the file has_data() is true: (place, length)."""
        if self._where[file] == Where.MISSING:
            return []
        with self._borrow(file) as handle:
            try:
                size = min(os.fstat(handle.fd).st_size, self._entries[file].length)
                if self._where[file] == Where.FINAL:
                    return [(0, size)] if size else []
                return list(data_runs(handle, 0, size))
            except OSError as error:
                raise StorageFailed.from_os(error, self.shown(file)) from error

    def check_size(self, file: int) -> None:
        """Raise Lost if the file is shorter than it must be: somebody has cut it."""
        length = self._entries[file].length
        with self._borrow(file) as handle:
            try:
                size = os.fstat(handle.fd).st_size
            except OSError as error:
                raise StorageFailed.from_os(error, self.shown(file)) from error
        if size < length:
            raise Lost(self.shown(file), f"{length - size} bytes short at offset {size}", 0, {file: size})

    def is_hole(self, file: int, place: int, length: int) -> bool:
        """Whether all of that range is there, and is zeros by what the system knows of it."""
        if self._where[file] == Where.MISSING:
            return False
        with self._borrow(file) as handle:
            try:
                return os.fstat(handle.fd).st_size >= place + length and not has_data(handle, place, length)
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
            path = self._path(file, Where.PARTIAL)
            if self._folder.sizes(path[:-1], [path[-1]]) != [None]:
                raise StorageFailed(self._folder.shown(path), os.strerror(errno.EEXIST), errno.EEXIST)
            self._folder.rename(via, path)
            self._where[file] = Where.PARTIAL
        self._folder.sync()

    def close(self) -> None:
        """Let go of all descriptors."""
        self._handles.drop_all(self)

    def _path(self, file: int, where: int | None = None) -> Path:
        path = self._entries[file].path
        is_final = (self._where[file] if where is None else where) == Where.FINAL
        return path if is_final else (*path[:-1], self._partial[file])

    def _borrow(self, file: int, writable: bool = False, *, same: bool = False) -> Handle:
        """The open file. If another was put in its place, that is used; but not where it must be the *same*."""
        key = (self, file)
        handle = self._handles.borrow_cached(key, writable)
        if handle is None:
            return self._handles.borrow(key, writable, lambda writable: self._open(file, writable))
        if os.fstat(handle.fd).st_nlink:
            return handle
        self._handles.drop(key)  # what we write here would be lost
        handle.__exit__(None, None, None)
        handle = self._handles.borrow(key, writable, lambda writable: self._open(file, writable))
        if same:
            handle.__exit__(None, None, None)
            raise Vanished(self.shown(file), [file])
        return handle

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
        with self._borrow(file, writable=os.name == "nt", same=True) as handle:  # Windows syncs what it may write
            try:
                sync_data(handle)
            except OSError as error:
                forget_cached(handle)
                raise StorageFailed.from_os(error, self.shown(file)) from error

    def _rename(self, file: int, where: Where, to: Where) -> None:
        """Raises StorageFailed also where something else has the name (EEXIST; ELOOP and EINVAL: it is no file)."""
        with self._lock:
            if self._where[file] != where:
                return
            if os.name == "nt":
                self._handles.drop((self, file))  # Windows renames no open file
            path, target = self._path(file, where), self._path(file, to)
            ours, other = self._folder.sizes(target[:-1], [path[-1], target[-1]])
            if other is None:
                self._folder.rename(path, target)
            elif ours is None:
                log.warning("somebody else has renamed path=%s", self._folder.shown(target))
            else:
                raise StorageFailed(self._folder.shown(target), os.strerror(errno.EEXIST), errno.EEXIST)
            self._where[file] = to
