"""Storage that fails on order."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

from anabranch.model import StorageFailed
from anabranch.storage import (
    Bulk,
    ClientStorage,
    Direct,
    FileStorage,
    GivesUp,
    Groups,
    Hashes,
    Mapped,
    MemoryStorage,
    ReadsAcross,
    ReadsWarm,
    Selects,
    Sparse,
    Streams,
    TorrentStorage,
)
from anabranch.testing import STORAGE_CHECKS, Fault, FaultyStorage, Gate, StorageCheck
from engine.samples import PlainStorage
from storage.small_torrents import HASH, SmallTorrent, got, named, put, torrent, whole
from testing.broken import AbleStorage

SMALL = torrent(64, named("a", 100), named("b", 92))
ABILITIES = (ReadsWarm, ReadsAcross, Groups, Bulk, Selects, Sparse, Streams, Hashes, Direct, Mapped, GivesUp)


def opened(inner: ClientStorage | None = None, small: SmallTorrent = SMALL) -> tuple[FaultyStorage, TorrentStorage]:
    """One with all its bytes."""
    home = FaultyStorage(inner or AbleStorage())
    storage = home.open(small, HASH)
    put(storage, small, *range(small.geometry.piece_count))
    return home, storage


@pytest.mark.parametrize("check", STORAGE_CHECKS, ids=str)
def test_without_a_fault_it_is_as_good_as_what_is_inside(check: StorageCheck, tmp_path: Path) -> None:
    """By every rule of storage."""
    check(lambda: FaultyStorage(FileStorage(tmp_path)))
    check(lambda: FaultyStorage(AbleStorage()), persistent=True)


@pytest.mark.parametrize(
    "inner", [PlainStorage(), MemoryStorage(), AbleStorage()], ids=lambda home: type(home).__name__
)
def test_it_can_what_the_one_inside_can(inner: ClientStorage) -> None:
    """The engine looks for abilities with isinstance(), and shall find the same ones."""
    bare, wrapped = inner.open(SMALL, HASH), FaultyStorage(inner).open(SMALL, HASH)
    assert [isinstance(wrapped, ability) for ability in ABILITIES] == [
        isinstance(bare, ability) for ability in ABILITIES
    ]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE, errno.EACCES, errno.ENOENT])
def test_a_call_is_refused_with_the_systems_words(number: int) -> None:
    """And what was not done is not done."""
    home, storage = opened()
    home.faults.add(Fault("write", number, path="/a/file"))
    with pytest.raises(StorageFailed) as failed:
        storage.piece(0).writev(0, [b"x"])
    assert (failed.value.errno, failed.value.path) == (number, "/a/file")
    assert whole(storage, SMALL, 0) == SMALL.of_piece(0)


def test_faults_are_counted_out() -> None:
    """The third and fourth write from now on; then all is well again."""
    home, storage = opened()
    home.faults.add(Fault("write", errno.ENOSPC, skip=2, times=2))
    came = []
    for _ in range(6):
        try:
            put(storage, SMALL, 0)
            came.append(True)
        except StorageFailed:
            came.append(False)
    assert came == [True, True, False, False, True, True]
    assert home.faults.calls["write"] == 3 + 6
    assert not home.faults.planned("write")


def test_a_fault_may_be_for_some_pieces_only_and_taken_back() -> None:
    """Others never meet it."""
    home, storage = opened()
    fault = home.faults.add(Fault("read", errno.EIO, pieces={1}))
    assert whole(storage, SMALL, 0) == SMALL.of_piece(0)
    with pytest.raises(StorageFailed):
        whole(storage, SMALL, 1)
    home.faults.remove(fault)
    assert whole(storage, SMALL, 1) == SMALL.of_piece(1)


def test_a_call_may_be_refused_after_it_was_done() -> None:
    """A write whose bytes are there, a record that is recorded: the error says nothing of that."""
    home, storage = opened()
    home.faults.add(Fault("write", errno.EIO, late=True, times=1))
    with pytest.raises(StorageFailed):
        storage.piece(0).writev(0, [b"xyz"])
    assert got(storage.piece(0), 3) == b"xyz"
    home.faults.add(Fault("record", errno.EIO, late=True, times=1))
    with pytest.raises(StorageFailed):
        storage.piece(1).mark_complete()
    assert isinstance(storage, Bulk)
    assert storage.completions()[1].to01() == "010"


def test_a_read_may_be_short_in_words_or_in_silence() -> None:
    """The front of it is read; silent it answers how many bytes, which no back end should."""
    home, storage = opened()
    home.faults.add(Fault("read", short=4, times=1))
    room = bytearray(10)
    with pytest.raises(StorageFailed, match="4 bytes short") as failed:
        storage.piece(0).readinto(0, room)
    assert failed.value.errno == 0
    assert room == SMALL.of_piece(0)[:6] + bytes(4)
    home.faults.add(Fault("read", short=4, silent=True, times=2))
    answer: object = storage.piece(0).readinto(0, room)  # type: ignore[func-returns-value]  # that is the fault
    assert answer == 6
    assert isinstance(storage, Streams)
    assert b"".join(map(bytes, storage.stream(0))) == SMALL.of_piece(0)[:-4]


def test_a_disk_may_lie() -> None:
    """A bit changes on the way in, or out, and nobody says so."""
    home, storage = opened()
    home.faults.add(Fault("read", flip=3, times=1))
    lie = bytearray(SMALL.of_piece(0))
    lie[3] ^= 1
    assert whole(storage, SMALL, 0) == lie
    assert whole(storage, SMALL, 0) == SMALL.of_piece(0)
    home.faults.add(Fault("write", flip=64 + 3, times=1))
    data = bytearray(SMALL.of_piece(0))
    storage.piece(0).writev(0, [data[:10], data[10:]])
    assert whole(storage, SMALL, 0) == lie
    assert data == SMALL.of_piece(0)


def test_a_call_waits_until_it_is_let_go() -> None:
    """A disk that hangs, for as long as the test likes."""
    home, storage = opened()
    gate = Gate()
    home.faults.add(Fault("flush", gate=gate, times=1))
    flushing = Thread(target=storage.flush)
    flushing.start()
    assert gate.arrived()
    assert flushing.is_alive()
    storage.flush()  # another call does not wait
    gate.open()
    flushing.join(10)
    assert not flushing.is_alive()


def test_clearing_the_plan_lets_go_whoever_waits() -> None:
    """So that no test leaves a thread behind."""
    home, storage = opened()
    gate = Gate()
    home.faults.add(Fault("read", gate=gate))
    reading = Thread(target=whole, args=(storage, SMALL, 0))
    reading.start()
    assert gate.arrived()
    home.faults.clear()
    reading.join(10)
    assert not reading.is_alive()
    assert whole(storage, SMALL, 0) == SMALL.of_piece(0)


def test_what_is_planned_for_reads_is_met_by_every_way_to_read() -> None:
    """None goes past it: not warm, not mapped, not lent to the kernel, not by a digest that is known."""
    home, storage = opened()
    assert isinstance(storage, ReadsWarm)
    assert isinstance(storage, Direct)
    assert isinstance(storage, Mapped)
    assert isinstance(storage, Hashes)
    assert isinstance(storage, ReadsAcross)
    assert isinstance(storage, Streams)
    room = bytearray(10)
    assert storage.read_warm(0, room) == 10
    home.faults.add(Fault("read", errno.EIO))
    assert storage.read_warm(0, room) == 0
    assert storage.mapped(0, 10) is None
    assert storage.sha1(0) is None
    with storage.direct(0, 10) as run:
        assert run is None
    for read in (lambda: storage.read_across(0, room), lambda: list(storage.stream(0))):
        with pytest.raises(StorageFailed):
            read()


@pytest.mark.parametrize("call", ["open", "completion", "present", "select", "flush", "close", "sha1"])
def test_every_kind_of_call_can_fail(call: str) -> None:
    """Each is counted, too."""
    home, storage = opened()
    home.faults.add(Fault(call, errno.EIO))  # type: ignore[arg-type]  # one of the kinds
    assert isinstance(storage, Selects)
    calls: dict[str, Callable[[], object]] = {
        "open": lambda: home.open(SMALL, HASH),
        "completion": lambda: storage.piece(0).completion(),
        "present": lambda: isinstance(storage, Sparse) and storage.present(0),
        "select": partial(storage.select, [True] * 2),
        "flush": storage.flush,
        "close": storage.close,
        "sha1": lambda: isinstance(storage, Hashes) and storage.sha1(0),
    }
    before = home.faults.calls[call]
    with pytest.raises(StorageFailed):
        calls[call]()
    assert home.faults.calls[call] == before + 1
