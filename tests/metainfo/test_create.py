"""Making .torrent files."""

from __future__ import annotations

import os
from hashlib import sha1
from itertools import count
from pathlib import Path
from random import Random

import pytest

from anabranch.bencode import decode, decode_noted
from anabranch.metainfo import CREATOR, CreateCancelled, Metainfo, MetainfoError, Version, create
from anabranch.metainfo.layout import VERSIONS
from trees import make_file

KIB, MIB = 2**10, 2**20


def write_tree(top: Path, seed: int) -> None:
    """A folder drawn from *seed*: nested, empty, hidden, non-ASCII names; lengths around the ends of pieces."""
    draw = Random(seed)
    folders: list[tuple[str, ...]] = [()]
    for number in range(draw.randint(2, 12)):
        name = draw.choice(["a", "A-", "a b", ".h", "é", "漢", "z.txt", "\U0001f600"]) + str(number)
        path = (*draw.choice(folders), name)
        if draw.random() < 0.3:
            folders.append(path)
            continue
        file = top.joinpath(*path)
        file.parent.mkdir(parents=True, exist_ok=True)
        length = draw.choice([0, 1, 100, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 70_000, 200_000])
        file.write_bytes(draw.randbytes(length))
        file.chmod(draw.choice([0o644, 0o755]))
    (top / "last").write_bytes(b"never empty")
    (top / "link").symlink_to("last")


def read(made: bytes) -> tuple[bytes, object]:
    """The info dictionary of a .torrent file as it is in there, and its piece layers."""
    noted = decode_noted(made)
    assert isinstance(noted.value, dict)
    start, end = noted.spans[b"info"]
    return made[start:end], noted.value.get(b"piece layers")


def theirs(top: Path, version: Version, piece_length: int, *, private: bool = False) -> tuple[bytes, object]:
    """The same of the torrent that libtorrent makes of it."""
    libtorrent = pytest.importorskip("libtorrent")
    kinds = libtorrent.create_torrent
    flags = {"v1": kinds.v1_only, "v2": kinds.v2_only, "hybrid": 0}[version]
    files = libtorrent.list_files(str(top))
    files.sort(key=lambda file: [part.encode() for part in file.filename.split("/")])  # it leaves v1 as it is found
    torrent = kinds(files, piece_length, flags)
    torrent.set_priv(private)
    libtorrent.set_piece_hashes(torrent, str(top.parent))
    whole = torrent.generate()
    return libtorrent.bencode(whole[b"info"]), whole.get(b"piece layers")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", range(20))
def test_a_folders_info_hash_is_the_one_that_libtorrent_gives(tmp_path: Path, seed: int, version: Version) -> None:
    """Twenty drawn trees, with attributes and links; the info dictionary and the piece layers byte for byte."""
    top = tmp_path / "trée"
    top.mkdir()
    write_tree(top, seed)
    piece_length, private = 16 * KIB << seed % 3, seed % 2 == 0
    made = create(top, version=version, piece_length=piece_length, private=private)
    assert read(made) == theirs(top, version, piece_length, private=private)
    assert Metainfo.parse(made).warnings == ()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("length", [1, 16 * KIB, 16 * KIB + 1, 100_000])
