"""Reading and writing at a place in a file, whole, on every system; reading what is in memory only; holes and room.

`preadv` and `pwritev` where they exist, else `pread` and `pwrite`, else a seek and a read under the handle's lock
(Windows). Raises OSError as the system does; who knows the file's name puts it into words.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import suppress

from .handles_io import Handle

_AT_ONCE = 1024  # buffers in one system call (IOV_MAX on Linux, the BSDs and macOS)
_PLAIN_SIZE = 1024 * 1024  # bytes copied at a time


def read_at(handle: Handle, view: memoryview, place: int) -> int:
    """Fill the view; the number of bytes, fewer only at the file's end."""
    got = 0
    while got < len(view):
        more = _read_some(handle, view[got:], place + got)
        if not more:
            break
        got += more
    return got


def write_at(handle: Handle, views: list[memoryview], place: int) -> None:
    """Write all the views, one after another."""
    waiting = [view for view in views if len(view)]
    while waiting:
        written = _write_some(handle, waiting[:_AT_ONCE], place)
        if not written:
            raise OSError(errno.EIO, os.strerror(errno.EIO))  # no system does, but it would be an endless loop
        place += written
        while waiting and written >= len(waiting[0]):
            written -= len(waiting.pop(0))
        if written:
            waiting[0] = waiting[0][written:]


def sync_data(handle: Handle) -> None:
    """Make a file's bytes and length durable."""
    getattr(os, "fdatasync", os.fsync)(handle.fd)


def forget_cached(handle: Handle) -> None:
    """After a failed sync: let the next read come from the disk, not from pages that the system took for written."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(handle.fd, 0, 0, os.POSIX_FADV_DONTNEED)


def has_data(handle: Handle, place: int, length: int) -> bool:
    """Whether [place, place + length) is more than a hole, as far as the system knows."""
    end = min(place + length, os.fstat(handle.fd).st_size)
    return place < end and (_next_data(handle, place) or 0) < end


def allocate(handle: Handle, length: int) -> None:
    """Have the disk keep room for that many bytes from the file's start, or, where no system call does, for its length.

    What was not written yet stays a hole to has_data(), except where the C library has to write zeros instead. Where
    there is no room the file is left as it was.
    """
    size = os.fstat(handle.fd).st_size
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(handle.fd, 0, length)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV):
                os.ftruncate(handle.fd, size)  # what it had got by then
                raise
        else:
            return
    if size < length:
        os.ftruncate(handle.fd, length)


def data_runs(handle: Handle, place: int, length: int) -> Iterator[tuple[int, int]]:
    """Where in [place, place + length) there is data, as (place, length), holes left out if the system knows them."""
    end = min(place + length, os.fstat(handle.fd).st_size)
    while place < end:
        start, stop = _next_data(handle, place), end
        if start is None:
            start = place
        elif start < end:
            stop = min(end, os.lseek(handle.fd, start, os.SEEK_HOLE))  # walks every page of the run: once a run
        if start < stop:
            yield start, stop - start
        place = max(start, stop)


def _next_data(handle: Handle, place: int) -> int | None:
    """Where data begins from *place* on; None where the system does not know holes."""
    if not hasattr(os, "SEEK_DATA"):
        return None
    try:
        return os.lseek(handle.fd, place, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # only a hole up to the end
            return sys.maxsize
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return None
        raise


def copy_data(source: Handle, place: int, length: int, target: Handle, to: int) -> None:
    """Copy a run of bytes to a fresh file, holes staying holes."""
    spare = memoryview(bytearray(min(length, _PLAIN_SIZE)))
    for start, run in data_runs(source, place, length):
        for at in range(start, start + run, _PLAIN_SIZE):
            got = read_at(source, spare[: min(_PLAIN_SIZE, start + run - at)], at)
            write_at(target, [spare[:got]], to + at - place)


class WarmReader:
    """Reads what the page cache has, without waiting for a disk (preadv2 with RWF_NOWAIT, Linux).

    Remembers which devices do not know the flag. Of those, tmpfs is memory itself and is read directly.
    """

    def __init__(self) -> None:
        self._is_memory: dict[int, bool] = {}  # devices without the flag, by st_dev

    def read(self, handle: Handle, view: memoryview, place: int) -> int:
        """Fill the view's front; the number of bytes, 0 where it would have to wait or on any error."""
        if not hasattr(os, "preadv") or not hasattr(os, "RWF_NOWAIT"):
            return 0
        is_memory = self._is_memory.get(handle.device)
        try:
            if is_memory is None:
                return os.preadv(handle.fd, [view], place, os.RWF_NOWAIT)
            return os.preadv(handle.fd, [view], place) if is_memory else 0
        except OSError as error:
            if is_memory is None and error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                self._is_memory[handle.device] = _on_tmpfs(handle.device)
                return self.read(handle, view, place)
            return 0


def _on_tmpfs(device: int) -> bool:
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:  # see proc_pid_mountinfo(5)
            for line in mounts:
                before, _, after = line.partition(" - ")
                if before.split()[2] == number:
                    return after.split()[0] == "tmpfs"
    except (OSError, IndexError):
        pass
    return False


def _read_some(handle: Handle, view: memoryview, place: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(handle.fd, [view], place)
    if hasattr(os, "pread"):
        found = os.pread(handle.fd, len(view), place)
    else:
        with handle.seeking:
            os.lseek(handle.fd, place, os.SEEK_SET)
            found = os.read(handle.fd, len(view))
    view[: len(found)] = found
    return len(found)


def _write_some(handle: Handle, views: list[memoryview], place: int) -> int:
    if hasattr(os, "pwritev"):
        return os.pwritev(handle.fd, views, place)
    if hasattr(os, "pwrite"):
        return os.pwrite(handle.fd, views[0], place)
    with handle.seeking:
        os.lseek(handle.fd, place, os.SEEK_SET)
        return os.write(handle.fd, views[0])
