"""Where bytes lie in the system's files, for the kernel to send them from there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anabranch.model import Closed, StorageFailed
from anabranch.storage import Direct, FileStorage, MemoryStorage, TorrentStorage
from storage.conformance import SMALL
from storage.small_torrents import HASH, SmallTorrent, lay_down, named, put, torrent

PAIR = torrent(64, named("t/a", 100), named("t/b", 92))  # pieces 0, 1 (shared), 2


def run_of(storage: TorrentStorage, offset: int, length: int) -> bytes | None:
    """The first run from *offset* in the torrent, read from the file that it is said to lie in."""
    assert isinstance(storage, Direct)
    with storage.direct(offset, length) as run:
        if run is None:
            return None
        found = os.pread(run.fd, run.length, run.place)
        assert len(found) == run.length
        return found


def test_bytes_are_where_they_are_said_to_be(tmp_path: Path) -> None:
    """At most as many as asked for, in one file; every start and many lengths."""
    lay_down(PAIR, tmp_path)
    storage = FileStorage(tmp_path).open(PAIR, HASH)
    for offset in range(192):
        for length in (1, 7, 192 - offset):
            found = run_of(storage, offset, min(length, 192 - offset))
            assert found
            end = 100 if offset < 100 else 192
            assert found == PAIR.content[offset : min(offset + length, end)]


def test_what_nobody_wants_lies_in_the_parts_file(tmp_path: Path) -> None:
    """Which is a file as well."""
    storage = FileStorage(tmp_path).open(PAIR, HASH)
    storage.select([True, False])
    put(storage, PAIR, 1, 2)
    assert run_of(storage, 64, 64) == PAIR.content[64:100]
    assert run_of(storage, 100, 92) == PAIR.of_file(1)


def test_padding_is_in_no_file(tmp_path: Path) -> None:
    """BEP 47."""
    lay_down(SMALL, tmp_path)
    pad = next(file for file in SMALL.files if file.pad)
    storage = FileStorage(tmp_path).open(SMALL, HASH)
    assert run_of(storage, pad.offset, pad.length) is None
    assert run_of(storage, pad.offset - 5, 10) == SMALL.content[pad.offset - 5 : pad.offset]


def test_a_run_ends_with_what_is_there(tmp_path: Path) -> None:
    """And what is not there is said with the file's name."""
    lay_down(PAIR, tmp_path)
    storage = FileStorage(tmp_path).open(PAIR, HASH)
    os.truncate(tmp_path / "t" / "a", 70)
    assert run_of(storage, 0, 100) == PAIR.content[:70]
    with pytest.raises(StorageFailed, match=r"t/a: 10 bytes short at offset 70"):
        run_of(storage, 70, 10)
    (tmp_path / "t" / "b").unlink()
    with pytest.raises(StorageFailed, match="No such file"):
        run_of(storage, 150, 10)


def test_the_descriptor_is_good_while_it_is_lent(tmp_path: Path) -> None:
    """Also when the storage closes meanwhile; afterwards nothing is lent."""
    lay_down(PAIR, tmp_path)
    storage = FileStorage(tmp_path).open(PAIR, HASH)
    with storage.direct(0, 100) as run:
        storage.close()
        assert run is not None
        assert os.pread(run.fd, run.length, run.place) == PAIR.of_file(0)
    with pytest.raises(Closed):
        run_of(storage, 0, 100)


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, 193), (192, 1), (0, 0), (5, -1)])
def test_only_what_is_in_the_torrent_is_lent(tmp_path: Path, offset: int, length: int) -> None:
    """All else is the caller's mistake."""
    small: SmallTorrent = PAIR
    storage = FileStorage(tmp_path).open(small, HASH)
    with pytest.raises(ValueError, match="bytes"):
        storage.direct(offset, length)


def test_memory_lends_no_file() -> None:
    assert not isinstance(MemoryStorage().open(PAIR, HASH), Direct)
