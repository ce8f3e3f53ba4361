"""Durability: what is synced before what is recorded, and what a kill or a loss of power leaves behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from bitarray import bitarray

from anabranch.model import StorageFailed
from anabranch.storage import Completion, FileStorage, MemoryCompletion
from storage.small_torrents import HASH, SmallTorrent, named, put, torrent, tree, whole

TRIO = torrent(64, named("t/a", 100), named("t/b", 100), named("u/c", 100))  # a: 0-1, b: 1-3, c: 3-4


class Killed(BaseException):
    """The end of the program, here and now."""


class Disk:
    """What would be left after a loss of power: each file as it was when it was last synced, and zeros for the rest.

    Counts the steps of the system that change something, and ends the program before one of them.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, steps: int = 10**9) -> None:
        self.steps = steps
        self.seen: list[str] = []
        self._durable: dict[int, bytes] = {}
        for name in ("pwritev", "replace", "mkdir", "unlink"):
            monkeypatch.setattr(os, name, self._counting(name, getattr(os, name)))
        monkeypatch.setattr(os, "fdatasync", self._counting("fdatasync", self._sync), raising=False)
        monkeypatch.setattr(os, "fsync", self._counting("fsync", lambda fd: None))

    def step(self, name: str) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise Killed(name)
        self.seen.append(name)

    def lose_power(self, directory: Path) -> None:
        for path in directory.rglob("*"):
            if path.is_file():
                found = path.stat()
                path.write_bytes(self._durable.get(found.st_ino, b"").ljust(found.st_size, b"\0"))

    def _counting(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **options: object) -> object:
            self.step(name)
            return real(*args, **options)

        return counted

    def _sync(self, fd: int) -> None:
        found = os.fstat(fd)
        self._durable[found.st_ino] = os.pread(fd, found.st_size, 0)


class Notebook:
    """A completion store whose every change is a step of the disk."""

    def __init__(self, disk: Disk | None = None) -> None:
        self.disk = disk
        self.kept = MemoryCompletion()

    def load(self, piece_count: int) -> tuple[bitarray, bitarray]:
        return self.kept.load(piece_count)

    def record(self, complete: Sequence[int], incomplete: Sequence[int]) -> None:
        if self.disk:
            self.disk.step("record")
        self.kept.record(complete, incomplete)

    def forget(self, pieces: Sequence[int]) -> None:
        if self.disk:
            self.disk.step("forget")
        self.kept.forget(pieces)


def live(directory: Path, notebook: Notebook, small: SmallTorrent) -> None:
    """A torrent's life, with a piece that goes bad and is repaired, and a choice that changes."""
    storage = FileStorage(directory, lambda _: notebook).open(small, HASH)
    storage.select([True, False, True])
    put(storage, small, 0, 1)
    storage.record([0, 1])
    put(storage, small, 3, 4)
    storage.record([3, 4])
    storage.piece(1).writev(5, [b"wrong bytes"])
    storage.piece(1).mark_incomplete()
    put(storage, small, 1)
    storage.select([True, True, True])
    put(storage, small, 2)
    storage.record([1, 2])
    storage.close()


@pytest.mark.parametrize("power", ["kept", "lost"])
def test_a_kill_between_any_two_steps_never_leaves_a_wrong_piece_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, power: str
) -> None:
    """W41: bytes written, files and names synced, pieces recorded, files renamed; in this order, or the other way."""
    finished = False
    for steps in range(200):
        directory = tmp_path / str(steps)
        with monkeypatch.context() as system:
            disk = Disk(system, steps)
            notebook = Notebook(disk)
            try:
                live(directory, notebook, TRIO)
                finished = True
            except Killed:
                pass
        notebook.disk = None
        if power == "lost":
            disk.lose_power(directory)
        storage = FileStorage(directory, lambda _, found=notebook: found).open(TRIO, HASH)  # type: ignore[misc]  # a default is no parameter here
        for piece in range(5):
            if storage.piece(piece).completion() is Completion.COMPLETE:
                assert whole(storage, TRIO, piece) == TRIO.of_piece(piece), (steps, disk.seen)
        storage.close()
        if finished:
            assert storage.completions()[1].all()
            assert steps > 30
            return
    pytest.fail("the life never ended")


def test_files_are_synced_before_their_pieces_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is durable with its directory, so these come before the record too; a new name may come last.

    The flaw: to mark a piece complete recorded it first, and synced it then.
    """
    disk = Disk(monkeypatch)
    storage = FileStorage(tmp_path, lambda _: Notebook(disk)).open(TRIO, HASH)
    put(storage, TRIO, 0, 1)
    del disk.seen[:]
    storage.record([0, 1])
    assert disk.seen == ["fdatasync", "fdatasync", "fsync", "fsync", "record", "replace"]


def test_a_group_costs_one_sync_for_each_of_its_files_however_many_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W42: not one for each piece, and none for files that the group did not touch or that are synced already."""
    small = torrent(10, *(named(f"f{number}", 100) for number in range(30)))
    disk = Disk(monkeypatch)
    storage = FileStorage(tmp_path, lambda _: Notebook(disk)).open(small, HASH)
    put(storage, small, *range(300))
    del disk.seen[:]
    storage.record(range(50))
    assert (disk.seen.count("fdatasync"), disk.seen.count("fsync"), disk.seen.count("record")) == (5, 1, 1)
    storage.record(range(50))
    assert disk.seen.count("fdatasync") == 5
    storage.flush()
    assert disk.seen.count("fdatasync") == 30
    storage.record(range(50, 300))
    assert disk.seen.count("fdatasync") == 30


