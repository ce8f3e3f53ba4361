"""The SQLite back end: what it keeps, what it gives up, and that it never records what it has not."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anabranch.model import Closed, Geometry, InfoHash, InputRefused, StorageFailed
from anabranch.storage import Bulk, Capacity, Completion, GivesUp, Groups, Heeds, ReadsAcross, Removes, Sparse, Streams
from anabranch.storage import sqlite_database_io as database_io
from anabranch.storage import sqlite_rows_io as rows_io
from anabranch.storage.sqlite_storage_io import SqliteStorage, SqliteTorrent
from anabranch.testing import SPACE, StorageCheck
from storage.conformance import SMALL, every_rule
from storage.small_torrents import HASH, SmallTorrent, got, named, put, torrent, whole
from threads import background

KIB = 1024
OTHER = InfoHash(b"\xcd" * 20)
TEN = torrent(100, named("ten", 1000))
NUMBERS = itertools.count()
FRAME = database_io.PAGE_SIZE + 24  # bytes of the log for a page
WRITING = """if True:
    import sys
    from anabranch.storage.sqlite_storage_io import SqliteStorage
    from storage.test_sqlite_storage_io import LONG, killed_bytes
    storage = SqliteStorage(sys.argv[1]).open(LONG, LONG.name)
    for piece in range(LONG.geometry.piece_count):
        data = killed_bytes(piece)
        storage.piece(piece).writev(0, [data[:70_000]])
        storage.piece(piece).writev(70_000, [data[70_000:]])
        if piece % 3 == 2:
            storage.record([piece - 2, piece - 1, piece])
            print(piece, flush=True)
    sys.stdin.read()
"""


class Long:
    """A torrent that is too long to have its content at hand."""

    def __init__(self, pieces: int, piece_length: int, total: int | None = None) -> None:
        self.geometry = Geometry(total or pieces * piece_length, piece_length)
        self.files = (named("long", self.geometry.total),)
        self.name = InfoHash(piece_length.to_bytes(20, "big"))


LONG = Long(3000, 300 * KIB)


def killed_bytes(piece: int) -> bytes:
    """What a piece of LONG holds."""
    return random.Random(piece).randbytes(300) * KIB


def content_of(piece: int, length: int) -> bytes:
    return (b"%8d" % piece) * (length // 8)


def opened(path: Path, of: SmallTorrent = TEN, capacity: int | None = None, name: InfoHash = HASH) -> SqliteTorrent:
    return SqliteStorage(path / "pieces.db", capacity).open(of, name)


def states(storage: SqliteTorrent, count: int = 10) -> str:
    """A letter a piece: complete, incomplete, or unknown."""
    return "".join(storage.piece(piece).completion().value[0] for piece in range(count))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that SQLite runs from here on, of all connections."""
    statements: list[str] = []
    connect = sqlite3.connect

    def traced(*args: Any, **settings: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **settings)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    return statements


def transactions(statements: Sequence[str]) -> list[str]:
    return [statement for statement in statements if statement.startswith(("BEGIN", "INSERT OR REPLACE INTO str"))]


@every_rule
@pytest.mark.parametrize("capacity", [None, SPACE])
def test_a_database_is_a_whole_back_end(check: StorageCheck, tmp_path: Path, capacity: int | None) -> None:
    """With a limit and without; what is recorded is known the next time."""
    check(lambda: SqliteStorage(tmp_path / "made" / "pieces.db", capacity), persistent=True)


def test_it_has_the_abilities_that_suit_it(tmp_path: Path) -> None:
    storage = opened(tmp_path)
    for ability in (Groups, Bulk, Sparse, Streams, ReadsAcross, GivesUp, Heeds, Removes):
        assert isinstance(storage, ability)
    assert storage.capacity is None
    with pytest.raises(ValueError, match="-1"):
        SqliteStorage(tmp_path / "x", -1)


