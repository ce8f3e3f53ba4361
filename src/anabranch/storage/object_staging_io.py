"""The local side of an object storage: files of the pieces that are being written, and copies of objects for reading.

Below the staging directory a torrent has a directory of its info hash, and in it a file for each such piece, named by
its number. A copy is given up for another that is read, the one used longest ago first; what is written stays until its
object is put. What was left behind by a program that ended tells nobody what it is: it is hashed, or removed.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from anabranch.model import Closed, Geometry, InfoHash, StorageFailed

from .backend import Buffer
from .folder_io import Folder
from .handles_io import Handle, Handles, lone_handle
from .positional_io import WarmReader, forget_cached, sync_data, write_at
from .quota import Quota

log = logging.getLogger(__name__)

_COMING = ".coming"  # ends the name of a copy that is not whole


class Staging:
    """What all torrents of one object storage share of the local disk.

    Args:
        directory: The staging directory; made when it is needed.
        cache_size: Bytes of copies that are kept; one piece at least, and what is on its way.
        staging_size: Bytes written from which on a writer waits for uploads, as long as there are any.
        handles: The open files.
    """

    def __init__(self, directory: str | os.PathLike[str], cache_size: int, staging_size: int, handles: Handles) -> None:
        self.folder = Folder(directory)
        self.handles = handles
        self.warm = WarmReader()
        self.lock = threading.Condition()  # over all that follows, and over every LocalPieces; never held for a request
        self.copies: Quota[tuple[LocalPieces, int]] = Quota(cache_size)
        self.written = 0  # bytes of pieces whose objects are not put
        self._limit = staging_size
        self._uploads = 0  # groups of pieces under way
        self._ended = 0  # groups that were

    @contextmanager
    def uploading(self) -> Iterator[None]:
        """While this lasts there is hope for room."""
        with self.lock:
            self._uploads += 1
        try:
            yield
        finally:
            with self.lock:
                self._uploads -= 1
                self._ended += 1
                self.lock.notify_all()

    def wait_for_room(self, check_open: Callable[[], None]) -> None:
        """Before another piece is begun: wait while too much is written, until there is room or a group is through.

        So a fast swarm and a slow store do not fill the disk. It ends: each upload comes through or fails.
        """
        with self.lock:
            ended = self._ended
            while self.written >= self._limit and self._uploads and self._ended == ended:
                check_open()
                self.lock.wait()


class LocalPieces:
    """The files of one torrent. Safe from any thread; every method raises StorageFailed, and Closed after close()."""

    def __init__(self, staging: Staging, info_hash: InfoHash, geometry: Geometry) -> None:
        self._staging = staging
        self._folder = staging.folder
        self._lock = staging.lock
        self._geometry = geometry
        self._directory = str(info_hash)
        self._written: set[int] = set()  # their objects are not put
        self._unsynced: set[int] = set()
        self._closed = False

    def survey(self) -> list[int]:
        """The pieces that a run before has left; each is to be taken or removed. Removes copies that are not whole."""
        found = []
        try:
            names = sorted(os.listdir(self._folder.shown((self._directory,))))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageFailed.from_os(error, self._folder.shown((self._directory,))) from error
        for name in names:
            if name.endswith(_COMING):
                self._folder.remove((self._directory, name))
            elif name.isascii() and name.isdigit() and len(name) == 8 and int(name) < self._geometry.piece_count:
                found.append(int(name))
        return found

    def take(self, pieces: Iterable[int]) -> None:
        """Go on with these from where a run before left them; it may have synced nothing."""
        with self._lock:
            for piece in pieces:
                self._written.add(piece)
                self._unsynced.add(piece)
                self._staging.written += self._geometry.length_of(piece)

    def remove(self, piece: int) -> None:
        """Remove what a run before left."""
        self._folder.remove(self._path(piece))

    def remove_all(self) -> None:
        """Remove every file, also what a run before left; nothing is here then."""
        with self._lock:
            self._check_open()
            for piece in self.pieces():
                self._drop(piece)
            self._staging.written -= sum(map(self._geometry.length_of, self._written))
            self._written.clear()
            self._unsynced.clear()
            self._lock.notify_all()
        for piece in self.survey():  # what could not be removed a moment ago says so now
            self.remove(piece)

    def pieces(self) -> list[int]:
        """Those that have a file."""
        with self._lock:
            return [*self._written, *(piece for owner, piece in self._staging.copies.idle() if owner is self)]

    def has(self, piece: int) -> bool:
        """Whether there is a file."""
        return piece in self._written or (self, piece) in self._staging.copies

    def is_written(self, piece: int) -> bool:
        """Whether it was written since its object was put."""
        return piece in self._written

    def borrow(self, piece: int) -> Handle | None:
        """The file to read from; None where there is none."""
        with self._lock:
            self._check_open()
            if not self.has(piece):
                return None
            self._staging.copies.use((self, piece))
            try:
                return self._staging.handles.borrow((self, piece), os.name == "nt", self._opener(piece, 0))
            except StorageFailed as failed:
                if failed.errno != errno.ENOENT or piece in self._written:
                    raise
                self._drop(piece)  # somebody has removed a copy
                return None

    def borrow_warm(self, piece: int) -> Handle | None:
        """The file to read from if it is open already; never waits."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            handle = self._staging.handles.borrow_cached((self, piece)) if self.has(piece) else None
            if handle is not None:
                self._staging.copies.use((self, piece))
            return handle
        finally:
            self._lock.release()

    def borrow_to_write(self, piece: int) -> Handle:
        """The file to write to, made where there is none; its object is not put from now on."""
        with self._lock:
            self._check_open()
            flags = os.O_CREAT if self.has(piece) else os.O_CREAT | os.O_TRUNC
            handle = self._staging.handles.borrow((self, piece), True, self._opener(piece, flags))
            self._write(piece)
            return handle

    def write_copy(self, piece: int) -> bool:
        """Let a copy be one that is written, so that nobody gives it up; says whether there was one."""
        with self._lock:
            self._check_open()
            if not self.has(piece):
                return False
            self._write(piece)
            return True

    def sync(self, piece: int, handle: Handle) -> None:
        """Make durable what was written of the piece."""
        if piece not in self._unsynced:
            return
        self._unsynced.discard(piece)
        try:
            sync_data(handle)
        except OSError as error:
            forget_cached(handle)
            self._unsynced.add(piece)
            raise StorageFailed.from_os(error, self.shown(piece)) from error

    def sync_all(self) -> None:
        """Make durable what was written, and its names."""
        for piece in sorted(self._unsynced):
            handle = self.borrow(piece)
            if handle is not None:
                with handle:
                    self.sync(piece, handle)
        self._folder.sync()

    def receive(self, piece: int, buffers: Iterable[Buffer]) -> None:
        """Write a copy, which is none before publish(). Nobody else may be at it."""
        coming = (self._directory, f"{piece:08}{_COMING}")
        place = 0
        with lone_handle(self._folder.open(coming, os.O_RDWR | os.O_CREAT | os.O_TRUNC)) as handle:
            for buffer in buffers:
                try:
                    write_at(handle, [memoryview(buffer)], place)
                except OSError as error:
                    raise StorageFailed.from_os(error, self._folder.shown(coming)) from error
                place += len(buffer)

    def discard(self, piece: int) -> None:
        """Remove what receive() has written, whole or not."""
        with suppress(StorageFailed):  # the next survey will
            self._folder.remove((self._directory, f"{piece:08}{_COMING}"))

    def publish(self, piece: int) -> Handle:
        """Make what receive() has written the piece's copy, and lend it: it may be given up at once."""
        with self._lock:
            self._check_open()
            self._folder.rename((self._directory, f"{piece:08}{_COMING}"), self._path(piece))
            handle = self._staging.handles.borrow((self, piece), os.name == "nt", self._opener(piece, 0))
            self._keep(piece)
            return handle

    def settle(self, piece: int) -> None:
        """Its object is put: the file is a copy from now on."""
        with self._lock:
            if not self._closed:
                if piece in self._written:
                    self._written.discard(piece)
                    self._unsynced.discard(piece)
                    self._staging.written -= self._geometry.length_of(piece)
                self._keep(piece)
            self._lock.notify_all()

    def close(self) -> None:
        """Let go of files; copies are removed."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for piece in self.pieces():
                if piece not in self._written:
                    self._drop(piece)
            self._staging.written -= sum(map(self._geometry.length_of, self._written))
            self._staging.handles.drop_all(self)
            self._lock.notify_all()
        with suppress(OSError):  # pieces are left, or nothing ever was
            os.rmdir(self._folder.shown((self._directory,)))

    def shown(self, piece: int) -> str:
        """The file's path."""
        return self._folder.shown(self._path(piece))

    def _write(self, piece: int) -> None:
        self._unsynced.add(piece)
        if piece not in self._written:
            self._staging.copies.remove((self, piece))
            self._written.add(piece)
            self._staging.written += self._geometry.length_of(piece)

    def _keep(self, piece: int) -> None:
        copies = self._staging.copies
        copies.keep((self, piece), self._geometry.length_of(piece))
        copies.settle((self, piece))
        for owner, victim in copies.excess():
            if (owner, victim) != (self, piece):  # a piece longer than all the room is good for its readers at least
                owner._drop(victim)

    def _drop(self, piece: int) -> None:
        self._staging.copies.remove((self, piece))
        self._staging.handles.drop((self, piece))
        try:
            self._folder.remove(self._path(piece))
        except StorageFailed as failed:
            log.warning("copy not removed path=%s reason=%s", failed.path, failed.reason)

    def _path(self, piece: int) -> tuple[str, ...]:
        return (self._directory, f"{piece:08}")

    def _opener(self, piece: int, flags: int) -> Callable[[bool], int]:
        path = self._path(piece)
        return lambda writable: self._folder.open(path, flags | (os.O_RDWR if writable else os.O_RDONLY))

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"the staging directory {self._folder.shown((self._directory,))} is closed")
