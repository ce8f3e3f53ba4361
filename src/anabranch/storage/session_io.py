"""The session store: what is remembered of torrents from run to run, and who runs which.

Everything is below one state directory: `session.db` (database_io.py) and `locks/`. A torrent is claimed before it is
opened; the claim ends with the process at the latest. What the DHT knew is kept here too, and not read.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar
from zlib import crc32

from bitarray import bitarray

from anabranch.model import InfoHash, InputRefused, StorageFailed, no_pieces

from .completion import PAGE, by_page, page_bits, page_checksum
from .database_io import KEPT, TABLES, Database
from .layout import Place
from .locks_io import Lock, holder, try_lock
from .session import (
    Intent,
    InUse,
    SavedTorrent,
    SessionKey,
    Whereabouts,
    decode_trackers,
    decode_webseeds,
    decode_whereabouts,
    encode_trackers,
    encode_webseeds,
    encode_whereabouts,
)

_Listed = TypeVar("_Listed")
_LISTS = ("webseeds", "trackers")
log = logging.getLogger(__name__)

_ASKED_AT_ONCE = 400  # torrents in one query: two variables each, of 999 that any SQLite takes
_DHT = b"dht"  # its name in the table of what is kept
_WHERE = "WHERE info_hash = ? AND data_path = ?"


def session_key(info_hash: InfoHash, data_dir: str | os.PathLike[str]) -> SessionKey:
    """The key of a torrent whose data is in that directory, links in its path resolved."""
    return SessionKey(info_hash, os.path.realpath(data_dir))


class Claim:
    """The right to run one torrent in one directory, until release() or the end of a `with` block."""

    def __init__(self, key: SessionKey, lock: Lock) -> None:
        self.key = key
        self._lock = lock

    def release(self) -> None:
        """Give the right back. Again is harmless."""
        self._lock.release()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class SessionStore:
    """What is remembered in one state directory. Safe from any thread; every method raises StorageFailed.

    Args:
        directory: The state directory, made if it is not there. Several processes may share it.

    Raises:
        InputRefused: the database was written by a later version of the program.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        directory = os.path.abspath(directory)
        self._database = Database(directory)
        self._locks = os.path.join(os.path.realpath(directory), "locks")
        self._dht_lock: Lock | None = None

    @property
    def warnings(self) -> list[str]:
        """What a person should know, in whole sentences: a damaged database that was put aside."""
        return self._database.warnings

    def claim(self, key: SessionKey) -> Claim:
        """Take the right to run that torrent. Raises InUse if somebody has it."""
        name = bytes(key.info_hash) + os.fsencode(key.data_path)
        lock = try_lock(self._locks, name)
        if lock is None:
            pid = holder(self._locks, name)
            by = "this program" if pid == os.getpid() else f"process {pid}" if pid else "another process"
            raise InUse(f"torrent {key.info_hash} in {key.data_path} is in use by {by}")
        return Claim(key, lock)

    def save(self, key: SessionKey, saved: SavedTorrent) -> None:
        """Remember a torrent as it is now, its partial pieces included, instead of what was remembered."""
        self.save_all([(key, saved)])

    def save_all(self, every: Sequence[tuple[SessionKey, SavedTorrent]]) -> None:
        """Remember several torrents as they are now, all of them or (on an error) none. Their places stay."""

        def work(database: sqlite3.Connection) -> None:
            for key, saved in every:
                _save(database, _columns(key), saved)
                _save_partial(database, _columns(key), saved.partial)

        self._database.write(work)

    def load(self, key: SessionKey) -> SavedTorrent | None:
        """What is remembered of a torrent; its partial pieces stay remembered."""
        return self.load_all([key])[0]

    def load_all(self, keys: Sequence[SessionKey]) -> list[SavedTorrent | None]:
        """What is remembered of several torrents."""
        return self._database.read(lambda database: [_load(database, _columns(key)) for key in keys])

    def metainfo(self, key: SessionKey) -> bytes:
        """The .torrent file's bytes. Raises StorageFailed also where they are not remembered any more."""

        def work(database: sqlite3.Connection) -> bytes | None:
            row = database.execute(f"SELECT body FROM metainfo {_WHERE}", _columns(key)).fetchone()
            return row[0] if row is not None else None

        body = self._database.read(work)
        if body is None:
            raise StorageFailed(self._database.path, f"torrent {key.info_hash} is not remembered any more")
        return body

    def save_partial(self, key: SessionKey, partial: Mapping[int, bytes]) -> None:
        """Remember these partial pieces of a torrent, and no others."""
        self._database.write(lambda database: _save_partial(database, _columns(key), partial))

    def forget(self, key: SessionKey) -> None:
        """Remember nothing of a torrent."""

        def work(database: sqlite3.Connection) -> None:
            for table in TABLES:
                database.execute(f"DELETE FROM {table} {_WHERE}", of)

        of = _columns(key)
        self._database.write(work, takes_back=True)

    def torrents(self) -> list[SessionKey]:
        """The torrents that are remembered, in the order they were added."""

        def work(database: sqlite3.Connection) -> list[SessionKey]:
            rows = database.execute("SELECT info_hash, data_path FROM torrents ORDER BY added, info_hash, data_path")
            return [key for row in rows if (key := _key(*row)) is not None]

        return self._database.read(work)

    def place(self, key: SessionKey) -> Whereabouts:
        """Where a torrent's data is, and what was begun with it."""
        return self.places([key])[0]

    def places(self, keys: Sequence[SessionKey]) -> list[Whereabouts]:
        """The same of several torrents, at the price of a few."""
        asked = [_columns(key) for key in keys]

        def work(database: sqlite3.Connection) -> dict[tuple[bytes, bytes], Whereabouts]:
            found: dict[tuple[bytes, bytes], Whereabouts] = {}
            for first in range(0, len(asked), _ASKED_AT_ONCE):
                some = asked[first : first + _ASKED_AT_ONCE]
                rows = database.execute(
                    f"WITH asked(hash, path) AS (VALUES {', '.join(['(?, ?)'] * len(some))}) SELECT places.* "
                    "FROM asked CROSS JOIN places ON info_hash = hash AND data_path = path",
                    [column for columns in some for column in columns],
                )
                found.update({(row[0], row[1]): _whereabouts(*row) for row in rows})
            return found

        found = self._database.read(work)
        return [found.get(columns, Whereabouts()) for columns in asked]

    def intend(self, key: SessionKey, intent: Intent | None) -> None:
        """Remember, even after a loss of power, what is about to be begun with a torrent's data; None: nothing is."""

        def work(database: sqlite3.Connection) -> None:
            query = f"SELECT * FROM places {_WHERE}"
            row = database.execute(query, _columns(key)).fetchone()
            place = _whereabouts(*row).place if row is not None else None
            _save_whereabouts(database, key, Whereabouts(place, intent))

        self._database.write(work, takes_back=True)

    def arrived(
        self, key: SessionKey, place: Place | None, data_path: str | None = None, intent: Intent | None = None
    ) -> SessionKey:
        """Remember that a torrent's data has come to its place, and that nothing else is begun with it any more.

        Args:
            key: What the torrent was remembered by.
            place: Where its data is now; None: in its (new) data directory, under the names that the torrent says.
            data_path: The data directory that it is remembered by from now on, resolved; None: as before.
            intent: What is about to be begun with it next; None: nothing is.

        Returns:
            What it is remembered by now. All that is remembered of it is; its completion store must be asked for anew.

        Raises:
            InUse: the same torrent is remembered in that directory already; nothing has changed.
        """
        new = key if data_path is None else SessionKey(key.info_hash, data_path)
        old, columns = _columns(key), _columns(new)

        def work(database: sqlite3.Connection) -> None:
            if new != key:
                if database.execute(f"SELECT 1 FROM torrents {_WHERE}", columns).fetchone() is not None:
                    raise InUse(
                        f"torrent {key.info_hash} in {new.data_path} is remembered already, apart from this one"
                    )
                lists = {table: _list(database, old, table, bytes) for table in _LISTS}
                for table in TABLES:
                    database.execute(f"DELETE FROM {table} {_WHERE}", columns)  # old pages would stand among ours
                    database.execute(f"UPDATE {table} SET data_path = ? {_WHERE}", (columns[1], *old))
                for table, body in lists.items():  # their checksums know where they belong
                    _save_list(database, columns, table, body)
            _save_whereabouts(database, new, Whereabouts(place, intent))

        self._database.write(work, takes_back=True)
        return new

    def completion(self, key: SessionKey) -> SqliteCompletion:
        """The completion store of one torrent."""
        return SqliteCompletion(self._database, key)

    def claim_dht(self) -> bool:
        """Whether what the DHT knew is ours to go on with, until close(): of several who run at once, it is one's.

        Two nodes with the same id would be deaf to each other, and each would have the other's place with the rest.
        """
        if self._dht_lock is None:
            self._dht_lock = try_lock(self._locks, _DHT)
        return self._dht_lock is not None

    def save_dht(self, saved: bytes) -> None:
        """Remember what the DHT knew, instead of what was remembered; nothing where that is somebody else's."""
        if not self.claim_dht():
            return
        row = _DHT, saved, crc32(saved)
        self._database.write(lambda database: database.execute(f"INSERT OR REPLACE INTO {KEPT} VALUES (?, ?, ?)", row))

    def load_dht(self) -> bytes:
        """What the DHT knew when that was last saved, whoever's it is; empty where it never was, or is damaged."""

        def work(database: sqlite3.Connection) -> tuple[object, object] | None:
            query = f"SELECT body, checksum FROM {KEPT} WHERE name = ?"
            row: tuple[object, object] | None = database.execute(query, (_DHT,)).fetchone()
            return row

        row = self._database.read(work)
        if row is None:
            return b""
        body, checksum = row
        if isinstance(body, bytes) and crc32(body) == checksum:
            return body
        log.warning("what the DHT knew is damaged path=%s", self._database.path)
        return b""

    def close(self) -> None:
        """Close the database, and leave what the DHT knew to others. Claims are released by themselves."""
        self._database.close()
        if self._dht_lock is not None:
            self._dht_lock.release()


