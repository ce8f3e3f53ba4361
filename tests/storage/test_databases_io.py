"""What SQLite files have in common."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from anabranch.model import StorageFailed
from anabranch.storage.databases_io import (
    DAMAGED,
    check_in_place,
    code_of,
    damage,
    failed,
    in_transaction,
    inode_of,
    put_aside,
)


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """Whatever breaks off the work; and the first error is the one that comes out."""
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    in_transaction(connection, lambda on: on.execute("CREATE TABLE a (b)"))

    def work(on: sqlite3.Connection) -> None:
        on.execute("INSERT INTO a VALUES (1)")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_transaction(connection, work)
    assert not connection.in_transaction
    assert connection.execute("SELECT * FROM a").fetchall() == []
    connection.close()


def test_no_error_of_a_database_passes_for_bytes_that_are_merely_missing() -> None:
    """That is what no number says; SQLite has more errors than are in the table."""
    for code, number in ((sqlite3.SQLITE_FULL, errno.ENOSPC), (sqlite3.SQLITE_IOERR, errno.EIO), (None, errno.EIO)):
        error = sqlite3.OperationalError("words")
        if code is not None:
            error.sqlite_errorcode = code | 3 << 8
            assert code_of(error) == code
        told = failed(error, "x.db")
        assert (told.path, told.reason, told.errno) == ("x.db", "words", number)
    assert code_of(damage("words")) in DAMAGED


def test_a_disk_without_room_for_the_index_of_a_log_is_full() -> None:
    """SQLite calls it an I/O error, in which nobody would see that something can be removed."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    told = failed(error, "x.db")
    assert (told.reason, told.errno) == ("disk is full", errno.ENOSPC)


def test_a_damaged_file_is_put_aside_with_its_log_and_over_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    for number in (1, 2):
        path.write_bytes(b"bytes")
        (tmp_path / "x.db-wal").write_bytes(b"log")
        assert put_aside(str(path)) == f"{path}.damaged-{number}"
        assert not path.exists()
        assert (tmp_path / f"x.db.damaged-{number}-wal").read_bytes() == b"log"


def test_a_file_that_was_removed_or_replaced_is_noticed(tmp_path: Path) -> None:
    """What is written to it would be gone with the last who has it open."""
    path = tmp_path / "x.db"
    path.write_bytes(b"")
    inode = inode_of(str(path))
    check_in_place(str(path), inode)
    path.rename(tmp_path / "y.db")
    for _ in range(2):
        with pytest.raises(StorageFailed, match="removed or replaced"):
            check_in_place(str(path), inode)
        path.write_bytes(b"another")
