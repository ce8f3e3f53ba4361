"""What every SQLite file of ours has in common: transactions, errors put into our words, and what becomes of damage."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from anabranch.model import StorageFailed

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_ERRNO = {  # any other is EIO: 0 would say that bytes are merely missing
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
}

T = TypeVar("T")


def in_transaction(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], begin: str = "BEGIN IMMEDIATE"
) -> T:
    """Run *work* in a transaction, all of it or nothing. Raises sqlite3.Error."""
    connection.execute(begin)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # the first error is the one that tells
                connection.execute("ROLLBACK")
        raise
    return result


def code_of(error: sqlite3.Error) -> int:
    """SQLite's number for it, without the details."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def failed(error: sqlite3.Error, path: str) -> StorageFailed:
    """The same in our words."""
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE:  # of a log's index
        return StorageFailed(path, "disk is full", errno.ENOSPC)
    return StorageFailed(path, str(error), _ERRNO.get(code_of(error), errno.EIO))


def damage(words: str) -> sqlite3.DatabaseError:
    """What is raised for a damaged file, for damage that SQLite does not see."""
    error = sqlite3.DatabaseError(words)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def put_aside(path: str) -> str:
    """Give a damaged file the name PATH.damaged-N, which comes back, and its log too. Raises StorageFailed."""
    number = 1
    while os.path.exists(aside := f"{path}.damaged-{number}"):
        number += 1
    try:
        for ending in ("", "-wal", "-shm"):  # a log left behind would be read into the new database
            with suppress(FileNotFoundError):
                os.replace(path + ending, aside + ending)
    except OSError as error:
        raise StorageFailed.from_os(error, path) from error
    return aside


def inode_of(path: str) -> int:
    """Which file it is now; 0 for none."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def check_in_place(path: str, inode: int) -> None:
    """Raise StorageFailed unless it is that file: one that was removed takes all that it is told, and keeps nothing."""
    if inode_of(path) != inode:
        raise StorageFailed(path, "the database was removed or replaced while it was open", errno.EIO)
