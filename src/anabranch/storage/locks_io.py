"""Locks between processes, and within one: let go of when the process dies at the latest.

A lock has a name, and is a byte of one of a few files, at a place that a hash of the name gives: ten thousand torrents
need ten thousand locks, and a process has no more than some hundred descriptors to spare. (The files are several since
a system looks through all locks of a file for each new one.) POSIX record locks, `msvcrt.locking` on Windows.

Record locks belong to the process: the system would let it take one twice, and takes all of a file from it when it
closes the file anywhere. So a file is opened once in a process, is closed with its last lock, and who holds what is
known here. The files stay, empty: a lock on one that was removed would keep out nobody.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from anabranch.model import StorageFailed

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FILES = 16
_PLACES = (1 << 30) - 1 if sys.platform == "win32" else (1 << 62) - 1  # in a file
_FLAGS: int = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class _LockFile:
    """A file with locks that this process holds in it."""

    __slots__ = ("fd", "held")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.held: set[int] = set()


_open: dict[tuple[int, str], _LockFile] = {}  # by process (a forked one has none of its parent's locks) and path
_guard = threading.Lock()  # over the table above; never held for long


class Lock:
    """A lock that is held, until release()."""

    __slots__ = ("_key", "_place")

    def __init__(self, key: tuple[int, str], place: int) -> None:
        self._key: tuple[int, str] | None = key
        self._place = place

    def release(self) -> None:
        """Let go. Again is harmless."""
        with _guard:
            key, self._key = self._key, None
            if key is None or key[0] != os.getpid():
                return
            file = _open[key]
            file.held.discard(self._place)
            _unlock(file.fd, self._place)
            _close_unused(key)


def try_lock(directory: str, name: bytes) -> Lock | None:
    """Take the lock of that name, or None if it is held.

    Args:
        directory: Where the lock files are, links in its path resolved: by any other path it would be another one. Made
            (for its user only) if it is not there.
        name: Any bytes.

    Raises:
        StorageFailed: the files cannot be used.
    """
    path, place = _where(directory, name)
    key = os.getpid(), path
    with _guard:
        file = _open.get(key)
        if file is not None and place in file.held:
            return None
        try:
            if file is None:
                file = _open[key] = _LockFile(_opened(path))
            if _lock(file.fd, place):
                file.held.add(place)
                return Lock(key, place)
        except OSError as error:
            raise StorageFailed(path, error.strerror or str(error), error.errno or 0) from error
        finally:
            _close_unused(key)
    return None


def holder(directory: str, name: bytes) -> int:
    """The process that holds the lock of that name, 0 if the system does not tell, or nobody does."""
    path, place = _where(directory, name)
    key = os.getpid(), path
    with _guard:
        file = _open.get(key)
        if file is not None and place in file.held:
            return os.getpid()
        try:
            if file is None:
                file = _open[key] = _LockFile(_opened(path))
            return _holder(file.fd, place)
        except OSError:
            return 0
        finally:
            _close_unused(key)


def _where(directory: str, name: bytes) -> tuple[str, int]:
    digest = hashlib.sha256(name).digest()
    path = os.path.join(directory, f"{digest[0] % _FILES:x}")
    return path, int.from_bytes(digest[1:9], "big") & _PLACES


def _opened(path: str) -> int:
    try:
        return os.open(path, _FLAGS, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return os.open(path, _FLAGS, 0o600)


def _close_unused(key: tuple[int, str]) -> None:
    file = _open.get(key)
    if file is not None and not file.held:
        del _open[key]
        os.close(file.fd)


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold a lock file of its own for a moment, waiting for it. Raises StorageFailed."""
    try:
        fd = os.open(path, _FLAGS, 0o600)
    except OSError as error:
        raise StorageFailed.from_os(error, path) from error
    try:
        _wait(fd)
        yield
    finally:
        _let_go(fd)
        os.close(fd)


if sys.platform == "win32":

    def _wait(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_LOCK, 1)

    def _let_go(fd: int) -> None:
        _unlock(fd, 0)

    def _lock(fd: int, place: int) -> bool:
        os.lseek(fd, place, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(fd: int, place: int) -> None:
        os.lseek(fd, place, os.SEEK_SET)
        with suppress(OSError):
            msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

    def _holder(fd: int, place: int) -> int:
        return 0

else:

    def _wait(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX)  # between threads, too, which a record lock would not be

    def _let_go(fd: int) -> None:
        with suppress(OSError):  # a forked child may hold the descriptor too: closing alone would not unlock
            fcntl.flock(fd, fcntl.LOCK_UN)

    def _lock(fd: int, place: int) -> bool:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):  # POSIX allows both for "somebody has it"
            return False
        return True

    def _unlock(fd: int, place: int) -> None:
        with suppress(OSError):
            fcntl.lockf(fd, fcntl.LOCK_UN, 1, place)

    def _holder(fd: int, place: int) -> int:
        """Ask the system (F_GETLK) for the process; the order of the answer's fields is known of Linux and macOS."""
        if sys.platform == "linux":
            asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)
            kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, asked))
        elif sys.platform == "darwin":
            asked = struct.pack("qqihh", place, 1, 0, fcntl.F_WRLCK, os.SEEK_SET)
            _, _, pid, kind, _ = struct.unpack("qqihh", fcntl.fcntl(fd, fcntl.F_GETLK, asked))
        else:
            return 0
        return max(int(pid), 0) if kind != fcntl.F_UNLCK else 0
