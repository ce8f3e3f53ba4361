"""Whom a private torrent may know: peers that its trackers told of, and whom the user names (BEP 27).

One rule for all who find peers. What is told about such a torrent (its metadata, PEX) is for those to see who tell.
"""

from __future__ import annotations

from .engine import Engine
from .state import TorrentState

_PRIVATE = frozenset({"tracker", "user", "incoming"})  # who comes to us heard of us from a tracker: nobody else knows
SOURCES = frozenset({"user", "incoming", "magnet", "tracker", "lsd", "dht", "pex"})  # of candidates
DISCOVERIES = SOURCES - _PRIVATE
_CAME = frozenset({"incoming"})


def discovery_allowed(torrent: TorrentState, source: str) -> bool:
    """Whether the torrent may have peers from that source. Nothing is private before its metadata is known.

    Asked by everyone who looks for peers, and by who announces us where no tracker watches: "dht", "pex", "lsd" (also
    for telling others), "magnet" (addresses in a link, which anybody can have written).
    """
    return source in _PRIVATE or not torrent.metainfo.info.private


def keep_private(engine: Engine, torrent: TorrentState) -> None:
    """The metadata is known now: if the torrent is private, whom no tracker told of is forgotten, and leaves."""
    if torrent.metainfo.info.private:
        forget(engine, torrent, DISCOVERIES, "the torrent is private, and no tracker told of it")


def forget(engine: Engine, torrent: TorrentState, sources: frozenset[str], reason: str) -> None:
    """Whom only these told of is dialed no more, and leaves if it is connected; "incoming": who came by itself."""
    swarm = torrent.swarm
    swarm.candidates.drop_sources(sources)
    for peer in swarm.peers.values():
        known_by = peer.candidate.sources if peer.candidate is not None else _CAME
        if known_by <= sources:
            engine.turn.outbox("close", peer, engine.network.call, peer.link.close, reason)
