"""The cache of open files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from anabranch.storage.handles_io import Handles


@pytest.fixture
def opener(tmp_path: Path) -> Callable[[bool], int]:
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    return lambda writable: os.open(path, os.O_RDWR if writable else os.O_RDONLY)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_file_is_opened_once_and_the_one_unused_for_longest_is_closed(opener: Callable[[bool], int]) -> None:
    handles = Handles(limit=2)
    fds = []
    for number in (1, 2, 1, 3):
        with handles.borrow(("torrent", number), False, opener) as handle:
            fds.append(handle.fd)
    assert fds[0] == fds[2]
    assert len(handles) == 2
    assert [is_open(fd) for fd in (fds[0], fds[3])] == [True, True]
    assert handles.borrow_cached(("torrent", 2)) is None


def test_a_descriptor_in_use_is_never_closed(opener: Callable[[bool], int]) -> None:
    """Dropping a file while somebody reads it must not pull the descriptor away, or give it to another file."""
    handles = Handles(limit=1)
    with handles.borrow(("torrent", 1), False, opener) as first:
        with handles.borrow(("torrent", 2), False, opener):
            assert is_open(first.fd)
        handles.drop(("torrent", 1))
        assert is_open(first.fd)
        with handles.borrow(("torrent", 1), False, opener) as anew:
            assert anew.fd != first.fd
    assert not is_open(first.fd)
    handles.drop_all("torrent")
    assert len(handles) == 0
    assert not is_open(anew.fd)


def test_a_reader_is_served_by_a_writers_handle_but_not_the_other_way_round(opener: Callable[[bool], int]) -> None:
    handles = Handles()
    with handles.borrow(("torrent", 1), False, opener) as reading:
        with handles.borrow(("torrent", 1), True, opener) as writing:
            assert writing.fd != reading.fd
            assert is_open(reading.fd)
        with handles.borrow(("torrent", 1), False, opener) as again:
            assert again.fd == writing.fd
    assert not is_open(reading.fd)


def test_threads_that_fight_over_few_descriptors_never_meet_a_closed_one(opener: Callable[[bool], int]) -> None:
    handles = Handles(limit=2)
    faults: list[BaseException] = []

    def read(start: int) -> None:
        try:
            for number in range(300):
                with handles.borrow(("torrent", (start + number) % 5), number % 3 == 0, opener) as handle:
                    assert os.pread(handle.fd, 5, 0) == b"bytes"
                if number % 7 == 0:
                    handles.drop(("torrent", number % 5))
        except BaseException as fault:
            faults.append(fault)
            raise

    threads = [Thread(target=read, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(handles) <= 2
