"""Files that somebody removes, replaces or cuts while a torrent is open: what they had is told, and not recorded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from anabranch.model import StorageFailed
from anabranch.storage import FileStorage, Loses, MmapStorage
from anabranch.storage.file_storage_io import FileTorrent
from storage.small_torrents import HASH, named, put, torrent, whole

PAIR = torrent(64, named("t/a", 100), named("t/b", 80))


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(bytes(path.stat().st_size))
    other.replace(path)


@pytest.fixture(params=[FileStorage, MmapStorage])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> FileStorage:
    """A back end of files."""
    made: FileStorage = request.param(tmp_path)
    return made


def listening(storage: FileTorrent) -> list[int]:
    """What the storage tells, from now on."""
    told: list[int] = []
    assert isinstance(storage, Loses)
    storage.on_lost(told.extend)
    return told


@pytest.mark.parametrize("harm", [remove, replace])
def test_a_writer_who_finds_a_file_gone_has_its_pieces_told(
    tmp_path: Path, home: FileStorage, harm: Callable[[Path], None]
) -> None:
    """Those that were recorded; they are not complete any more, whoever asks."""
    storage = home.open(PAIR, HASH)
    told = listening(storage)
    put(storage, PAIR, 0, 1, 2)
    storage.record([0, 1])
    harm(tmp_path / "t" / "b.part")
    with pytest.raises(StorageFailed, match="t/b"):
        put(storage, PAIR, 2)
    assert told == [1]
    assert storage.completions()[1].to01() == "100"


def test_a_reader_who_finds_a_file_gone_has_its_pieces_told(tmp_path: Path, home: FileStorage) -> None:
    """Once, however often it is read."""
    storage = home.open(PAIR, HASH)
    told = listening(storage)
    put(storage, PAIR, 0, 1, 2)
    storage.record(range(3))
    (tmp_path / "t" / "b").unlink()
    for _ in range(2):
        with pytest.raises(StorageFailed, match="t/b: No such file"):
            whole(storage, PAIR, 2)
    assert told == [1, 2]


@pytest.mark.parametrize("harm", [remove, replace])
def test_what_was_written_to_a_lost_file_is_not_recorded_by_way_of_the_new_one(
    tmp_path: Path, home: FileStorage, harm: Callable[[Path], None]
) -> None:
    """Another write finds out and makes the file anew; a sync of that says nothing of the bytes that went with it."""
    storage = home.open(PAIR, HASH)
    put(storage, PAIR, 1)
    harm(tmp_path / "t" / "b.part")
    with pytest.raises(StorageFailed, match="t/b"):
        put(storage, PAIR, 2)
    put(storage, PAIR, 2)
    with pytest.raises(StorageFailed, match="No such file"):
        storage.record([1, 2])
    assert not storage.completions()[1].any()
    storage.record([2])
    put(storage, PAIR, 1)
    storage.record([1])
    assert storage.completions()[1].to01() == "011"
    assert whole(storage, PAIR, 1) == PAIR.of_piece(1)


@pytest.mark.parametrize("harm", [remove, replace])
def test_a_sync_that_finds_another_file_records_nothing(
    tmp_path: Path, home: FileStorage, harm: Callable[[Path], None]
) -> None:
    """And who is refused has hashed what is there: that is believed, as nothing was written to it since."""
    storage = home.open(PAIR, HASH)
    put(storage, PAIR, 0, 1, 2)
    harm(tmp_path / "t" / "b.part")
    with pytest.raises(StorageFailed, match="No such file"):
        storage.record([1, 2])
    assert not storage.completions()[1].any()
    (tmp_path / "t" / "b").write_bytes(PAIR.of_file(1))
    (tmp_path / "t" / "b.part").unlink(missing_ok=True)
    storage.record([0, 1, 2])
    assert storage.completions()[1].all()


def test_a_file_that_was_cut_is_not_called_complete(tmp_path: Path, home: FileStorage) -> None:
    """Looked at when its last piece is to be recorded; the recorded pieces that were behind the cut are told."""
    storage = home.open(PAIR, HASH)
    told = listening(storage)
    put(storage, PAIR, 0, 2)
    storage.record([0, 2])
    (at,) = [extent.offset for extent in PAIR.files[1:]]
    os.truncate(tmp_path / "t" / "b.part", PAIR.geometry.offset_of(2) - at)
    put(storage, PAIR, 1)
    with pytest.raises(StorageFailed, match=r"t/b\.part: \d+ bytes short at offset \d+$"):
        storage.record([1])
    assert told == [2]
    assert storage.completions()[1].to01() == "100"
    assert (tmp_path / "t" / "b.part").exists()
    put(storage, PAIR, 2)
    storage.record([1, 2])
    assert (tmp_path / "t" / "b").read_bytes() == PAIR.of_file(1)