def test_what_is_kept_is_there_the_next_time(tmp_path: Path) -> None:
    """Recorded pieces are known, written ones are unknown, of the others it is known that nothing is there."""
    storage = opened(tmp_path)
    put(storage, TEN, 0, 1, 2, 3)
    storage.record([0, 1], [2])
    storage.close()
    storage = opened(tmp_path)
    assert states(storage) == "cciuiiiiii"
    assert [storage.present(piece) for piece in range(6)] == [True] * 4 + [False] * 2
    assert [whole(storage, TEN, piece) for piece in range(4)] == [TEN.of_piece(piece) for piece in range(4)]


def test_a_piece_without_bytes_is_never_recorded_as_complete(tmp_path: Path) -> None:
    """Whoever vouches for it."""
    storage = opened(tmp_path)
    storage.record(range(10))
    assert states(storage) == "i" * 10
    put(storage, TEN, 4)
    storage.record(range(10))
    assert states(storage) == "iiiiciiiii"
    storage.close()
    assert states(opened(tmp_path)) == "iiiiciiiii"


def test_a_piece_stops_being_complete_with_the_first_byte_that_is_written_over_it(
    tmp_path: Path, said: list[str]
) -> None:
    """In the same transaction: a kill finds the old bytes and the record, or neither."""
    storage = opened(tmp_path)
    put(storage, TEN, 0)
    storage.record([0])
    said.clear()
    storage.piece(0).writev(10, [b"x"])
    assert [statement for statement in said if statement in ("BEGIN IMMEDIATE", "COMMIT")] == [
        "BEGIN IMMEDIATE",
        "COMMIT",
    ]
    assert states(storage)[0] == "u"
    storage.close()
    assert states(opened(tmp_path))[0] == "u"


def test_torrents_share_a_file_which_is_open_while_one_of_them_is(tmp_path: Path) -> None:
    client = SqliteStorage(tmp_path / "pieces.db")
    one, two = client.open(TEN, HASH), client.open(SMALL, OTHER)
    put(one, TEN, 1)
    put(two, SMALL, 1)
    one.close()
    one.close()
    with pytest.raises(Closed):
        one.flush()
    assert whole(two, SMALL, 1) == SMALL.of_piece(1)
    assert (tmp_path / "pieces.db-wal").exists()
    two.close()
    assert not (tmp_path / "pieces.db-wal").exists()
    assert whole(client.open(TEN, HASH), TEN, 1) == TEN.of_piece(1)


def test_a_torrent_that_is_opened_twice_is_one(tmp_path: Path) -> None:
    """What one says, the other knows."""
    client = SqliteStorage(tmp_path / "pieces.db")
    one, two = client.open(TEN, HASH), client.open(TEN, HASH)
    put(one, TEN, 1)
    one.record([1])
    one.close()
    assert states(two) == "iciiiiiiii"
    two.close()
    with pytest.raises(InputRefused, match="other measures"):
        SqliteStorage(tmp_path / "pieces.db").open(SMALL, HASH)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 24), st.integers(0, 25)), max_size=12))
