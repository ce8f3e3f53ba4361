"""We and libtorrent: every version of torrent, every way to be told of it, every way to encrypt, in both directions."""

from __future__ import annotations

from pathlib import Path

import pytest

import trees

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from interop.libtorrent_peer import LibtorrentPeer, make_magnet
from interop.matrix import LINES, SOURCES, VERSIONS, Content, fetch, make_content
from ours import address_of, make_client

pytestmark = pytest.mark.interop

STAY = {"close_redundant_connections": False}


@pytest.fixture(scope="module", params=VERSIONS)
def content(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Content:
    """One folder for the tests of all directions."""
    return make_content(tmp_path_factory.mktemp("seed"), f"folder {request.param}", request.param)


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Content:
    """A folder with both kinds of hashes."""
    return make_content(tmp_path_factory.mktemp("seed"), "hybrid", "hybrid")


def theirs(line: str) -> str:
    """What libtorrent is told: it can refuse encryption, so that plain is plain."""
    return "off" if line == "plain" else "require"


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("source", SOURCES)
def test_what_libtorrent_has_we_download(content: Content, source: str, line: str, tmp_path: Path) -> None:
    """We dial. By a magnet link, metadata and piece layers come from libtorrent, too."""
    with (
        LibtorrentPeer("127.0.9.1", encryption=theirs(line)) as seeder,
        make_client(tmp_path, "127.0.9.2", encryption=LINES[line][0]) as client,
    ):
        seeder.add(content.torrent, content.path.parent)
        torrent = client.add(content.source(source))
        fetch(torrent, (seeder.host, seeder.port))
        assert torrent.stats().corrupt == 0
    assert trees.digest(tmp_path / "data" / content.path.name) == trees.digest(content.path)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("source", SOURCES)
def test_what_we_have_libtorrent_downloads(content: Content, source: str, line: str, tmp_path: Path) -> None:
    """libtorrent dials. By a magnet link, it has metadata and piece layers from us, too."""
    with (
        LibtorrentPeer("127.0.9.3", encryption=theirs(line)) as leecher,
        make_client(tmp_path, "127.0.9.4", data_dir=content.path.parent, encryption=LINES[line][0]) as client,
    ):
        assert client.add(content.torrent).checked.wait(30)
        leecher.add(content.source(source), tmp_path / "leech")
        leecher.connect(*address_of(client))
        leecher.wait_finished(60)
        assert leecher.stats()["failed"] == 0
    assert trees.digest(tmp_path / "leech" / content.path.name) == trees.digest(content.path)


@pytest.mark.parametrize("half", ["btih", "btmh"])
@pytest.mark.parametrize("way", ["download", "seed"])
def test_a_hybrid_torrent_is_had_by_either_of_its_hashes(hybrid: Content, half: str, way: str, tmp_path: Path) -> None:
    """A link with one hash leads to peers that know both (BEP 52). Who has such a link speaks v1 alone, or v2 alone."""
    fields = make_magnet(hybrid.torrent).removeprefix("magnet:?").split("&")
    link = "magnet:?" + next(field for field in fields if half in field)
    with LibtorrentPeer("127.0.9.5") as peer, make_client(tmp_path, "127.0.9.6") as client:
        if way == "download":
            peer.add(hybrid.torrent, hybrid.path.parent)
            fetch(client.add(link), (peer.host, peer.port))
        else:
            assert client.add(hybrid.torrent, data_dir=hybrid.path.parent).checked.wait(30)
            peer.add(link, tmp_path / "data")
            peer.connect(*address_of(client))
            peer.wait_finished(60)
    assert trees.digest(tmp_path / "data" / hybrid.path.name) == trees.digest(hybrid.path)


def test_a_peer_in_a_magnet_link_is_dialed(content: Content, tmp_path: Path) -> None:
    """BEP 9: x.pe. Nobody else tells us of it."""
    with LibtorrentPeer("127.0.9.7") as seeder, make_client(tmp_path, "127.0.9.8") as client:
        seeder.add(content.torrent, content.path.parent)
        fetch(client.add(make_magnet(content.torrent, ((seeder.host, seeder.port),))))
    assert trees.digest(tmp_path / "data" / content.path.name) == trees.digest(content.path)


@pytest.mark.parametrize("dialer", ["we", "they"])
@pytest.mark.parametrize(
    ("ours", "theirs", "encrypted"),
    [
        ("off", "allow", False),
        ("allow", "off", False),
        ("allow", "require", True),
        ("prefer", "off", False),
        ("prefer", "require", True),
        ("require", "allow", True),
    ],
)
def test_two_that_can_agree_on_encryption_do(
    hybrid: Content, ours: str, theirs: str, encrypted: bool, dialer: str, tmp_path: Path
) -> None:
    """Whoever dials, and although the dialer may have to try twice."""
    with (
        LibtorrentPeer("127.0.9.9", encryption=theirs, settings=STAY) as peer,
        make_client(tmp_path, "127.0.9.10", encryption=ours, drop_mutually_complete_peers=False) as client,
    ):
        peer.add(hybrid.torrent, hybrid.path.parent)
        torrent = client.add(hybrid.torrent)
        if dialer == "they":
            peer.connect(*address_of(client))
        fetch(torrent, (peer.host, peer.port) if dialer == "we" else None)
        [seen] = peer.stats()["peers"]
        assert (seen["encrypted"], seen["outgoing"]) == (encrypted, dialer == "they")


@pytest.mark.parametrize(("ours", "theirs"), [("off", "require"), ("require", "off")])
def test_two_that_cannot_agree_on_encryption_move_nothing(
    hybrid: Content, ours: str, theirs: str, tmp_path: Path
) -> None:
    """Neither gives way, whoever dials."""
    with (
        LibtorrentPeer("127.0.9.11", encryption=theirs) as peer,
        make_client(tmp_path, "127.0.9.12", encryption=ours) as client,
    ):
        peer.add(hybrid.torrent, hybrid.path.parent)
        torrent = client.add(hybrid.torrent)
        torrent.download_all()
        torrent.add_peers([(peer.host, peer.port)])
        peer.connect(*address_of(client))
        assert not torrent.complete.wait(3)  # seconds; those who agree need less than one
        assert torrent.stats().downloaded == 0
