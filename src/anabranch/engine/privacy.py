"""What a private torrent may not use: peers that others than its trackers told of (BEP 27).

One rule for all who find peers. What is told about such a torrent (its metadata, PEX) is for those to see who tell.
"""

from __future__ import annotations

from .engine import Engine
from .state import TorrentState

DISCOVERIES = frozenset({"dht", "pex", "lsd"})  # sources of candidates that no tracker watches over


def discovery_allowed(torrent: TorrentState, source: str) -> bool:
    """Whether the torrent may have peers from that source. Nothing is private before its metadata is known."""
    return source not in DISCOVERIES or not torrent.metainfo.info.private


def keep_private(engine: Engine, torrent: TorrentState) -> None:
    """The metadata is known now: if the torrent is private, whom only discovery told of is forgotten, and leaves."""
    if not torrent.metainfo.info.private:
        return
    swarm = torrent.swarm
    swarm.candidates.drop_sources(DISCOVERIES)
    for peer in swarm.peers.values():
        if peer.candidate is not None and peer.candidate.sources <= DISCOVERIES:
            reason = "the torrent is private, and no tracker told of it"
            engine.turn.outbox("close", peer, engine.network.call, peer.link.close, reason)
