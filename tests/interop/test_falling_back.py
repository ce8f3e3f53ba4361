"""Dials that libtorrent does not understand: it wants to speak encrypted, or will not, and we began otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import trees

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from anabranch.api import Address
from interop.libtorrent_peer import LibtorrentPeer, make_torrent
from ours import finished, make_client

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module", params=["off", "require"])
def theirs(request: pytest.FixtureRequest) -> str:
    """What libtorrent insists on."""
    return str(request.param)


@pytest.fixture(scope="module")
def seeder(theirs: str) -> Iterator[LibtorrentPeer]:
    """Who hangs up on all that begins the wrong way."""
    with LibtorrentPeer("127.0.13.1", encryption=theirs) as peer:
        yield peer


@pytest.fixture(scope="module")
def torrent(seeder: LibtorrentPeer, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What it seeds."""
    content = trees.make_file(tmp_path_factory.mktemp("seed") / "content.bin", 300_000)
    torrent = make_torrent(content, 16384)
    seeder.add(torrent, content.parent, seed_mode=True)
    return torrent


@pytest.mark.parametrize("ours", ["allow", "prefer"])
def test_we_come_to_terms_soon(ours: str, theirs: str, seeder: LibtorrentPeer, torrent: bytes, tmp_path: Path) -> None:
    """One of the two begins the wrong way: that is no failure, after which a peer would be left alone for a while."""
    there = Address(seeder.host, seeder.port)
    with make_client(tmp_path, "127.0.13.2", encryption=ours) as client:
        wanted = client.add(torrent)
        client._core.add_peers(wanted._state, [there], "tracker")
        wanted.download_all()
        finished(wanted, 10)
        candidate = wanted._state.swarm.candidates.get(there)
        assert candidate is not None
        assert candidate.failures == 0
        assert candidate.way == ((ours == "prefer") is not (theirs == "require"))
