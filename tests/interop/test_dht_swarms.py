"""A magnet link and the DHT, and nothing else: peers that meet by a node which only both of them know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("libtorrent", reason="libtorrent, which makes the torrents, has no wheel for this Python")

from anabranch.api import Address, Client
from interop.libtorrent_dht import LibtorrentDht
from interop.matrix import VERSIONS, bytes_below, fetch, make_content
from interop.npm_dht import NpmDht
from interop.our_node import OurNode
from ours import make_client, until

pytestmark = pytest.mark.interop


@dataclass(frozen=True)
class Meeting:
    """The node that both sides know, addresses for those, and of which version the torrents are."""

    place: Address
    ours: str
    theirs: str
    version: str


KINDS: dict[str, tuple[Callable[[str], Any], str]] = {  # what is started, and what its addresses begin with
    "libtorrent": (LibtorrentDht, "127.0.32."),
    "libtorrent by IPv6": (LibtorrentDht, "::1"),
    "npm": (NpmDht, "127.0.33."),
    "ours": (OurNode, "127.0.34."),
    "ours by IPv6": (OurNode, "::1"),
}
CASES = [(kind, "v1") for kind in KINDS] + [("libtorrent", version) for version in VERSIONS if version != "v1"]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def meeting(request: pytest.FixtureRequest) -> Iterator[Meeting]:
    """A node that knows nobody and waits to be known."""
    kind, version = request.param
    start, prefix = KINDS[kind]
    hosts = [prefix] * 3 if prefix == "::1" else [f"{prefix}{number}" for number in (1, 2, 3)]
    running: AbstractContextManager[Any] = start(hosts[0])
    with running as node:
        address = node.addresses[0] if isinstance(node, OurNode) else Address(*node.address)
        yield Meeting(address, hosts[1], hosts[2], version)


def our_client(meeting: Meeting, folder: Path, **settings: Any) -> Client:
    """Ours, which has peers from the DHT alone."""
    alone = {"disable_pex": True, "disable_lsd": True, "dht_bootstrap": (str(meeting.place),)}
    return make_client(folder, meeting.ours, **alone, **settings)


def test_we_find_libtorrent(meeting: Meeting, tmp_path: Path) -> None:
    """It announced itself before we came; a v2 torrent goes by the first 20 bytes of its hash."""
    content = make_content(tmp_path / "seed", f"libtorrent has it {meeting.ours} {meeting.version}", meeting.version)
    with LibtorrentDht(meeting.theirs) as seeder, our_client(meeting, tmp_path) as client:
        seeder.add_node(*meeting.place)
        until(seeder.known, what="the meeting point in libtorrent's table")
        seeder.add(content.torrent, content.path.parent)
        fetch(client.add(content.source("magnet")))
    assert bytes_below(tmp_path / "data" / content.path.name) == bytes_below(content.path)


def test_libtorrent_finds_us(meeting: Meeting, tmp_path: Path) -> None:
    """We announced ourselves before it came."""
    content = make_content(tmp_path / "seed", f"libtorrent wants it {meeting.ours} {meeting.version}", meeting.version)
    with (
        our_client(meeting, tmp_path, data_dir=content.path.parent) as client,
        LibtorrentDht(meeting.theirs) as leecher,
    ):
        assert client.add(content.torrent).checked.wait(30)
        leecher.add_node(*meeting.place)
        until(leecher.known, what="the meeting point in libtorrent's table")
        leecher.add(content.source("magnet"), tmp_path / "leech")
        leecher.wait_finished(60)
    assert bytes_below(tmp_path / "leech" / content.path.name) == bytes_below(content.path)
