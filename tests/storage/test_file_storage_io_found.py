"""Files that somebody puts there while a torrent is open: found when a user asks for a check, and never lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from shutil import rmtree

import pytest

from anabranch.model import StorageFailed
from anabranch.storage import Completion, FileStorage, Finds, MmapStorage
from anabranch.storage.file_storage_io import FileTorrent
from storage.small_torrents import HASH, SmallFile, lay_down, named, put, torrent, tree, whole

ALL = range(4)
THREE = torrent(64, named("t/a", 100), SmallFile(("pad",), 20, pad=True), named("t/empty", 0), named("u/b", 80))


@pytest.fixture(params=[FileStorage, MmapStorage])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> FileStorage:
    """A back end of files."""
    made: FileStorage = request.param(tmp_path)
    return made


def found(storage: FileTorrent, pieces: range = ALL) -> list[int]:
    assert isinstance(storage, Finds)
    return list(storage.find(pieces).search(1))


def test_files_that_came_later_are_found_and_not_believed(tmp_path: Path, home: FileStorage) -> None:
    """Before, nothing is there; then all is, but nobody knows what. What is hashed is recorded, under its name."""
    storage = home.open(THREE, HASH)
    assert found(storage) == []
    lay_down(THREE, tmp_path)
    assert not storage.presence().any()
    assert found(storage) == [0, 1, 2, 3]
    assert found(storage) == []
    assert storage.presence().all()
    assert not storage.completions()[1].any()
    assert [whole(storage, THREE, piece) for piece in ALL] == [THREE.of_piece(piece) for piece in ALL]
    storage.record(list(ALL))
    assert storage.completions()[1].all()
    assert tree(tmp_path) == {"t/a": THREE.of_file(0), "t/empty": b"", "u/b": THREE.of_file(3)}


def test_what_was_found_is_synced_before_it_is_recorded(
    tmp_path: Path, home: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever put it there may have synced nothing."""
    storage = home.open(THREE, HASH)
    lay_down(THREE, tmp_path)
    assert found(storage)

    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, refuse, raising=False)
    with pytest.raises(StorageFailed):
        storage.record([0])
    assert storage.completion(0) is not Completion.COMPLETE


def test_only_files_of_the_pieces_are_looked_for(tmp_path: Path, home: FileStorage) -> None:
    """A check of one piece costs what its files cost; who they reach is told."""
    storage = home.open(THREE, HASH)
    lay_down(THREE, tmp_path)
    assert found(storage, range(3, 4)) == [1, 2, 3]
    assert not storage.present(0)
    assert found(storage, range(1)) == [0, 1]


def test_a_file_that_was_missed_and_came_back_is_found(tmp_path: Path, home: FileStorage) -> None:
    """Its pieces are not complete, and readable."""
    storage = home.open(THREE, HASH)
    put(storage, THREE, *ALL)
    storage.record(list(ALL))
    (tmp_path / "u" / "b").rename(tmp_path / "away")
    storage.close()
    storage = home.open(THREE, HASH)
    (tmp_path / "away").rename(tmp_path / "u" / "b")
    came = found(storage)
    assert came == list(THREE.geometry.pieces_of(120, 80))
    assert not any(storage.completion(piece) is Completion.COMPLETE for piece in came)
    assert whole(storage, THREE, 3) == THREE.of_piece(3)
    storage.record(came)
    assert all(storage.completion(piece) is Completion.COMPLETE for piece in came)


def test_what_comes_beside_a_file_of_ours_is_neither_used_nor_touched(tmp_path: Path, home: FileStorage) -> None:
    """Ours is what we wrote. Complete, it keeps its name, since the other has the final one."""
    storage = home.open(THREE, HASH)
    put(storage, THREE, 0)
    other = b"somebody's".ljust(100)
    (tmp_path / "t" / "a").write_bytes(other)
    assert found(storage) == []
    assert whole(storage, THREE, 0) == THREE.of_piece(0)
    put(storage, THREE, 1, 2, 3)
    storage.record(list(ALL))
    assert tree(tmp_path) == {
        "t/a": other,
        "t/a.part": THREE.of_file(0),
        "t/empty": b"",
        "u/b": THREE.of_file(3),
    }


def test_what_comes_for_a_file_in_the_parts_file_is_neither_used_nor_touched(tmp_path: Path, home: FileStorage) -> None:
    """Else bytes that are recorded would be others from one moment to the next."""
    storage = home.open(THREE, HASH)
    storage.select([True, True, True, False])
    put(storage, THREE, 0, 1)
    storage.record([0, 1])
    (tmp_path / "u").mkdir()
    (tmp_path / "u" / "b").write_bytes(bytes(80))
    assert found(storage) == []
    assert whole(storage, THREE, 1) == THREE.of_piece(1)
    put(storage, THREE, 2)
    assert whole(storage, THREE, 2) == THREE.of_piece(2)
    storage.select([True] * 4)
    put(storage, THREE, 3)
    storage.record([2, 3])
    assert whole(storage, THREE, 3) == THREE.of_piece(3)
    assert (tmp_path / "u" / "b").read_bytes() == bytes(80)
    assert (tmp_path / "u" / "b.part").read_bytes() == THREE.of_file(3)


def test_a_parts_file_comes_with_its_disk(tmp_path: Path, home: FileStorage) -> None:
    """What lies there is found like what lies in files of its own."""
    disk, away = tmp_path / "disk", tmp_path / "away"
    place = type(home)(disk)
    storage = place.open(THREE, HASH)
    storage.select([True, True, True, False])
    put(storage, THREE, 0, 1, 2)
    storage.close()
    disk.rename(away)
    storage = place.open(THREE, HASH)
    storage.select([True, True, True, False])
    assert found(storage) == []
    rmtree(disk)
    away.rename(disk)
    assert found(storage) == [0, 1, 2, 3]
    assert [whole(storage, THREE, piece) for piece in range(3)] == [THREE.of_piece(piece) for piece in range(3)]


def test_a_disk_that_says_no_is_told(tmp_path: Path, home: FileStorage) -> None:
    """With the path."""
    storage = home.open(THREE, HASH)
    (tmp_path / "t" / "a").mkdir(parents=True)
    with pytest.raises(StorageFailed, match="t/a: is not a regular file"):
        storage.find(ALL)
