"""Who joins a torrent's swarm and who leaves it.

Network thread, within a turn.
"""

from __future__ import annotations

from ipaddress import ip_address

from anabranch.model import Address, PeerFault, no_pieces
from anabranch.wire import Connection, Handshake, OurExtensions

from . import availability, events, unchoking
from .asking import ask_idle, give_back
from .candidates import Candidate
from .engine import Engine
from .queueing import REQQ
from .stage import Live
from .state import Flow, Link, Peer, TorrentState


def refuse(engine: Engine, torrent: TorrentState | None, address: Address, theirs: Handshake | None) -> str:
    """Why a connection may not become a peer; empty when it may."""
    if torrent is None:
        return "no such torrent here"
    if address.host in engine.banned:
        return "banned"
    if not isinstance(torrent.stage, Live):
        return "the torrent is not live"
    if theirs is not None and theirs.peer_id == engine.peer_id:
        return "that is ourselves"
    if address in torrent.swarm.peers:
        return "connected already"
    if len(torrent.swarm.peers) >= torrent.policy.most_connections:
        return "enough connections"
    return ""


def join(
    engine: Engine,
    torrent: TorrentState,
    link: Link,
    address: Address,
    theirs: Handshake,
    candidate: Candidate | None,
    port: int | None,
) -> Peer:
    """Both have shaken hands: make a peer of the connection and introduce ourselves.

    Args:
        engine: The engine.
        torrent: The torrent that both speak about.
        link: The connection's socket.
        address: The peer's.
        theirs: What it said.
        candidate: Whom we dialed; None where it came by itself.
        port: Where we listen, if we do.

    Raises:
        PeerFault: it may not join; the text says why.
    """
    outgoing = candidate is not None
    reason = refuse(engine, torrent, address, theirs) or _not_twice(engine, torrent, address, theirs, outgoing)
    if reason:
        raise PeerFault(reason)
    now = engine.clock()
    table = torrent.pieces
    talk = Connection(table.geometry, fast=theirs.fast, extended=theirs.extended, now=now)
    peer = Peer(
        address=address,
        peer_id=theirs.peer_id,
        outgoing=outgoing,
        torrent=torrent,
        talk=talk,
        link=link,
        flow=Flow(connected_at=now),
        has=no_pieces(table.geometry.piece_count),
        candidate=candidate,
        counted=table.geometry.piece_count,
    )
    torrent.swarm.peers[address] = peer
    engine.due.lively.add(torrent)
    talk.send_pieces(table.complete, table.is_seed)
    talk.send_extended_handshake(
        OurExtensions(
            names={},
            version=engine.config.identity.extended_version,
            reqq=REQQ,
            port=port,
            yourip=ip_address(address.host).packed,
            upload_only=torrent.signals.said_complete or table.is_seed,
        )
    )
    engine.due.touched.add(peer)
    engine.tell(events.PeerConnected(torrent.info_hash, address, peer.outgoing))
    return peer


def tell_upload_only(engine: Engine, torrent: TorrentState) -> None:
    """We want nothing any more (BEP 21): peers need not offer anything."""
    ours = OurExtensions(names={}, version=engine.config.identity.extended_version, reqq=REQQ, upload_only=True)
    for peer in torrent.swarm.peers.values():
        peer.talk.send_extended_handshake(ours)
        engine.due.touched.add(peer)


def _not_twice(engine: Engine, torrent: TorrentState, address: Address, theirs: Handshake, outgoing: bool) -> str:
    """One connection to a peer is enough. When both dialed, they keep the one that the greater peer id dialed."""
    for peer in torrent.swarm.peers.values():
        if peer.peer_id == theirs.peer_id and peer.address.host == address.host:
            ours_wins = engine.peer_id > theirs.peer_id
            if peer.outgoing == outgoing or outgoing != ours_wins:
                return "connected to this peer already"
            engine.turn.outbox("close", peer, engine.network.call, peer.link.close, "connected twice")
    return ""


def leave(engine: Engine, peer: Peer, reason: str) -> None:
    """A connection ended: give back what it owed us, and take it out of all numbers."""
    torrent = peer.torrent
    swarm = torrent.swarm
    if swarm.peers.get(peer.address) is not peer:
        return
    now = engine.clock()
    del swarm.peers[peer.address]
    engine.due.touched.discard(peer)
    engine.due.starved.discard(peer)
    engine.due.idle.discard(peer)
    give_back(torrent, peer.talk.expected_runs())
    peer.talk.drop_expected()
    peer.serving.queue.clear()
    peer.serving.blocks = 0
    peer.talk.discard()
    availability.forget(engine, peer)
    if swarm.optimistic is peer:
        swarm.optimistic = None
    unchoking.slot_freed(engine, peer, now)
    if peer.candidate is not None:
        swarm.candidates.lost(peer.candidate, now, served=bool(peer.flow.last_block or peer.flow.up.total))
    ask_idle(engine, torrent, now)
    engine.tell(events.PeerLost(torrent.info_hash, peer.address, reason))


def of_no_use(engine: Engine, peer: Peer) -> bool:
    """Whether neither can have anything from the other any more."""
    return (
        engine.config.drop_mutually_complete_peers
        and peer.has_all
        and peer.torrent.pieces.is_seed
        and not peer.talk.pending
    )
