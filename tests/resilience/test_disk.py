"""The disk says no: the torrent stops and says why in the system's words, others go on, and it goes on when it can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

import trees
from anabranch.api import Client, Torrent, create, events
from anabranch.engine import failing
from interop.libtorrent_peer import LibtorrentPeer
from ours import KIB, MIB, address_of, finished, make_client, until
from resilience.program import Downloader

RETRY_EVERY = 0.3  # seconds, instead of ten


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failing, "RETRY_EVERY", RETRY_EVERY)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """What does not fit, or is tampered with."""
    return trees.make_file(tmp_path / "seed" / "large.bin", 6 * MIB, seed=21)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """What fits."""
    return trees.make_file(tmp_path / "seed" / "small.bin", 512 * KIB, seed=22)


@pytest.fixture
def seeder(large: Path, small: Path, tmp_path: Path) -> Iterator[Client]:
    """Somebody who has both."""
    with make_client(tmp_path / "seeder", "127.0.7.1", data_dir=large.parent) as client:
        for original in (large, small):
            assert client.add(create(original, piece_length=64 * KIB)).checked.wait(30)
        yield client


def saved_torrent(original: Path, folder: Path) -> Path:
    """Its .torrent file."""
    path = folder / f"{original.name}.torrent"
    path.write_bytes(create(original, piece_length=64 * KIB))
    return path


def failed(torrent: Torrent) -> str:
    """Wait until the torrent has failed; what it says."""
    until(lambda: torrent.stats().stage == "failed")
    return torrent.stats().error


def went_on(torrent: Torrent) -> None:
    """Wait until it takes part again."""
    until(lambda: torrent.stats().stage == "live")


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes")
@pytest.mark.parametrize("piece_length", [64 * KIB, 4 * MIB], ids=["pieces in memory", "pieces in stretches"])
def test_a_limit_of_file_sizes_stops_one_torrent_until_it_is_raised(
    seeder: Client, large: Path, small: Path, tmp_path: Path, piece_length: int
) -> None:
    """The system's words and the file's name; no more is asked for; the other torrent completes meanwhile."""
    torrents = []
    for original, length in ((large, piece_length), (small, 64 * KIB)):
        data = create(original, piece_length=length)
        assert seeder.add(data).checked.wait(30)
        torrents.append(tmp_path / f"{original.name}.torrent")
        torrents[-1].write_bytes(data)
    peers: list[tuple[str, int]] = [address_of(seeder)]
    pool = 2 * MIB  # less than what the stuck one would keep
    with Downloader(
        tmp_path, "127.0.7.2", retry_every=RETRY_EVERY, max_unverified_bytes=pool, download_rate=8 * MIB
    ) as program:
        program.ask("limit_file_size", size=2 * MIB)
        stuck = program.add(torrents[0], peers)
        until(lambda: program.stats(stuck)["stage"] == "failed")
        error = program.stats(stuck)["error"]
        assert os.strerror(27) in error  # EFBIG
        assert "large.bin.part" in error
        fitting = program.add(torrents[1], peers)
        assert program.wait_complete(30, fitting)
        told = program.stats(stuck)
        assert (told["stage"], told["peers"]) == ("failed", 1)
        program.ask("limit_file_size", size=-1)
        assert program.wait_complete(30, stuck)
        assert program.stats(stuck)["error"] == ""
        # Nothing was lost but what had no room in memory.
        assert told["downloaded"] <= program.stats(stuck)["downloaded"] <= 6 * MIB + 5 * MIB
    assert trees.digest(tmp_path / "data" / "large.bin") == trees.digest(large)
    assert trees.digest(tmp_path / "data" / "small.bin") == trees.digest(small)


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB in memory."""
    where = tmp_path / "volume"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(where)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here; the limit of file sizes stands for a full disk")
    yield where
    subprocess.run(["umount", "--lazy", str(where)], check=True)


def test_a_full_disk_stops_one_torrent_until_there_is_room(
    seeder: Client, large: Path, small: Path, tmp_path: Path, volume: Path
) -> None:
    """W43: said once, however often it is tried; what was downloaded stays; another torrent goes on elsewhere."""
    (volume / "in the way").write_bytes(bytes(2 * MIB))
    with make_client(tmp_path, "127.0.7.3") as client:
        feed = client.events()
        torrent = client.add(create(large, piece_length=64 * KIB), data_dir=volume)
        torrent.download_all()
        torrent.add_peers([address_of(seeder)])
        assert failed(torrent) == f"{volume / 'large.bin.part'}: No space left on device"
        other = client.add(create(small, piece_length=64 * KIB))
        other.download_all()
        other.add_peers([address_of(seeder)])
        finished(other)
        assert torrent.stats().stage == "failed"
        stopped = torrent.stats().downloaded
        tried(client, torrent, 3)
        assert torrent.stats().downloaded == stopped
        (volume / "in the way").unlink()
        subprocess.run(["mount", "-o", "remount,size=8m", str(volume)], check=True)
        finished(torrent)
        assert torrent.stats().downloaded <= 6 * MIB + 64 * KIB
        assert torrent.stats().error == ""
    told = [event for event in feed if event.torrent == torrent.info_hash]
    assert sum(isinstance(event, events.Failed) for event in told) == 1
    assert sum(isinstance(event, events.Recovered) for event in told) == 1
    assert trees.digest(volume / "large.bin") == trees.digest(large)


