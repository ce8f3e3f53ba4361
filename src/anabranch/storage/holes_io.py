"""Giving a file's space back in the middle of it: punching holes, and whether a file system really frees what they had.

Linux: fallocate(2) with FALLOC_FL_PUNCH_HOLE; macOS: fcntl(2) with F_PUNCHHOLE. Neither is in Python's library before
3.13 or at all, so both are called by hand. Elsewhere, and on file systems that cannot, there are no holes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

from anabranch.model import StorageFailed

from .folder_io import Folder

BLOCKS = (4 * 1024, 64 * 1024, 1024 * 1024)  # bytes; what file systems free at a time, from the usual to the largest
_SCRATCH = (".holes",)

if sys.platform == "linux":
    _KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h
    _libc = ctypes.CDLL(None, use_errno=True)

    def punch(fd: int, place: int, length: int) -> None:
        """Make [place, place + length) of the file a hole: it reads as zeros and takes no space. Raises OSError."""
        call = getattr(_libc, "fallocate64", None) or _libc.fallocate
        flags = ctypes.c_int(_KEEP_SIZE | _PUNCH_HOLE)
        while call(ctypes.c_int(fd), flags, ctypes.c_int64(place), ctypes.c_int64(length)):
            number = ctypes.get_errno()
            if number != errno.EINTR:
                raise OSError(number, os.strerror(number))

elif sys.platform == "darwin":
    import fcntl

    _PUNCH_HOLE = 99  # sys/fcntl.h

    def punch(fd: int, place: int, length: int) -> None:
        """Make [place, place + length) of the file a hole: it reads as zeros and takes no space. Raises OSError."""
        fcntl.fcntl(fd, _PUNCH_HOLE, struct.pack("IIqq", 0, 0, place, length))  # struct fpunchhole

else:

    def punch(fd: int, place: int, length: int) -> None:
        """There are no holes here. Raises OSError."""
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def block_size(folder: Folder) -> int:
    """How many bytes, and at which multiples, the file system of the folder frees at a time: one of BLOCKS.

    Found by a real try on a file that is removed again.

    Raises:
        StorageFailed: it frees nothing, or cannot be written to.
    """
    shown = folder.shown(_SCRATCH)
    fd = folder.open(_SCRATCH, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        for block in BLOCKS:
            if _frees(fd, block):
                return block
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise StorageFailed.from_os(error, shown) from error
    finally:
        os.close(fd)
        folder.remove(_SCRATCH)
    raise StorageFailed(folder.root, "this file system frees no parts of files, which a cache needs", errno.EOPNOTSUPP)


def _frees(fd: int, block: int) -> bool:
    """Whether the middle one of three blocks goes, and its neighbours stay."""
    os.ftruncate(fd, 0)
    with os.fdopen(os.dup(fd), "r+b", buffering=0) as file:
        file.write(b"x" * (3 * block))
        os.fsync(fd)  # some file systems count a file's blocks when they are written
        before = os.fstat(fd).st_blocks
        punch(fd, block, block)
        os.fsync(fd)
        file.seek(0)
        intact = file.read(3 * block) == b"x" * block + bytes(block) + b"x" * block
    return intact and (before - os.fstat(fd).st_blocks) * 512 >= block
