"""Killed while a torrent's files are on their way: the next run brings them there, and nothing is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

import trees
from anabranch.api import Metainfo, create
from ours import KIB, MIB, address_of, make_client, until
from resilience.program import Downloader, DownloaderRefused

OTHER = Path("/dev/shm")  # another file system than that of temporary files, on Linux
KILLS = [3, pytest.param(15, marks=[pytest.mark.deep, pytest.mark.timeout(300)])]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system than the data."""
    if not OTHER.is_dir() or OTHER.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with TemporaryDirectory(dir=OTHER) as name:
        yield Path(name)


@pytest.mark.parametrize("kills", KILLS)
def test_a_move_that_is_killed_again_and_again_arrives(tmp_path: Path, elsewhere: Path, kills: int) -> None:
    """W41: to another file system and back, killed at any moment of it; every piece stays complete, none is hashed."""
    draw = Random(kills)
    original = trees.make_folder(tmp_path / "data" / "folder", 30, largest=MIB)
    trees.make_file(original / "large.bin", 24 * MIB, seed=99)
    digest = trees.digest(original)
    data = create(original, piece_length=64 * KIB)
    (tmp_path / "folder.torrent").write_bytes(data)
    count = Metainfo.parse(data).info.geometry.piece_count
    places = [tmp_path / "data", elsewhere / "new"]
    with Downloader(tmp_path, "127.0.8.2") as program:
        program.add(tmp_path / "folder.torrent", data_dir=places[0])
        assert program.pieces() == set(range(count))
        assert program.ask("close")
    for kill in range(kills):
        with Downloader(tmp_path, "127.0.8.2") as program:
            (program.torrent,) = program.ask("restore")
            assert program.pieces() == set(range(count))
            assert program.stats()["hashed"] == 0
            here, files_dir, _ = program.ask("where", torrent=program.torrent)
            assert here == files_dir
            assert trees.digest(Path(here) / "folder") == digest
            there = next(place for place in places if str(place) != here)
            assert not (there / "folder").exists()
            program.ask("move", torrent=program.torrent, directory=str(there))
            if kill % 3:
                until((there / "folder").exists)
            time.sleep(draw.random() * 0.03)
            program.kill()
    with Downloader(tmp_path, "127.0.8.2") as program:
        (program.torrent,) = program.ask("restore")
        assert program.pieces() == set(range(count))
        here, _, _ = program.ask("where", torrent=program.torrent)
        arrived = [place for place in places if (place / "folder").exists()]
        assert arrived == [Path(here)]
        assert trees.digest(Path(here) / "folder") == digest
        assert not [name for name in os.listdir(here) if name.startswith(".")]


def test_what_was_fetched_before_is_not_fetched_again(tmp_path: Path, elsewhere: Path) -> None:
    """Killed in the middle of moving an unfinished download: the next run fetches what was missing, and no more."""
    original = trees.make_folder(tmp_path / "seed" / "folder", 12, largest=MIB)
    trees.make_file(original / "large.bin", 12 * MIB, seed=98)
    data = create(original, piece_length=64 * KIB)
    (tmp_path / "folder.torrent").write_bytes(data)
    geometry = Metainfo.parse(data).info.geometry
    with make_client(tmp_path / "seeder", "127.0.8.1", data_dir=original.parent) as seeder:
        assert seeder.add(data).checked.wait(30)
        with Downloader(tmp_path, "127.0.8.2", download_rate=4 * MIB) as program:
            program.add(tmp_path / "folder.torrent", [address_of(seeder)])
            program.until_downloaded(6 * MIB)
            program.ask("move", torrent=program.torrent, directory=str(elsewhere / "new"))
            until((elsewhere / "new" / "folder").exists)
            program.kill()
        with Downloader(tmp_path, "127.0.8.2") as program:
            (program.torrent,) = program.ask("restore")
            before = program.pieces()
            assert len(before) * geometry.piece_length >= 5 * MIB
            missing = geometry.total - sum(map(geometry.length_of, before))
            first = program.stats()["downloaded"]
            program.add(tmp_path / "folder.torrent", [address_of(seeder)], data_dir=elsewhere / "new")
            assert program.wait_complete(60)
            assert program.stats()["downloaded"] - first <= missing
            assert program.ask("where", torrent=program.torrent)[0] == str(elsewhere / "new")
    assert trees.digest(elsewhere / "new" / "folder") == trees.digest(original)
    assert not (tmp_path / "data" / "folder").exists()


def test_a_removal_that_was_killed_is_finished(tmp_path: Path) -> None:
    """The torrent is not there again, its files are gone, and others' files stay."""
    original = trees.make_folder(tmp_path / "data" / "folder", 200, largest=8 * KIB)
    (tmp_path / "folder.torrent").write_bytes(create(original, piece_length=64 * KIB))
    (original / "mine.txt").write_text("not the torrent's")
    with Downloader(tmp_path, "127.0.8.2") as program:
        program.add(tmp_path / "folder.torrent", data_dir=tmp_path / "data")
        program.pieces()
        assert program.ask("close")
    with Downloader(tmp_path, "127.0.8.2") as program:
        (program.torrent,) = program.ask("restore")
        program.pieces()
        with pytest.raises(DownloaderRefused, match="exit code 9"):
            program.ask("drop_data", torrent=program.torrent, unlinks=50)
    assert sum(path.is_file() for path in original.rglob("*")) == 151
    with Downloader(tmp_path, "127.0.8.2") as program:
        assert program.ask("restore") == []
        assert [path.name for path in original.rglob("*")] == ["mine.txt"]
