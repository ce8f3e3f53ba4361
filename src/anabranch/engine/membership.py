"""Who joins a torrent's swarm and who leaves it.

Network thread, within a turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from anabranch.model import Address, InfoHash, PeerFault, no_pieces
from anabranch.wire import ByteTransform, Connection, Handshake

from . import availability, events, exchanging, learning, resting, unchoking, wanting
from .asking import ask_everybody, ask_idle, give_back
from .candidates import Candidate
from .chatter import UNKNOWN_PIECES, Chatter
from .directory import names_of
from .doorkeeping import least_useful
from .engine import Engine
from .introducing import introduce
from .stage import Learning, Live
from .state import Flow, Link, Peer, Profile, TorrentState


@dataclass(frozen=True, slots=True)
class Met:
    """Somebody we have shaken hands with.

    Args:
        address: Theirs.
        theirs: What they said.
        candidate: Whom we dialed; None where they came by themselves.
        transform: The encryption agreed on; None in clear.
    """

    address: Address
    theirs: Handshake
    candidate: Candidate | None
    transform: ByteTransform | None


def refuse(engine: Engine, torrent: TorrentState | None, address: Address, *, dialed: bool = False) -> str:
    """Why a connection may not become a peer; empty when it may. Whose it is, is seen when both have said it."""
    if torrent is None:
        return "no such torrent here"
    if address.host in engine.banned:
        return "banned"
    if not isinstance(torrent.stage, Live | Learning):
        return "the torrent is not live"
    if address in torrent.swarm.peers:
        return "connected already"
    if is_full(torrent) and gives_way(engine, torrent, address.host, dialed=dialed) is None:
        return "enough connections"
    return ""


def is_full(torrent: TorrentState) -> bool:
    """Whether the torrent has as many connections as it may have."""
    return len(torrent.swarm.peers) >= torrent.policy.most_connections


def gives_way(engine: Engine, torrent: TorrentState, host: str, *, dialed: bool) -> Peer | None:
    """Who leaves for a newcomer from that host where there are enough."""
    if torrent.policy.most_connections <= 0:
        return None
    chosen = dialed and bool(torrent.pieces.missing_wanted or not torrent.pieces.learned)
    return least_useful(torrent.swarm.peers.values(), host, engine.clock(), chosen=chosen)


def our_greeting(engine: Engine, torrent: TorrentState, name: InfoHash) -> tuple[Handshake, frozenset[InfoHash]]:
    """What we say to a peer about the torrent, by one of its names, and all names that it may answer with."""
    ours = Handshake.ours(name, engine.peer_id, v2=torrent.metainfo.info.v2 is not None)
    return ours, frozenset(names_of(torrent))


def join(engine: Engine, torrent: TorrentState, link: Link, met: Met, port: int | None) -> Peer:
    """Both have shaken hands: make a peer of the connection and introduce ourselves.

    Args:
        engine: The engine.
        torrent: The torrent that both speak about.
        link: The connection's socket.
        met: The peer.
        port: Where we listen, if we do.

    Raises:
        PeerFault: it may not join; the text says why.
    """
    address, theirs, candidate = met.address, met.theirs, met.candidate
    if theirs.peer_id == engine.peer_id:
        if candidate is not None:
            engine.network.ourselves.learn(address)
        raise PeerFault("that is ourselves")
    outgoing = candidate is not None
    reason = refuse(engine, torrent, address, dialed=outgoing)
    if reason:
        raise PeerFault(reason)
    double = _double(engine, torrent, met)
    if double is not None:
        if candidate is None:
            candidate, double.candidate = double.candidate, None
        engine.turn.outbox("close", double, double.link.close, "connected twice")
    elif is_full(torrent):
        idle = gives_way(engine, torrent, address.host, dialed=outgoing)
        if idle is not None:
            engine.turn.outbox("close", idle, idle.link.close, "others wait to be let in")
    now = engine.clock()
    table = torrent.pieces
    geometry = table.geometry if table.learned else None
    talk = Connection(geometry, fast=theirs.fast, extended=theirs.extended, now=now, transform=met.transform)
    peer = Peer(
        address=address,
        profile=Profile(
            theirs.peer_id,
            Chatter(table.geometry.piece_count if table.learned else UNKNOWN_PIECES, now),
            v2=theirs.v2 or theirs.info_hash != torrent.metainfo.info.v1,
        ),
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
    wanting.make_order(engine, torrent)
    if table.missing_wanted:
        resting.wake(engine, torrent, lambda: ask_everybody(engine, torrent, engine.clock()))
    talk.send_pieces(table.complete, table.is_seed)
    introduce(engine, peer, port=port)
    engine.tell(events.PeerConnected(torrent.info_hash, address, peer.outgoing))
    return peer


def _double(engine: Engine, torrent: TorrentState, met: Met) -> Peer | None:
    """The connection to the same peer that there is already and that has to go; None where there is none.

    When both dialed, they keep the connection that the greater peer id dialed: else both might close the other's.

    Raises:
        PeerFault: the new one has to go. If it was dialed, its candidate is that of the peer which stays from now on,
            so that it is not dialed again while that is there.
    """
    outgoing = met.candidate is not None
    for peer in torrent.swarm.peers.values():
        if peer.profile.peer_id == met.theirs.peer_id and peer.address.host == met.address.host:
            if peer.outgoing == outgoing or outgoing != (engine.peer_id > met.theirs.peer_id):
                if peer.candidate is None:
                    peer.candidate = met.candidate
                raise PeerFault("connected to this peer already")
            return peer
    return None


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
    learning.left(torrent, peer)
    give_back(torrent, peer.talk.expected_runs())
    peer.talk.drop_expected()
    peer.serving.queue.clear()
    peer.serving.blocks = 0
    peer.talk.discard()
    availability.forget(engine, peer)
    engine.turn.stop_sliced("tell pieces", peer)
    if swarm.optimistic is peer:
        swarm.optimistic = None
    unchoking.slot_freed(engine, peer, now)
    if peer.candidate is not None:
        swarm.candidates.lost(peer.candidate, now, served=bool(peer.flow.last_block or peer.flow.up.total))
    if torrent in engine.due.lively:  # there is room for another
        engine.due.lively.add(torrent)
    engine.turn.defer("ask idle", torrent, ask_idle, engine, torrent, now)  # once, however many leave
    engine.tell(events.PeerLost(torrent.info_hash, peer.address, reason))


def of_no_use(engine: Engine, peer: Peer) -> bool:
    """Whether neither can have anything from the other any more."""
    return (
        engine.config.drop_mutually_complete_peers
        and peer.has_all
        and peer.torrent.pieces.is_seed
        and not peer.talk.pending
        and not exchanging.of_use(peer.torrent, peer, engine.clock())
    )