def test_a_files_info_hash_is_the_one_that_libtorrent_gives(tmp_path: Path, length: int, version: Version) -> None:
    """Alone it is not padded, in a folder of its own neither, but beside an empty one it is."""
    path = tmp_path / "folder" / "film.mkv"
    path.parent.mkdir()
    path.write_bytes(Random(length).randbytes(length))
    path.chmod(0o755)
    for top in (path, path.parent):
        assert read(create(top, version=version, piece_length=16 * KIB)) == theirs(top, version, 16 * KIB)
    (path.parent / "empty").touch()
    assert read(create(path.parent, version=version, piece_length=16 * KIB)) == theirs(path.parent, version, 16 * KIB)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_hybrids_files_are_in_the_order_of_its_tree(tmp_path: Path) -> None:
    """libtorrent sorts them by their joined path, where "a-b" comes before "a/x", and refuses its own torrent then."""
    libtorrent = pytest.importorskip("libtorrent")
    top = tmp_path / "top"
    (top / "a").mkdir(parents=True)
    for name in ("a/x", "a-b", "a b", "a0"):
        (top / name).write_bytes(name.encode())
    made = create(top, version="hybrid", piece_length=16 * KIB)
    assert read(made) != theirs(top, "hybrid", 16 * KIB)
    with pytest.raises(RuntimeError, match="metadata does not match"):
        libtorrent.torrent_info(libtorrent.bdecode(b"d4:info" + theirs(top, "hybrid", 16 * KIB)[0] + b"e"))
    files = libtorrent.torrent_info(libtorrent.bdecode(made)).files()
    paths = [files.file_path(index) for index in range(files.num_files())]
    assert [path for path in paths if ".pad" not in path] == ["top/a/x", "top/a b", "top/a-b", "top/a0"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", VERSIONS)
def test_folders_may_be_as_deep_as_libtorrent_loads_them(tmp_path: Path, version: Version) -> None:
    """The file tree of v2 makes a level of bencode of each."""
    libtorrent = pytest.importorskip("libtorrent")
    depth = 98 if version == "v1" else 94
    deep = tmp_path.joinpath(*"d" * depth)
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"x")
    made = create(tmp_path, version=version, name="top")
    assert libtorrent.torrent_info(libtorrent.bdecode(made)).files().file_name(0) == "f"
    assert len(Metainfo.parse(made).info.files) == 1
    (deep / "d").mkdir()
    with pytest.raises(MetainfoError, match=f"more than {depth} folders deep"):
        create(tmp_path, version=version, name="top")


def test_a_version_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MetainfoError, match="'v3' is no version of a torrent, v1, v2, hybrid are"):
        create(tmp_path, version="v3")  # type: ignore[arg-type]  # what a caller without types may say


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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_hybrids_long_pieces_are_hashed_both_ways(tmp_path: Path) -> None:
    """Over several buffers, runs and threads, with pads between."""
    for number, length in enumerate((9 * MIB + 1, 0, 16 * KIB, 13 * MIB)):
        make_file(tmp_path / "top" / str(number), length, number)
    for piece_length in (256 * KIB, 4 * MIB):
        made = create(tmp_path / "top", version="hybrid", piece_length=piece_length)
        assert read(made) == theirs(tmp_path / "top", "hybrid", piece_length)


def test_everything_asked_for_is_written(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    made = Metainfo.parse(
        create(
            path,
            trackers=["http://a", "http://b"],
            webseeds=["http://s/f"],
            httpseeds=["http://s/x.php"],
            private=True,
            comment="c",
            source="SRC",
            name="other",
            created_by="me",
            creation_date=12,
        )
    )
    assert made.trackers == (("http://a",), ("http://b",))
    assert (made.webseeds, made.httpseeds) == (("http://s/f",), ("http://s/x.php",))
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
    whole = decode(made[0])
    assert isinstance(whole, dict)
    assert list(whole) == [b"announce", b"created by", b"info"]
    assert whole[b"created by"] == CREATOR.encode()


@pytest.mark.parametrize("version", VERSIONS)
def test_progress_is_told_in_this_thread_and_ends_with_all(tmp_path: Path, version: Version) -> None:
    """What only fills pieces does not count."""
    with (tmp_path / "f").open("wb") as file:
        file.truncate(20 * MIB)
    told: list[tuple[int, int]] = []
    (tmp_path / "g").write_bytes(b"1")
    create(tmp_path, version=version, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (20 * MIB + 1, 20 * MIB + 1)
    assert told == sorted(told)
    assert len(told) <= 3


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cancelled_one_stops_soon(tmp_path: Path, version: Version) -> None:
    """The third question is answered yes, long before a sparse 64 GiB are hashed."""
    with (tmp_path / "f").open("wb") as file:
        file.truncate(64 * 2**30)
    asked = count(1)
    with pytest.raises(CreateCancelled):
        create(tmp_path / "f", version=version, cancelled=lambda: next(asked) == 3)
    with pytest.raises(CreateCancelled):
        create(tmp_path, cancelled=lambda: True)


@pytest.mark.parametrize("version", ["v1", "hybrid"])
@pytest.mark.parametrize("change", ["shorter", "longer", "touched", "gone"])
def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path, change: str, version: Version) -> None:
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
        create(tmp_path, version=version, cancelled=interfere)


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
