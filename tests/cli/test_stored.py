"""--storage: each kind is downloaded into, verified and seeded from by the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anabranch.cli.stored import stored
from anabranch.engine import homes_io
from anabranch.metainfo import Metainfo, create
from anabranch.storage import CacheStorage
from programs import run, seeding, small_torrent
from trees import digest

NOT_HERE = ("--bind", "127.0.0.2", "--port", "0")
ALL_RIGHT = "pieces are right"


@pytest.fixture
def torrent(tmp_path: Path) -> Path:
    return small_torrent(tmp_path)[0]


def test_what_is_downloaded_into_a_storage_is_verified_there_and_seeded_from_there(
    tmp_path: Path, torrent: Path
) -> None:
    """Each kind is filled by the one before it, every time by programs of their own; files are looked at in the end."""
    (tmp_path / "objects").mkdir()
    giver, given = tmp_path / "source", list[str]()
    for storage in ("mmap", "sqlite", "cache", f"file://{tmp_path / 'objects'}", "file"):
        taker, kept = tmp_path / f"in {storage[:6]}", ["--storage", storage]
        state = ["--state", f"state {storage[:6]}"]
        with seeding(tmp_path, torrent, giver, *given) as address:
            done = run(tmp_path, "download", torrent, "-d", taker, *kept, *state, "--peer", address, *NOT_HERE)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("complete: folder, 976.6 KiB")
        looked = run(tmp_path, "verify", torrent, "-d", taker, *kept)
        assert looked.returncode == 0, looked.stderr
        assert ALL_RIGHT in looked.stdout
        giver, given = taker, kept + state
    assert digest(giver / "folder") == digest(tmp_path / "source" / "folder")


@pytest.mark.parametrize(("storage", "name"), [("sqlite", "anabranch.sqlite"), ("cache", "anabranch.cache")])
def test_verify_makes_nothing_where_there_is_nothing(tmp_path: Path, torrent: Path, storage: str, name: str) -> None:
    """One line, exit code 1, and no new file."""
    (tmp_path / "got").mkdir()
    told = run(tmp_path, "verify", torrent, "-d", "got", "--storage", storage)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == f"anabranch: {Path('got') / name}: No such file or directory\n"
    assert not os.listdir(tmp_path / "got")


def test_an_object_store_of_an_unknown_kind_is_refused_in_words(tmp_path: Path, torrent: Path) -> None:
    """Exit code 1, one line that names it."""
    told = run(tmp_path, "download", torrent, "-d", "got", "--storage", "tape://deck/1", *NOT_HERE)
    assert told.returncode == 1
    assert "tape" in told.stderr
    assert "Traceback" not in told.stderr
    assert told.stderr.count("\n") == 1


def test_what_is_incomplete_is_kept_apart_and_comes_where_it_belongs(tmp_path: Path, torrent: Path) -> None:
    """--incomplete-dir with --preallocate: nothing is left there, and the line says where the files are."""
    with seeding(tmp_path, torrent, tmp_path / "source") as address:
        line = ["-d", "got", "--incomplete-dir", "begun", "--preallocate", "--state", "first", "--peer", address]
        done = run(tmp_path, "download", torrent, *line, *NOT_HERE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(str(Path("got") / "folder"))
    assert digest(tmp_path / "got" / "folder") == digest(tmp_path / "source" / "folder")
    assert not os.listdir(tmp_path / "begun")


def test_a_link_to_what_does_not_fit_is_refused_as_soon_as_that_is_known(tmp_path: Path, torrent: Path) -> None:
    """Peers tell how long it is; nothing of it is fetched."""
    link = run(tmp_path, "magnet", torrent).stdout.strip()
    small = ["-d", "got", "--storage", "cache", "--cache-size", "100K"]
    with seeding(tmp_path, torrent, tmp_path / "source") as address:
        told = run(tmp_path, "download", link, *small, "--peer", address, *NOT_HERE)
    assert (told.returncode, told.stdout) == (1, "")
    assert "anabranch: folder does not fit: " in told.stderr


def test_whoever_only_looks_gives_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache may be larger than one is by default."""
    content, piece = os.urandom(4 * 16384), 16384
    (tmp_path / "data").write_bytes(content)
    info = Metainfo.parse(create(tmp_path / "data", piece_length=piece)).info
    kept = CacheStorage(tmp_path / "anabranch.cache", 1 << 30).open(info, info.info_hash)
    for index in range(4):
        kept.piece(index).writev(0, [content[index * piece :][:piece]])
    kept.record(range(4))
    kept.close()
    monkeypatch.setattr(homes_io, "CACHE_SIZE", piece)
    view = memoryview(bytearray(len(content)))
    with stored(info, info.info_hash, "cache", str(tmp_path)) as looked:
        looked.read(0, view)
    assert view == content