def tried(client: Client, torrent: Torrent, times: int) -> None:
    """Wait until the torrent was tried again so often."""
    moments: set[float] = set()

    def often() -> bool:
        stage = torrent._state.stage
        moments.add(getattr(stage, "retry_at", 0.0))
        return len(moments) > times

    until(often)


def test_a_disk_that_is_full_of_our_own_state_says_so(
    seeder: Client, large: Path, tmp_path: Path, volume: Path
) -> None:
    """State and data on one small disk: nothing is believed that could not be recorded."""
    data = create(large, piece_length=64 * KIB)
    with make_client(tmp_path, "127.0.7.4", data_dir=volume / "data", state_dir=volume / "state") as client:
        torrent = client.add(data)
        torrent.download_all()
        torrent.add_peers([address_of(seeder)])
        assert "volume" in failed(torrent)
        subprocess.run(["mount", "-o", "remount,size=32m", str(volume)], check=True)
        finished(torrent)
    with make_client(tmp_path, "127.0.7.4", data_dir=volume / "data", state_dir=volume / "state") as client:
        finished(client.add(data), 10)
    assert trees.digest(volume / "data" / "large.bin") == trees.digest(large)


def test_a_directory_that_cannot_be_made_is_named(seeder: Client, small: Path, tmp_path: Path) -> None:
    """A plain file is where the data directory should be; once it is gone, the download goes on."""
    (tmp_path / "plain").write_text("not a directory")
    with make_client(tmp_path, "127.0.7.5", data_dir=tmp_path / "plain" / "data") as client:
        torrent = client.add(create(small, piece_length=64 * KIB))
        torrent.download_all()
        torrent.add_peers([address_of(seeder)])
        error = failed(torrent)
        assert str(tmp_path / "plain") in error
        assert error.endswith("Not a directory")
        assert not torrent.complete.wait(0)
        (tmp_path / "plain").unlink()
        finished(torrent)
    assert trees.digest(tmp_path / "plain" / "data" / "small.bin") == trees.digest(small)


def put_back(path: Path, content: bytes | bytearray) -> None:
    """Put a file at its place, whole."""
    whole = path.parent.parent / "whole"
    whole.write_bytes(content)
    whole.replace(path)


def hashed(data: bytes, folder: Path, host: str, data_dir: Path) -> None:
    """Run a client that hashes what is there and records it, so that the next has no reason to look at it."""
    with make_client(folder, host, data_dir=data_dir) as client:
        torrent = client.add(data)
        assert torrent.checked.wait(30)
        assert torrent.stats().pieces_complete == torrent.piece_count


@pytest.mark.interop
@pytest.mark.parametrize("harm", ["cut short", "removed", "unreadable"])
def test_a_file_that_is_lost_while_it_is_seeded_is_named_and_served_when_it_is_back(
    small: Path, large: Path, tmp_path: Path, harm: str
) -> None:
    """libtorrent downloads, waits, and finishes."""
    pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")
    data = create(large, piece_length=64 * KIB)
    kept = large.read_bytes()
    hashed(data, tmp_path, "127.0.7.6", large.parent)
    with make_client(tmp_path, "127.0.7.6", data_dir=large.parent) as client:
        torrent = client.add(data)
        assert torrent.checked.wait(30)
        assert torrent.stats().pieces_complete == torrent.piece_count
        if harm == "cut short":
            os.truncate(large, MIB)
        else:
            large.unlink()
        if harm == "unreadable":
            large.mkdir()
        with LibtorrentPeer("127.0.7.7", encryption="off") as leecher:
            leecher.add(data, tmp_path / "leech")
            leecher.connect(*address_of(client))
            error = failed(torrent)
            assert str(large) in error
            if harm == "cut short":
                assert "bytes short at offset" in error
            elif harm == "removed":
                assert error.endswith("No such file or directory")
            if harm == "unreadable":
                large.rmdir()
            put_back(large, kept)
            went_on(torrent)
            leecher.connect(*address_of(client))
            leecher.wait_finished(60)
        assert torrent.stats().pieces_complete == torrent.piece_count
    assert trees.digest(tmp_path / "leech" / "large.bin") == trees.digest(large)


