"""The database file: damage, versions, and errors in words."""

from __future__ import annotations

import errno
import logging
import os
import random
import sqlite3
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from anabranch.model import InputRefused, StorageFailed
from anabranch.storage import (
    Place,
    Removing,
    SavedTorrent,
    SavedTrackers,
    SavedWebSeed,
    SessionKey,
    SessionStore,
    Whereabouts,
    database_io,
)
from anabranch.storage.database_io import SCHEMA_VERSION, Database
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


def overwrite(path: Path, table: str) -> None:
    """Damage the first page of a table."""
    connection = sqlite3.connect(path)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(content)


@pytest.mark.parametrize("table", ["torrents", "partial", "completion", "places"])
def test_the_structure_is_checked_at_the_start(tmp_path: Path, table: str) -> None:
    """Of what is cheap to check. Who opens the same state at the same time finds the new database."""
    store = SessionStore(tmp_path)
    store.save(KEY, replace(SAVED, partial={1: b"x"}))
    store.completion(KEY).record([1], [])
    store.intend(KEY, Removing())
    store.close()
    overwrite(tmp_path / "session.db", table)
    first, second = SessionStore(tmp_path), SessionStore(tmp_path)
    (warning,) = first.warnings
    assert "The session database was damaged" in warning
    assert second.warnings == []
    assert first.torrents() == []
    first.save(KEY, SAVED)
    assert second.load(KEY) == SAVED
    assert (tmp_path / "session.db.damaged-1").exists()


def test_damage_found_later_is_put_aside_too(tmp_path: Path) -> None:
    """Metainfo is not looked through at the start, there is too much of it."""
    store = SessionStore(tmp_path)
    store.save(KEY, SAVED)
    store.close()
    overwrite(tmp_path / "session.db", "metainfo")
    first, second = SessionStore(tmp_path), SessionStore(tmp_path)
    assert first.load(KEY) is None
    assert second.load(KEY) is None  # finds the new one, and leaves it in its place
    assert (len(first.warnings), len(second.warnings)) == (1, 0)
    first.save(KEY, SAVED)
    assert second.load(KEY) == SAVED
    assert (tmp_path / "session.db.damaged-1-wal").exists()  # the new one must not read the old one's log


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE completion RENAME known TO knows",
        "DROP TABLE places; CREATE TABLE places (x)",
        "CREATE VIEW y AS SELECT 1",
    ],
)
def test_tables_that_are_not_ours_are_put_aside(tmp_path: Path, damage: str) -> None:
    """Rather than that every question fails; what is there besides does no harm."""
    store = SessionStore(tmp_path)
    store.save(KEY, SAVED)
    store.close()
    connection = sqlite3.connect(tmp_path / "session.db")
    connection.executescript(damage)
    connection.close()
    store = SessionStore(tmp_path)
    assert len(store.warnings) == (0 if "VIEW" in damage else 1)
    store.intend(KEY, Removing())
    assert store.place(KEY).intent == Removing()


SCHEMA_1 = """
    CREATE TABLE torrents (info_hash BLOB NOT NULL CHECK (typeof(info_hash) = 'blob' AND length(info_hash) = 20),
        data_path BLOB NOT NULL CHECK (typeof(data_path) = 'blob'), priorities BLOB NOT NULL,
        downloading_allowed INTEGER NOT NULL, uploading_allowed INTEGER NOT NULL, uploaded INTEGER NOT NULL,
        downloaded INTEGER NOT NULL, added REAL NOT NULL, PRIMARY KEY (info_hash, data_path)) WITHOUT ROWID;
    CREATE TABLE metainfo (info_hash BLOB NOT NULL CHECK (typeof(info_hash) = 'blob' AND length(info_hash) = 20),
        data_path BLOB NOT NULL CHECK (typeof(data_path) = 'blob'), body BLOB NOT NULL,
        PRIMARY KEY (info_hash, data_path));
    CREATE TABLE partial (info_hash BLOB NOT NULL CHECK (typeof(info_hash) = 'blob' AND length(info_hash) = 20),
        data_path BLOB NOT NULL CHECK (typeof(data_path) = 'blob'), piece INTEGER NOT NULL, blocks BLOB NOT NULL,
        PRIMARY KEY (info_hash, data_path, piece));
    CREATE TABLE completion (info_hash BLOB NOT NULL CHECK (typeof(info_hash) = 'blob' AND length(info_hash) = 20),
        data_path BLOB NOT NULL CHECK (typeof(data_path) = 'blob'), page INTEGER NOT NULL, known BLOB NOT NULL,
        complete BLOB NOT NULL, PRIMARY KEY (info_hash, data_path, page));
    PRAGMA user_version = 1;
"""


