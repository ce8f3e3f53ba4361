"""The limited space of a database: what goes first, what is said to fit, and what a small disk has to do with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bitarray import bitarray

from anabranch.model import InfoHash, StorageFailed
from anabranch.storage import Capacity
from anabranch.storage.sqlite_rows_io import save_uses
from anabranch.storage.sqlite_storage_io import SqliteStorage, SqliteTorrent
from storage.small_torrents import HASH, named, put, torrent, whole
from threads import background

KIB = 1024
OTHER = InfoHash(b"\xcd" * 20)
TEN = torrent(100, named("ten", 1000))
MANY = torrent(10, named("many", 1005))


def have(storage: SqliteTorrent, count: int = 10) -> list[int]:
    return [piece for piece in range(count) if storage.present(piece)]


def room(storage: SqliteTorrent) -> int | None:
    assert isinstance(storage.capacity, Capacity)
    return storage.capacity.capacity()


def pieces(*numbers: int) -> bitarray:
    bits = bitarray(10)
    bits[list(numbers)] = True
    return bits


def test_what_nobody_wants_goes_before_what_was_used_longest_ago(tmp_path: Path) -> None:
    """Of all torrents, and who has them is told; then what is wanted goes by last use."""
    client = SqliteStorage(tmp_path / "pieces.db", 600)
    one, two = client.open(TEN, HASH), client.open(TEN, OTHER)
    told: list[Sequence[int]] = []
    one.on_given_up(told.append)
    one.heed(lambda: {HASH: pieces(0, 1, 3), OTHER: pieces(0, 1, 7, 8)})
    put(one, TEN, 0, 1, 2, 3)
    put(two, TEN, 0, 1)
    one.record([0, 1, 2, 3])
    two.record([0, 1])
    for piece in (2, 3):
        whole(one, TEN, piece)
    put(two, TEN, 7)
    assert told == [[2]]
    assert (have(one), have(two)) == ([0, 1, 3], [0, 1, 7])
    put(two, TEN, 8)
    assert (have(one), have(two)) == ([1, 3], [0, 1, 7, 8])


def test_what_is_wanted_is_asked_for_with_no_lock_held_and_only_where_something_must_go(tmp_path: Path) -> None:
    """Whoever answers may wait for somebody who uses the database."""
    client = SqliteStorage(tmp_path / "pieces.db", 300)
    one, two = client.open(TEN, HASH), client.open(TEN, OTHER)
    asked: list[int] = []

    def wanted() -> dict[InfoHash, bitarray]:
        asked.append(len(have(one)))
        background(lambda: one.record([0, 1, 2])).result(20)
        background(lambda: room(two)).result(20)
        background(lambda: whole(one, TEN, 1)).result(20)
        background(lambda: client.open(TEN, OTHER).close()).result(20)
        return {HASH: pieces(0, 1)}

    one.heed(wanted)
    put(one, TEN, 0, 1, 2)
    one.piece(1).writev(0, [b"x"])
    assert asked == []
    put(two, TEN, 5)
    assert asked == [3]
    assert have(one) == [0, 1]
    one.close()
    put(two, TEN, 6)
    assert asked == [3], "who has closed is not asked"


def test_who_took_the_room_while_somebody_was_asked_does_not_make_another_fail(tmp_path: Path) -> None:
    """It is looked at again when the answer is there."""
    client = SqliteStorage(tmp_path / "pieces.db", 300)
    one, two = client.open(TEN, HASH), client.open(TEN, OTHER)

    asked: list[int] = []

    def wanted() -> dict[InfoHash, bitarray]:
        asked.append(len(asked))
        if len(asked) == 1:
            background(lambda: put(two, TEN, 0)).result(20)
        return {}

    put(one, TEN, 0, 1, 2)
    one.record([0, 1, 2])
    two.heed(wanted)
    put(one, TEN, 5)
    assert (have(one), have(two)) == ([2, 5], [0])


def test_less_is_said_to_fit_than_is_kept_where_torrents_are_larger(tmp_path: Path) -> None:
    """A 32nd part is for what nobody wants, and what an earlier run left unfinished for nobody."""
    client = SqliteStorage(tmp_path / "pieces.db", 640)
    storage = client.open(MANY, HASH)
    assert room(storage) == 620
    put(storage, MANY, 0, 1, 100)
    storage.record([0])
    assert room(storage) == 620
    storage.close()
    storage = client.open(MANY, HASH)
    assert room(storage) == 620 - 2 * 10
    storage.record([1], [100])
    assert room(storage) == 620
    storage.close()
    client = SqliteStorage(tmp_path / "pieces.db", 1005)
    storage = client.open(MANY, HASH)
    assert room(storage) == 1005, "all of it fits, the short piece at its end included"
    put(storage, MANY, *range(101))
    storage.record(range(101))
    assert storage.completions()[1].all()


def test_what_was_found_wrong_goes_first(tmp_path: Path) -> None:
    """Nobody will read it, in this run or the next."""
    storage = SqliteStorage(tmp_path / "pieces.db", 400).open(TEN, HASH)
    put(storage, TEN, 0, 1, 2, 3)
    storage.record([0, 3], [1, 2])
    put(storage, TEN, 4)
    assert have(storage) == [0, 2, 3, 4]
    storage.close()
    storage = SqliteStorage(tmp_path / "pieces.db", 400).open(TEN, HASH)
    put(storage, TEN, 5)
    assert have(storage) == [0, 3, 4, 5]


def test_what_could_not_be_written_has_cost_nothing(tmp_path: Path) -> None:
    """What would have gone is there, and goes the next time."""
    storage = SqliteStorage(tmp_path / "pieces.db", 300).open(TEN, HASH)
    put(storage, TEN, 0, 1, 2)
    storage.record([0, 1, 2])
    writer = storage._shelf._database._writer
    writer.execute("PRAGMA query_only = 1")
    with pytest.raises(StorageFailed):
        put(storage, TEN, 3)
    writer.execute("PRAGMA query_only = 0")
    assert have(storage) == [0, 1, 2]
    assert whole(storage, TEN, 0) == TEN.of_piece(0)
    put(storage, TEN, 3)
    assert have(storage) == [0, 2, 3], "0 was read meanwhile"


def test_uses_of_what_is_not_there_are_not_believed(tmp_path: Path) -> None:
    """Of torrents and of pieces that the database does not have."""
    client = SqliteStorage(tmp_path / "pieces.db", 300)
    storage = client.open(TEN, HASH)
    put(storage, TEN, 0)
    storage.record([0])
    wrong = [(1 << 32 | 77, 100, 5), (9 << 32 | 1, 100, 6), (1 << 32 | 5, 100, 7)]
    storage._shelf._database.write(lambda on: save_uses(on, wrong))
    storage.close()
    storage = client.open(TEN, HASH)
    put(storage, TEN, 1, 2)
    assert have(storage) == [0, 1, 2]


def test_the_log_of_a_small_database_is_small(tmp_path: Path) -> None:
    """Or else it takes the room of a small disk, on which it could never be copied into the database."""
    length = 64 * KIB
    large = torrent(length, named("large", 100 * length))
    storage = SqliteStorage(tmp_path / "pieces.db", 32 * length).open(large, HASH)
    longest = 0
    for piece in range(100):
        put(storage, large, piece)
        storage.record([piece])
        longest = max(longest, (tmp_path / "pieces.db-wal").stat().st_size)
    assert longest < 16 * length


def test_a_database_is_opened_without_writing_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk does not keep anybody from reading what is there: its log could not take what would be written."""
    client = SqliteStorage(tmp_path / "pieces.db", 300)
    storage = client.open(TEN, HASH)
    put(storage, TEN, 0)
    storage.close()
    before = (tmp_path / "pieces.db").read_bytes()
    connect = sqlite3.connect

    def read_only(*args: Any, **settings: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **settings)
        connection.execute("PRAGMA query_only = 1")
        return connection

    monkeypatch.setattr(sqlite3, "connect", read_only)
    storage = client.open(TEN, HASH)
    assert whole(storage, TEN, 0) == TEN.of_piece(0)
    assert not (tmp_path / "pieces.db-wal").stat().st_size
    assert (tmp_path / "pieces.db").read_bytes() == before
