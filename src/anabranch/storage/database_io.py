"""The session's SQLite file: opening it, transactions in it, and starting anew when it is damaged.

Write-ahead log, so that several processes may use it at a time. A commit is ordered but may be lost with the power
(synchronous=NORMAL): what was gained is then hashed or counted again. What takes something *back* is committed with
synchronous=FULL, since believing it after all would serve wrong data. A kill of the program alone loses nothing.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from anabranch.model import Closed, InputRefused, StorageFailed

from .locks_io import locked

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
BUSY_SECONDS = 10.0  # how long to wait for another process's transaction
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_IOERR: errno.EIO,
}
_KEY = """
    info_hash BLOB NOT NULL CHECK (typeof(info_hash) = 'blob' AND length(info_hash) = 20),
    data_path BLOB NOT NULL CHECK (typeof(data_path) = 'blob'),
"""
_TABLES = (
    f"""CREATE TABLE IF NOT EXISTS torrents ({_KEY} priorities BLOB NOT NULL, downloading_allowed INTEGER NOT NULL,
    uploading_allowed INTEGER NOT NULL, uploaded INTEGER NOT NULL, downloaded INTEGER NOT NULL, added REAL NOT NULL,
    PRIMARY KEY (info_hash, data_path)) WITHOUT ROWID""",
    # apart from the totals, so that saving these does not write the metainfo again
    f"CREATE TABLE IF NOT EXISTS metainfo ({_KEY} body BLOB NOT NULL, PRIMARY KEY (info_hash, data_path))",
    f"""CREATE TABLE IF NOT EXISTS partial ({_KEY} piece INTEGER NOT NULL, blocks BLOB NOT NULL,
    PRIMARY KEY (info_hash, data_path, piece))""",
    f"""CREATE TABLE IF NOT EXISTS completion ({_KEY} page INTEGER NOT NULL, known BLOB NOT NULL,
    complete BLOB NOT NULL, PRIMARY KEY (info_hash, data_path, page))""",
)

T = TypeVar("T")


class Database:
    """One connection to the session's database. Safe from any thread.

    Args:
        directory: Where the database is; made (for its user only) if it is not there.

    Raises:
        StorageFailed: the directory or the database cannot be used.
        InputRefused: the database was written by a later version of the program.
    """

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, "session.db")
        self.warnings: list[str] = []  # what a person should know, in whole sentences
        self._gate = os.path.join(directory, "database.lock")
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._synchronous = ""  # as it was set last
        self._inode = 0  # of the file that the connection was made to
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        except OSError as error:
            raise StorageFailed.from_os(error, directory) from error
        with self._lock:
            self._guarded(self._connect)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run *work* in a transaction that only reads. Raises StorageFailed, Closed."""
        return self._transact("BEGIN", "NORMAL", work)

    def write(self, work: Callable[[sqlite3.Connection], T], *, takes_back: bool = False) -> T:
        """Run *work* in a transaction, all of it or nothing; it may be run twice. Raises StorageFailed, Closed.

        *takes_back* is for what must hold even after a loss of power.
        """
        return self._transact("BEGIN IMMEDIATE", "FULL" if takes_back else "NORMAL", work)

    def close(self) -> None:
        """Close the connection; what is asked afterwards raises Closed."""
        with self._lock:
            self._disconnect()

    def _transact(self, begin: str, synchronous: str, work: Callable[[sqlite3.Connection], T]) -> T:
        def attempt() -> T:
            if self._connection is None:
                raise Closed(f"{self.path} is closed")
            if synchronous != self._synchronous:
                self._connection.execute(f"PRAGMA synchronous = {synchronous}")
                self._synchronous = synchronous
            return _in_transaction(self._connection, begin, work)

        with self._lock:
            return self._guarded(attempt)

    def _guarded(self, attempt: Callable[[], T]) -> T:
        """Run *attempt*, once more with a new database if the old one is damaged, errors put into our words."""
        try:
            try:
                return attempt()
            except sqlite3.DatabaseError as error:
                if _code(error) not in _DAMAGED:
                    raise
                self._start_anew(error)
                return attempt()
        except sqlite3.Error as error:
            raise StorageFailed(self.path, str(error), _ERRNO.get(_code(error), 0)) from error

    def _connect(self) -> None:
        self._disconnect()
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            _in_transaction(connection, "BEGIN IMMEDIATE", self._make_tables)
            self._inode = _inode(self.path)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._synchronous = ""

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise InputRefused(f"{self.path}: written by a later version (schema {version}, {SCHEMA_VERSION} is known)")
        for table in _TABLES:
            connection.execute(table)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):  # closing tidies up, which a damaged or read-only file does not allow
                self._connection.close()
            self._connection = None

    def _start_anew(self, error: sqlite3.Error) -> None:
        """Put the damaged database aside, unless another process has done so, and connect to a new one."""
        inode = self._inode or _inode(self.path)
        self._disconnect()
        with locked(self._gate):
            if inode == _inode(self.path):
                aside = self._put_aside()
                warning = f"The session database was damaged ({error}). It is now {aside}; a new one was begun."
                self.warnings.append(warning)
                log.warning("database damaged path=%s aside=%s reason=%s", self.path, aside, error)
            self._connect()

    def _put_aside(self) -> str:
        number = 1
        while os.path.exists(aside := f"{self.path}.damaged-{number}"):
            number += 1
        try:
            for ending in ("", "-wal", "-shm"):  # a log left behind would be read into the new database
                with suppress(FileNotFoundError):
                    os.replace(self.path + ending, aside + ending)
        except OSError as failed:
            raise StorageFailed.from_os(failed, self.path) from failed
        return aside


def _in_transaction(connection: sqlite3.Connection, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
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


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte; the rest are details
