"""Files with holes: what is not there need not be read; and files that are given their room at once."""

from __future__ import annotations

import errno
import os
from hashlib import sha1
from pathlib import Path

import pytest

from anabranch.model import StorageFailed
from anabranch.storage import Completion, FileStorage, MemoryCompletion
from anabranch.storage.file_storage_io import FileTorrent
from storage.small_torrents import HASH, SmallFile, SmallTorrent, named, put, torrent, tree, whole

PIECE = 64 * 1024  # of several pages and blocks: a hole is of whole ones
WIDE = torrent(PIECE, named("t/a", 4 * PIECE), named("t/b", 2 * PIECE + 100))
ZEROS = sha1(bytes(PIECE)).digest()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all reads from here on."""
    sizes: list[int] = []
    real = os.preadv

    def counted(fd: int, buffers: list[memoryview], place: int, flags: int = 0) -> int:
        sizes.append(sum(map(len, buffers)))
        return real(fd, buffers, place, flags)

    monkeypatch.setattr(os, "preadv", counted)
    return sizes


def stretch(path: Path, length: int, *data: tuple[int, bytes]) -> None:
    """A sparse file, as another program leaves it that takes a length and writes here and there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(length)
        for place, content in data:
            file.seek(place)
            file.write(content)


def test_the_hash_of_a_hole_is_known_without_reading(tmp_path: Path, reads: list[int]) -> None:
    """Another program made the file with its whole length, and wrote one piece: of the others no byte is read."""
    stretch(tmp_path / "t" / "a", 4 * PIECE, (PIECE, WIDE.of_piece(1)))
    storage = FileStorage(tmp_path).open(WIDE, HASH)
    assert [storage.sha1(piece) for piece in range(4)] == [ZEROS, None, ZEROS, ZEROS]
    assert reads == []
    assert whole(storage, WIDE, 2) == bytes(PIECE)  # which is what a read would find
    storage.close()


def test_a_hash_is_known_only_of_what_is_there_and_wholly_a_hole(tmp_path: Path) -> None:
    """Not of a file that is missing or too short, nor where a byte of the piece was written; zeros written are data."""
    stretch(tmp_path / "t" / "a", 3 * PIECE + 10, (2 * PIECE - 1, b"x"), (2 * PIECE, bytes(PIECE)))
    storage = FileStorage(tmp_path).open(WIDE, HASH)
    assert [storage.sha1(piece) for piece in range(7)] == [ZEROS, None, None, None, None, None, None]
    storage.close()


