"""The database file of the SQLite back end: opening it, transactions in it, and putting it aside when it is damaged.

Write-ahead log: readers have connections of their own and wait neither for a writer nor for its sync, and a commit is
there all of it or not at all, in the order of the commits, whatever the moment of a kill or a loss of power: frames of
the log are chained by checksums. Only what must last waits for a sync (synchronous=FULL); a sync of the log makes all
that was committed before last, too. What is in the tables is sqlite_rows_io.py's affair.

A database is one process's at a time. What is known of pieces, and the order in which they were used, is in memory, and
another process would change it behind our back.

Measured with pieces of 1 MiB on tmpfs: pages of 16 KiB take 780 to 880 MB/s, of 32 and 64 KiB 10 % more, but a block
is read in 16 us instead of 20 and 30, and no size of piece leaves more than an eighth of the file unused (with 64 KiB a
piece of 32 KiB leaves half). Pages are listed by owner (auto_vacuum), or else to read a block in the middle of a blob,
and to delete one, reads all pages before (41 us). What is deleted must not be overwritten first (secure_delete), as
some systems have it. Of the log, 32 MiB before it is copied are faster than 8 or 128.
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

from .databases_io import DAMAGED, check_in_place, code_of, damage, failed, in_transaction, inode_of, put_aside
from .locks_io import Lock, holder, try_lock
from .sqlite_rows_io import CHECKED, TABLES

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
APPLICATION = 0x616E6162  # tells our databases from those of other programs: "anab"
PAGE_SIZE = 16 * 1024  # bytes
LOG_SIZE = 32 * 1024 * 1024  # bytes of the log that have it copied into the database
LEAST_LOG = 256 * 1024  # the same where the database is small
BUSY_SECONDS = 10.0  # how long to wait for whoever looks at the database from outside
READER_SECONDS = 0.1  # how long to wait for readers where the log is too long
_MOST_IDLE = 8  # connections for reading that are kept
_LOCK_NAME = b"pieces"

T = TypeVar("T")


class PieceDatabase:
    """The database, open. Safe from any thread; whatever is asked after close() raises Closed.

    Args:
        path: The file; it and the directories that lead to it are made where they are not there.
        capacity: Bytes that are to lie in it, for a log that is not larger than that; None if nobody knows.

    Attributes:
        changing: Held while a transaction changes something; to be taken before by who has more to do in one step.

    Raises:
        StorageFailed: it cannot be used, or another process uses it.
        InputRefused: it was written by a later version, or by another program.
    """

    def __init__(self, path: str, capacity: int | None = None) -> None:
        self.path = path
        self.changing = threading.RLock()
        self._pooling = threading.Lock()  # over the next two; never held while anything is waited for
        self._idle: list[sqlite3.Connection] = []
        self._open = True
        self._durable = False  # as synchronous was set last
        self._log_size = LOG_SIZE if capacity is None else max(min(LOG_SIZE, capacity // 4), LEAST_LOG)
        self._long_log = 4 * self._log_size  # bytes that are too much
        self._damage = ""
        if os.path.isdir(path):
            raise StorageFailed(path, os.strerror(errno.EISDIR), errno.EISDIR)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        except OSError as error:
            raise StorageFailed.from_os(error, path) from error
        self._lock = self._claim()
        try:
            self._writer = self._opened()
        except BaseException:
            self._lock.release()
            raise
        self._inode = inode_of(path)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run *work* with a connection to read with; each of its statements sees what is committed by then.

        Raises StorageFailed, Closed.
        """
        connection: sqlite3.Connection | None = None
        try:
            connection = self._borrow()
            return work(connection)
        except sqlite3.Error as error:
            raise self._failure(error) from error
        finally:
            if connection is not None:
                self._give_back(connection)

    def write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        """Run *work* in a transaction, all of it or nothing. Raises StorageFailed, Closed.

        Args:
            work: What to do.
            durable: When it returns, this transaction and all before it have survived any loss of power.
        """
        with self.changing:
            self._check_open()
            check_in_place(self.path, self._inode)
            try:
                self._shorten_log()
                if durable != self._durable:
                    self._writer.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                    self._durable = durable
                return in_transaction(self._writer, work)
            except sqlite3.Error as error:
                raise self._failure(error) from error

    def sync(self) -> None:
        """Make durable what was committed before the call, while others read and write. Raises StorageFailed."""
        check_in_place(self.path, self._inode)
        try:
            fd = os.open(self.path + "-wal", os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except FileNotFoundError:
            pass  # there is no log: all of it is in the database, which is synced before a log is removed
        except OSError as error:
            raise StorageFailed.from_os(error, self.path) from error

    def shrink(self) -> None:
        """Give pages that hold nothing back to the system, letting others write in between. Raises StorageFailed."""
        left = None
        while left is None or left > 0:
            with self.changing:
                self._check_open()
                try:
                    self._writer.execute(f"PRAGMA incremental_vacuum({self._log_size // PAGE_SIZE})").fetchall()
                    (free,) = self._writer.execute("PRAGMA freelist_count").fetchone()
                    self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                except sqlite3.Error as error:
                    raise self._failure(error) from error
            if left is not None and free >= left:
                return
            left = free

    def close(self) -> None:
        """Let go of the file. If it turned out to be damaged it is put aside, for the next opening to begin anew."""
        with self.changing, self._pooling:
            if not self._open:
                return
            self._open = False
            for connection in [*self._idle, self._writer]:
                with suppress(sqlite3.Error):  # closing tidies up, which a damaged or read-only file does not allow
                    connection.close()
            self._idle.clear()
            try:
                if self._damage:
                    self._put_aside(self._damage)
            except StorageFailed as stuck:  # the next one that finds the damage tries again
                log.warning("damaged database stays in its place path=%s reason=%s", self.path, stuck.reason)
            finally:
                self._lock.release()

    def _claim(self) -> Lock:
        directory = os.path.realpath(self.path) + ".lock"
        lock = try_lock(directory, _LOCK_NAME)
        if lock is None:
            pid = holder(directory, _LOCK_NAME)
            by = "this program" if pid == os.getpid() else f"process {pid}" if pid else "another process"
            raise StorageFailed(self.path, f"the database is in use by {by}", errno.EBUSY)
        return lock

    def _opened(self) -> sqlite3.Connection:
        try:
            try:
                return self._connect()
            except sqlite3.DatabaseError as error:
                if code_of(error) not in DAMAGED:
                    raise
                self._put_aside(str(error))
                return self._connect()
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            for setting in (
                f"page_size = {PAGE_SIZE}", "synchronous = FULL", "secure_delete = OFF", "cache_size = -4096",
            ):  # fmt: skip
                connection.execute(f"PRAGMA {setting}")
            version = self._version(connection)
            if version != SCHEMA_VERSION:  # of what is there it is known, and told again it would be written
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {self._log_size // PAGE_SIZE}")
            connection.execute(f"PRAGMA journal_size_limit = {2 * self._log_size}")
            if version != SCHEMA_VERSION:
                in_transaction(connection, _make_tables)
            for table in CHECKED:
                _check_table(connection, table)
        except BaseException:
            connection.close()
            raise
        self._durable = True
        return connection

    def _version(self, connection: sqlite3.Connection) -> int:
        """That of its tables, 0 for none. Before anything is written: that this is no database of somebody else."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (names,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application != APPLICATION and (names or application):
            raise InputRefused(f"{self.path}: a database of another program")
        if version > SCHEMA_VERSION:
            raise InputRefused(f"{self.path}: written by a later version (schema {version}, {SCHEMA_VERSION} is known)")
        return int(version)

    def _borrow(self) -> sqlite3.Connection:
        with self._pooling:
            self._check_open()
            if self._idle:
                return self._idle.pop()
        check_in_place(self.path, self._inode)
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA cache_size = -1024")
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._pooling:
            if self._open and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        with suppress(sqlite3.Error):
            connection.close()

    def _shorten_log(self) -> None:
        """A commit copies a long log by itself, as far as readers allow; where that did not do, wait for them.

        Ours take no time. Where somebody from outside reads on and on, the log grows until he has done.
        """
        try:
            size = os.stat(self.path + "-wal").st_size
        except OSError:
            return  # not there yet
        if size <= self._long_log:
            return
        self._writer.execute(f"PRAGMA busy_timeout = {int(READER_SECONDS * 1000)}")
        try:
            ((busy, _, _),) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._writer.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        self._long_log = size + self._log_size if busy else 4 * self._log_size

    def _check_open(self) -> None:
        if not self._open:
            raise Closed(f"{self.path} is closed")

    def _failure(self, error: sqlite3.Error) -> StorageFailed:
        if code_of(error) in DAMAGED:
            self._damage = str(error)
        return failed(error, self.path)

    def _put_aside(self, reason: str) -> None:
        log.warning("database of pieces damaged path=%s aside=%s reason=%s", self.path, put_aside(self.path), reason)


def _make_tables(connection: sqlite3.Connection) -> None:
    for table in TABLES:
        connection.execute(table)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _check_table(connection: sqlite3.Connection, table: str) -> None:
    """Read all of a small table. The blobs are not looked at: each piece has its hash."""
    found = connection.execute(f"PRAGMA quick_check({table})").fetchall()
    if found != [("ok",)]:
        raise damage(f"table {table}: {found[0][0] if found else 'unreadable'}")
