"""The database file: damage, versions, and errors in words."""

from __future__ import annotations

import errno
import logging
import sqlite3
from pathlib import Path

import pytest

from anabranch.model import InputRefused, StorageFailed
from anabranch.storage import SavedTorrent, SessionKey, SessionStore
from anabranch.storage.database_io import Database
from storage.small_torrents import HASH

KEY = SessionKey(HASH, "/data")
SAVED = SavedTorrent(b"i" * 100_000, (1,), True, True, 0, 0, 0.0)


def test_a_file_that_is_no_database_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The user is told, and the program goes on with a new one."""
    (tmp_path / "session.db").write_bytes(b"this is not a database" * 100)
    (tmp_path / "session.db.damaged-1").write_bytes(b"from another time")
    with caplog.at_level(logging.WARNING):
        store = SessionStore(tmp_path)
    assert (tmp_path / "session.db.damaged-2").read_bytes().startswith(b"this is not")
    assert (tmp_path / "session.db.damaged-1").read_bytes() == b"from another time"
    (warning,) = store.warnings
    assert "session.db.damaged-2" in warning
    assert "damaged" in caplog.text
    store.save(KEY, SAVED)
    assert store.load(KEY) == SAVED


def test_damage_found_later_is_put_aside_too(tmp_path: Path) -> None:
    """Only the first page is read at the start."""
    store = SessionStore(tmp_path)
    store.save(KEY, SAVED)
    store.close()
    path = tmp_path / "session.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    first, second = SessionStore(tmp_path), SessionStore(tmp_path)
    assert first.load(KEY) is None
    assert second.load(KEY) is None  # finds the new one, and leaves it in its place
    assert (len(first.warnings), len(second.warnings)) == (1, 0)
    first.save(KEY, SAVED)
    assert second.load(KEY) == SAVED
    assert (tmp_path / "session.db.damaged-1-wal").exists()  # the new one must not read the old one's log


def test_a_later_programs_database_is_left_alone(tmp_path: Path) -> None:
    SessionStore(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "session.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(InputRefused, match="written by a later version"):
        SessionStore(tmp_path)


def test_a_full_disk_is_an_error_in_words_and_nothing_is_half_written(tmp_path: Path) -> None:
    database = Database(str(tmp_path))

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 20")
        connection.execute("INSERT INTO metainfo VALUES (zeroblob(20), zeroblob(1), zeroblob(10))")
        connection.execute("INSERT INTO metainfo VALUES (zeroblob(20), zeroblob(2), zeroblob(1000000))")

    with pytest.raises(StorageFailed, match=r"session\.db: database or disk is full") as failed:
        database.write(fill)
    assert failed.value.errno == errno.ENOSPC
    assert database.read(lambda found: found.execute("SELECT count(*) FROM metainfo").fetchone()) == (0,)


def test_a_database_that_may_not_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "session.db").mkdir()
    with pytest.raises(StorageFailed, match=r"session\.db: unable to open database file"):
        Database(str(tmp_path))
    database = Database(str(tmp_path / "other"))

    def forbid(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA query_only = 1")
        connection.execute("DELETE FROM partial")

    with pytest.raises(StorageFailed, match="readonly database") as failed:
        database.write(forbid)
    assert failed.value.errno == errno.EROFS


def test_a_transaction_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """Also when it is our own code that fails."""
    store = SessionStore(tmp_path)
    store.save(KEY, SAVED)
    with pytest.raises(ValueError, match="bytes must be in range"):
        store.save(KEY, SavedTorrent(b"", (256,), True, True, 0, 0, 0.0))
    assert store.load(KEY) == SAVED


def test_saving_totals_does_not_write_the_metainfo_again(tmp_path: Path) -> None:
    """Totals are saved every few seconds; metainfo may have 10 MB."""
    store = SessionStore(tmp_path)
    store.save(KEY, SAVED)
    log = tmp_path / "session.db-wal"
    before = log.stat().st_size
    store.save(KEY, SAVED)
    assert log.stat().st_size - before < 50_000
