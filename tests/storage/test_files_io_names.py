"""Names of files: a rename goes past no open descriptor, and nothing that is not the torrent's is destroyed by one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anabranch.model import StorageFailed
from anabranch.storage import Completion, FileStorage, Handles, MemoryCompletion
from storage.small_torrents import HASH, named, put, torrent, tree, whole

PAIR = torrent(64, named("t/a", 128), named("t/b", 100))  # a: 0-1, b: 2-3
PIECES = range(4)


def test_the_cache_of_open_files_follows_a_rename(tmp_path: Path) -> None:
    """The flaw: a cache of files was keyed by path, and promotion renamed them under it.

    What is read and written after promotion, and after the way back, is the one file, by the one descriptor, and what
    another program puts at the old name is not taken for it.
    """
    handles = Handles()
    storage = FileStorage(tmp_path, handles=handles).open(PAIR, HASH)
    put(storage, PAIR, 0, 1)
    storage.record([0, 1])
    (tmp_path / "t" / "a.part").write_bytes(b"?" * 128)  # the old name is anybody's
    assert [whole(storage, PAIR, piece) for piece in (0, 1)] == [PAIR.of_piece(piece) for piece in (0, 1)]
    assert len(handles) == 1
    (tmp_path / "t" / "a.part").unlink()
    storage.record((), [1])
    (tmp_path / "t" / "a").write_bytes(b"?" * 128)
    assert whole(storage, PAIR, 0) == PAIR.of_piece(0)
    put(storage, PAIR, 1)
    assert tree(tmp_path) == {"t/a.part": PAIR.of_file(0), "t/a": b"?" * 128}
    assert len(handles) == 1
    storage.close()
    assert len(handles) == 0


def test_a_descriptor_that_was_closed_meanwhile_is_opened_under_the_new_name(tmp_path: Path) -> None:
    """A cache of one file: each is opened again and again, by whatever name it has by then."""
    storage = FileStorage(tmp_path, handles=Handles(limit=1)).open(PAIR, HASH)
    for piece in PIECES:
        put(storage, PAIR, piece)
        storage.record([piece])
        assert [whole(storage, PAIR, before) for before in range(piece + 1)] == [
            PAIR.of_piece(before) for before in range(piece + 1)
        ]
    storage.record((), [0, 3])
    assert set(tree(tmp_path)) == {"t/a.part", "t/b.part"}
    assert [whole(storage, PAIR, piece) for piece in PIECES] == [PAIR.of_piece(piece) for piece in PIECES]
    storage.close()


def lay_in_the_way(path: Path, kind: str) -> None:
    match kind:
        case "file":
            path.write_bytes(b"mine")
        case "link":
            (path.parent / "else").write_bytes(b"mine")
            path.symlink_to("else")
        case "directory":
            path.mkdir()
            (path / "inside").write_bytes(b"mine")


def laid(path: Path) -> bytes:
    return (path / "inside").read_bytes() if path.is_dir() else path.read_bytes()


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_a_file_that_somebody_put_at_the_final_name_is_not_overwritten(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The flaw: a plain rename would. Ours stays complete under the name that it has, until the other one is gone."""
    store = MemoryCompletion()
    storage = FileStorage(tmp_path, lambda _: store).open(PAIR, HASH)
    put(storage, PAIR, *PIECES)
    taken = tmp_path / "t" / "a"
    lay_in_the_way(taken, kind)
    storage.record(PIECES)
    assert laid(taken) == b"mine"
    assert (tmp_path / "t" / "a.part").read_bytes() == PAIR.of_file(0)
    assert (tmp_path / "t" / "b").read_bytes() == PAIR.of_file(1)
    assert "complete file keeps its name" in caplog.text
    assert str(taken) in caplog.text
    assert storage.completions()[1].all()
    assert whole(storage, PAIR, 0) == PAIR.of_piece(0)
    storage.close()
    if kind == "directory":
        (taken / "inside").unlink()
        taken.rmdir()
    else:
        taken.unlink()
    storage = FileStorage(tmp_path, lambda _: store).open(PAIR, HASH)
    assert storage.completions()[1].all()
    assert taken.read_bytes() == PAIR.of_file(0)
    assert not (tmp_path / "t" / "a.part").exists()
    storage.close()


def test_nor_is_one_at_the_name_of_what_is_not_complete(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is found incomplete keeps its final name then; what counts is what is recorded."""
    storage = FileStorage(tmp_path).open(PAIR, HASH)
    put(storage, PAIR, *PIECES)
    storage.record(PIECES)
    (tmp_path / "t" / "a.part").write_bytes(b"mine")
    storage.record((), [0])
    put(storage, PAIR, 0)
    assert tree(tmp_path) == {"t/a": PAIR.of_file(0), "t/a.part": b"mine", "t/b": PAIR.of_file(1)}
    assert storage.piece(0).completion() is Completion.UNKNOWN
    assert "incomplete file keeps its name" in caplog.text
    storage.close()


def test_bytes_that_move_to_a_file_of_their_own_overwrite_nobodys(tmp_path: Path) -> None:
    """Who wants the file back hears why it cannot be made; nothing is lost, and it is made once there is room."""
    storage = FileStorage(tmp_path).open(PAIR, HASH)
    storage.select([True, False])
    put(storage, PAIR, *PIECES)
    (tmp_path / "t" / "b.part").write_bytes(b"mine")
    with pytest.raises(StorageFailed, match=r"t/b.part: File exists"):
        storage.select([True, True])
    assert (tmp_path / "t" / "b.part").read_bytes() == b"mine"
    assert [whole(storage, PAIR, piece) for piece in PIECES] == [PAIR.of_piece(piece) for piece in PIECES]
    (tmp_path / "t" / "b.part").unlink()
    storage.select([True, True])
    assert tree(tmp_path)["t/b.part"] == PAIR.of_file(1)
    storage.close()


def test_a_file_that_has_moved_out_is_not_moved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note that it has may fail after it has; what was written to the file since must not be lost."""
    storage = FileStorage(tmp_path).open(PAIR, HASH)
    storage.select([True, False])
    put(storage, PAIR, 2)
    real = os.pwritev

    def refuse(fd: int, views: list[memoryview], place: int) -> int:
        if place >= PAIR.geometry.total:
            raise OSError(5, "Input/output error")
        return real(fd, views, place)

    with monkeypatch.context() as system:
        system.setattr(os, "pwritev", refuse)
        with pytest.raises(StorageFailed):
            storage.select([True, True])
    put(storage, PAIR, 3)
    storage.select([True, True])
    assert [whole(storage, PAIR, piece) for piece in (2, 3)] == [PAIR.of_piece(piece) for piece in (2, 3)]
    storage.close()


def test_an_empty_file_is_made_only_where_none_is(tmp_path: Path) -> None:
    """What a user has at that name keeps its bytes."""
    small = torrent(64, named("t/a", 64), named("t/empty", 0))
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "empty").write_bytes(b"mine")
    storage = FileStorage(tmp_path).open(small, HASH)
    storage.select([True, True])
    put(storage, small, 0)
    storage.record([0])
    assert tree(tmp_path) == {"t/a": small.of_file(0), "t/empty": b"mine"}
    storage.close()
