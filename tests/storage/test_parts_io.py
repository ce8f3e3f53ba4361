"""Files that nobody wants: their bytes in pieces that reach into files that somebody does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from anabranch.model import StorageFailed
from anabranch.storage import Completion, FileStorage, MemoryCompletion
from storage.small_torrents import HASH, lay_down, named, put, torrent, tree, whole

PARTS = f".{HASH}.parts"
TRIO = torrent(64, named("t/a", 100), named("t/deep/b", 100), named("t/c", 100))  # a: 0-1, b: 1-3, c: 3-4


class Killed(BaseException):
    """The end of the program, here and now."""


def test_bytes_of_an_unwanted_file_lie_in_the_parts_file_at_the_torrents_own_offset(tmp_path: Path) -> None:
    """No stray file, and no directory for one; the pieces are whole and are served."""
    storage = FileStorage(tmp_path).open(TRIO, HASH)
    storage.select([True, False, True])
    put(storage, TRIO, 0, 1, 3, 4)
    storage.record([0, 1, 3, 4])
    files = tree(tmp_path)
    assert set(files) == {"t/a", "t/c", PARTS}
    assert not (tmp_path / "t" / "deep").exists()
    assert files[PARTS][100:128] == TRIO.content[100:128]
    assert files[PARTS][192:200] == TRIO.content[192:200]
    for piece in (0, 1, 3, 4):
        assert whole(storage, TRIO, piece) == TRIO.of_piece(piece)


def test_nothing_is_lost_when_the_program_starts_again(tmp_path: Path) -> None:
    store = MemoryCompletion()
    for again in range(2):
        storage = FileStorage(tmp_path, lambda _: store).open(TRIO, HASH)
        storage.select([True, False, True])
        if not again:
            put(storage, TRIO, 0, 1, 3, 4)
            storage.record([0, 1, 3, 4])
        assert storage.completions()[1].to01() == "11011"
        assert whole(storage, TRIO, 3) == TRIO.of_piece(3)
        storage.close()


def test_a_file_that_becomes_wanted_takes_its_bytes_with_it(tmp_path: Path) -> None:
    """And with the last one the parts file is gone."""
    storage = FileStorage(tmp_path).open(TRIO, HASH)
    storage.select([False, False, True])
    put(storage, TRIO, 1, 3, 4)
    storage.record([1, 3, 4])
    storage.select([False, True, True])
    assert set(tree(tmp_path)) == {"t/c", "t/deep/b.part", PARTS}
    assert whole(storage, TRIO, 1) == TRIO.of_piece(1)
    storage.select([True, True, True])
    put(storage, TRIO, 0, 2)
    storage.record([0, 2])
    assert tree(tmp_path) == {"t/a": TRIO.of_file(0), "t/deep/b": TRIO.of_file(1), "t/c": TRIO.of_file(2)}


def test_a_file_that_is_there_is_used_though_nobody_wants_it(tmp_path: Path) -> None:
    lay_down(TRIO, tmp_path)
    storage = FileStorage(tmp_path).open(TRIO, HASH)
    storage.select([True, False, True])
    storage.piece(1).writev(50, [b"new bytes"])
    assert set(tree(tmp_path)) == {"t/a", "t/deep/b.part", "t/c"}
    storage.select([True, True, True])
    assert whole(storage, TRIO, 3) == TRIO.of_piece(3)


def test_a_small_file_that_is_complete_in_the_parts_file_gets_its_name_at_once(tmp_path: Path) -> None:
    small = torrent(100, named("a", 30), named("b", 30), named("c", 30))
    storage = FileStorage(tmp_path).open(small, HASH)
    storage.select([True, False, True])
    put(storage, small, 0)
    storage.record([0])
    storage.select([True, True, True])
    assert tree(tmp_path) == {"a": small.of_file(0), "b": small.of_file(1), "c": small.of_file(2)}


def test_what_a_file_left_behind_is_never_taken_for_its_data(tmp_path: Path) -> None:
    """Moved out, completed, removed by the user: the parts file has only a few of its bytes, and holes."""
    store = MemoryCompletion()
    storage = FileStorage(tmp_path, lambda _: store).open(TRIO, HASH)
    storage.select([False, False, True])
    put(storage, TRIO, 1, 3, 4)
    storage.select([False, True, True])
    put(storage, TRIO, 2)
    storage.record([1, 2, 3, 4])
    storage.close()
    (tmp_path / "t" / "deep" / "b").unlink()
    storage = FileStorage(tmp_path, lambda _: store).open(TRIO, HASH)
    assert storage.completions()[1].to01() == "00001"
    with pytest.raises(StorageFailed):
        whole(storage, TRIO, 2)


def test_a_parts_file_that_was_removed_takes_its_pieces_with_it(tmp_path: Path) -> None:
    store = MemoryCompletion()
    storage = FileStorage(tmp_path, lambda _: store).open(TRIO, HASH)
    storage.select([True, False, True])
    put(storage, TRIO, 0, 1, 3, 4)
    storage.record([0, 1, 3, 4])
    (tmp_path / PARTS).unlink()
    with pytest.raises(StorageFailed, match="No such file"):
        whole(storage, TRIO, 3)
    assert storage.completions()[1].to01() == "10001"
    put(storage, TRIO, 3)
    assert whole(storage, TRIO, 3) == TRIO.of_piece(3)
    storage.close()
    (tmp_path / PARTS).unlink()
    storage = FileStorage(tmp_path, lambda _: store).open(TRIO, HASH)
    assert storage.completions()[1].to01() == "10001"


def test_holes_are_known_in_the_parts_file_too(tmp_path: Path) -> None:
    page = 8192
    small = torrent(page, named("a", 100), named("b", 9 * page), named("c", 100))
    storage = FileStorage(tmp_path).open(small, HASH)
    storage.select([True, False, True])
    put(storage, small, 0)
    assert [storage.present(piece) for piece in (0, 5, 8)] == [True, False, False]


class Ending:
    """Lets the program do so many steps that change the disk, and then ends it."""

    def __init__(self, system: pytest.MonkeyPatch, steps: int) -> None:
        self._left = steps
        for name in ("open", "pwritev", "fdatasync", "fsync", "replace", "mkdir", "unlink", "ftruncate"):
            real = getattr(os, name, None) if "sync" not in name else int  # no power is lost here, so save the time
            system.setattr(os, name, self._counting(real or int), raising=False)

    def _counting(self, real: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **options: object) -> object:
            self._left -= 1
            if self._left < 0:
                raise Killed
            return real(*args, **options)

        return counted


def select_and_die(directory: Path, store: MemoryCompletion, wanted: list[bool], steps: int) -> bool:
    """Fetch with only c wanted, then choose anew; whether that came to its end."""
    storage = FileStorage(directory, lambda _: store).open(TRIO, HASH)
    storage.select([False, False, True])
    put(storage, TRIO, 1, 3, 4)
    storage.record([1, 3, 4])
    with pytest.MonkeyPatch.context() as system:
        Ending(system, steps)
        try:
            storage.select(wanted)
        except Killed:
            return False
    return True


def test_a_kill_while_bytes_move_never_leaves_a_recorded_piece_wrong(tmp_path: Path) -> None:
    """A file has its name only when all its bytes are in it and durable."""
    for steps in range(200):
        directory, store = tmp_path / str(steps), MemoryCompletion()
        finished = select_and_die(directory, store, [True, True, True], steps)
        storage = FileStorage(directory, lambda _, found=store: found).open(TRIO, HASH)  # type: ignore[misc]  # mypy knows no default here
        assert not list(directory.glob("*.moving"))
        for piece in (1, 3, 4):
            assert storage.piece(piece).completion() is Completion.COMPLETE
            assert whole(storage, TRIO, piece) == TRIO.of_piece(piece)
        storage.select([True, True, True])
        put(storage, TRIO, 0, 2)
        storage.record([0, 2])
        assert tree(directory) == {"t/a": TRIO.of_file(0), "t/deep/b": TRIO.of_file(1), "t/c": TRIO.of_file(2)}
        if finished:
            assert steps > 20
            return
    pytest.fail("the move never ended")


def test_a_kill_between_the_move_and_its_note_leaves_nothing_to_be_mistaken(tmp_path: Path) -> None:
    """The next start makes up for the note, or a file removed later would seem to be in the parts file."""
    for steps in range(200):
        directory, store = tmp_path / str(steps), MemoryCompletion()
        finished = select_and_die(directory, store, [False, True, True], steps)
        FileStorage(directory, lambda _, found=store: found).open(TRIO, HASH).close()  # type: ignore[misc]  # as above
        moved = (directory / "t" / "deep" / "b.part").exists()
        if moved:
            (directory / "t" / "deep" / "b.part").unlink()
        storage = FileStorage(directory, lambda _, found=store: found).open(TRIO, HASH)  # type: ignore[misc]  # as above
        assert storage.completions()[1].to01() == ("00001" if moved else "01011")
        if finished:
            assert moved
            return
    pytest.fail("the move never ended")
