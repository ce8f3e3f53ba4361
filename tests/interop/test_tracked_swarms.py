"""Peers that find each other through a real tracker, over HTTP and UDP; nobody is told of anybody by the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("libtorrent", reason="libtorrent, which makes the torrents, has no wheel for this Python")

from anabranch.api import Metainfo
from interop.aria2_peer import Aria2Peer
from interop.libtorrent_peer import LibtorrentPeer
from interop.matrix import SOURCES, VERSIONS, Content, bytes_below, fetch, make_content
from interop.opentracker import Opentracker
from ours import make_client, until

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opentracker]:
    """One tracker for all tests."""
    with Opentracker(tmp_path_factory.mktemp("tracker") / "root", "127.0.12.1") as tracker:
        yield tracker


def announced(tracker: Opentracker, protocol: str, place: Path, name: str, version: str = "v1") -> Content:
    """A folder and its torrent, which that tracker serves by that protocol. Each *name* is another swarm."""
    url = tracker.http if protocol == "http" else tracker.udp
    content = make_content(place / "seed", name, version, (url,))
    tracker.allow(swarm_of(content))
    return content


def swarm_of(content: Content) -> bytes:
    """The hash that its peers announce."""
    return bytes(Metainfo.parse(content.torrent).info.info_hash)


def until_seeded(tracker: Opentracker, content: Content) -> None:
    """Wait until the tracker has heard of a seeder: who asks then is told of it at once."""
    until(lambda: tracker.swarm(swarm_of(content))[0], 30, "a seeder that the tracker knows")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("protocol", ["http", "udp"])
def test_we_find_each_other(tracker: Opentracker, protocol: str, source: str, version: str, tmp_path: Path) -> None:
    """By the trackers of a .torrent or a magnet link; a v2 torrent's swarm goes by the first 20 bytes of its hash."""
    content = announced(tracker, protocol, tmp_path, f"ours {protocol} {source} {version}", version)
    with (
        make_client(tmp_path / "seeder", "127.0.12.2", data_dir=content.path.parent) as seeder,
        make_client(tmp_path, "127.0.12.3") as leecher,
    ):
        assert seeder.add(content.torrent).checked.wait(30)
        until_seeded(tracker, content)
        fetch(leecher.add(content.source(source)))
    assert bytes_below(tmp_path / "data" / content.path.name) == bytes_below(content.path)


def test_we_find_aria2(tracker: Opentracker, tmp_path: Path) -> None:
    """By HTTP: without a DHT it asks no UDP tracker."""
    content = announced(tracker, "http", tmp_path, "aria2 has it")
    with Aria2Peer(tmp_path / "aria2", "127.0.12.4") as seeder, make_client(tmp_path, "127.0.12.5") as client:
        seeder.add(content.torrent, content.path.parent)
        until_seeded(tracker, content)
        fetch(client.add(content.torrent))
    assert bytes_below(tmp_path / "data" / content.path.name) == bytes_below(content.path)


@pytest.mark.parametrize("source", SOURCES)
def test_aria2_finds_us(tracker: Opentracker, source: str, tmp_path: Path) -> None:
    """It dials us at the address and port that we announced."""
    content = announced(tracker, "http", tmp_path, f"aria2 wants {source}")
    with (
        Aria2Peer(tmp_path / "aria2", "127.0.12.6") as leecher,
        make_client(tmp_path, "127.0.12.7", data_dir=content.path.parent) as client,
    ):
        assert client.add(content.torrent).checked.wait(30)
        until_seeded(tracker, content)
        leecher.add(content.source(source), tmp_path / "leech")
        leecher.wait_finished(60)
    assert bytes_below(tmp_path / "leech" / content.path.name) == bytes_below(content.path)


@pytest.mark.parametrize("protocol", ["http", "udp"])
def test_we_find_libtorrent(tracker: Opentracker, protocol: str, tmp_path: Path) -> None:
    """Whichever protocol both of us use."""
    content = announced(tracker, protocol, tmp_path, f"libtorrent has it {protocol}")
    with LibtorrentPeer("127.0.12.8") as seeder, make_client(tmp_path, "127.0.12.9") as client:
        seeder.add(content.torrent, content.path.parent)
        until_seeded(tracker, content)
        fetch(client.add(content.torrent))
    assert bytes_below(tmp_path / "data" / content.path.name) == bytes_below(content.path)


@pytest.mark.parametrize("protocol", ["http", "udp"])
def test_libtorrent_finds_us(tracker: Opentracker, protocol: str, tmp_path: Path) -> None:
    """It dials us at the address and port that we announced."""
    content = announced(tracker, protocol, tmp_path, f"libtorrent wants it {protocol}")
    with (
        LibtorrentPeer("127.0.12.10") as leecher,
        make_client(tmp_path, "127.0.12.11", data_dir=content.path.parent) as client,
    ):
        assert client.add(content.torrent).checked.wait(30)
        until_seeded(tracker, content)
        leecher.add(content.torrent, tmp_path / "leech")
        leecher.wait_finished(60)
    assert bytes_below(tmp_path / "leech" / content.path.name) == bytes_below(content.path)
