"""The database of the SQLite back end: damage, versions, other programs, and errors in words."""

from __future__ import annotations

import errno
import logging
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from anabranch.model import Closed, InputRefused, StorageFailed
from anabranch.storage import sqlite_database_io as database_io
from anabranch.storage.sqlite_database_io import PieceDatabase
from anabranch.storage.sqlite_storage_io import SqliteStorage, SqliteTorrent
from storage.small_torrents import HASH, named, put, torrent, whole

LARGE = torrent(200_000, named("large", 2_000_000))
OPENING = """if True:
    import sys
    from anabranch.storage.sqlite_storage_io import SqliteStorage
    from storage.small_torrents import HASH, named, torrent
    storage = SqliteStorage(sys.argv[1]).open(torrent(100, named("a", 100)), HASH)
    print("open", flush=True)
    sys.stdin.read()
"""


def opened(path: Path) -> SqliteTorrent:
    return SqliteStorage(path / "pieces.db").open(LARGE, HASH)


def filled(path: Path) -> None:
    """A database with five complete pieces."""
    storage = opened(path)
    put(storage, LARGE, *range(5))
    storage.record(range(5))
    storage.close()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system lets this process make no file longer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_is_no_database_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody is told, and a new one is begun."""
    (tmp_path / "pieces.db").write_bytes(b"this is not a database" * 1000)
    with caplog.at_level(logging.WARNING):
        storage = opened(tmp_path)
    assert (tmp_path / "pieces.db.damaged-1").read_bytes().startswith(b"this is not")
    assert "damaged" in caplog.text
    put(storage, LARGE, 0)
    assert whole(storage, LARGE, 0) == LARGE.of_piece(0)


@pytest.mark.parametrize("table", ["torrents", "states", "uses"])
def test_damage_in_what_is_known_of_pieces_is_found_at_the_start(tmp_path: Path, table: str) -> None:
    """Those tables are small, and are read through."""
    filled(tmp_path)
    connection = sqlite3.connect(tmp_path / "pieces.db")
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    connection.close()
    content = bytearray((tmp_path / "pieces.db").read_bytes())
    content[(root - 1) * database_io.PAGE_SIZE : root * database_io.PAGE_SIZE] = b"\xa5" * database_io.PAGE_SIZE
    (tmp_path / "pieces.db").write_bytes(content)
    storage = opened(tmp_path)
    assert (tmp_path / "pieces.db.damaged-1").exists()
    assert not storage.completions()[1].any()


def test_damage_that_is_found_later_has_the_file_put_aside_when_it_is_closed(tmp_path: Path) -> None:
    """Blobs are not looked at before they are wanted."""
    filled(tmp_path)
    content = bytearray((tmp_path / "pieces.db").read_bytes())
    connection = sqlite3.connect(tmp_path / "pieces.db")
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'stretches'").fetchone()
    connection.close()
    content[(root - 1) * database_io.PAGE_SIZE : root * database_io.PAGE_SIZE] = b"\xa5" * database_io.PAGE_SIZE
    (tmp_path / "pieces.db").write_bytes(content)
    storage = opened(tmp_path)
    with pytest.raises(StorageFailed, match="malformed") as failed:
        whole(storage, LARGE, 0)
    assert failed.value.errno == errno.EIO  # not 0, which would say that the bytes are merely missing
    storage.close()
    assert (tmp_path / "pieces.db.damaged-1").exists()
    assert not opened(tmp_path).present(0)


def test_a_later_versions_database_is_left_alone(tmp_path: Path) -> None:
    filled(tmp_path)
    connection = sqlite3.connect(tmp_path / "pieces.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(InputRefused, match="written by a later version"):
        opened(tmp_path)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    """No table is made in it."""
    connection = sqlite3.connect(tmp_path / "pieces.db")
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = (tmp_path / "pieces.db").read_bytes()
    with pytest.raises(InputRefused, match="of another program"):
        opened(tmp_path)
    assert (tmp_path / "pieces.db").read_bytes() == before


def test_one_process_at_a_time_uses_a_database(tmp_path: Path) -> None:
    """The other is told who has it; it gets it when that one has died."""
    path = tmp_path / "pieces.db"
    tests = Path(__file__).resolve().parent.parent
    user = subprocess.Popen(
        [sys.executable, "-c", OPENING, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tests
    )
    assert user.stdout is not None
    assert user.stdout.readline() == b"open\n"
    with pytest.raises(StorageFailed, match=rf"pieces\.db: the database is in use by process {user.pid}") as failed:
        opened(tmp_path)
    assert failed.value.errno == errno.EBUSY
    user.kill()
    user.communicate()
    storage = opened(tmp_path)
    with pytest.raises(StorageFailed, match="in use by this program"):
        opened(tmp_path)
    storage.close()
    opened(tmp_path)


def test_a_lock_of_somebody_who_looks_from_outside_is_waited_for_and_then_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the file open in some tool."""
    monkeypatch.setattr(database_io, "BUSY_SECONDS", 0.01)
    storage = opened(tmp_path)
    outside = sqlite3.connect(tmp_path / "pieces.db", isolation_level=None)
    outside.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageFailed, match=r"pieces\.db: database is locked") as failed:
        put(storage, LARGE, 0)
    assert failed.value.errno == errno.EBUSY
    outside.execute("ROLLBACK")
    put(storage, LARGE, 0)
    assert whole(storage, LARGE, 0) == LARGE.of_piece(0)