def test_after_a_failed_sync_nothing_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may have dropped the bytes: the group is hashed again, never assumed good.

    The flaw: errors of the sync were only logged, or ignored, and the piece was complete all the same.
    """
    notebook = Notebook()
    storage = FileStorage(tmp_path, lambda _: notebook).open(TRIO, HASH)
    put(storage, TRIO, 0, 1)

    def refuse(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as system:
        system.setattr(os, "fdatasync", refuse, raising=False)
        with pytest.raises(StorageFailed, match=r"t/a\.part: No space left on device"):
            storage.record([0, 1])
    assert not notebook.load(5)[0].any()
    assert [storage.piece(piece).completion() for piece in (0, 1)] == [Completion.UNKNOWN] * 2
    disk = Disk(monkeypatch)
    storage.record([0, 1])
    assert disk.seen.count("fdatasync") == 2  # still due, both


def test_what_was_written_by_a_run_that_was_killed_is_synced_before_it_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes may be in the cache only, where hashing finds them good."""
    storage = FileStorage(tmp_path).open(TRIO, HASH)
    storage.select([True, False, True])
    put(storage, TRIO, 0, 1)
    storage = FileStorage(tmp_path).open(TRIO, HASH)
    disk = Disk(monkeypatch)
    storage.record([0])
    assert disk.seen.count("fdatasync") == 1
    storage.record([1])
    assert disk.seen.count("fdatasync") == 2  # the parts file


def test_a_rename_that_a_kill_prevented_is_made_up_for(tmp_path: Path) -> None:
    notebook = Notebook()
    storage = FileStorage(tmp_path, lambda _: notebook).open(TRIO, HASH)
    put(storage, TRIO, *range(5))
    notebook.record(range(5), [])
    FileStorage(tmp_path, lambda _: notebook).open(TRIO, HASH)
    assert set(tree(tmp_path)) == {"t/a", "t/b", "u/c"}


def test_a_file_that_somebody_else_gave_its_final_name_is_complete_all_the_same(tmp_path: Path) -> None:
    """Another program that fetches the same torrent into the same place may be through first."""
    storage = FileStorage(tmp_path).open(TRIO, HASH)
    put(storage, TRIO, *range(5))
    (tmp_path / "t" / "a.part").rename(tmp_path / "t" / "a")
    storage.record(range(5))
    assert set(tree(tmp_path)) == {"t/a", "t/b", "u/c"}
    got = bytearray(TRIO.geometry.length_of(0))
    storage.piece(0).readinto(0, got)


def test_a_piece_that_is_written_again_is_hashed_after_a_kill_not_fetched(tmp_path: Path) -> None:
    """Recorded as incomplete it would be fetched though its bytes are there."""
    notebook = Notebook()
    storage = FileStorage(tmp_path, lambda _: notebook).open(TRIO, HASH)
    put(storage, TRIO, *range(5))
    storage.record([0, 2, 3, 4], [1])
    assert notebook.load(5)[0].all()
    put(storage, TRIO, 1)
    known, _ = FileStorage(tmp_path, lambda _: notebook).open(TRIO, HASH).completions()
    assert known.to01() == "10111"


def test_a_file_that_keeps_its_final_name_is_synced_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flaw: a flush took each file by the name of what is not complete, and silently left out those without it."""
    storage = FileStorage(tmp_path).open(TRIO, HASH)
    put(storage, TRIO, *range(5))
    storage.record(range(5))
    (tmp_path / "u" / "c.part").mkdir()  # so that the way back is barred
    put(storage, TRIO, 4)
    disk = Disk(monkeypatch)
    storage.record([4])
    assert disk.seen.count("fdatasync") == 1
    assert (tmp_path / "u" / "c").is_file()


def test_what_turns_out_to_be_gone_is_recorded_so_before_it_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To forget need not survive a loss of power; then a file that came to its length again would be believed."""
    notebook = Notebook()
    notebook.record(range(5), [])
    notebook.disk = disk = Disk(monkeypatch)
    FileStorage(tmp_path, lambda _: notebook).open(TRIO, HASH).close()
    assert disk.seen == ["record", "forget"]


def test_a_name_that_cannot_be_taken_back_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a read-only medium a piece can be bad too: that is recorded, and the rest goes on being served."""
    storage = FileStorage(tmp_path).open(TRIO, HASH)
    put(storage, TRIO, *range(5))
    storage.record(range(5))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "replace", refuse)
    storage.piece(4).mark_incomplete()
    assert storage.completions()[1].to01() == "11110"
    assert whole(storage, TRIO, 3) == TRIO.of_piece(3)
    assert set(tree(tmp_path)) == {"t/a", "t/b", "u/c"}