def make_schema_1(path: Path) -> None:
    """What version 0 of the program wrote."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(SCHEMA_1)
    of = bytes(HASH), b"/data"
    connection.execute("INSERT INTO torrents VALUES (?, ?, x'01', 1, 1, 0, 0, 0.0)", of)
    connection.execute("INSERT INTO metainfo VALUES (?, ?, ?)", (*of, SAVED.metainfo))
    connection.execute("INSERT INTO partial VALUES (?, ?, 3, x'80')", of)
    for page in range(3):
        known, complete = bytearray(4096), bytearray(4096)
        known[0], complete[0] = 0xC0, 0x80
        connection.execute("INSERT INTO completion VALUES (?, ?, ?, ?, ?)", (*of, page, bytes(known), bytes(complete)))
    connection.commit()
    connection.close()


def test_a_database_of_schema_1_is_taken_over_whole(tmp_path: Path) -> None:
    """Nothing is hashed because of an update, and everything has its checksum from now on."""
    make_schema_1(tmp_path / "session.db")
    for _ in range(2):
        store = SessionStore(tmp_path)
        assert store.torrents() == [KEY]
        assert store.load(KEY) == replace(SAVED, partial={3: b"\x80"})
        assert store.place(KEY) == Whereabouts()
        known, complete = store.completion(KEY).load(100_000)
        assert list(complete.search(1)) == [0, 32_768, 65_536]
        assert list(known.search(1)) == [0, 1, 32_768, 32_769, 65_536, 65_537]
        assert store.warnings == []
        store.close()
    store = SessionStore(tmp_path)
    store.completion(KEY).record([5], [])
    store.intend(KEY, Removing())
    Database(str(tmp_path)).write(lambda database: database.execute("UPDATE completion SET complete = known"))
    assert not store.completion(KEY).load(100_000)[0].any()
    assert sqlite3.connect(tmp_path / "session.db").execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_database_of_schema_2_is_taken_over_whole(tmp_path: Path) -> None:
    """It had neither web seeds nor trackers of the user's: their tables are added, and nothing else changes."""
    store = SessionStore(tmp_path)
    store.save(KEY, SAVED)
    store.completion(KEY).record([5], [6])
    store.intend(KEY, Removing())
    store.close()
    connection = sqlite3.connect(tmp_path / "session.db")
    connection.executescript("DROP TABLE webseeds; DROP TABLE trackers; DROP TABLE kept; PRAGMA user_version = 2;")
    connection.close()
    store = SessionStore(tmp_path)
    assert store.warnings == []
    assert store.load(KEY) == SAVED
    assert store.place(KEY) == Whereabouts(None, Removing())
    assert [bits.count() for bits in store.completion(KEY).load(100)] == [2, 1]
    assert sqlite3.connect(tmp_path / "session.db").execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_database_of_schema_4_is_taken_over_whole(tmp_path: Path) -> None:
    """It had no place for what is of no torrent: that is added, and nothing else changes."""
    store = SessionStore(tmp_path)
    store.save(KEY, SAVED)
    store.completion(KEY).record([5], [6])
    store.close()
    connection = sqlite3.connect(tmp_path / "session.db")
    connection.executescript("DROP TABLE kept; PRAGMA user_version = 4;")
    connection.close()
    store = SessionStore(tmp_path)
    assert store.warnings == []
    assert store.load(KEY) == SAVED
    assert [bits.count() for bits in store.completion(KEY).load(100)] == [2, 1]
    assert store.load_dht() == b""
    store.save_dht(b"nodes")
    assert store.load_dht() == b"nodes"
    assert sqlite3.connect(tmp_path / "session.db").execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_taking_over_happens_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When something fails in the middle the database is as before, and the next start takes it over."""
    make_schema_1(tmp_path / "session.db")

    def full(*_: object) -> int:
        raise MemoryError

    with monkeypatch.context() as filled:
        filled.setattr(database_io, "page_checksum", full)
        with pytest.raises(MemoryError):
            SessionStore(tmp_path)
    assert SessionStore(tmp_path).completion(KEY).load(100_000)[1].count() == 3


@pytest.mark.parametrize("seed", range(4))
def test_a_file_with_bits_that_have_changed_is_never_believed_too_far(tmp_path: Path, seed: int) -> None:
    """Wherever they are: no piece counts as complete that was not recorded so, and nothing but words comes of it."""
    path, draw = tmp_path / "session.db", random.Random(seed)
    store = SessionStore(tmp_path)
    complete = {piece for piece in range(70_000) if draw.random() < 0.5}
    webseeds = (SavedWebSeed("http://host.example/", "url-list", (("X-Key", "secret"),)),)
    trackers = SavedTrackers((("http://tracker.example/",),), frozenset({"http://tracker.example/"}))
    whole = replace(SAVED, metainfo=b"m" * 5000, partial={1: b"x", 2: b"y"}, webseeds=webseeds, trackers=trackers)
    store.save(KEY, whole)
    store.completion(KEY).record(sorted(complete), sorted(set(range(70_000)) - complete))
    store.arrived(KEY, Place("/incomplete", {1: ("t", "a")}))
    store.save_dht(b"nodes" * 100)
    store.close()
    content = path.read_bytes()
    pages = len(content) // 4096
    places = [draw.randrange(100) for _ in range(12)]  # the header
    places += [page * 4096 + draw.randrange(16) for page in range(pages)]  # of pages
    places += [page * 4096 + draw.randrange(4000, 4096) for page in range(pages)]  # where rows are
    places += [draw.randrange(len(content)) for _ in range(30)]
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << draw.randrange(8)
        for left in filter(Path.is_file, tmp_path.iterdir()):
            left.unlink()
        path.write_bytes(flipped)
        if place in (18, 60, 61, 62, 63):  # says that it must not be written, or another version of the program
            with suppress(StorageFailed, InputRefused):
                SessionStore(tmp_path).close()
            continue
        store = SessionStore(tmp_path)
        believed = store.completion(KEY).load(70_000)[1]
        assert complete.issuperset(believed.search(1))
        for key in store.torrents():
            saved = store.load(key)
            assert isinstance(saved, SavedTorrent | None)
            assert saved is None or saved.webseeds in ((), webseeds)
            assert saved is None or saved.trackers in (None, trackers)
        assert store.place(KEY).place in (None, Place("/incomplete", {1: ("t", "a")}))
        assert store.load_dht() in (b"", b"nodes" * 100)
        store.completion(KEY).record([7], [])
        store.save(KEY, SAVED)
        assert store.load(KEY) == SAVED
        store.close()


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


@pytest.mark.parametrize("open_to_all", [False, True])
def test_the_database_is_its_users_alone(tmp_path: Path, open_to_all: bool) -> None:
    """Passkeys and web seeds' headers are in it: whatever the directory's mode is, and also when it was open before."""
    path = tmp_path / "session.db"
    tmp_path.chmod(0o755)
    if open_to_all:
        SessionStore(tmp_path).close()
        path.chmod(0o644)
    before = os.umask(0o022)
    try:
        store = SessionStore(tmp_path)
        store.save(KEY, SAVED)
    finally:
        os.umask(before)
    modes = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.glob("session.db*")}
    assert modes == {"session.db": 0o600, "session.db-wal": 0o600, "session.db-shm": 0o600}
    assert SessionStore(tmp_path).load(KEY) == SAVED  # a second one does not disturb the first
    store.close()
