"""Threads that read and hash."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from anabranch.metainfo import Crew, Hand, open_to_read, read_at
from anabranch.metainfo.crew_io import cores
from anabranch.metainfo.hashing import WARM_SIZE


def test_every_stretch_is_done_once_and_its_result_given() -> None:
    """In any order, by as many threads as can run."""
    names = set()

    def work(stretch: int, hand: Hand) -> int:
        names.add(threading.current_thread().name)
        hand.through += stretch
        return stretch * stretch

    with Crew("test-crew") as crew:
        come = [one for one in crew.over(range(1000), work) if one is not None]
    assert sorted(come) == [(stretch, stretch * stretch) for stretch in range(1000)]
    assert crew.through == sum(range(1000))
    assert names <= {f"test-crew-{number}" for number in range(cores())}


def test_each_thread_has_a_buffer_of_its_own() -> None:
    """Which it keeps from one stretch to the next."""
    both = threading.Barrier(min(cores(), 2))
    buffers: dict[int, set[int]] = {}

    def work(stretch: int, hand: Hand) -> None:
        if stretch < both.parties:
            both.wait(10)
        assert len(hand.buffer) == WARM_SIZE
        buffers.setdefault(threading.get_ident(), set()).add(id(hand.buffer))

    with Crew("test-crew") as crew:
        assert len([one for one in crew.over(range(50), work) if one is not None]) == 50
    assert all(len(own) == 1 for own in buffers.values())
    assert len(set.union(*buffers.values())) == len(buffers)


def test_what_the_work_raises_is_raised_where_the_results_are_wanted() -> None:
    """And the other threads stop before their next stretch."""
    done = []

    def work(stretch: int, hand: Hand) -> None:
        if stretch == 5:
            raise OSError(5, "Input/output error")
        done.append(stretch)

    with pytest.raises(OSError, match="Input/output"), Crew("test-crew") as crew:
        for _ in crew.over(iter(range(10**9)), work):
            pass
    assert crew.stopped
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-crew")]


def test_a_stretch_that_cannot_be_worked_out_is_an_error_too() -> None:
    """Nobody waits for ever for a thread that died of it."""

    def stretches() -> list[int]:
        raise ValueError("no such stretch")

    with pytest.raises(ValueError, match="no such"), Crew("test-crew") as crew:
        for _ in crew.over((one for _ in range(3) for one in stretches()), lambda stretch, hand: stretch):
            pass


def test_who_leaves_early_is_not_waited_for() -> None:
    """A hand sees before each read that nobody wants the result; what hangs in a read holds up nobody but itself."""
    begun, go = threading.Event(), threading.Event()
    stopped = []

    def work(stretch: int, hand: Hand) -> None:
        begun.set()
        go.wait(10)
        stopped.append(hand.stopped)

    with Crew("test-crew") as crew:
        for come in crew.over(iter(range(10**9)), work):
            assert come is None, "time passes, and the caller gets to look around"
            assert begun.is_set()
            break
        crew.stopped = True
        go.set()
    assert stopped == [True] * len(stopped)
    assert stopped


def test_a_file_is_read_at_any_place_and_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there is no preadv."""
    data = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(data)
    fd = open_to_read(str(tmp_path / "f"), len(data))
    room = memoryview(bytearray(1000))
    with open(fd, "rb"):
        for _ in range(2):
            assert read_at(fd, room, 77) == 1000
            assert room == data[77:1077]
            assert read_at(fd, room, len(data) - 10) == 10
            assert room[:10] == data[-10:]
            assert read_at(fd, room, len(data) + 5) == 0
            monkeypatch.delattr("os.preadv", raising=False)
