"""Whom a private torrent may know: peers that its trackers told of, and whom the user names (BEP 27).

One rule for all who find peers, and for all who tell of ours. What is told about such a torrent (its metadata, peer
exchange, the port of our DHT node) is for those to see who tell: they ask here.
"""

from __future__ import annotations

from . import events
from .engine import Engine
from .state import TorrentState

_PRIVATE = frozenset({"tracker", "user", "incoming"})  # who comes to us heard of us from a tracker: nobody else knows
SOURCES = frozenset({"user", "incoming", "magnet", "tracker", "lsd", "dht", "pex"})  # of candidates
DISCOVERIES = SOURCES - _PRIVATE
_CAME = frozenset({"incoming"})


def discovery_allowed(torrent: TorrentState, source: str) -> bool:
    """Whether the torrent may have peers from that source.

    Nothing is private before its metadata is known, unless Config.assume_private says so. Asked by everyone who looks
    for peers, and by who announces us where no tracker watches: "dht", "pex", "lsd" (also for telling others),
    "magnet" (addresses in a link, which anybody can have written).
    """
    return source in _PRIVATE or not torrent.metainfo.info.private


def exchange_allowed(engine: Engine, torrent: TorrentState) -> bool:
    """Whether peers of the torrent are told of each other, and heard about others."""
    return not engine.config.disable_pex and discovery_allowed(torrent, "pex")


def dht_port(engine: Engine, torrent: TorrentState) -> int:
    """The port of our DHT node that peers of the torrent are told; 0 for none."""
    return engine.due.seekers.port if discovery_allowed(torrent, "dht") else 0


def keep_private(engine: Engine, torrent: TorrentState) -> None:
    """The metadata is known now: if the torrent is private, whom no tracker told of is forgotten, and leaves.

    Searches that are under way end, and nobody is told of its peers any more.
    """
    if not torrent.metainfo.info.private:
        if engine.config.assume_private:  # it was not looked for, and is from now on
            engine.due.seekers.forget(torrent)
        return
    seeking = torrent.swarm.seeking
    stop_seeking(engine, torrent)
    seeking.gossip = None
    seeking.enrolled.clear()
    seeking.hearsay.clear()
    for peer in torrent.swarm.peers.values():
        peer.gossip = None
    candidates, peers = forget(engine, torrent, DISCOVERIES, "the torrent is private, and no tracker told of it")
    engine.tell(events.TurnedPrivate(torrent.info_hash, candidates, peers))


def stop_seeking(engine: Engine, torrent: TorrentState) -> None:
    """The torrent is looked for no more: it is private, or leaves."""
    seeking = torrent.swarm.seeking
    engine.due.seekers.forget(torrent)
    searches, seeking.searches = seeking.searches, []
    for search in searches:
        engine.turn.outbox("cancel search", search, engine.network.call, search.cancel, engine.clock())


def forget(engine: Engine, torrent: TorrentState, sources: frozenset[str], reason: str) -> tuple[int, int]:
    """Whom only these told of is dialed no more, and leaves if it is connected; "incoming": who came by itself.

    Returns:
        How many addresses were forgotten, and how many peers leave.
    """
    swarm = torrent.swarm
    forgotten = swarm.candidates.drop_sources(sources)
    leaving = 0
    for peer in swarm.peers.values():
        known_by = peer.candidate.sources if peer.candidate is not None else _CAME
        if known_by <= sources:
            leaving += 1
            engine.turn.outbox("close", peer, engine.network.call, peer.link.close, reason)
    return forgotten, leaving