def test_any_parts_are_read_as_they_were_written(tmp_path: Path, writes: list[tuple[int, int, int]]) -> None:
    """However they fall into rows; what was never written of a piece that is there reads as zeros."""
    small, mirror = torrent(25, named("f", 70)), bytearray(70)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_io, "STRETCH", 10)
        storage = SqliteStorage(tmp_path / f"{next(NUMBERS)}.db").open(small, HASH)
        touched: set[tuple[int, int]] = set()
        for number, (piece, begin, length) in enumerate(writes):
            length = max(0, min(length, small.geometry.length_of(piece) - begin))
            data = bytes([number + 1]) * length
            if length:
                storage.piece(piece).writev(begin, [data[:3], data[3:]])
                touched.update((piece, (begin + at) // 10) for at in range(length))
                mirror[piece * 25 + begin : piece * 25 + begin + length] = data
        for piece in range(3):
            length = small.geometry.length_of(piece)
            if all((piece, row) in touched for row in range(-(-length // 10))):
                assert whole(storage, small, piece) == mirror[piece * 25 : piece * 25 + length]
                assert b"".join(map(bytes, storage.stream(piece))) == mirror[piece * 25 : piece * 25 + length]
            else:
                with pytest.raises(StorageFailed, match="short at offset"):
                    whole(storage, small, piece)
        storage.close()


def test_bytes_are_readable_while_a_writer_is_at_work(tmp_path: Path) -> None:
    """Readers wait neither for a transaction nor for its sync, and see what was written before it."""
    storage = opened(tmp_path)
    put(storage, TEN, 1)
    begun, go_on = threading.Event(), threading.Event()

    def work(_: sqlite3.Connection) -> None:
        begun.set()
        assert go_on.wait(20)

    writer = background(lambda: storage._shelf._database.write(work, durable=True))
    assert begun.wait(20)
    assert background(lambda: whole(storage, TEN, 1)).result(20) == TEN.of_piece(1)
    assert background(lambda: states(storage)).result(20) == "iuiiiiiiii"
    go_on.set()
    writer.result(20)


def test_eight_threads_write_read_and_record_at_once(tmp_path: Path) -> None:
    """Each finds its bytes as soon as they are written, in whatever stretches."""
    long = Long(64, 300 * KIB)
    storage = SqliteStorage(tmp_path / "pieces.db").open(long, long.name)

    def work(thread: int) -> None:
        for piece in range(thread, 64, 8):
            data = content_of(piece, 300 * KIB)
            storage.piece(piece).writev(0, [data])
            storage.piece(piece).writev(100, [data[100:20_000]])
            assert got(storage.piece(piece), 300 * KIB) == data
            storage.record([piece])
            assert got(storage.piece(thread), 1000, begin=5000) == content_of(thread, 300 * KIB)[5000:6000]

    for done in [background(partial(work, thread)) for thread in range(8)]:
        done.result(60)
    assert states(storage, 64) == "c" * 64


def test_opening_350_000_pieces_reads_once_and_recording_them_takes_one_transaction(
    tmp_path: Path, said: list[str]
) -> None:
    """Others opened a torrent of 333,000 pieces with as many transactions."""
    long = Long(350_000, 8)
    client = SqliteStorage(tmp_path / "pieces.db")
    storage = client.open(long, long.name)
    storage._kept.bits.written.setall(True)  # as if all had been written, which is not the rule here
    storage.piece(0).writev(0, [b"anything"])
    said.clear()
    storage.record(range(350_000))
    assert transactions(said) == ["BEGIN IMMEDIATE"]
    assert len(said) < 50
    storage.close()
    client.open(TEN, HASH)
    said.clear()
    again = client.open(long, long.name)
    assert transactions(said) == ["BEGIN"]
    assert len(said) < 8
    assert again.completions()[1].count() == 350_000


def test_reading_writes_nothing(tmp_path: Path, said: list[str]) -> None:
    """Not even when a piece was used last."""
    storage = opened(tmp_path, capacity=1000)
    put(storage, TEN, *range(10))
    storage.record(range(10))
    said.clear()
    for piece in range(10):
        whole(storage, TEN, piece)
    assert not [statement for statement in said if statement.startswith(("BEGIN", "INSERT", "UPDATE", "COMMIT"))]


def test_torrents_of_one_database_share_one_capacity(tmp_path: Path) -> None:
    """W26, the flaw: each torrent that was opened from one cache got an object of its own, and they shared no order."""
    client = SqliteStorage(tmp_path / "pieces.db", 1000)
    one, two = client.open(TEN, HASH), client.open(SMALL, OTHER)
    assert one.capacity is two.capacity
    assert isinstance(one.capacity, Capacity)
    assert one.capacity.capacity() == 1000
    first = one.capacity
    one.close()
    two.close()
    assert client.open(TEN, HASH).capacity is first


def test_the_longest_unused_complete_piece_makes_room_whose_torrent_it_is(tmp_path: Path) -> None:
    """Who had it is told, with no lock held, when it is gone; what is not complete stays."""
    client = SqliteStorage(tmp_path / "pieces.db", 500)
    one, two = client.open(TEN, HASH), client.open(TEN, OTHER)
    told: list[tuple[str, list[int]]] = []

    def telling(name: str, storage: SqliteTorrent) -> Callable[[Sequence[int]], None]:
        def tell(pieces: Sequence[int]) -> None:
            told.append((name, list(pieces)))
            assert states(storage)[pieces[0]] == "i"
            for ask in (lambda: whole(one, TEN, 3), lambda: two.piece(9).mark_incomplete()):
                background(ask).result(20)  # nobody is in their way

        return tell

    one.on_given_up(telling("one", one))
    two.on_given_up(telling("two", two))
    put(one, TEN, 0, 1, 2, 3)
    put(two, TEN, 5)
    one.record([0, 1, 3])
    two.record([5])
    whole(one, TEN, 0)
    put(two, TEN, 6)
    assert told == [("one", [1])]
    put(two, TEN, 7)
    put(two, TEN, 8)
    assert told == [("one", [1]), ("two", [5]), ("one", [0])]  # 3 was read by tell()
    two.record([6])
    with pytest.raises(StorageFailed, match="short at offset 500"):
        whole(two, TEN, 5)
    one.close()
    two.close()
    client = SqliteStorage(tmp_path / "pieces.db", 500)
    assert states(client.open(TEN, HASH)) == "iiuciiiiii"
    assert states(client.open(TEN, OTHER)) == "iiiiiicuui"


def test_last_use_survives_a_restart(tmp_path: Path) -> None:
    """And what belongs to torrents that are not open is given up like the rest."""
    storage = opened(tmp_path, capacity=1000)
    put(storage, TEN, *range(10))
    storage.record(range(9))
    for piece in (3, 0, 1, 2, 4):
        whole(storage, TEN, piece)
    storage.close()
    client = SqliteStorage(tmp_path / "pieces.db", 1000)
    other = client.open(TEN, OTHER)
    put(other, TEN, *range(6))
    storage = client.open(TEN, HASH)
    assert [piece for piece in range(10) if storage.present(piece)] == [1, 2, 4, 9]


def test_a_disk_that_is_full_at_the_end_costs_only_the_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """close() raises nothing."""
    storage = opened(tmp_path, capacity=1000)
    put(storage, TEN, 0, 1)
    storage.record([0, 1])
    whole(storage, TEN, 0)
    storage._shelf._database._writer.execute("PRAGMA query_only = 1")
    storage.close()
    assert "order of use not saved" in caplog.text
    assert states(opened(tmp_path)) == "cciiiiiiii"


def test_a_smaller_capacity_holds_from_the_first_write(tmp_path: Path) -> None:
    storage = opened(tmp_path)
    put(storage, TEN, *range(10))
    storage.record(range(10))
    storage.close()
    storage = opened(tmp_path, capacity=350)
    storage.piece(0).writev(0, [b"x"])
    assert states(storage).count("c") + states(storage).count("u") == 10  # it takes no more space than before
    storage.record([0])
    storage.close()
    client = SqliteStorage(tmp_path / "pieces.db", 350)
    other = client.open(TEN, OTHER)
    put(other, TEN, 0)
    assert states(client.open(TEN, HASH)).count("c") == 2


def test_what_can_never_fit_is_one_clear_error_and_what_is_unfinished_has_room(tmp_path: Path) -> None:
    """No more is begun than fits, and what is begun shall not fail because others are not recorded yet."""
    with pytest.raises(InputRefused, match="a database that keeps 99 bytes has no room for a piece of 100"):
        opened(tmp_path, capacity=99)
    storage = opened(tmp_path, capacity=250)
    put(storage, TEN, 0, 1, 2)
    assert states(storage) == "uuuiiiiiii"
    storage.record([1, 2])
    put(storage, TEN, 3)
    assert states(storage) == "uiiuiiiiii"


def test_the_file_stays_within_its_capacity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times as much is written as there is room for: pages are used again."""
    monkeypatch.setattr(database_io, "LOG_SIZE", 1024 * KIB)
    capacity, length = 2048 * KIB, 64 * KIB
    long = Long(320, length)
    storage = SqliteStorage(tmp_path / "pieces.db", capacity).open(long, long.name)
    for piece in range(320):
        storage.piece(piece).writev(0, [content_of(piece, length)])
        if piece % 4 == 3:
            storage.record(range(piece - 3, piece + 1))
    assert states(storage, 320) == "i" * 288 + "c" * 32
    assert (tmp_path / "pieces.db").stat().st_size < 1.3 * capacity
    assert (tmp_path / "pieces.db-wal").stat().st_size <= 5 * 1024 * KIB


def test_a_removed_torrent_gives_its_space_back(tmp_path: Path) -> None:
    client = SqliteStorage(tmp_path / "pieces.db")
    long = Long(40, 64 * KIB)
    kept, storage = client.open(TEN, HASH), client.open(long, long.name)
    for piece in range(40):
        storage.piece(piece).writev(0, [content_of(piece, 64 * KIB)])
    put(kept, TEN, 2)
    storage.record(range(40))
    storage.remove()
    assert states(storage, 40) == "i" * 40
    assert (tmp_path / "pieces.db").stat().st_size < 300 * KIB
    storage.piece(3).writev(0, [b"anew"])
    storage.close()
    assert states(client.open(long, long.name), 40) == "iiiu" + "i" * 36
    assert whole(kept, TEN, 2) == TEN.of_piece(2)


def test_wherever_the_log_ends_no_wrong_piece_is_recorded(tmp_path: Path) -> None:
    """W41: a loss of power keeps a part of what was not synced; the log is read as far as some frame."""
    long = Long(4, 40 * KIB)
    storage = SqliteStorage(tmp_path / "pieces.db", 120 * KIB).open(long, long.name)
    for piece in range(4):
        storage.piece(piece).writev(0, [content_of(piece, 40 * KIB)])
        storage.record([piece])
    log = (tmp_path / "pieces.db-wal").stat().st_size
    most = 0
    for number, end in enumerate(range(32, log + 1, FRAME)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in ("pieces.db", "pieces.db-wal"):
            shutil.copy(tmp_path / name, folder)
        os.truncate(folder / "pieces.db-wal", end)
        found = SqliteStorage(folder / "pieces.db").open(long, long.name)
        for piece in found.completions()[1].search(1):
            assert got(found.piece(piece), 40 * KIB) == content_of(piece, 40 * KIB)
            most = max(most, piece)
        found.close()
    assert most == 3


def test_what_was_recorded_before_a_kill_is_there_and_right(tmp_path: Path) -> None:
    """W41: at whatever moment it comes; no more than one group is lost."""
    for number, pieces in enumerate((3, 40)):
        path = tmp_path / f"{number}.db"
        tests = Path(__file__).resolve().parent.parent
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITING, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tests
        )
        assert writer.stdin is not None
        assert writer.stdout is not None
        for line in writer.stdout:
            last = int(line)
            if last >= pieces:
                break
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        storage = SqliteStorage(path).open(LONG, LONG.name)
        complete = storage.completions()[1]
        assert complete[: last + 1].all()
        for piece in complete.search(1):
            assert got(storage.piece(piece), 300 * KIB) == killed_bytes(piece)
        storage.close()


def test_recording_waits_for_the_disk_and_writing_does_not(tmp_path: Path, said: list[str]) -> None:
    """W42: a group has one transaction, and that one is synced."""
    storage = opened(tmp_path)
    put(storage, TEN, *range(5))
    storage.record([0])
    said.clear()
    put(storage, TEN, 5, 6)
    storage.record(range(7))
    put(storage, TEN, 7)
    told = [line.removeprefix("PRAGMA ") for line in said if line.startswith(("PRAGMA", "BEGIN"))]
    write = "BEGIN IMMEDIATE"
    assert told == ["synchronous = NORMAL", write, write, "synchronous = FULL", write, "synchronous = NORMAL", write]
    assert Completion.COMPLETE is storage.piece(6).completion()