def test_a_file_that_comes_back_different_is_not_served(large: Path, tmp_path: Path) -> None:
    """What is put back is hashed before anybody gets it; what is wrong is fetched from others."""
    data = create(large, piece_length=64 * KIB)
    other = bytearray(large.read_bytes())
    other[3 * MIB] ^= 1
    shutil.copytree(large.parent, tmp_path / "good")
    hashed(data, tmp_path / "a", "127.0.7.8", large.parent)
    with (
        make_client(tmp_path / "a", "127.0.7.8", data_dir=large.parent) as client,
        make_client(tmp_path / "b", "127.0.7.9", data_dir=tmp_path / "good") as good,
        make_client(tmp_path / "c", "127.0.7.10") as leecher,
    ):
        torrent = client.add(data)
        assert torrent.checked.wait(30)
        os.truncate(large, 100)
        wanting = leecher.add(data)
        wanting.download_all()
        wanting.add_peers([address_of(client)])
        failed(torrent)
        put_back(large, other)
        went_on(torrent)
        until(lambda: torrent.stats().pieces_complete == torrent.piece_count - 1)
        assert not torrent.piece(48).state.complete
        assert good.add(data).checked.wait(30)
        torrent.download_all()
        for one in (torrent, wanting):
            one.add_peers([address_of(good)])
            finished(one)
        assert wanting.stats().corrupt == 0
    assert trees.digest(large) == trees.digest(tmp_path / "good" / "large.bin")


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
def test_a_read_only_directory_is_seeded(tmp_path: Path) -> None:
    """Nothing is written where the data is: not at hashing, not at seeding, not at the end."""
    original = trees.make_folder(tmp_path / "readonly" / "folder", 20, largest=256 * KIB)
    data = create(original, piece_length=64 * KIB)
    (tmp_path / "folder.torrent").write_bytes(data)
    before = trees.digest(original)
    below = [original.parent, *original.parent.rglob("*")]
    for path in below:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with (
            Downloader(tmp_path, "127.0.7.11", obey_permissions=True, data_dir=str(original.parent)) as program,
            make_client(tmp_path / "leecher", "127.0.7.12") as leecher,
        ):
            program.add(tmp_path / "folder.torrent")
            assert program.wait_complete(30)
            torrent = leecher.add(data)
            torrent.download_all()
            torrent.add_peers([program.address])
            finished(torrent)
            assert program.stats()["error"] == ""
            assert program.ask("close")
        with Downloader(tmp_path, "127.0.7.11", obey_permissions=True, data_dir=str(original.parent)) as program:
            program.add(tmp_path / "folder.torrent")
            assert program.wait_complete(10)
    finally:
        for path in below:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert trees.digest(original) == before == trees.digest(tmp_path / "leecher" / "data" / "folder")


def test_verifying_finds_exactly_what_is_wrong_and_it_is_fetched_again(
    seeder: Client, large: Path, tmp_path: Path
) -> None:
    """One flipped byte in each of three pieces; the file is complete again afterwards, under its name."""
    draw = Random(23)
    data = create(large, piece_length=64 * KIB)
    with make_client(tmp_path, "127.0.7.13") as client:
        torrent = client.add(data)
        torrent.download_all()
        torrent.add_peers([address_of(seeder)])
        finished(torrent)
        torrent.set_max_connections(0)
        until(lambda: not torrent.stats().peers)
        harmed = set(draw.sample(range(torrent.piece_count), 3))
        with (tmp_path / "data" / "large.bin").open("rb+") as file:
            for piece in harmed:
                place = piece * 64 * KIB + draw.randrange(64 * KIB)
                file.seek(place)
                byte = file.read(1)
                file.seek(place)
                file.write(bytes([byte[0] ^ 1 << draw.randrange(8)]))
        torrent.verify()
        assert torrent.checked.wait(30)
        assert {n for n, state in enumerate(torrent.piece_states()) if not state.complete} == harmed
        assert not torrent.complete.wait(0)
        before = torrent.stats().downloaded
        torrent.set_max_connections(50)
        torrent.add_peers([address_of(seeder)])
        finished(torrent)
        assert torrent.stats().downloaded == before + 3 * 64 * KIB
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["large.bin"]
    assert trees.digest(tmp_path / "data" / "large.bin") == trees.digest(large)


def test_a_sparse_copy_is_as_whole_as_any(tmp_path: Path) -> None:
    """The image of a disk, mostly zeros that its file system keeps as holes."""
    image = trees.make_file(tmp_path / "seed" / "image", 100_000, seed=24)
    os.truncate(image, 4 * MIB)
    data = create(image, piece_length=64 * KIB)
    with make_client(tmp_path, "127.0.7.14", data_dir=image.parent) as client:
        torrent = client.add(data)
        assert torrent.checked.wait(30)
        assert torrent.stats().pieces_complete == torrent.piece_count
