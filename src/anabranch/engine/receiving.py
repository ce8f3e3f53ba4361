"""What a peer said, and what follows from it.

Network thread, within a turn. Each event of the wire has one function here; the table at the end says which. None of
them sends, waits or touches the disk: bytes are queued with the connection and the peer marked as touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anabranch.discovery import PEX
from anabranch.model import BLOCK_SIZE, PeerFault, all_pieces, no_pieces
from anabranch.picker import Run
from anabranch.wire import (
    METADATA,
    AllowedFast,
    BlocksLanded,
    CancelledBlock,
    CancelRun,
    Choked,
    DontHave,
    Event,
    ExtendedHandshake,
    ExtendedMessage,
    Hashes,
    HashReject,
    HashRequest,
    Have,
    HaveAll,
    HaveNone,
    Interested,
    NotInterested,
    PeerHas,
    Port,
    Rejected,
    RequestRun,
    Suggest,
    Unchoke,
    UnexpectedBlock,
)

from . import (
    availability,
    exchanging,
    extending,
    fast,
    gossiping,
    learning,
    metadata,
    queueing,
    super_seeding,
    unchoking,
)
from .asking import Aside, ask, ask_idle, buffer_for, give_back, may_ask, show_interest
from .engine import Engine
from .events import PeerIntroduced
from .gaining import cancel_copies, gained
from .metrics import DHT_PORTS
from .privacy import discovery_allowed
from .state import Peer

_MOST_WASTE = 2 * 1024 * 1024  # bytes nobody asked for that a peer may send, beyond what was of use


def take(engine: Engine, peer: Peer, events: Sequence[Event], now: float) -> None:
    """Act on what a peer said, then look whether it may be asked for more.

    Raises:
        PeerFault: the peer is of no use, or means harm.
    """
    if (metrics := engine.metrics) is not None:
        metrics.heard(peer, events)
    fault: PeerFault | None = None
    for event in events:
        act = _ACTS.get(type(event))
        if act is not None and (fault is None or isinstance(event, _ENDS_A_DEBT)):
            try:
                act(engine, peer, event, now)
            except PeerFault as found:  # what it owes no more is booked nevertheless: nobody else knows of it
                fault = fault or found
    if fault is not None:
        raise fault
    if may_ask(peer):
        ask(engine, peer, now)
        if peer.talk.pending:
            engine.due.touched.add(peer)


def _blocks(engine: Engine, peer: Peer, event: BlocksLanded, now: float) -> None:
    torrent = peer.torrent
    flow = peer.flow
    flow.down.add(event.length, now)
    run = Run(event.begin // BLOCK_SIZE, -(-event.length // BLOCK_SIZE))
    peer.window.landed(run.blocks, now)
    progress = torrent.pieces.begun.get(event.piece)
    if progress is None:
        _waste(peer, event.length)
        return
    if isinstance(event.token, Aside):
        if progress.got[run.first] or not _move_in(engine, peer, event, event.token, run):
            progress.give_back(run)
            torrent.pieces.refresh(event.piece)
            _waste(peer, event.length)
            return
    elif torrent.holding.buffers.get((event.piece, run.first // torrent.holding.stretch_blocks)) is not event.token:
        progress.give_back(run)  # it landed in memory that is not this piece's any more
        torrent.pieces.refresh(event.piece)
        _waste(peer, event.length)
        return
    before = progress.missing
    wasted = gained(engine, torrent, progress, run, event.length, peer, now)
    if wasted:
        _waste(peer, wasted)
    if progress.missing != before:
        flow.last_block = now
        flow.snubbed = False
        peer.profile.advice.refusals = 0


def _move_in(engine: Engine, peer: Peer, event: BlocksLanded, aside: Aside, run: Run) -> bool:
    """Copy a block that landed aside to its place. Tells whether there was memory for it."""
    holding = peer.torrent.holding
    stretch, place = divmod(run.first, holding.stretch_blocks)
    buffer = buffer_for(engine, peer.torrent, event.piece, stretch)
    if buffer is None:
        engine.due.starved.add(peer)  # it may go on with copies that nobody can keep: somebody has to make room
        return False
    cancel_copies(engine, peer.torrent, peer, event.piece, event.begin, event.length)
    buffer.blocks[place][: event.length] = aside.view
    return True


def _waste(peer: Peer, length: int) -> None:
    peer.flow.wasted += length
    peer.torrent.totals.wasted += length


def _unwanted(engine: Engine, peer: Peer, event: CancelledBlock | UnexpectedBlock, now: float) -> None:
    peer.flow.down.add(event.length, now)
    if isinstance(event, CancelledBlock):
        peer.flow.asked_at = now  # late, but an answer
    else:
        peer.profile.chatter.credit(-event.length)
        peer.flow.unasked += event.length
    _waste(peer, event.length)
    if peer.flow.unasked > _MOST_WASTE + peer.flow.down.total // 2:
        raise PeerFault(f"sent {peer.flow.unasked} bytes that nobody asked for")


def _rejected(engine: Engine, peer: Peer, event: Rejected, now: float) -> None:
    if event.token is not None:
        give_back(peer.torrent, [(event.piece, event.begin, event.length, event.token)])
    flow, advice = peer.flow, peer.profile.advice
    advice.refuse(event.piece, now)
    if now >= flow.resting_until and not peer.talk.peer_choking:  # what it took back by choking us is no refusal
        flow.resting_until = now + advice.rest()
        if advice.refusals > 1:
            peer.window.shrink()
        engine.due.idle.add(peer)  # looked at again in a moment: one reject does not idle a good peer
    engine.turn.defer("ask idle", peer.torrent, ask_idle, engine, peer.torrent, now)


def _choked(engine: Engine, peer: Peer, event: Choked, now: float) -> None:
    give_back(peer.torrent, event.lost)
    peer.window.idle(now)
    engine.turn.defer("ask idle", peer.torrent, ask_idle, engine, peer.torrent, now)


def _unchoked(engine: Engine, peer: Peer, event: Unchoke, now: float) -> None:
    flow = peer.flow
    if not peer.talk.outstanding:
        flow.asked_at = now
    elif flow.last_block >= flow.excused_at:  # it could not answer meanwhile; once, or choking would do for an answer
        flow.asked_at = flow.excused_at = now
    peer.profile.advice.refused.clear()
    peer.window.idle(now)
    show_interest(engine, peer)


def _bitfield(engine: Engine, peer: Peer, event: PeerHas, now: float) -> None:
    availability.tell(engine, peer, event.bits)
    super_seeding.told(engine, peer, now)
    show_interest(engine, peer)
    _offer(engine, peer)


def _have_all(engine: Engine, peer: Peer, event: HaveAll, now: float) -> None:
    availability.tell(engine, peer, all_pieces(len(peer.has)))
    super_seeding.told(engine, peer, now)
    show_interest(engine, peer)


def _have_none(engine: Engine, peer: Peer, event: HaveNone, now: float) -> None:
    availability.tell(engine, peer, no_pieces(len(peer.has)))
    super_seeding.told(engine, peer, now)
    _offer(engine, peer)


def _offer(engine: Engine, peer: Peer) -> None:
    if unchoking.may_upload(engine, peer.torrent):
        fast.offer(engine, peer)


def _suggested(engine: Engine, peer: Peer, event: Suggest, now: float) -> None:
    peer.profile.advice.suggest(event.piece)


def _allowed(engine: Engine, peer: Peer, event: AllowedFast, now: float) -> None:
    peer.profile.advice.allow(event.piece)
    if not peer.talk.am_interested:
        show_interest(engine, peer)


def _have(engine: Engine, peer: Peer, event: Have, now: float) -> None:
    peer.profile.tells = True
    availability.one_more(engine, peer, event.piece)
    super_seeding.told_have(engine, peer, event.piece, now)
    table = peer.torrent.pieces
    if not peer.talk.am_interested and (table.requestable(event.piece) or event.piece in table.begun):
        show_interest(engine, peer)


def _dont_have(engine: Engine, peer: Peer, event: DontHave, now: float) -> None:
    availability.one_less(engine, peer, event.piece)


def _interest(engine: Engine, peer: Peer, event: Interested | NotInterested, now: float) -> None:
    engine.turn.defer("interest", peer, unchoking.look_at_interest, engine, peer, now)  # once, however often it wavers


def _request(engine: Engine, peer: Peer, event: RequestRun, now: float) -> None:
    queueing.enqueue(engine, peer, event)


def _cancel(engine: Engine, peer: Peer, event: CancelRun, now: float) -> None:
    queueing.cancel(engine, peer, event)


def _introduced(engine: Engine, peer: Peer, event: ExtendedHandshake, now: float) -> None:
    if event.reqq:
        peer.profile.reqq = min(event.reqq, 4096)
    profile = peer.profile
    if (event.version and event.version != profile.client) or event.ids.keys() != profile.extensions:
        profile.client, profile.extensions = event.version or profile.client, frozenset(event.ids)
        told = PeerIntroduced(peer.torrent.info_hash, peer.address, profile.client, profile.extensions)
        engine.tell(told, key=("introduced", told.torrent, told.peer))
    learning.offered(engine, peer, now)
    if event.yourip:
        engine.network.ourselves.told(event.yourip, by=peer.address.host)
    if event.port and peer.candidate is None:  # where it listens, so that we can call back when this one is lost
        candidates = peer.torrent.swarm.candidates
        address = peer.address._replace(port=event.port)
        candidates.add(address, "incoming")
        candidate = candidates.get(address)
        if candidate is not None and not candidate.engaged:
            candidate.engaged = True
            candidate.seed = peer.has_all
            peer.candidate = candidate
    gossiping.enrol(engine, peer)


def _port(engine: Engine, peer: Peer, event: Port, now: float) -> None:
    """It runs a DHT node. Peers of a private torrent are not asked to, and what they say of it is not heard."""
    add_node = engine.due.seekers.add_node
    if event.port and add_node is not None and discovery_allowed(peer.torrent, "dht"):
        if (metrics := engine.metrics) is not None:
            metrics.add(DHT_PORTS)
        engine.turn.outbox("dht node", peer, engine.network.call, add_node, peer.address.host, event.port)


def _extended(engine: Engine, peer: Peer, event: ExtendedMessage, now: float) -> None:
    if event.name == METADATA:
        metadata.heard(engine, peer, event.payload, now)
    elif event.name == PEX:
        gossiping.heard(engine, peer, event.payload, now)
    else:
        extending.heard(engine, peer, event.name, event.payload)


def _hashes(engine: Engine, peer: Peer, event: Hashes, now: float) -> None:
    exchanging.heard(engine, peer, event, now)
    learning.go_on(engine, peer.torrent)


_ENDS_A_DEBT = (BlocksLanded, Rejected, Choked)

_ACTS: Mapping[type[Event], Callable[[Engine, Peer, Any, float], None]] = {
    BlocksLanded: _blocks,
    CancelledBlock: _unwanted,
    UnexpectedBlock: _unwanted,
    Rejected: _rejected,
    Choked: _choked,
    Unchoke: _unchoked,
    PeerHas: _bitfield,
    HaveAll: _have_all,
    HaveNone: _have_none,
    Have: _have,
    Suggest: _suggested,
    AllowedFast: _allowed,
    DontHave: _dont_have,
    Interested: _interest,
    NotInterested: _interest,
    Port: _port,
    RequestRun: _request,
    CancelRun: _cancel,
    ExtendedHandshake: _introduced,
    ExtendedMessage: _extended,
    HashRequest: exchanging.answer,
    Hashes: _hashes,
    HashReject: exchanging.refused,
}
