"""Locked files."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from anabranch.model import StorageFailed
from anabranch.storage.locks_io import holder, locked, try_lock


def test_a_lock_is_held_by_one_until_it_is_released(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    first = try_lock(path)
    assert first is not None
    assert try_lock(path) is None
    assert holder(path) == os.getpid()
    first.release()
    second = try_lock(path)
    first.release()  # again: not the new holder's lock
    assert second is not None
    assert try_lock(path) is None
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_never_held_on_a_file_that_nobody_finds(tmp_path: Path) -> None:
    """Threads that take and release as fast as they can: two never hold it at a time."""
    path = str(tmp_path / "lock")
    inside: list[int] = []
    faults: list[str] = []

    def fight() -> None:
        for _ in range(60):
            lock = try_lock(path)
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


def test_a_lock_that_was_removed_while_it_was_opened_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two could hold it: one on the removed file, one on the file that is there."""
    path = str(tmp_path / "lock")
    held = try_lock(path)
    assert held is not None
    real = os.open

    def late(*args: str | int) -> int:
        fd = real(str(args[0]), *map(int, args[1:]))
        held.release()
        return fd

    with monkeypatch.context() as system:
        system.setattr(os, "open", late)
        taken = try_lock(path)
    assert taken is not None
    assert try_lock(path) is None


def test_who_holds_a_lock_may_be_unknown(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"noise\xff")
    assert holder(str(tmp_path / "lock")) == 0
    assert holder(str(tmp_path / "none")) == 0


def test_a_lock_that_cannot_be_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed, match="Not a directory"):
        try_lock(str(tmp_path / "file" / "lock"))
    with pytest.raises(StorageFailed, match="Not a directory"), locked(str(tmp_path / "file" / "lock")):
        pass
