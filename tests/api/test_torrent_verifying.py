"""verify() finds files that somebody put there while the torrent was open, and believes none of them unhashed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import trees
from anabranch.api import Client, Torrent
from origin import Origin
from ours import KIB, make_client, until
from threads import PATIENCE


@pytest.fixture(params=["file", "mmap"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """A client that keeps files."""
    with make_client(tmp_path, "127.0.7.6", storage=request.param) as made:
        yield made


def verified(torrent: Torrent) -> set[int]:
    """The complete pieces after a check of all."""
    torrent.verify()
    assert torrent.checked.wait(PATIENCE)
    return {piece for piece, state in enumerate(torrent.piece_states()) if state.complete}


def test_a_disk_that_is_mounted_later_is_found_whole(origin: Origin, client: Client, tmp_path: Path) -> None:
    """Opened without it nothing is there; with it all is, and nothing is fetched."""
    torrent = origin.added(client)
    assert verified(torrent) == set()
    shutil.copytree(origin.path, tmp_path / "data" / "content", dirs_exist_ok=True)
    assert verified(torrent) == set(range(37))
    torrent.download_all()
    torrent.add_peers([origin.address])
    assert torrent.complete.wait(PATIENCE)
    assert torrent.stats().downloaded == 0
    assert trees.digest(tmp_path / "data" / "content") == trees.digest(origin.path)


def test_a_piece_that_is_verified_finds_its_file(origin: Origin, client: Client, tmp_path: Path) -> None:
    """The other pieces of that file are known to nobody until they are verified, too."""
    torrent = origin.added(client)
    shutil.copytree(origin.path, tmp_path / "data" / "content", dirs_exist_ok=True)
    torrent.piece(3).verify()
    assert torrent.checked.wait(PATIENCE)
    assert [piece for piece, state in enumerate(torrent.piece_states()) if state.complete] == [3]
    assert verified(torrent) == set(range(37))


def test_a_file_that_is_taken_away_and_put_back_is_found(origin: Origin, client: Client, tmp_path: Path) -> None:
    """Its pieces are lost while it is away, and had again without a peer."""
    torrent = origin.copied(client)
    torrent.set_max_connections(0)
    until(lambda: not torrent.peers())
    downloaded = torrent.stats().downloaded
    path, away = tmp_path / "data" / "content" / "deep" / "b.bin", tmp_path / "away"
    shutil.copy(path, away)
    path.unlink()
    torrent.verify()
    until(lambda: torrent.stats().pieces_complete < 37)
    shutil.copy(away, path)
    until(lambda: torrent.checked.wait(PATIENCE) and torrent.stats().stage == "live")
    assert verified(torrent) == set(range(37))
    assert torrent.complete.wait(PATIENCE)
    assert torrent.stats().downloaded == downloaded
    assert trees.digest(tmp_path / "data" / "content") == trees.digest(origin.path)


def test_a_file_that_comes_beside_ours_is_left_alone(origin: Origin, client: Client, tmp_path: Path) -> None:
    """Ours goes on as NAME.part, and keeps that name when it is complete."""
    client.set_rates(256 * KIB, None)
    torrent = origin.served(client)
    torrent.download_all()
    until(lambda: torrent.stats().pieces_complete)
    torrent.set_max_connections(0)
    until(lambda: not torrent.peers())
    had = {piece for piece, state in enumerate(torrent.piece_states()) if state.complete}
    folder = tmp_path / "data" / "content"
    [ours, *_] = folder.rglob("*.part")
    theirs = ours.with_suffix("")
    theirs.write_bytes(b"somebody's")
    assert verified(torrent) == had
    client.set_rates(None, None)
    torrent.set_max_connections(50)
    torrent.add_peers([origin.address])
    assert torrent.complete.wait(PATIENCE)
    assert verified(torrent) == set(range(37))
    assert theirs.read_bytes() == b"somebody's"
    assert ours.read_bytes() == (origin.path / theirs.relative_to(folder)).read_bytes()


def test_a_wrong_file_that_comes_is_not_believed(origin: Origin, client: Client, tmp_path: Path) -> None:
    """Whatever its length; what is right of it is kept, the rest is fetched."""
    torrent = origin.added(client)
    path = tmp_path / "data" / "content" / "a.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    right = (origin.path / "a.bin").read_bytes()
    path.write_bytes(right[:200_000] + bytes(100_000) + right[300_000:] + b"more")
    assert verified(torrent) == {0, 1, 2, *range(5, 15)}
    torrent.download_all()
    torrent.add_peers([origin.address])
    assert torrent.complete.wait(PATIENCE)
    assert trees.digest(tmp_path / "data" / "content") == trees.digest(origin.path)