def test_a_piece_of_several_files_is_a_hole_if_each_part_is(tmp_path: Path) -> None:
    """Padding is zeros anyhow. Of the short last piece it is the hash of as many zeros as it has bytes."""
    pad = SmallFile(("pad",), PIECE // 2, pad=True)
    small = torrent(PIECE, named("a", PIECE + PIECE // 4), named("b", PIECE // 4), pad, named("c", 777))
    for name, length in (("a", PIECE + PIECE // 4), ("b", PIECE // 4), ("c", 777)):
        stretch(tmp_path / name, length)
    storage = FileStorage(tmp_path).open(small, HASH)
    assert [storage.sha1(piece) for piece in range(3)] == [ZEROS, ZEROS, sha1(bytes(777)).digest()]
    stretch(tmp_path / "b", PIECE // 4, (5, b"x"))
    assert [storage.sha1(piece) for piece in range(3)] == [ZEROS, None, sha1(bytes(777)).digest()]
    storage.close()


def test_what_is_written_into_a_hole_is_known_at_once(tmp_path: Path) -> None:
    """Before any sync, by us or by another program."""
    stretch(tmp_path / "t" / "a", 4 * PIECE)
    storage = FileStorage(tmp_path).open(WIDE, HASH)
    assert storage.sha1(0) == storage.sha1(3) == ZEROS
    put(storage, WIDE, 0)
    with (tmp_path / "t" / "a.part").open("r+b") as file:
        file.seek(3 * PIECE)
        file.write(b"x")
    assert [storage.sha1(piece) for piece in range(4)] == [None, ZEROS, ZEROS, None]
    assert [storage.present(piece) for piece in range(4)] == [True, False, False, True]
    storage.close()


def test_where_holes_are_not_known_everything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows, and file systems that cannot tell."""
    stretch(tmp_path / "t" / "a", 4 * PIECE)
    monkeypatch.delattr(os, "SEEK_DATA", raising=False)
    storage = FileStorage(tmp_path).open(WIDE, HASH)
    assert storage.sha1(0) is None
    storage.close()


def given_room(folder: Path, small: SmallTorrent = WIDE, store: MemoryCompletion | None = None) -> FileTorrent:
    kept = store or MemoryCompletion()
    return FileStorage(folder, lambda _: kept, preallocate=True).open(small, HASH)


def test_files_have_their_whole_room_from_the_first_write_on(tmp_path: Path) -> None:
    """All that are wanted, so that a disk which is too small says so before it is full. Not before a write."""
    storage = given_room(tmp_path)
    assert tree(tmp_path) == {}
    put(storage, WIDE, 5)
    found = {path.name: path.stat() for path in (tmp_path / "t").iterdir()}
    assert {name: stat.st_size for name, stat in found.items()} == {"a.part": 4 * PIECE, "b.part": 2 * PIECE + 100}
    assert all(stat.st_blocks * 512 >= stat.st_size for stat in found.values())
    storage.close()


def test_room_that_was_only_given_is_no_data(tmp_path: Path) -> None:
    """Whatever the file system says of it, what was written is present; and here the rest need not be read."""
    store = MemoryCompletion()
    storage = given_room(tmp_path, store=store)
    put(storage, WIDE, 2, 6)
    storage.piece(4).writev(100, [bytes(200)])  # zeros are data as well
    for again in range(2):
        present = [storage.present(piece) for piece in range(7)]
        assert [present[piece] for piece in (2, 4, 6)] == [True] * 3, f"written data, look {again}"
        assert present == [False, False, True, False, True, False, True]
        storage.flush()
    storage.close()
    storage = given_room(tmp_path, store=store)
    assert [storage.present(piece) for piece in range(7)] == [False, False, True, False, True, False, True]
    assert storage.piece(0).completion() is Completion.UNKNOWN  # not missing: its file is long enough
    assert whole(storage, WIDE, 2) == WIDE.of_piece(2)
    put(storage, WIDE, *range(7))
    storage.record(range(7))
    assert tree(tmp_path) == {"t/a": WIDE.of_file(0), "t/b": WIDE.of_file(1)}
    storage.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EIO])
def test_a_disk_without_room_says_so_at_once_with_the_files_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Nothing is written then, what the refused file had got is given back; the next write tries again."""
    real, full = os.posix_fallocate, True

    def allocate(fd: int, place: int, length: int) -> None:
        if full and length == 2 * PIECE + 100:
            real(fd, 0, PIECE)  # as ext4 does: it takes what there is, and fails
            raise OSError(number, os.strerror(number))
        real(fd, place, length)

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    storage = given_room(tmp_path)
    for _ in range(2):
        with pytest.raises(StorageFailed) as failed:
            put(storage, WIDE, 0)
        assert failed.value.path == str(tmp_path / "t" / "b.part")
        assert (failed.value.reason, failed.value.errno) == (os.strerror(number), number)
    assert (tmp_path / "t" / "b.part").stat().st_blocks == 0
    assert not any(tree(tmp_path)["t/a.part"])
    full = False
    put(storage, WIDE, 0)
    assert (tmp_path / "t" / "b.part").stat().st_size == 2 * PIECE + 100
    assert whole(storage, WIDE, 0) == WIDE.of_piece(0)
    storage.close()


@pytest.mark.parametrize("number", [None, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_where_room_cannot_be_taken_files_get_their_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    """macOS and Windows have no such call; some file systems refuse it."""

    def refuse(*_: int) -> None:
        raise OSError(number, "refused")

    if number is None:
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    storage = given_room(tmp_path)
    put(storage, WIDE, 0)
    assert (tmp_path / "t" / "a.part").stat().st_size == 4 * PIECE
    assert [storage.present(piece) for piece in range(7)] == [True] + [False] * 6
    storage.close()


def test_only_wanted_files_are_given_room_others_when_they_become_wanted(tmp_path: Path) -> None:
    """Bytes that lay aside for them come first."""
    small = torrent(PIECE, named("t/a", PIECE + 10), named("t/b", 2 * PIECE), named("t/c", 5 * PIECE))
    storage = given_room(tmp_path, small)
    storage.select([True, False, False])
    put(storage, small, 0, 1)
    assert {name for name in tree(tmp_path) if name.startswith("t/")} == {"t/a.part"}
    storage.close()
    storage = given_room(tmp_path, small)  # nobody has said yet what is wanted: what lies aside stays there
    put(storage, small, 0)
    assert not (tmp_path / "t" / "b.part").exists()
    assert [whole(storage, small, piece) for piece in (0, 1)] == [small.of_piece(piece) for piece in (0, 1)]
    storage.select([True, True, False])
    put(storage, small, 0)
    assert [whole(storage, small, piece) for piece in (0, 1)] == [small.of_piece(piece) for piece in (0, 1)]
    assert (tmp_path / "t" / "b.part").stat().st_blocks * 512 >= 2 * PIECE
    storage.close()


def test_a_complete_file_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    """Sparse or not: it has all its bytes, and its name."""
    stretch(tmp_path / "t" / "a", 4 * PIECE)
    storage = given_room(tmp_path)
    put(storage, WIDE, 5)
    assert (tmp_path / "t" / "a").stat().st_blocks == 0
    storage.close()


def test_without_the_option_files_grow_with_what_is_written(tmp_path: Path) -> None:
    """The default."""
    storage = FileStorage(tmp_path).open(WIDE, HASH)
    put(storage, WIDE, 2)
    assert {path.name for path in (tmp_path / "t").iterdir()} == {"a.part"}
    assert (tmp_path / "t" / "a.part").stat().st_blocks * 512 < 2 * PIECE
    storage.close()
