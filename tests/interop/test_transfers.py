"""Content of every shape goes from libtorrent to us, from us to libtorrent and between us, and arrives as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import trees

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from anabranch.api import Metainfo, create
from interop.libtorrent_peer import LibtorrentPeer, make_torrent
from ours import KIB, MIB, address_of, finished, make_client

pytestmark = pytest.mark.interop


@dataclass(frozen=True)
class Content:
    """What is moved: where it lies, its torrent, and what its tree must look like afterwards."""

    path: Path
    torrent: bytes
    digest: str


@dataclass(frozen=True)
class Shape:
    """How content is made, and into which pieces it falls."""

    make: Callable[[Path], Path]
    piece_length: int


SHAPES = {
    "file of 64 MiB": Shape(lambda at: trees.make_file(at / "64 MiB ü.bin", 64 * MIB, seed=1), 256 * KIB),
    "folder of 60 files": Shape(lambda at: trees.make_folder(at / "60 файлов", 60, largest=MIB), 64 * KIB),
    "pieces of 16 KiB": Shape(lambda at: trees.make_file(at / "small pieces.bin", 20 * MIB + 7, seed=2), 16 * KIB),
    "pieces of 16 MiB": Shape(lambda at: trees.make_file(at / "large pieces.bin", 20 * MIB + 7, seed=3), 16 * MIB),
    "one byte": Shape(lambda at: trees.make_file(at / "one byte", 1, seed=4), 16 * KIB),
}
FULL_SHAPES = {
    "file of 1 GiB": Shape(lambda at: trees.make_file(at / "1 GiB ü.bin", 1024 * MIB, seed=5), MIB),
    "folder of 300 files": Shape(lambda at: trees.make_folder(at / "300 файлов", 300), 256 * KIB),
}
EVERY = [
    *(pytest.param(shape, id=name) for name, shape in SHAPES.items()),
    *(pytest.param(shape, id=name, marks=pytest.mark.deep) for name, shape in FULL_SHAPES.items()),
]


@pytest.fixture(scope="module", params=EVERY)
def content(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Content:
    """One content for the tests of all directions."""
    shape: Shape = request.param
    path = shape.make(tmp_path_factory.mktemp("seed"))
    return Content(path, make_torrent(path, shape.piece_length), trees.digest(path))


@pytest.mark.timeout(300)
def test_what_libtorrent_seeds_we_download(content: Content, tmp_path: Path) -> None:
    """Byte for byte, with the names of the torrent and nothing beside them."""
    with LibtorrentPeer("127.0.1.1") as seeder, make_client(tmp_path, "127.0.1.2") as client:
        seeder.add(content.torrent, content.path.parent)
        torrent = client.add(content.torrent)
        torrent.download_all()
        torrent.add_peers([(seeder.host, seeder.port)])
        finished(torrent, 240)
        assert torrent.stats().corrupt == 0
    assert trees.digest(tmp_path / "data" / content.path.name) == content.digest
    assert [path.name for path in (tmp_path / "data").iterdir()] == [content.path.name]


@pytest.mark.timeout(300)
def test_what_we_seed_libtorrent_downloads(content: Content, tmp_path: Path) -> None:
    """After hashing what is there; libtorrent dials us."""
    with (
        LibtorrentPeer("127.0.1.3", encryption="off") as leecher,
        make_client(tmp_path, "127.0.1.4", data_dir=content.path.parent) as client,
    ):
        torrent = client.add(content.torrent)
        assert torrent.checked.wait(120)
        assert torrent.stats().pieces_complete == torrent.piece_count
        leecher.add(content.torrent, tmp_path / "leech")
        leecher.connect(*address_of(client))
        leecher.wait_finished(240)
        told = leecher.stats()
        assert (told["failed"], told["redundant"]) == (0, 0)
    assert trees.digest(tmp_path / "leech" / content.path.name) == content.digest


@pytest.mark.timeout(300)
def test_what_we_seed_we_download(content: Content, tmp_path: Path) -> None:
    """Both sides are ours."""
    with (
        make_client(tmp_path / "seeder", "127.0.1.5", data_dir=content.path.parent) as seeder,
        make_client(tmp_path / "leecher", "127.0.1.6") as leecher,
    ):
        assert seeder.add(content.torrent).checked.wait(120)
        torrent = leecher.add(content.torrent)
        torrent.download_all()
        torrent.add_peers([address_of(seeder)])
        finished(torrent, 240)
        assert torrent.stats().wasted == 0
    assert trees.digest(tmp_path / "leecher" / "data" / content.path.name) == content.digest


def test_our_torrents_have_the_info_hash_of_those_that_libtorrent_makes(content: Content) -> None:
    """Under the same names, in the same pieces. Its own order of files is the directory's; ours is by name."""
    piece_length = Metainfo.parse(content.torrent).info.geometry.piece_length
    theirs = Metainfo.parse(make_torrent(content.path, piece_length, in_order=True))
    ours = Metainfo.parse(create(content.path, piece_length=piece_length))
    assert ours.info.info_hash == theirs.info.info_hash
