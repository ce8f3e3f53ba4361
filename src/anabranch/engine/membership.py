"""Who joins a torrent's swarm and who leaves it.

Network thread, within a turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from anabranch.model import Address, InfoHash, PeerFault, no_pieces
from anabranch.net import network
from anabranch.wire import ByteTransform, Handshake

from . import (
    availability,
    events,
    exchanging,
    gossiping,
    learning,
    resting,
    suggesting,
    super_seeding,
    throttling,
    unchoking,
    wanting,
)
from .asking import ask_everybody, ask_idle, give_back
from .candidates import Candidate
from .chatter import UNKNOWN_PIECES, Chatter
from .directory import names_of
from .engine import Engine
from .introducing import introduce, wants_nothing
from .metrics import LEFT, OURSELVES, REPLACED, converse
from .privacy import dht_port, discovery_allowed
from .stage import Learning, Live
from .state import Flow, Link, Peer, Profile, TorrentState
from .worst import GRACE, Newcomer, busy, gives_way

_LOOK_EVERY = 1.0  # seconds for which it is remembered what was found for a caller where all places are taken
_MOST_LOOKED_AT = 5000  # peers in that time, for callers of all networks: some 10 us each
UNTOLD = "the torrent is private, and no tracker told of this peer"
USELESS_FOR = 60.0  # seconds in which neither of two has any use for the other, after which they part


@dataclass(frozen=True, slots=True)
class Met:
    """Somebody we have shaken hands with.

    Args:
        address: Theirs.
        theirs: What they said.
        candidate: Whom we dialed; None where they came by themselves.
        transform: The encryption agreed on; None in clear.
        obfuscated: The connection began obfuscated, whatever was agreed on.
    """

    address: Address
    theirs: Handshake
    candidate: Candidate | None
    transform: ByteTransform | None
    obfuscated: bool = False


def refuse(engine: Engine, torrent: TorrentState | None, address: Address, *, dialed: bool = False) -> str:
    """Why a connection may not become a peer; empty when it may. Whose it is, is seen when both have said it."""
    if torrent is None:
        return "no such torrent here"
    if address.host in engine.banned:
        return "banned"
    if not isinstance(torrent.stage, Live | Learning):
        return "the torrent is not live"
    there = torrent.swarm.peers.get(address)
    if there is not None:
        return "" if there.link.ended() else "connected already"
    if torrent.is_full and not _somebody_leaves_for(engine, torrent, address.host, dialed=dialed):
        return "enough connections"
    return ""


def leaves_for(engine: Engine, torrent: TorrentState, host: str, *, dialed: bool) -> Peer | None:
    """Who leaves for a newcomer from that host where there are enough; an empty host is anybody's."""
    if torrent.policy.most_connections <= 0:
        return None
    returning = _returning(torrent, host)
    if returning is not None:
        return returning
    chosen = dialed and bool(torrent.pieces.missing_wanted or not torrent.pieces.learned)
    newcomer = Newcomer(host, outgoing=dialed, chosen=chosen)
    return gives_way(torrent.swarm.peers.values(), newcomer, engine.clock(), engine.network.ourselves)


def _returning(torrent: TorrentState, host: str) -> Peer | None:
    """A peer of that host that has hung up, and perhaps comes anew."""
    for peer in torrent.swarm.peers.values():
        if peer.address.host == host and peer.link.ended():
            return peer
    return None


def _somebody_leaves_for(engine: Engine, torrent: TorrentState, host: str, *, dialed: bool) -> bool:
    """Whether leaves_for() finds anybody. For callers it looks seldom: to knock is cheap, to rank all peers is not."""
    if dialed or torrent.policy.most_connections <= 0 or _returning(torrent, host) is not None:
        return leaves_for(engine, torrent, host, dialed=dialed) is not None
    knocks, now = torrent.swarm.knocks, engine.clock()
    if now >= knocks.until:
        knocks.until, knocks.looked_at = now + _LOOK_EVERY, 0
        knocks.places.clear()
    place = network(host)
    if place not in knocks.places:
        if knocks.looked_at >= _MOST_LOOKED_AT:
            return False
        knocks.looked_at += len(torrent.swarm.peers)
        knocks.places[place] = leaves_for(engine, torrent, host, dialed=False) is not None
    return knocks.places[place]


