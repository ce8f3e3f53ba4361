"""The session store: what is remembered of torrents from run to run, and who runs which.

Everything is below one state directory: `session.db` (database_io.py) and `locks/`. A torrent is claimed before it is
opened; the claim ends with the process at the latest. DHT nodes and the like are not kept here.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence

from bitarray import bitarray

from anabranch.model import InfoHash, StorageFailed, no_pieces

from .completion import PAGE, by_page, page_bits
from .database_io import Database
from .locks_io import Lock, holder, try_lock
from .session import InUse, SavedTorrent, SessionKey

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
        """Remember several torrents as they are now, all of them or (on an error) none."""

        def work(database: sqlite3.Connection) -> None:
            for key, saved in every:
                _save(database, _columns(key), saved)

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

    def take_partial(self, keys: Sequence[SessionKey]) -> list[dict[int, bytes]]:
        """The partial pieces of torrents, forgotten in the same step: once blocks are written they are stale."""

        def work(database: sqlite3.Connection) -> list[dict[int, bytes]]:
            found = [_partial(database, _columns(key)) for key in keys]
            for key, partial in zip(keys, found, strict=True):
                if partial:
                    database.execute(f"DELETE FROM partial {_WHERE}", _columns(key))
            return found

        return self._database.write(work, takes_back=True)

    def forget(self, key: SessionKey) -> None:
        """Remember nothing of a torrent."""

        def work(database: sqlite3.Connection) -> None:
            for table in ("torrents", "metainfo", "partial", "completion"):
                database.execute(f"DELETE FROM {table} {_WHERE}", of)

        of = _columns(key)
        self._database.write(work, takes_back=True)

    def torrents(self) -> list[SessionKey]:
        """The torrents that are remembered, in the order they were added."""

        def work(database: sqlite3.Connection) -> list[SessionKey]:
            rows = database.execute("SELECT info_hash, data_path FROM torrents ORDER BY added, info_hash, data_path")
            return [SessionKey(InfoHash(info_hash), os.fsdecode(path)) for info_hash, path in rows]

        return self._database.read(work)

    def completion(self, key: SessionKey) -> SqliteCompletion:
        """The completion store of one torrent."""
        return SqliteCompletion(self._database, key)

    def close(self) -> None:
        """Close the database. Claims are released by themselves."""
        self._database.close()


class SqliteCompletion:
    """A CompletionStore in the session's database: one row of bitmaps for 32,768 pieces, one transaction a call."""

    def __init__(self, database: Database, key: SessionKey) -> None:
        self._database = database
        self._of = _columns(key)

    def load(self, piece_count: int) -> tuple[bitarray, bitarray]:
        """See CompletionStore."""

        def work(database: sqlite3.Connection) -> list[tuple[int, bytes, bytes]]:
            return database.execute(f"SELECT page, known, complete FROM completion {_WHERE}", self._of).fetchall()

        pages = -(-piece_count // PAGE)
        known, complete = no_pieces(pages * PAGE), no_pieces(pages * PAGE)
        for page, known_blob, complete_blob in self._database.read(work):
            if 0 <= page < pages:
                known[page * PAGE : (page + 1) * PAGE] = page_bits(known_blob)
                complete[page * PAGE : (page + 1) * PAGE] = page_bits(complete_blob)
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
            rows = [
                (*self._of, page, known.tobytes(), complete.tobytes()) for page, (known, complete) in touched.items()
            ]
            database.executemany("INSERT OR REPLACE INTO completion VALUES (?, ?, ?, ?, ?)", rows)

        self._database.write(work, takes_back=takes_back)

    def _page(self, database: sqlite3.Connection, page: int) -> tuple[bitarray, bitarray]:
        query = f"SELECT known, complete FROM completion {_WHERE} AND page = ?"
        known, complete = database.execute(query, (*self._of, page)).fetchone() or (None, None)
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
    database.execute(f"DELETE FROM partial {_WHERE}", of)
    rows = [(*of, piece, bytes(blocks)) for piece, blocks in saved.partial.items()]
    database.executemany("INSERT INTO partial VALUES (?, ?, ?, ?)", rows)


def _load(database: sqlite3.Connection, of: tuple[bytes, bytes]) -> SavedTorrent | None:
    row = database.execute(f"SELECT * FROM torrents {_WHERE}", of).fetchone()
    body = database.execute(f"SELECT body FROM metainfo {_WHERE}", of).fetchone()
    if row is None or body is None:
        return None
    priorities, down, up, uploaded, downloaded, added = row[2:]
    partial = _partial(database, of)
    return SavedTorrent(body[0], tuple(priorities), bool(down), bool(up), uploaded, downloaded, added, partial)


def _partial(database: sqlite3.Connection, of: tuple[bytes, bytes]) -> dict[int, bytes]:
    return dict(database.execute(f"SELECT piece, blocks FROM partial {_WHERE}", of).fetchall())
