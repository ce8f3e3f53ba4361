"""Reading and writing at a place, with and without the system calls that make it fast."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from anabranch.storage.handles_io import Handle, lone_handle
from anabranch.storage.positional_io import WarmReader, copy_data, data_runs, read_at, write_at

NAMES = {"vectors": (), "plain": ("preadv", "pwritev"), "seeking": ("preadv", "pwritev", "pread", "pwrite")}


@pytest.fixture(params=NAMES)
def twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that lacks some calls."""
    for name in NAMES[request.param]:
        monkeypatch.delattr(os, name, raising=False)


@pytest.fixture
def handle(tmp_path: Path) -> Iterator[Handle]:
    with lone_handle(os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)) as opened:
        yield opened


@pytest.mark.usefixtures("twin")
def test_many_buffers_are_written_whole_and_read_back(handle: Handle) -> None:
    """More buffers than one system call takes."""
    buffers = [memoryview(bytes([number % 256]) * (number % 5)) for number in range(3000)]
    write_at(handle, buffers, 7)
    joined = b"".join(buffers)
    room = bytearray(len(joined) + 50)
    assert read_at(handle, memoryview(room), 7) == len(joined)
    assert bytes(room[: len(joined)]) == joined
    assert read_at(handle, memoryview(room), 10**6) == 0


def test_a_write_that_the_system_cuts_short_goes_on(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    """POSIX allows a write to do less than it was asked for."""
    whole = os.pwritev

    def short(fd: int, buffers: list[memoryview], place: int) -> int:
        return whole(fd, [buffers[0][:3]], place)

    monkeypatch.setattr(os, "pwritev", short)
    write_at(handle, [memoryview(b"abcdefgh"), memoryview(b"ij"), memoryview(b"klmn")], 2)
    assert os.pread(handle.fd, 99, 0) == b"\0\0abcdefghijklmn"


def test_a_write_that_gets_nowhere_is_an_error(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwritev", lambda fd, buffers, place: 0)
    with pytest.raises(OSError, match="Input/output error"):
        write_at(handle, [memoryview(b"abc")], 0)


def test_holes_are_found_and_stay_holes_in_a_copy(handle: Handle, tmp_path: Path) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    os.pwrite(handle.fd, b"a" * page, 10 * page)
    os.pwrite(handle.fd, b"b" * page, 30 * page)
    runs = list(data_runs(handle, 0, 40 * page))
    if runs == [(0, 31 * page)]:
        pytest.skip("this file system knows no holes")
    assert runs == [(10 * page, page), (30 * page, page)]
    assert list(data_runs(handle, 11 * page, 5 * page)) == []
    assert list(data_runs(handle, 50 * page, 5 * page)) == []
    with lone_handle(os.open(tmp_path / "copy", os.O_RDWR | os.O_CREAT)) as copy:
        copy_data(handle, 5 * page, 30 * page, copy, 0)
        assert list(data_runs(copy, 0, 40 * page)) == [(5 * page, page), (25 * page, page)]
        assert os.pread(copy.fd, 3, 25 * page) == b"bbb"


def test_where_holes_are_not_known_everything_is_data(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    os.ftruncate(handle.fd, 100)
    monkeypatch.delattr(os, "SEEK_DATA", raising=False)
    assert list(data_runs(handle, 10, 200)) == [(10, 90)]


def test_what_was_just_written_is_read_without_waiting(handle: Handle) -> None:
    """On a file system that knows the flag or is memory itself; any other says 0 for "ask a worker"."""
    os.pwrite(handle.fd, b"warm", 3)
    room = memoryview(bytearray(9))
    assert WarmReader().read(handle, room, 3) in (4, 0)


def test_a_device_that_does_not_know_the_flag_is_asked_once(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each refused call costs as much as one that brings bytes."""
    asked: list[int] = []

    def preadv(fd: int, buffers: list[memoryview], place: int, flags: int = 0) -> int:
        asked.append(flags)
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr(os, "RWF_NOWAIT", 8, raising=False)
    handle.device = 0  # no file system is there
    warm = WarmReader()
    assert [warm.read(handle, memoryview(bytearray(9)), 0) for _ in range(3)] == [0, 0, 0]
    assert asked == [8]


def test_memory_is_read_directly_where_the_flag_is_not_known() -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir():
        pytest.skip("no file system in memory here")
    path = shared / f"anabranch-{os.getpid()}"
    with lone_handle(os.open(path, os.O_RDWR | os.O_CREAT)) as handle:
        path.unlink()
        os.pwrite(handle.fd, b"memory", 0)
        warm = WarmReader()
        for _ in range(2):
            room = bytearray(6)
            assert warm.read(handle, memoryview(room), 0) == 6
            assert room == b"memory"


@pytest.mark.parametrize("name", ["preadv", "RWF_NOWAIT"])
def test_without_the_call_a_worker_is_asked(handle: Handle, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    os.pwrite(handle.fd, b"warm", 0)
    monkeypatch.delattr(os, name, raising=False)
    assert WarmReader().read(handle, memoryview(bytearray(4)), 0) == 0


def test_a_read_that_would_wait_is_left_to_a_worker(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    def would_wait(*_: object) -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "preadv", would_wait)
    monkeypatch.setattr(os, "RWF_NOWAIT", 8, raising=False)
    assert WarmReader().read(handle, memoryview(bytearray(4)), 0) == 0
