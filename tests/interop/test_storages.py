"""Each kind of storage and libtorrent: we keep what it has, and after a restart it gets that from what we kept."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

import trees
from anabranch.api import Client
from interop.libtorrent_peer import LibtorrentPeer
from interop.matrix import Content, fetch, make_content
from ours import address_of, make_client

pytestmark = pytest.mark.interop

KINDS = ("file", "mmap", "sqlite", "cache", "memory", "object")


@pytest.fixture(scope="module", params=["v1", "hybrid"])
def content(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Content:
    """One folder for all kinds."""
    return make_content(tmp_path_factory.mktemp("seed"), f"folder {request.param}", request.param)


def client_of(kind: str, folder: Path, host: str) -> Client:
    """A client whose storage is of that kind; "object" is a directory here, and a server in test_object_store.py."""
    if kind == "object":
        (folder / "objects").mkdir(exist_ok=True)
        return make_client(folder, host, storage=f"file://{folder / 'objects'}")
    return make_client(folder, host, storage=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_what_libtorrent_has_is_kept_and_what_was_kept_libtorrent_gets(
    content: Content, kind: str, tmp_path: Path
) -> None:
    """Nothing is hashed or fetched again after the restart, but for memory, which forgets."""
    with LibtorrentPeer("127.0.9.21") as seeder:
        seeder.add(content.torrent, content.path.parent)
        with client_of(kind, tmp_path, "127.0.9.22") as client:
            torrent = client.add(content.torrent)
            fetch(torrent, (seeder.host, seeder.port))
            assert torrent.stats().corrupt == 0
            if kind == "memory":
                _gives(client, content, tmp_path)
    if kind in ("file", "mmap"):
        assert trees.digest(tmp_path / "data" / content.path.name) == trees.digest(content.path)
    if kind != "memory":
        with client_of(kind, tmp_path, "127.0.9.22") as client:
            torrent = client.add(content.torrent)
            assert torrent.checked.wait(30)
            assert torrent.stats().pieces_complete == torrent.piece_count
            assert torrent.stats().hashed == 0
            _gives(client, content, tmp_path)


def _gives(client: Client, content: Content, folder: Path) -> None:
    """libtorrent gets all of it from the client, and it is right."""
    with LibtorrentPeer("127.0.9.23") as leecher:
        leecher.add(content.torrent, folder / "leech")
        leecher.connect(*address_of(client))
        leecher.wait_finished(60)
        assert leecher.stats()["failed"] == 0
    assert trees.digest(folder / "leech" / content.path.name) == trees.digest(content.path)