class SqliteCompletion:
    """A CompletionStore in the session's database: one row of bitmaps for 32,768 pieces, one transaction a call."""

    def __init__(self, database: Database, key: SessionKey) -> None:
        self._database = database
        self._of = _columns(key)

    def load(self, piece_count: int) -> tuple[bitarray, bitarray]:
        """See CompletionStore. Of a row that does not fit its checksum nothing is known."""

        def work(database: sqlite3.Connection) -> list[tuple[int, bytes, bytes, int]]:
            query = f"SELECT page, known, complete, checksum FROM completion {_WHERE}"
            return database.execute(query, self._of).fetchall()

        pages = -(-piece_count // PAGE)
        known, complete = no_pieces(pages * PAGE), no_pieces(pages * PAGE)
        damaged = 0
        for row in self._database.read(work):
            bits = self._believed(*row)
            if bits is None:
                damaged += 1
            elif row[0] < pages:
                known[row[0] * PAGE : (row[0] + 1) * PAGE], complete[row[0] * PAGE : (row[0] + 1) * PAGE] = bits
        if damaged:
            self._database.warn(
                f"What was recorded of torrent {InfoHash(self._of[0])} is damaged: "
                f"up to {damaged * PAGE:,} of its pieces have to be hashed."
            )
        return known[:piece_count], (complete & known)[:piece_count]

    def record(self, complete: Sequence[int], incomplete: Sequence[int]) -> None:
        """See CompletionStore. Incomplete pieces are remembered even after a loss of power."""
        self._change([(complete, True, True), (incomplete, True, False)], takes_back=bool(incomplete))

    def forget(self, pieces: Sequence[int]) -> None:
        """See CompletionStore."""
        self._change([(pieces, False, False)], takes_back=False)

    def _change(self, changes: list[tuple[Sequence[int], bool, bool]], *, takes_back: bool) -> None:
        def work(database: sqlite3.Connection) -> None:
            touched: dict[int, tuple[bitarray, bitarray]] = {}
            for pieces, is_known, is_complete in changes:
                for page, places in by_page(pieces).items():
                    if page not in touched:
                        touched[page] = self._page(database, page)
                    known, complete = touched[page]
                    known[places] = is_known
                    complete[places] = is_complete
            rows = []
            for page, bits in touched.items():
                blobs = bits[0].tobytes(), bits[1].tobytes()
                rows.append((*self._of, page, *blobs, page_checksum(self._of[0], page, *blobs)))
            database.executemany("INSERT OR REPLACE INTO completion VALUES (?, ?, ?, ?, ?, ?)", rows)

        self._database.write(work, takes_back=takes_back)

    def _page(self, database: sqlite3.Connection, page: int) -> tuple[bitarray, bitarray]:
        query = f"SELECT known, complete, checksum FROM completion {_WHERE} AND page = ?"
        row = database.execute(query, (*self._of, page)).fetchone()
        bits = self._believed(page, *row) if row is not None else None
        return bits or (no_pieces(PAGE), no_pieces(PAGE))

    def _believed(
        self, page: object, known: object, complete: object, checksum: object
    ) -> tuple[bitarray, bitarray] | None:
        """A row's bitmaps, None if it is damaged."""
        if not isinstance(page, int) or not isinstance(known, bytes) or not isinstance(complete, bytes):
            return None
        if page < 0 or page_checksum(self._of[0], page, known, complete) != checksum:
            return None
        return page_bits(known), page_bits(complete)


def _columns(key: SessionKey) -> tuple[bytes, bytes]:
    return bytes(key.info_hash), os.fsencode(key.data_path)


def _save(database: sqlite3.Connection, of: tuple[bytes, bytes], saved: SavedTorrent) -> None:
    row = (
        bytes(saved.priorities), saved.downloading_allowed, saved.uploading_allowed,
        saved.uploaded, saved.downloaded, saved.added,
    )  # fmt: skip
    database.execute("INSERT OR REPLACE INTO torrents VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*of, *row))
    if saved.metainfo is not None:
        database.execute("INSERT OR IGNORE INTO metainfo VALUES (?, ?, ?)", (*of, saved.metainfo))
        changed = f"UPDATE metainfo SET body = ? {_WHERE} AND body <> ?"
        database.execute(changed, (saved.metainfo, *of, saved.metainfo))
    _save_list(database, of, "webseeds", encode_webseeds(saved.webseeds) if saved.webseeds else None)
    _save_list(database, of, "trackers", encode_trackers(saved.trackers) if saved.trackers is not None else None)


def _save_list(database: sqlite3.Connection, of: tuple[bytes, bytes], table: str, body: bytes | None) -> None:
    if body is None:
        database.execute(f"DELETE FROM {table} {_WHERE}", of)
    else:
        database.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)", (*of, body, _checksum(*of, body)))


def _save_partial(database: sqlite3.Connection, of: tuple[bytes, bytes], partial: Mapping[int, bytes]) -> None:
    database.execute(f"DELETE FROM partial {_WHERE}", of)
    rows = [(*of, piece, bytes(blocks)) for piece, blocks in partial.items()]
    database.executemany("INSERT INTO partial VALUES (?, ?, ?, ?)", rows)


def _load(database: sqlite3.Connection, of: tuple[bytes, bytes]) -> SavedTorrent | None:
    row = database.execute(f"SELECT * FROM torrents {_WHERE}", of).fetchone()
    body = database.execute(f"SELECT body FROM metainfo {_WHERE}", of).fetchone()
    if row is None or body is None:
        return None
    priorities, down, up, uploaded, downloaded, added = row[2:]
    blobs, numbers = (body[0], priorities), (down, up, uploaded, downloaded)
    whole = all(isinstance(blob, bytes) for blob in blobs) and all(isinstance(number, int) for number in numbers)
    if not whole or not isinstance(added, int | float):
        log.warning("not restored, its row is damaged torrent=%s", InfoHash(of[0]))
        return None
    return SavedTorrent(
        body[0], tuple(priorities), bool(down), bool(up), uploaded, downloaded, float(added),
        _partial(database, of), _list(database, of, "webseeds", decode_webseeds) or (),
        _list(database, of, "trackers", decode_trackers),
    )  # fmt: skip


def _partial(database: sqlite3.Connection, of: tuple[bytes, bytes]) -> dict[int, bytes]:
    rows = database.execute(f"SELECT piece, blocks FROM partial {_WHERE}", of)
    return {piece: blocks for piece, blocks in rows if isinstance(piece, int) and isinstance(blocks, bytes)}


def _list(
    database: sqlite3.Connection, of: tuple[bytes, bytes], table: str, read: Callable[[bytes], _Listed]
) -> _Listed | None:
    """What the user added; None where there is nothing, or it is damaged."""
    row = database.execute(f"SELECT body, checksum FROM {table} {_WHERE}", of).fetchone()
    if row is None:
        return None
    try:
        if isinstance(row[0], bytes) and _checksum(*of, row[0]) == row[1]:
            return read(row[0])
    except InputRefused:
        pass
    log.warning("what the user added is damaged torrent=%s what=%s", InfoHash(of[0]), table)
    return None


def _key(info_hash: bytes, data_path: bytes) -> SessionKey | None:
    """None for what was damaged: no program has such a directory."""
    path = os.fsdecode(data_path)
    return SessionKey(InfoHash(info_hash), path) if os.path.isabs(path) and "\0" not in path else None


def _save_whereabouts(database: sqlite3.Connection, key: SessionKey, where: Whereabouts) -> None:
    if where.place == Place(key.data_path):
        where = replace(where, place=None)
    of = _columns(key)
    if where == Whereabouts():
        database.execute(f"DELETE FROM places {_WHERE}", of)
        return
    body = encode_whereabouts(where)
    database.execute("INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?)", (*of, body, _checksum(*of, body)))


def _whereabouts(info_hash: bytes, data_path: bytes, body: object, checksum: object) -> Whereabouts:
    try:
        if isinstance(body, bytes) and _checksum(info_hash, data_path, body) == checksum:
            return decode_whereabouts(body)
    except InputRefused:
        pass
    path = os.fsdecode(data_path).encode(errors="backslashreplace").decode()  # not every name of a file is text
    log.warning("where the data is was damaged torrent=%s path=%s", info_hash.hex(), path)
    return Whereabouts()


def _checksum(info_hash: bytes, data_path: bytes, body: bytes) -> int:
    return crc32(body, crc32(data_path, crc32(info_hash)))
