"""What a client counts, and who holds its turn, as users see it."""

from __future__ import annotations

from pathlib import Path

from anabranch.api import Client
from origin import Origin
from ours import make_client
from threads import PATIENCE


def test_metrics_are_there_where_debug_is_on(origin: Origin, tmp_path: Path) -> None:
    """As a mapping and in Prometheus' text format; of this client, not of another in the same process."""
    with (
        make_client(tmp_path / "on", "127.0.0.3", debug=True) as counting,
        make_client(tmp_path / "off", "127.0.0.4") as plain,
    ):
        torrent = origin.served(counting)
        torrent.download_all()
        assert torrent.complete.wait(PATIENCE)
        told = counting.metrics()
        assert told['peers_joined_total{direction="outgoing"}'] >= 1
        assert told['pieces_hashed_total{result="right"}'] == torrent.piece_count
        assert told['candidates_added_total{source="user"}'] == 1
        assert told['dials_total{network="tcp4"}'] == told["dials_connected_total"] >= 1
        assert 'anabranch_dials_total{network="tcp4"} ' in counting.metrics_text()
        assert plain.metrics() == {}
        assert plain.metrics_text() == ""


def test_lock_debug_is_told_in_words_too(client: Client) -> None:
    """Off unless the environment says otherwise."""
    assert not client.lock_debug().enabled
    assert "TORRENT_LOCK_DEBUG" in client.lock_debug_info()
