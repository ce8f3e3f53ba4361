"""A real S3 server as a client's storage: to it and from it, with libtorrent as the other side, and when it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")
pytest.importorskip("obstore", reason="obstore is an extra: anabranch[s3]")

import trees
from anabranch.api import Client, events
from anabranch.engine import failing
from anabranch.model import StorageFailed
from anabranch.storage import ObjectStorage
from anabranch.testing import StorageCheck, check_storage
from interop.libtorrent_peer import LibtorrentPeer
from interop.matrix import Content, fetch, make_content
from interop.seaweed import Seaweed
from ours import address_of, make_client, until
from storage.conformance import SMALL, every_rule
from storage.small_torrents import HASH, put

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """One server for all tests but those that end it; each test has a prefix of its own."""
    with Seaweed(tmp_path_factory.mktemp("seaweed")) as running:
        yield running


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    """A folder with both kinds of hashes."""
    return make_content(tmp_path_factory.mktemp("seed"), "in objects", "hybrid")


def client_of(store: Any, folder: Path, host: str) -> Client:
    return make_client(folder, host, storage=ObjectStorage(store, folder / "staging"))


@every_rule
def test_objects_on_a_server_are_a_whole_back_end(check: StorageCheck, server: Seaweed, tmp_path: Path) -> None:
    check(lambda: ObjectStorage(server.store(), tmp_path, prefix="whole"), persistent=True)


def test_a_url_and_the_environment_are_enough(server: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{server.host}:{server.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ali")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "open sesame")
    check_storage(lambda: ObjectStorage("s3://torrents/by/url", tmp_path), persistent=True)


def test_what_libtorrent_has_becomes_objects_and_objects_are_seeded_to_libtorrent(
    server: Seaweed, content: Content, tmp_path: Path
) -> None:
    """By a second client, on another machine as it were: it has nothing but the objects, and hashes none of them."""
    store = server.store("both ways")
    with LibtorrentPeer("127.0.9.31") as seeder, client_of(store, tmp_path / "a", "127.0.9.32") as client:
        seeder.add(content.torrent, content.path.parent)
        torrent = client.add(content.torrent)
        fetch(torrent, (seeder.host, seeder.port))
    with client_of(store, tmp_path / "b", "127.0.9.33") as client, LibtorrentPeer("127.0.9.34") as leecher:
        torrent = client.add(content.torrent)
        assert torrent.checked.wait(30)
        assert torrent.stats().pieces_complete == torrent.piece_count
        assert torrent.stats().hashed == 0
        leecher.add(content.torrent, tmp_path / "leech")
        leecher.connect(*address_of(client))
        leecher.wait_finished(60)
        assert leecher.stats()["failed"] == 0
    assert trees.digest(tmp_path / "leech" / content.path.name) == trees.digest(content.path)


def test_a_server_that_ends_in_the_middle_stops_the_torrent_until_it_is_back(
    content: Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W43. The torrent says which object and why, and loses nothing."""
    monkeypatch.setattr(failing, "RETRY_EVERY", 1.0)
    server = Seaweed(tmp_path / "seaweed", "127.0.12.10")
    with LibtorrentPeer("127.0.9.35", settings={"upload_rate_limit": 200_000}, as_strangers=True) as seeder:
        seeder.add(content.torrent, content.path.parent)
        with server:
            client = client_of(server.store(), tmp_path, "127.0.9.36")
            feed = client.events()
            torrent = client.add(content.torrent)
            torrent.add_peers([(seeder.host, seeder.port)])
            torrent.download_all()
            until(lambda: torrent.stats().pieces_complete >= 2)
        with client:
            failed = next(event for event in feed if isinstance(event, events.Failed))
            assert isinstance(failed.error, StorageFailed)
            assert str(failed.error).startswith("s3://torrents/")
            assert failed.error.reason in ("Connection refused", "the server does not answer"), failed.error
            seeder.change(upload_rate_limit=0)
            with server:
                assert torrent.complete.wait(60)
                assert torrent.stats().corrupt == 0
                listed = [one for page in server.store().list(str(torrent.info_hash)) for one in page]
                assert len(listed) == torrent.piece_count
                assert sum(one["size"] for one in listed) == torrent.length


def test_wrong_credentials_and_a_bucket_that_is_not_there_are_named(server: Seaweed, tmp_path: Path) -> None:
    """At once, when the torrent is opened, and without the secret."""
    for store, said in (
        (server.store(secret="wrong"), "s3://torrents/abab.*: the secret key is wrong"),
        (server.store(bucket="nowhere"), "s3://nowhere/abab.*: no such bucket"),
    ):
        with pytest.raises(StorageFailed, match=said):
            ObjectStorage(store, tmp_path).open(SMALL, HASH)


def test_a_bucket_that_goes_away_has_not_lost_its_pieces(server: Seaweed, tmp_path: Path) -> None:
    """An answer to HEAD says the same for an object that is not there: only that one counts as missing."""
    storage = ObjectStorage(server.store(), tmp_path, prefix="going").open(SMALL, HASH)
    put(storage, SMALL, 0)
    storage.record([0])
    storage._objects._store = server.store(bucket="nowhere")
    with pytest.raises(StorageFailed, match="no such bucket"):
        storage.piece(0).completion()
