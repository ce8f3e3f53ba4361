"""WebRTC peers that WebSocket trackers tell of are kept for the transport that will take them, a bounded number."""

from __future__ import annotations

from anabranch.engine import announcing
from anabranch.tracker import Offer
from engine.trackers import live


def test_the_latest_offers_to_a_torrent_are_kept() -> None:
    """They are several KiB each, and stale soon; those for a torrent that is not here are nobody's."""
    node, _, torrent = live()
    assert torrent.swarm.trackers.offers is None
    offers = [
        Offer("wss://four.example/", bytes(torrent.info_hash), b"p" * 20, number.to_bytes(20, "big"), "v=0")
        for number in range(100)
    ]
    with node.engine.turn:
        for offer in offers:
            announcing.offered(node.engine, offer)
        announcing.offered(node.engine, Offer("wss://four.example/", b"x" * 20, b"p" * 20, b"o" * 20, "v=0"))
    assert list(torrent.swarm.trackers.offers or ()) == offers[-64:]
