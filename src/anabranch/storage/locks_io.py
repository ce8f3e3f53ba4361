"""Locks between processes, and within one: a locked file, let go of when the process dies at the latest.

`flock` on POSIX systems, `msvcrt.locking` on Windows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from anabranch.model import StorageFailed

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FLAGS: int = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_LOCKED_BYTE = 1 << 30  # on Windows a locked byte cannot be read; this one is behind all that is written


class Lock:
    """A lock that is held, until release()."""

    def __init__(self, path: str, fd: int) -> None:
        self._path = path
        self._fd = fd

    def release(self) -> None:
        """Let go and remove the file. Again is harmless."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        with suppress(OSError):  # Windows does not remove an open file; the next user will
            os.unlink(self._path)  # before letting go: afterwards it may be another's lock
        _unlock(fd)
        os.close(fd)


def try_lock(path: str) -> Lock | None:
    """Take the lock at that path, or None if it is held. Raises StorageFailed."""
    while True:
        try:
            fd = os.open(path, _FLAGS, 0o600)
        except OSError as error:
            raise StorageFailed.from_os(error, path) from error
        try:
            if not _lock(fd, wait=False):
                os.close(fd)
                return None
            if _is_at(fd, path):
                os.truncate(fd, 0)
                os.write(fd, f"{os.getpid()}\n".encode())
                return Lock(path, fd)
        except OSError as error:
            os.close(fd)
            raise StorageFailed(path, error.strerror or str(error), error.errno or 0) from error
        os.close(fd)  # its holder removed it in between: the lock is on a file that nobody will find


def holder(path: str) -> int:
    """The process that holds the lock, 0 if it does not tell."""
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read(20))
    except (OSError, ValueError):
        return 0


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock at that path for a moment, waiting for it. Raises StorageFailed."""
    try:
        fd = os.open(path, _FLAGS, 0o600)
    except OSError as error:
        raise StorageFailed.from_os(error, path) from error
    try:
        _lock(fd, wait=True)
        yield
    finally:
        _unlock(fd)
        os.close(fd)


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


if sys.platform == "win32":

    def _lock(fd: int, wait: bool) -> bool:
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            if wait:
                raise
            return False
        finally:
            os.lseek(fd, 0, os.SEEK_SET)
        return True

    def _unlock(fd: int) -> None:
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        with suppress(OSError):
            msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:

    def _lock(fd: int, wait: bool) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def _unlock(fd: int) -> None:
        with suppress(OSError):  # a forked child may hold the descriptor too: closing alone would not unlock
            fcntl.flock(fd, fcntl.LOCK_UN)