def may_speak(torrent: TorrentState, candidate: Candidate) -> bool:
    """Whether whom we dialed may hear of the torrent: it may have turned out to be private since."""
    return any(discovery_allowed(torrent, source) for source in candidate.sources)


def our_greeting(engine: Engine, torrent: TorrentState, name: InfoHash) -> tuple[Handshake, frozenset[InfoHash]]:
    """What we say to a peer about the torrent, by one of its names, and all names that it may answer with."""
    node = bool(dht_port(engine, torrent))
    ours = Handshake.ours(name, engine.peer_id, dht=node, v2=torrent.metainfo.info.v2 is not None)
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
        if (metrics := engine.metrics) is not None:
            metrics.add(OURSELVES)
        if candidate is not None:
            engine.network.ourselves.learn(address)
        raise PeerFault("that is ourselves")
    outgoing = candidate is not None
    reason = refuse(engine, torrent, address, dialed=outgoing)
    if reason:
        raise PeerFault(reason)
    if candidate is not None and not may_speak(torrent, candidate):
        raise PeerFault(UNTOLD)
    double = _double(engine, torrent, met)
    if double is not None:
        if candidate is None:
            candidate, double.candidate = double.candidate, None
        _replace(engine, double, "connected twice")
    elif torrent.is_full:
        worst = leaves_for(engine, torrent, address.host, dialed=outgoing)
        if worst is None:  # any more
            torrent.swarm.knocks.places[network(address.host)] = False
            raise PeerFault("enough connections")
        _replace(engine, worst, "others wait to be let in")
    now = engine.clock()
    table = torrent.pieces
    geometry = table.geometry if table.learned else None
    talk = converse(engine, geometry, theirs, met.transform, now)
    peer = Peer(
        address=address,
        profile=Profile(
            theirs.peer_id,
            Chatter(table.geometry.piece_count if table.learned else UNKNOWN_PIECES, now),
            # libtorrent 2.1.1 hangs up at hash messages where it was met obfuscated by the v1 name, whatever it says
            v2=theirs.info_hash != torrent.metainfo.info.v1 or (theirs.v2 and not met.obfuscated),
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
    if (metrics := engine.metrics) is not None:
        metrics.joined(peer, theirs)
    engine.due.lively.add(torrent)
    wanting.make_order(engine, torrent)
    if table.missing_wanted:
        resting.wake(engine, torrent, lambda: ask_everybody(engine, torrent, engine.clock()))
    if super_seeding.begin(engine, peer):
        talk.send_pieces(no_pieces(table.geometry.piece_count), False)
    else:
        talk.send_pieces(table.complete, table.is_seed)
    introduce(engine, peer, port=port)
    if theirs.dht and (node := dht_port(engine, torrent)):
        talk.send_port(node)
    if not theirs.extended:  # others can be told of it nevertheless
        gossiping.enrol(engine, peer)
    engine.tell(events.PeerConnected(torrent.info_hash, address, peer.outgoing))
    return peer


def _double(engine: Engine, torrent: TorrentState, met: Met) -> Peer | None:
    """The connection to the same peer that there is already and that has to go; None where there is none.

    One that the peer has ended goes, even if we were not told yet: it comes anew. When both dialed, they keep the
    connection that the greater peer id dialed: else both might close the other's. Of two that were dialed by the same
    side the first one stays, unless nothing has moved on it for a while: its end may have been lost on the way.

    Raises:
        PeerFault: the new one has to go. If it was dialed, its candidate is that of the peer which stays from now on,
            so that it is not dialed again while that is there.
    """
    outgoing, now = met.candidate is not None, engine.clock()
    same_address = torrent.swarm.peers.get(met.address)
    if same_address is not None:
        return same_address  # it has ended: see refuse()
    for peer in torrent.swarm.peers.values():
        if peer.profile.peer_id == met.theirs.peer_id and peer.address.host == met.address.host:
            if peer.link.ended():
                return peer
            if peer.outgoing == outgoing:
                stays = busy(peer, now) or now - peer.flow.connected_at <= GRACE
            else:
                stays = outgoing != (engine.peer_id > met.theirs.peer_id)
            if stays:
                if peer.candidate is None:
                    peer.candidate = met.candidate
                raise PeerFault("connected to this peer already")
            return peer
    return None


def _replace(engine: Engine, peer: Peer, reason: str) -> None:
    """It leaves for another one, at once: at no time there are more than allowed, or two of one address."""
    if peer.link.ended():
        reason = "closed by the peer"
    if (metrics := engine.metrics) is not None:
        metrics.add(REPLACED, reason)
    leave(engine, peer, reason)
    engine.turn.outbox("close", peer, peer.link.close, reason)


def leave(engine: Engine, peer: Peer, reason: str) -> None:
    """A connection ended: give back what it owed us, and take it out of all numbers."""
    torrent = peer.torrent
    swarm = torrent.swarm
    if swarm.peers.get(peer.address) is not peer:
        return
    now = engine.clock()
    del swarm.peers[peer.address]
    if (metrics := engine.metrics) is not None:
        metrics.add(LEFT)
    engine.due.touched.discard(peer)
    engine.due.starved.discard(peer)
    engine.due.idle.discard(peer)
    learning.left(torrent, peer)
    gossiping.left(peer)
    give_back(torrent, peer.talk.expected_runs())
    peer.talk.drop_expected()
    peer.serving.queue.clear()
    peer.serving.blocks = 0
    peer.talk.discard()
    availability.forget(engine, peer)
    super_seeding.left(peer)
    suggesting.left(peer)
    throttling.left(peer)
    engine.turn.stop_sliced("tell pieces", peer)
    if swarm.slots.optimistic is peer:
        swarm.slots.optimistic = None
    unchoking.slot_freed(engine, peer, now)
    if peer.candidate is not None:
        swarm.candidates.lost(peer.candidate, now, served=bool(peer.flow.last_block or peer.flow.up.total))
    if torrent in engine.due.lively:  # there is room for another
        engine.due.lively.add(torrent)
    engine.turn.defer("ask idle", torrent, ask_idle, engine, torrent, now)  # once, however many leave
    engine.tell(events.PeerLost(torrent.info_hash, peer.address, reason))


def send_away_banned(engine: Engine, torrent: TorrentState) -> None:
    """Any thread, within a turn: there are others now that are banned or blocked; those of them that are here leave."""
    for peer in torrent.swarm.peers.values():
        if peer.address.host in engine.banned:
            engine.turn.outbox("close", peer, engine.network.call, peer.link.close, "banned")


def of_no_use(engine: Engine, peer: Peer, now: float) -> bool:
    """Whether neither can have anything from the other any more. To be asked each second.

    Two that have everything part at once. Else it takes a minute without any use, as both may come to want more: the
    peer has all or says that it wants nothing (BEP 21) and is not interested, and we want nothing, or nothing of what
    it has. One that tells of single pieces may yet show what we lack; so may one that shows none (BEP 16).
    """
    torrent = peer.torrent
    if not engine.config.drop_mutually_complete_peers or peer.talk.pending or exchanging.of_use(torrent, peer, now):
        return False
    if peer.has_all and torrent.pieces.is_seed:
        return True
    profile, flow = peer.profile, peer.flow
    if not _gives_only(peer) or peer.talk.am_interested or not isinstance(torrent.stage, Live):
        profile.useless_since = None
        return False
    if wants_nothing(torrent):
        useless = True
    else:
        lacks_all = not peer.has_all and not profile.tells and peer.has.any()
        useless = lacks_all and torrent.policy.download and torrent.pieces.missing_wanted > 0
    if not useless or profile.useless_since is None:
        profile.useless_since = now if useless else None
    return profile.useless_since is not None and now - max(profile.useless_since, flow.last_block) >= USELESS_FOR


def _gives_only(peer: Peer) -> bool:
    return (peer.has_all or peer.talk.peer_extensions.upload_only) and not peer.talk.peer_interested
