"""Making .torrent files."""

from __future__ import annotations

import os
from hashlib import sha1
from itertools import count
from pathlib import Path
from random import Random

import pytest

from anabranch.bencode import decode
from anabranch.metainfo import CREATOR, CreateCancelled, Metainfo, MetainfoError, create

KIB, MIB = 2**10, 2**20


def write_tree(top: Path, seed: int) -> list[tuple[str, ...]]:
    """A folder drawn from *seed*: nested, empty, hidden, non-ASCII names; lengths around the ends of pieces."""
    draw = Random(seed)
    folders: list[tuple[str, ...]] = [()]
    paths: list[tuple[str, ...]] = []
    for number in range(draw.randint(2, 12)):
        name = draw.choice(["a", "A-", "a b", ".h", "é", "漢", "z.txt", "\U0001f600"]) + str(number)
        path = (*draw.choice(folders), name)
        if draw.random() < 0.3:
            folders.append(path)
            continue
        file = top.joinpath(*path)
        file.parent.mkdir(parents=True, exist_ok=True)
        length = draw.choice([0, 1, 100, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 70_000])
        file.write_bytes(draw.randbytes(length))
        paths.append(path)
    (top / "last").write_bytes(b"never empty")
    return [*paths, ("last",)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("seed", range(20))
def test_a_folders_info_hash_is_the_one_that_libtorrent_gives(tmp_path: Path, seed: int) -> None:
    """Twenty drawn trees. libtorrent is told the files in our order, its own is that of its directory walk."""
    libtorrent = pytest.importorskip("libtorrent")
    top = tmp_path / "trée"
    paths = write_tree(top, seed)
    piece_length = 16 * KIB << seed % 3
    storage = libtorrent.file_storage()
    for path in sorted(paths, key=lambda path: [part.encode() for part in path]):
        storage.add_file(os.path.join("trée", *path), top.joinpath(*path).stat().st_size)
    theirs = libtorrent.create_torrent(storage, piece_length, libtorrent.create_torrent.v1_only)
    theirs.set_priv(seed % 2 == 0)
    libtorrent.set_piece_hashes(theirs, str(tmp_path))
    info = libtorrent.bencode(theirs.generate()[b"info"])
    ours = Metainfo.parse(create(top, piece_length=piece_length, private=seed % 2 == 0))
    assert ours.info.raw == info
    assert ours.warnings == ()


def test_a_single_file_is_hashed_piece_by_piece(tmp_path: Path) -> None:
    """Against the plain way to do it: the whole file in memory."""
    content = Random(1).randbytes(3 * MIB + 5)
    path = tmp_path / "film.mkv"
    path.write_bytes(content)
    info = Metainfo.parse(create(path, piece_length=128 * KIB)).info
    assert (info.name, info.multi, info.geometry.total) == ("film.mkv", False, len(content))
    assert [info.hash_of(piece) for piece in range(info.geometry.piece_count)] == [
        sha1(content[begin : begin + 128 * KIB]).digest() for begin in range(0, len(content), 128 * KIB)
    ]


def test_pieces_longer_than_the_buffers_and_runs_over_many_threads(tmp_path: Path) -> None:
    """Sparse content: 40 MiB in pieces of 4 MiB, over two files that do not end with a piece."""
    for name, length in (("a", 21 * MIB + 7), ("b", 19 * MIB)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(length)
    info = Metainfo.parse(create(tmp_path, piece_length=4 * MIB)).info
    zeros = sha1(bytes(4 * MIB)).digest()
    assert info.piece_hashes == zeros * 10 + sha1(bytes(7)).digest()


def test_everything_asked_for_is_written(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    made = Metainfo.parse(
        create(
            path,
            trackers=["http://a", "http://b"],
            webseeds=["http://s/f"],
            private=True,
            comment="c",
            source="SRC",
            name="other",
            created_by="me",
            creation_date=12,
        )
    )
    assert made.trackers == (("http://a",), ("http://b",))
    assert made.webseeds == ("http://s/f",)
    assert (made.comment, made.created_by, made.creation_date) == ("c", "me", 12)
    assert (made.info.private, made.info.source, made.info.name) == (True, "SRC", "other")
    assert made.info.geometry.piece_length == 16 * KIB


def test_the_same_content_gives_the_same_bytes_and_nothing_of_the_place(tmp_path: Path) -> None:
    """No date, no order of the directory, no path; a single tracker needs no announce-list."""
    made = []
    for place, names in (("one", "abcde"), ("two", "edcba")):
        top = tmp_path / place / "top"
        top.mkdir(parents=True)
        for name in names:
            (top / name).write_bytes(name.encode() * 9000)
        made.append(create(f"{top}/", trackers=["http://t"]))
    assert made[0] == made[1]
    read = decode(made[0])
    assert isinstance(read, dict)
    assert list(read) == [b"announce", b"created by", b"info"]
    assert read[b"created by"] == CREATOR.encode()


def test_progress_is_told_in_this_thread_and_ends_with_all(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.truncate(20 * MIB)
    told: list[tuple[int, int]] = []
    create(tmp_path / "f", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (20 * MIB, 20 * MIB)
    assert told == sorted(told)
    assert len(told) <= 3


def test_a_cancelled_one_stops_soon(tmp_path: Path) -> None:
    """The third question is answered yes, long before a sparse 64 GiB are hashed."""
    with (tmp_path / "f").open("wb") as file:
        file.truncate(64 * 2**30)
    asked = count(1)
    with pytest.raises(CreateCancelled):
        create(tmp_path / "f", cancelled=lambda: next(asked) == 3)
    with pytest.raises(CreateCancelled):
        create(tmp_path, cancelled=lambda: True)


@pytest.mark.parametrize("change", ["shorter", "longer", "touched", "gone"])
def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(100_000))

    def interfere() -> bool:
        """Asked once while the folder is listed, then while its files are read."""
        if next(asked) == 2:
            match change:
                case "shorter":
                    os.truncate(path, 50_000)
                case "longer":
                    os.truncate(path, 200_000)
                case "touched":
                    os.utime(path, (1, 1))
                case _:
                    path.unlink()
        return False

    asked = count(1)
    with pytest.raises(MetainfoError, match="f: No such file" if change == "gone" else "f: changed while it was read"):
        create(tmp_path, cancelled=interfere)


def test_nothing_to_share_is_refused(tmp_path: Path) -> None:
    """Other clients do not load a torrent without content."""
    with pytest.raises(MetainfoError, match="the folder is empty"):
        create(tmp_path)
    (tmp_path / "f").touch()
    with pytest.raises(MetainfoError, match="all files are empty"):
        create(tmp_path)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "\udcff"])
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "f").write_bytes(b"x")
    with pytest.raises(MetainfoError, match="name"):
        create(tmp_path / "f", name=name)
