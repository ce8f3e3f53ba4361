"""A client's numbers."""

from __future__ import annotations

from pathlib import Path

from anabranch.api import Client
from origin import Origin
from ours import make_client
from threads import PATIENCE


def test_what_a_dropped_torrent_moved_still_counts(origin: Origin, client: Client) -> None:
    """A service that removes finished torrents keeps its totals; while one goes nothing is counted twice."""
    length = len(origin.content)
    torrent = origin.copied(client)
    assert client.stats().downloaded == length
    torrent.drop()
    assert client.stats().downloaded == length
    assert torrent.closed.wait(PATIENCE)
    stats = client.stats()
    assert (stats.torrents, stats.downloaded, stats.wasted, stats.corrupt) == (0, length, 0, 0)
    assert stats.stages == {}


def test_what_an_earlier_run_moved_does_not_count(origin: Origin, tmp_path: Path) -> None:
    """The torrent's own numbers go on; the client's begin with the client."""
    with make_client(tmp_path) as first:
        origin.copied(first)
    with make_client(tmp_path) as second:
        torrent = second.add(origin.torrent)
        assert torrent.checked.wait(PATIENCE)
        assert torrent.stats().downloaded == len(origin.content)
        stats = second.stats()
        assert (stats.downloaded, stats.uploaded) == (0, 0)
        assert stats.stages == {"live": 1}
        assert stats.half_open == 0
