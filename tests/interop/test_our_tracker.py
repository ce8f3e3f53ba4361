"""Our tracker, as the clients of others ask it: what they tell is understood, and they understand the answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("libtorrent", reason="libtorrent, which makes the torrents, has no wheel for this Python")

from anabranch.api import Metainfo
from anabranch.testing import TrackerServer
from anabranch.tracker import Event
from interop.aria2_peer import Aria2Peer
from interop.libtorrent_peer import LibtorrentPeer
from interop.matrix import bytes_below, fetch, make_content
from interop.transmission_peer import TransmissionPeer
from ours import address_of, make_client

pytestmark = pytest.mark.interop

PEERS = {  # and how each begins its peer id and its User-Agent
    "libtorrent": ("-LT2110-", "libtorrent/2.1.1"),
    "aria2": ("A2-1-36-0-", "aria2/1.36.0"),
    "transmission": ("-TR3000-", "Transmission/3.00"),
}
TRIED = [(name, protocol) for name in PEERS for protocol in ("http", "udp") if (name, protocol) != ("aria2", "udp")]


@pytest.fixture
def tracker() -> Iterator[TrackerServer]:
    """By both families' loopback addresses."""
    with TrackerServer(bind=("127.0.18.1", "::1")) as tracker:
        yield tracker


def started(name: str, place: Path) -> LibtorrentPeer | Aria2Peer | TransmissionPeer:
    """A program of that name at an address of its own."""
    match name:
        case "libtorrent":
            return LibtorrentPeer("127.0.18.2")
        case "aria2":
            return Aria2Peer(place, "127.0.18.3")
    return TransmissionPeer(place, "127.0.18.4")


@pytest.mark.parametrize(("name", "protocol"), TRIED)
@pytest.mark.parametrize("seeds", [True, False], ids=["seeds", "downloads"])
def test_what_real_clients_tell_it_is_read_right(
    tracker: TrackerServer, name: str, protocol: str, seeds: bool, tmp_path: Path
) -> None:
    """Who, where, and how much is left. test_tracker_matrix.py shows that they also find each other."""
    url = tracker.announce_url if protocol == "http" else tracker.udp_url
    content = make_content(tmp_path / "seed", f"{name} {protocol} {seeds}", trackers=(url,))
    info = Metainfo.parse(content.torrent).info
    with started(name, tmp_path / "program") as peer:
        peer.add(content.torrent, content.path.parent if seeds else tmp_path / "nothing")
        assert tracker.wait_for(lambda heard: bool(heard.announces), 20)
        announce, refusal = tracker.announces[0], tracker.refusals[0]
        assert refusal == ""
        assert (announce.info_hash, announce.event, announce.carrier) == (info.info_hash, Event.STARTED, protocol)
        assert (announce.host, announce.asker.host, announce.port) == (peer.host, peer.host, peer.port)
        assert (announce.left == 0) == seeds
        assert announce.peer_id.decode("latin-1").startswith(PEERS[name][0])
        assert announce.user_agent.startswith(PEERS[name][1] if protocol == "http" else "")
        counted = tracker.scrape(info.info_hash)
        assert counted is not None
        assert (counted.seeders, counted.leechers) == ((1, 0) if seeds else (0, 1))


@pytest.mark.parametrize("protocol", ["http", "udp"])
@pytest.mark.parametrize("seeder", ["ours", "libtorrent"])
def test_peers_with_ipv6_addresses_find_each_other(
    tracker: TrackerServer, seeder: str, protocol: str, tmp_path: Path
) -> None:
    """BEP 7 and BEP 15: who asks over IPv6 is told of IPv6 addresses."""
    [url] = [url for url in tracker.urls if url.startswith(f"{protocol}://[")]
    content = make_content(tmp_path / "seed", f"{seeder} {protocol}", trackers=(url,))
    here, there = content.path.parent, tmp_path / "copy"
    with (
        LibtorrentPeer("::1") as libtorrent,
        make_client(tmp_path, "::1", data_dir=here if seeder == "ours" else there) as client,
    ):
        if seeder == "ours":
            assert client.add(content.torrent).checked.wait(30)
            assert tracker.wait_for(lambda heard: bool(heard.announces), 20)
            assert tracker.announces[0].port == address_of(client).port
            libtorrent.add(content.torrent, there)
            libtorrent.wait_finished(60)
        else:
            libtorrent.add(content.torrent, here)
            assert tracker.wait_for(lambda heard: bool(heard.announces), 20)
            fetch(client.add(content.torrent))
    assert {announce.host for announce in tracker.announces} == {"::1"}
    assert bytes_below(there / content.path.name) == bytes_below(content.path)
