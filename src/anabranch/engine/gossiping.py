"""Peer exchange (BEP 11): what peers of one torrent are told of each other, and whom they tell us of.

Sources: BEP 11, with the intervals and limits of the Go engine. Peers are told of where others can be dialed: where we
dialed them, or where those that called us say that they listen. What they tell is taken once a minute for a torrent,
whoever tells, and by turns of each that tells: no single peer fills our list. What comes in between waits; the Go
engine drops it, and as everybody tells an address once, that is lost for good. Network thread, within a turn.
"""

from __future__ import annotations

from anabranch.discovery import PEX, PexFeed, PexPeer, PexTalk
from anabranch.model import Address
from anabranch.net import neighbourhood

from .engine import Engine
from .metrics import EXCHANGED
from .privacy import exchange_allowed
from .seeking import found
from .state import Peer, TorrentState

REST = 60.0  # seconds after peers were heard of in which no others are taken
_TAKEN = 100  # addresses at a time
_MOST_HEARSAY = 500  # addresses that wait for it


def enrol(engine: Engine, peer: Peer) -> None:
    """A peer joined, or introduced itself: tell the others of it once it is known where it listens, and it of them."""
    torrent = peer.torrent
    if not exchange_allowed(engine, torrent):
        return
    seeking, theirs, now = torrent.swarm.seeking, peer.talk.peer_extensions, engine.clock()
    feed = _feed(torrent)
    if peer not in seeking.enrolled and (peer.outgoing or theirs.port):
        address = peer.address if peer.outgoing else peer.address._replace(port=theirs.port or 0)
        seeking.enrolled[peer] = address
        feed.joined(
            PexPeer(
                address,
                prefers_encryption=theirs.prefers_encryption,
                seed=peer.has_all or theirs.upload_only,
                reachable=peer.outgoing,
            )
        )
    if PEX in theirs.ids:
        _talk(peer, now)
        look(engine, peer, now)


def left(peer: Peer) -> None:
    """A peer is gone: the others are told, unless somebody else is known by the same address."""
    seeking = peer.torrent.swarm.seeking
    address = seeking.enrolled.pop(peer, None)
    if address is not None and seeking.gossip is not None and address not in seeking.enrolled.values():
        seeking.gossip.left(address)
    if peer.gossip is not None:
        peer.gossip.close()
        peer.gossip = None


def look(engine: Engine, peer: Peer, now: float) -> None:
    """Tell a peer of the others, when it is time."""
    talk = peer.gossip
    if talk is None or now < talk.deadline():
        return
    payload = talk.due(now)
    if payload is not None and peer.talk.send_extended(PEX, payload):
        engine.due.touched.add(peer)


def heard(engine: Engine, peer: Peer, payload: bytes, now: float) -> None:
    """A peer tells of others.

    Raises:
        PeerFault: it does so too often, or it is no such message.
    """
    torrent = peer.torrent
    seeking = torrent.swarm.seeking
    if not exchange_allowed(engine, torrent):
        return
    said = _talk(peer, now).heard(payload, now)
    if (metrics := engine.metrics) is not None:
        metrics.add(EXCHANGED, count=len(said.added))
    if said.added:
        waiting = seeking.hearsay
        told = waiting.setdefault(neighbourhood(peer.address.host), {})
        told.update((one.address, None) for one in said.added)
        for _ in range(sum(map(len, waiting.values())) - _MOST_HEARSAY):
            teller = max(waiting, key=lambda one: len(waiting[one]))  # whoever tells most is cut short
            waiting[teller].popitem()
            if not waiting[teller]:
                del waiting[teller]
    engine.due.lively.add(torrent)
    take(engine, torrent, now)


def take(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Take what peers told of others, if it is time: each tells an address once, so what has to wait is kept.

    One address of each of them by turns, so that one who tells many invented ones keeps nobody from being heard.
    """
    seeking = torrent.swarm.seeking
    waiting = seeking.hearsay
    if not waiting or now < seeking.gossip_rests_until:
        return
    taken: dict[Address, None] = {}
    while waiting and len(taken) < _TAKEN:
        teller = next(iter(waiting))
        told = waiting.pop(teller)
        address = next(iter(told))
        del told[address]
        taken[address] = None
        if told:
            waiting[teller] = told  # behind all others
    seeking.gossip_rests_until = now + REST
    found(engine, torrent, list(taken), "pex")


def _feed(torrent: TorrentState) -> PexFeed:
    """What peers of the torrent are told of each other, from the first time that anybody is."""
    seeking = torrent.swarm.seeking
    if seeking.gossip is None:
        seeking.gossip = PexFeed()
    return seeking.gossip


def _talk(peer: Peer, now: float) -> PexTalk:
    """The exchange with a peer, from the first word of either side."""
    if peer.gossip is None:
        place = peer.torrent.swarm.seeking.enrolled.get(peer, peer.address)
        peer.gossip = PexTalk(_feed(peer.torrent), place, now)
    return peer.gossip
