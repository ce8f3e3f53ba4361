"""Carrying out what choking.py decides.

Network thread, within a turn.
"""

from __future__ import annotations

from . import queueing
from .choking import OPTIMISTIC_EVERY, RECHOKE_EVERY, SLOTS, Contender, choose
from .engine import Engine
from .stage import Live
from .state import Peer, TorrentState


def may_upload(engine: Engine, torrent: TorrentState) -> bool:
    """Whether anybody may be served."""
    if not isinstance(torrent.stage, Live) or not torrent.policy.upload or engine.config.no_upload:
        return False
    return engine.config.seed or bool(torrent.pieces.missing_wanted)


def at_once(engine: Engine, peer: Peer, now: float) -> None:
    """A peer became interested: unchoke it now if there is a slot for it."""
    torrent = peer.torrent
    if not peer.talk.am_choking or not may_upload(engine, torrent):
        return
    taken = sum(not one.talk.am_choking and one.talk.peer_interested for one in torrent.swarm.peers.values())
    if taken < SLOTS:
        _unchoke(engine, peer, now)


def slot_freed(engine: Engine, peer: Peer, now: float) -> None:
    """A peer lost interest or left: the next in line need not wait for the round."""
    torrent = peer.torrent
    if not peer.talk.am_choking and len(torrent.swarm.peers) > SLOTS:
        torrent.swarm.rechoke_at = min(torrent.swarm.rechoke_at, now)


def rechoke(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Give the slots anew."""
    swarm = torrent.swarm
    swarm.rechoke_at = now + RECHOKE_EVERY
    if not may_upload(engine, torrent):
        choke_everybody(engine, torrent)
        return
    seeding = not torrent.pieces.missing_wanted
    contenders = [
        Contender(
            peer,
            peer.talk.peer_interested,
            peer.flow.snubbed and not seeding,
            peer.flow.up.total - peer.flow.up_at_round if seeding else peer.flow.down.total - peer.flow.down_at_round,
            peer.flow.unchoked_at,
        )
        for peer in swarm.peers.values()
    ]
    for peer in swarm.peers.values():
        peer.flow.up_at_round, peer.flow.down_at_round = peer.flow.up.total, peer.flow.down.total
    holder = swarm.optimistic if now < swarm.optimistic_until else None
    unchoked, optimistic = choose(contenders, holder, engine.draw)
    if optimistic is not holder:
        swarm.optimistic_until = now + OPTIMISTIC_EVERY
    swarm.optimistic = optimistic if isinstance(optimistic, Peer) else None
    for peer in swarm.peers.values():
        if peer in unchoked:
            _unchoke(engine, peer, now)
        elif peer.talk.peer_interested:
            _choke(engine, peer)


def choke_everybody(engine: Engine, torrent: TorrentState) -> None:
    """Serve nobody."""
    for peer in torrent.swarm.peers.values():
        _choke(engine, peer)


def _unchoke(engine: Engine, peer: Peer, now: float) -> None:
    if peer.talk.am_choking:
        peer.talk.unchoke()
        peer.flow.unchoked_at = now
        engine.due.touched.add(peer)


def _choke(engine: Engine, peer: Peer) -> None:
    if not peer.talk.am_choking:
        peer.talk.choke()
        queueing.drop_queue(engine, peer)
        engine.due.touched.add(peer)
