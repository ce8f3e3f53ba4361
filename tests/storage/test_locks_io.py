"""Locks by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from anabranch.model import StorageFailed
from anabranch.storage.locks_io import holder, locked, try_lock

OTHER = """
import sys
from anabranch.storage.locks_io import holder, try_lock
lock = try_lock(sys.argv[1], b"name")
print("held" if lock else holder(sys.argv[1], b"name"), flush=True)
sys.stdin.read()
"""


def other_process(directory: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OTHER, str(directory)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_lock_is_held_by_one_until_it_is_released(tmp_path: Path) -> None:
    place = str(tmp_path)
    first = try_lock(place, b"name")
    assert first is not None
    assert try_lock(place, b"name") is None
    assert holder(place, b"name") == os.getpid()
    assert holder(place, b"other") == 0
    first.release()
    second = try_lock(place, b"name")
    first.release()  # again: not the new holder's lock
    assert second is not None
    assert try_lock(place, b"name") is None
    second.release()


def test_another_process_is_kept_out_and_one_that_is_killed_keeps_nobody_out(tmp_path: Path) -> None:
    """Also while others take and release locks of the same files, which must not let go of ours."""
    mine = try_lock(str(tmp_path), b"name")
    assert mine is not None
    for number in range(100):
        passing = try_lock(str(tmp_path), b"%d" % number)
        assert passing is not None
        passing.release()
    with other_process(tmp_path) as kept_out:
        assert told(kept_out) == str(os.getpid())
        kept_out.kill()
    mine.release()
    with other_process(tmp_path) as holds:
        assert told(holds) == "held"
        assert try_lock(str(tmp_path), b"name") is None
        assert holder(str(tmp_path), b"name") == holds.pid
        holds.kill()
    assert try_lock(str(tmp_path), b"name") is not None


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors as Linux tells them")
def test_ten_thousand_locks_are_held_with_few_descriptors(tmp_path: Path) -> None:
    """1,024 are a usual limit; and they are given back with the last lock."""
    before = descriptors()
    locks = [try_lock(str(tmp_path), b"%d" % number) for number in range(10_000)]
    assert None not in locks
    assert descriptors() - before <= 16
    for lock in locks:
        assert lock is not None
        lock.release()
    assert descriptors() == before


def test_threads_that_take_and_release_never_hold_it_both(tmp_path: Path) -> None:
    """As fast as they can."""
    inside: list[int] = []
    faults: list[str] = []

    def fight() -> None:
        for _ in range(60):
            lock = try_lock(str(tmp_path), b"name")
            if lock is not None:
                inside.append(1)
                if len(inside) > 1:
                    faults.append("two hold it")
                inside.pop()
                lock.release()

    threads = [Thread(target=fight) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_lock_that_cannot_be_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed, match="Not a directory"):
        try_lock(str(tmp_path / "file"), b"name")
    with pytest.raises(StorageFailed, match="Not a directory"), locked(str(tmp_path / "file" / "lock")):
        pass
    assert holder(str(tmp_path / "file"), b"name") == 0
