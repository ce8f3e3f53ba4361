"""The disk says no while a torrent is known by its link only, or just when it begins: it waits, and ends right."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import trees
from anabranch.api import Client, InputRefused, Magnet, Metainfo, Torrent, create
from anabranch.engine import failing
from ours import KIB, address_of, finished, make_client, until

RETRY_EVERY = 0.3  # seconds, instead of ten


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failing, "RETRY_EVERY", RETRY_EVERY)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """The content of these tests."""
    return trees.make_folder(tmp_path / "seed" / "folder", 15, largest=512 * KIB)


@pytest.fixture(params=["v2", pytest.param("hybrid", marks=pytest.mark.deep)])
def seeder(request: pytest.FixtureRequest, original: Path, tmp_path: Path) -> Iterator[Client]:
    """Somebody who has it, as a torrent of either kind."""
    with make_client(tmp_path / "seeder", "127.0.7.11", data_dir=original.parent) as client:
        assert client.add(create(original, piece_length=64 * KIB, version=request.param)).checked.wait(30)
        yield client


def link_of(seeder: Client) -> str:
    """What it has, by name only."""
    return str(Magnet.of(Metainfo.parse(seeder.torrents[0].metainfo.raw)))


def failed(torrent: Torrent) -> str:
    """Wait until the torrent has failed; what it says."""
    until(lambda: torrent.stats().stage == "failed")
    return torrent.stats().error


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB in memory."""
    where = tmp_path / "volume"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(where)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    yield where
    subprocess.run(["umount", "--lazy", str(where)], check=True)


def remount(volume: Path, options: str) -> None:
    """Change how it is mounted."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(volume)], check=True)


def fill(path: Path) -> None:
    """Write to the file until its volume has no room."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(KIB)):
            pass


def remembers(client: Client) -> bool:
    """Whether its store has a torrent: it is a worker's, who may be later than what the torrent says."""
    sessions = client._core.engine.workshop.sessions
    assert sessions is not None
    return bool(sessions.torrents())


def test_what_stands_in_the_way_of_the_data_is_waited_for(seeder: Client, original: Path, tmp_path: Path) -> None:
    """The data directory goes while the link is learned, and a file has its name when the torrent begins."""
    data = tmp_path / "downloads"
    data.mkdir()
    with make_client(tmp_path, "127.0.7.12", data_dir=data) as client:
        torrent = client.add(link_of(seeder))
        torrent.download_all()
        data.rmdir()
        data.write_bytes(b"in the way")
        torrent.add_peers([address_of(seeder)])
        assert failed(torrent) == f"{data}: Not a directory"
        assert torrent.got_info.is_set
        data.unlink()
        finished(torrent)
    assert trees.digest(data / "folder") == trees.digest(original)


def test_a_volume_that_is_full_and_only_to_be_read_is_waited_for(
    seeder: Client, original: Path, tmp_path: Path, volume: Path
) -> None:
    """W43: first it may not be written to, then there is no room; each is said, and then all of it comes."""
    remount(volume, "ro")
    with make_client(tmp_path, "127.0.7.13", data_dir=volume) as client:
        torrent = client.add(link_of(seeder))
        torrent.download_all()
        torrent.add_peers([address_of(seeder)])
        assert "Read-only file system" in failed(torrent)
        remount(volume, "rw")
        until(lambda: "No space left on device" in torrent.stats().error)
        remount(volume, "size=32m")
        finished(torrent)
        assert torrent.stats().error == ""
    assert trees.digest(volume / "folder") == trees.digest(original)


def test_a_link_is_remembered_by_a_store_that_had_no_room_for_what_it_became(
    seeder: Client, original: Path, tmp_path: Path, volume: Path
) -> None:
    """Nothing is recorded while it is full; the next run goes on with what the store has."""
    link = link_of(seeder)
    with make_client(tmp_path, "127.0.7.14", state_dir=volume) as client:
        torrent = client.add(link)
        torrent.download_all()
        until(lambda: remembers(client))
        fill(volume / "in the way")
        torrent.add_peers([address_of(seeder)])
        assert "session.db" in failed(torrent)
        assert not torrent.complete.is_set
    (volume / "in the way").unlink()
    remount(volume, "size=32m")
    with make_client(tmp_path, "127.0.7.14", state_dir=volume) as client:
        (torrent,) = client.restore()
        torrent.add_peers([address_of(seeder)])
        finished(torrent)
    assert trees.digest(tmp_path / "data" / "folder") == trees.digest(original)


def test_two_programs_do_not_run_one_link_below_one_directory(seeder: Client, tmp_path: Path) -> None:
    """Whoever comes second is told, before anything was learned."""
    link = link_of(seeder)
    with make_client(tmp_path, "127.0.7.15") as client, make_client(tmp_path, "127.0.7.16") as other:
        client.add(link)
        with pytest.raises(InputRefused, match="in use by this program"):
            other.add(link)
