"""The index of a disk cache: an SQLite file that says which pieces are complete, and when each was used last.

A row is a piece that is complete. Rows that come may be lost with the power (write-ahead log, synchronous=NORMAL): the
piece is then hashed again. Rows that go are gone for good when forget() returns (synchronous=FULL), since only then may
the bytes be given up. A damaged index is begun anew: without it there is nothing in the cache.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from anabranch.model import InfoHash, InputRefused, StorageFailed

from .databases_io import DAMAGED, check_in_place, code_of, failed, in_transaction, inode_of
from .ledger import Row

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
_TABLES = (
    "CREATE TABLE IF NOT EXISTS space (block INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS torrents (number INTEGER PRIMARY KEY, info_hash BLOB NOT NULL UNIQUE
    CHECK (length(info_hash) = 20), piece_length INTEGER NOT NULL, total INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS pieces (torrent INTEGER NOT NULL, piece INTEGER NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (torrent, piece)) WITHOUT ROWID""",
)

T = TypeVar("T")
Key = tuple[int, int]  # the torrent's number, the piece


class CacheIndex:
    """One index. Safe from any thread; every method raises StorageFailed.

    Args:
        path: The file.
        block: What the file system frees at a time. If it was another one, the bytes lie elsewhere: all is forgotten.

    Raises:
        InputRefused: the index was written by a later version of the program.
    """

    def __init__(self, path: str, block: int) -> None:
        self._path = path
        self._block = block
        self._lock = threading.Lock()
        try:
            try:
                self._connection = self._connect()
            except sqlite3.DatabaseError as error:
                if code_of(error) not in DAMAGED:
                    raise
                log.warning("cache index damaged, the cache is empty now path=%s reason=%s", path, error)
                for ending in ("", "-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        os.unlink(path + ending)
                self._connection = self._connect()
        except sqlite3.Error as error:
            raise failed(error, path) from error
        except OSError as error:
            raise StorageFailed.from_os(error, path) from error
        self._inode = inode_of(path)
        self._used = 1 + (self._run(lambda on: on.execute("SELECT max(used) FROM pieces").fetchone()[0]) or 0)

    def torrents(self) -> list[Row]:
        """All torrents of which there may be anything."""
        rows = self._run(
            lambda on: on.execute("SELECT number, info_hash, piece_length, total FROM torrents").fetchall()
        )
        return [Row(number, InfoHash(name), piece_length, total) for number, name, piece_length, total in rows]

    def pieces(self) -> list[Key]:
        """All complete pieces, used longest ago first."""
        return self._run(lambda on: on.execute("SELECT torrent, piece FROM pieces ORDER BY used, piece").fetchall())

    def enter(self, info_hash: InfoHash, piece_length: int, total: int) -> Row:
        """Give a torrent that is not there its number."""

        def work(on: sqlite3.Connection) -> int | None:
            given = "INSERT INTO torrents (info_hash, piece_length, total) VALUES (?, ?, ?)"
            return on.execute(given, (bytes(info_hash), piece_length, total)).lastrowid

        return Row(self._run(work) or 0, info_hash, piece_length, total)

    def leave(self, number: int) -> None:
        """Forget a torrent and all of its pieces, for good."""

        def work(on: sqlite3.Connection) -> None:
            on.execute("DELETE FROM pieces WHERE torrent = ?", (number,))
            on.execute("DELETE FROM torrents WHERE number = ?", (number,))

        self._run(work, durable=True)

    def record(self, complete: Sequence[Key], used: Sequence[Key]) -> None:
        """Remember complete pieces, and that others were used before them, in that order. All or nothing."""

        def work(on: sqlite3.Connection) -> None:
            on.executemany("UPDATE pieces SET used = ? WHERE torrent = ? AND piece = ?", self._numbered(used))
            on.executemany(
                "INSERT OR REPLACE INTO pieces (used, torrent, piece) VALUES (?, ?, ?)", self._numbered(complete)
            )

        self._run(work)

    def forget(self, pieces: Iterable[Key]) -> None:
        """These pieces are not complete, and never will be again by a loss of power."""
        gone = list(pieces)
        self._run(lambda on: on.executemany("DELETE FROM pieces WHERE torrent = ? AND piece = ?", gone), durable=True)

    def close(self) -> None:
        """Close the file."""
        with self._lock, suppress(sqlite3.Error):  # closing tidies up, which a full or read-only disk does not allow
            self._connection.close()

    def _numbered(self, pieces: Iterable[Key]) -> Iterator[tuple[int, int, int]]:
        for torrent, piece in pieces:
            self._used += 1
            yield self._used, torrent, piece

    def _run(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        with self._lock:
            check_in_place(self._path, self._inode)
            try:
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                return in_transaction(self._connection, work)
            except sqlite3.Error as error:
                raise failed(error, self._path) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            in_transaction(connection, self._make_tables)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_tables(self, on: sqlite3.Connection) -> None:
        (version,) = on.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise InputRefused(
                f"{self._path}: written by a later version (schema {version}, {SCHEMA_VERSION} is known)"
            )
        for table in _TABLES:
            on.execute(table)
        if on.execute("SELECT block FROM space").fetchall() != [(self._block,)]:
            for table in ("space", "pieces", "torrents"):
                on.execute(f"DELETE FROM {table}")
            on.execute("INSERT INTO space VALUES (?)", (self._block,))
        on.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