def test_a_full_disk_is_an_error_in_words_and_all_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """What was there stays, what was to be written is not there at all."""
    storage = opened(tmp_path)
    put(storage, LARGE, 0)
    storage.record([0])
    writer = storage._shelf._database._writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages + 3}")
    with pytest.raises(StorageFailed, match=r"pieces\.db: database or disk is full") as failed:
        put(storage, LARGE, 1)
    assert failed.value.errno == errno.ENOSPC
    assert not storage.present(1)
    storage.record([1])
    writer.execute("PRAGMA max_page_count = 1000000")
    put(storage, LARGE, 1)
    storage.record([1])
    assert [whole(storage, LARGE, piece) for piece in (0, 1)] == [LARGE.of_piece(0), LARGE.of_piece(1)]


def test_a_write_that_the_system_refuses_is_an_error_in_words(tmp_path: Path) -> None:
    """Here it lets files be only so long; the log is one of them."""
    storage = opened(tmp_path)
    put(storage, LARGE, 0)
    with files_of_at_most(300_000), pytest.raises(StorageFailed, match=r"pieces\.db: ") as failed:
        put(storage, LARGE, 1, 2)
    assert failed.value.errno in (errno.EIO, errno.ENOSPC)
    put(storage, LARGE, 1)
    storage.record([0, 1])
    storage.close()
    storage = opened(tmp_path)
    assert [whole(storage, LARGE, piece) for piece in (0, 1)] == [LARGE.of_piece(0), LARGE.of_piece(1)]


def test_a_database_that_may_not_be_written_can_be_read(tmp_path: Path) -> None:
    filled(tmp_path)
    storage = opened(tmp_path)
    storage._shelf._database._writer.execute("PRAGMA query_only = 1")
    with pytest.raises(StorageFailed, match="readonly database") as failed:
        put(storage, LARGE, 6)
    assert failed.value.errno == errno.EROFS
    assert whole(storage, LARGE, 4) == LARGE.of_piece(4)


def test_a_path_that_leads_nowhere_is_an_error_in_words(tmp_path: Path) -> None:
    """A directory in the file's place, a file in a directory's place. Nothing is held afterwards."""
    (tmp_path / "pieces.db").mkdir()
    with pytest.raises(StorageFailed, match=r"pieces\.db: Is a directory"):
        opened(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed, match=r"file"):
        opened(tmp_path / "file")
    (tmp_path / "pieces.db").rmdir()
    opened(tmp_path).close()


def test_the_log_stays_short_whoever_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody from outside looks at an old state it must grow, and nobody waits for long; then it is copied."""
    monkeypatch.setattr(database_io, "LOG_SIZE", 128 * 1024)
    monkeypatch.setattr(database_io, "READER_SECONDS", 0.001)
    storage = opened(tmp_path)
    put(storage, LARGE, 0)
    reader = sqlite3.connect(tmp_path / "pieces.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM torrents").fetchone()
    put(storage, LARGE, *range(10))
    assert os.stat(tmp_path / "pieces.db-wal").st_size > 2_000_000
    reader.execute("ROLLBACK")
    put(storage, LARGE, 0)
    assert os.stat(tmp_path / "pieces.db-wal").st_size < 600_000
    for piece in range(10):
        assert whole(storage, LARGE, piece) == LARGE.of_piece(piece)


def test_what_is_asked_of_a_closed_database_raises_closed(tmp_path: Path) -> None:
    """Closing again is harmless; a reader that is under way ends in peace."""
    database = PieceDatabase(str(tmp_path / "pieces.db"))

    def work(connection: sqlite3.Connection) -> int:
        database.close()
        (found,) = connection.execute("SELECT count(*) FROM torrents").fetchone()
        return int(found)

    assert database.read(work) == 0
    database.close()
    for ask in (lambda: database.read(work), lambda: database.write(work), database.shrink):
        with pytest.raises(Closed):
            ask()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pieces.db", "pieces.db.lock"]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_database_that_was_removed_takes_nothing_more_and_says_so(tmp_path: Path, replaced: bool) -> None:
    """What is told to it would be gone at the end. Whoever opens it next begins anew, or finds what is there then."""
    client = SqliteStorage(tmp_path / "pieces.db")
    storage = client.open(LARGE, HASH)
    put(storage, LARGE, 0)
    storage.record([0])
    for name in ("pieces.db", "pieces.db-wal", "pieces.db-shm"):
        (tmp_path / name).unlink()
    if replaced:
        other = SqliteStorage(tmp_path / "other.db").open(LARGE, HASH)
        put(other, LARGE, 7)
        other.close()
        (tmp_path / "other.db").rename(tmp_path / "pieces.db")
    calls: list[Callable[[], object]] = [
        lambda: put(storage, LARGE, 1),
        lambda: storage.record([0]),
        lambda: storage.flush(),
        lambda: storage._shelf._database._borrow() and storage._shelf._database._borrow(),  # anew, none is idle
    ]
    for call in calls:
        with pytest.raises(StorageFailed, match="removed or replaced") as caught:
            call()
        assert caught.value.errno == errno.EIO
    storage.close()
    assert (tmp_path / "pieces.db").exists() == replaced
    assert [piece for piece in range(10) if client.open(LARGE, HASH).present(piece)] == ([7] if replaced else [])
