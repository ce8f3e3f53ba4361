"""The session's SQLite file: opening it, transactions in it, and starting anew when it is damaged.

Write-ahead log, so that several processes may use it at a time. A commit is ordered but may be lost with the power
(synchronous=NORMAL): what was gained is then hashed or counted again. What takes something *back* is committed with
synchronous=FULL, since believing it after all would serve wrong data. A kill of the program alone loses nothing.

SQLite finds damage in the structure of a file, not bits that have changed in what it holds: rows that are believed
without another look carry a checksum.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from anabranch.model import Closed, InputRefused, StorageFailed

from .completion import page_checksum
from .databases_io import DAMAGED, code_of, damage, failed, in_transaction, inode_of, put_aside
from .locks_io import locked

log = logging.getLogger(__name__)

SCHEMA_VERSION = 5
BUSY_SECONDS = 10.0  # how long to wait for another process's transaction
_KEY = """
    info_hash BLOB NOT NULL CHECK (typeof(info_hash) = 'blob' AND length(info_hash) = 20),
    data_path BLOB NOT NULL CHECK (typeof(data_path) = 'blob'),
"""
KEPT = "kept"  # the table of what is remembered besides torrents, each by a name of ours
_TABLES = (
    f"""CREATE TABLE IF NOT EXISTS torrents ({_KEY} priorities BLOB NOT NULL, downloading_allowed INTEGER NOT NULL,
    uploading_allowed INTEGER NOT NULL, uploaded INTEGER NOT NULL, downloaded INTEGER NOT NULL, added REAL NOT NULL,
    PRIMARY KEY (info_hash, data_path)) WITHOUT ROWID""",
    # apart from the totals, so that saving these does not write the metainfo again
    f"CREATE TABLE IF NOT EXISTS metainfo ({_KEY} body BLOB NOT NULL, PRIMARY KEY (info_hash, data_path))",
    f"""CREATE TABLE IF NOT EXISTS partial ({_KEY} piece INTEGER NOT NULL, blocks BLOB NOT NULL,
    PRIMARY KEY (info_hash, data_path, piece))""",
    f"""CREATE TABLE IF NOT EXISTS completion ({_KEY} page INTEGER NOT NULL, known BLOB NOT NULL,
    complete BLOB NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (info_hash, data_path, page))""",
    # of torrents whose data is elsewhere than in data_path, has other names, or is on its way
    f"""CREATE TABLE IF NOT EXISTS places ({_KEY} whereabouts BLOB NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (info_hash, data_path))""",
    # that users added; since schema 3
    f"""CREATE TABLE IF NOT EXISTS webseeds ({_KEY} body BLOB NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (info_hash, data_path))""",
    # announce lists that users changed; since schema 4
    f"""CREATE TABLE IF NOT EXISTS trackers ({_KEY} body BLOB NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (info_hash, data_path))""",
    # of no torrent; since schema 5
    f"""CREATE TABLE IF NOT EXISTS {KEPT} (name BLOB NOT NULL PRIMARY KEY, body BLOB NOT NULL,
    checksum INTEGER NOT NULL)""",
)
TABLES = {  # and their columns besides the key
    "torrents": ("priorities", "downloading_allowed", "uploading_allowed", "uploaded", "downloaded", "added"),
    "metainfo": ("body",),
    "partial": ("piece", "blocks"),
    "completion": ("page", "known", "complete", "checksum"),
    "places": ("whereabouts", "checksum"),
    "webseeds": ("body", "checksum"),
    "trackers": ("body", "checksum"),
}
_CHECKED = (
    "torrents",
    "partial",
    "completion",
    "places",
    "webseeds",
    "trackers",
    KEPT,
)  # metainfo is a thousand times as much, and hashed when read

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

    def warn(self, sentence: str) -> None:
        """Have a person told, once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)
            log.warning("%s path=%s", sentence, self.path)

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
            return in_transaction(self._connection, work, begin)

        with self._lock:
            return self._guarded(attempt)

    def _guarded(self, attempt: Callable[[], T]) -> T:
        """Run *attempt*, once more with a new database if the old one is damaged, errors put into our words."""
        try:
            try:
                return attempt()
            except UnicodeDecodeError:  # SQLite says what is wrong in words that it has from the file
                self._start_anew(damage("a name in it is no text"))
            except sqlite3.DatabaseError as error:
                if code_of(error) not in DAMAGED:
                    raise
                self._start_anew(error)
            return attempt()
        except sqlite3.Error as error:
            raise failed(error, self.path) from error

    def _connect(self) -> None:
        self._disconnect()
        with suppress(OSError):  # there already, or SQLite says why not; not open(): closing would drop SQLite's locks
            os.mknod(self.path, 0o600)
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.text_factory = _text
        try:
            _keep_private(self.path)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                in_transaction(connection, self._make_tables)
                in_transaction(connection, _check, "BEGIN")
            except sqlite3.OperationalError as error:
                if code_of(error) == sqlite3.SQLITE_ERROR:  # tables that are not ours: our own words have no mistake
                    raise damage(str(error)) from error
                raise
            self._inode = inode_of(self.path)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._synchronous = ""

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise InputRefused(f"{self.path}: written by a later version (schema {version}, {SCHEMA_VERSION} is known)")
        columns = [row[1] for row in connection.execute("PRAGMA table_info(completion)")]
        if columns and "checksum" not in columns:
            _take_over_completion(connection)
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
        inode = self._inode or inode_of(self.path)
        self._disconnect()
        with locked(self._gate):
            if inode == inode_of(self.path):
                aside = put_aside(self.path)
                warning = f"The session database was damaged ({error}). It is now {aside}; a new one was begun."
                self.warnings.append(warning)
                log.warning("database damaged path=%s aside=%s reason=%s", self.path, aside, error)
            self._connect()


def _keep_private(path: str) -> None:
    """Passkeys and headers are in it: its user alone may read it. New logs get the mode of the database."""
    for name in (path, f"{path}-wal", f"{path}-shm"):
        with suppress(OSError):  # not there, or another user's
            if os.stat(name).st_mode & 0o077:
                os.chmod(name, 0o600)


def _take_over_completion(connection: sqlite3.Connection) -> None:
    """From schema 1: its rows had no checksum, and are believed once."""
    connection.execute("ALTER TABLE completion ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0")
    connection.create_function("page_checksum", 4, page_checksum, deterministic=True)
    connection.execute("UPDATE completion SET checksum = page_checksum(info_hash, page, known, complete)")


def _check(connection: sqlite3.Connection) -> None:
    """Raise what is raised for a damaged file, unless the tables are ours and sound as far as it is quick to see."""
    ours = {table: ["info_hash", "data_path", *columns] for table, columns in TABLES.items()}
    for table, columns in (ours | {KEPT: ["name", "body", "checksum"]}).items():
        if [row[1] for row in connection.execute(f"PRAGMA table_info({table})")] != columns:
            raise damage(f"table {table} is another")
    for table in _CHECKED:
        (found,) = connection.execute(f"PRAGMA quick_check({table})").fetchone()
        if found != "ok":
            raise damage(found)


def _text(text: bytes) -> str:
    """We write none; what damage has made of something else is not to be an error of its own."""
    return text.decode(errors="replace")
