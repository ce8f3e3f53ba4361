"""Carrying out what choking.py decides.

Network thread, within a turn; allowance() outside of turns, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from anabranch.wire import RequestRun

from . import queueing, suggesting, throttling
from .choking import OPTIMISTIC_EVERY, RECHOKE_EVERY, SLOTS, TURNS, Contender, choose, in_line
from .engine import Engine
from .stage import Live
from .state import Peer, TorrentState

CREDIT = 100 * 1024  # bytes that who has no slot may take beyond what it gave


def may_upload(engine: Engine, torrent: TorrentState) -> bool:
    """Whether anybody may be served."""
    if not isinstance(torrent.stage, Live) or not torrent.policy.upload or engine.config.no_upload:
        return False
    return engine.config.seed or bool(torrent.pieces.missing_wanted)


def look_at_interest(engine: Engine, peer: Peer, now: float) -> None:
    """A peer became interested: unchoke it now if there is a slot for it, or if it has credit. Or it lost interest.

    Who wants nothing is choked, as by libtorrent 2.x: slots are given to those that want something, and who could go on
    asking without saying so would be served beside them for ever.
    """
    torrent = peer.torrent
    if not peer.talk.peer_interested:
        slot_freed(engine, peer, now)
        _choke(engine, peer)
        return
    if not peer.talk.am_choking or not may_upload(engine, torrent):
        return
    throttling.meet(peer)
    if sum(1 for _ in _in_slots(torrent)) < SLOTS:
        _unchoke(engine, peer, now)
    elif _credit(peer) > 0:
        _unchoke(engine, peer, now, on_credit=True)


def slot_freed(engine: Engine, peer: Peer, now: float) -> None:
    """A peer with a slot wants it no more, or left: the next in line need not wait for the round."""
    torrent = peer.torrent
    if not peer.talk.am_choking and not peer.serving.on_credit and len(torrent.swarm.peers) >= SLOTS:
        torrent.swarm.slots.vacancy = True


def look(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Give the slots anew when it is time, and those that became free."""
    swarm = torrent.swarm
    if now >= swarm.slots.rechoke_at:
        rechoke(engine, torrent, now)
    elif swarm.slots.vacancy:
        swarm.slots.vacancy = False
        if may_upload(engine, torrent):
            _fill(engine, torrent, now)


def rechoke(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Give the slots anew."""
    swarm = torrent.swarm
    swarm.slots.vacancy = False
    swarm.slots.rechoke_at = now + RECHOKE_EVERY
    if not may_upload(engine, torrent):
        choke_everybody(engine, torrent)
        return
    throttling.look(torrent)
    seeding = _seeds(torrent)
    contenders = [_contender(peer, seeding) for peer in swarm.peers.values()]
    for peer in swarm.peers.values():
        peer.flow.up_at_round, peer.flow.down_at_round = peer.flow.up.total, peer.flow.down.total
        if not peer.talk.am_choking:
            peer.flow.unchoked_at = now
    due = now >= swarm.slots.optimistic_until
    choice = choose(contenders, swarm.slots.optimistic, engine.draw, due=due, turns=TURNS if seeding else 0)
    if due or choice.optimistic is not swarm.slots.optimistic:
        swarm.slots.optimistic_until = now + OPTIMISTIC_EVERY
    swarm.slots.optimistic = choice.optimistic if isinstance(choice.optimistic, Peer) else None
    if swarm.slots.optimistic is not None:
        swarm.slots.rechoke_at = min(swarm.slots.rechoke_at, swarm.slots.optimistic_until)
    for peer in swarm.peers.values():
        if peer in choice.slots or peer is choice.optimistic:
            _unchoke(engine, peer, now)
        elif peer in choice.credit:
            _unchoke(engine, peer, now, on_credit=True)
        elif peer.talk.peer_interested:
            _choke(engine, peer)


def choke_everybody(engine: Engine, torrent: TorrentState) -> None:
    """Serve nobody."""
    for peer in torrent.swarm.peers.values():
        _choke(engine, peer)


def allowance(engine: Engine, peer: Peer, run: RequestRun, length: int) -> int:
    """How many of the next *length* bytes of the run the peer may have now, in whole blocks; 0 for none yet.

    A peer whose credit is used up is choked by this, and what it asked for rejected. Network thread.
    """
    serving = peer.serving
    if serving.on_credit:
        credit = _credit(peer)
        if credit <= 0:
            _choke(engine, peer)
            return 0
        length = min(length, -(-credit // run.block) * run.block)
    if serving.throttle is not None:
        now = engine.clock()
        length = min(length, run.block)
        if serving.throttle.ready_at(now, length) > now:
            return 0
        serving.throttle.grant(length, now)
    return length


def _credit(peer: Peer) -> int:
    """Bytes that the peer may have although it has no slot, because it has something for us."""
    if not peer.talk.am_interested:
        return 0
    flow = peer.flow
    return flow.down.total - flow.wasted + CREDIT - flow.up.total - peer.talk.pending_payload


def _seeds(torrent: TorrentState) -> bool:
    """Whether what peers give us does not matter, as we take nothing."""
    return not torrent.pieces.missing_wanted or not torrent.policy.download


def _contender(peer: Peer, seeding: bool) -> Contender:
    flow = peer.flow
    return Contender(
        peer,
        peer.talk.peer_interested,
        flow.snubbed and not seeding,
        flow.up.total - flow.up_at_round if seeding else flow.down.total - flow.down_at_round,
        max(flow.connected_at, flow.unchoked_at),
        greedy=peer.serving.throttle is not None,
        credit=not seeding and _credit(peer) > 0,
    )


def _in_slots(torrent: TorrentState) -> Iterator[Peer]:
    """Who has a slot and makes use of it."""
    for peer in torrent.swarm.peers.values():
        if not peer.talk.am_choking and peer.talk.peer_interested and not peer.serving.on_credit:
            yield peer


def _fill(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Give slots that became free to who waited longest: the others keep theirs until the round."""
    swarm = torrent.swarm
    free = SLOTS - sum(peer is not swarm.slots.optimistic for peer in _in_slots(torrent))
    seeding = _seeds(torrent)
    waiting = [
        _contender(peer, seeding)
        for peer in swarm.peers.values()
        if peer.talk.peer_interested and (peer.talk.am_choking or peer.serving.on_credit)
    ]
    for contender in sorted(waiting, key=in_line)[: max(free, 0)]:
        if isinstance(contender.peer, Peer):
            _unchoke(engine, contender.peer, now)


def _unchoke(engine: Engine, peer: Peer, now: float, *, on_credit: bool = False) -> None:
    peer.serving.on_credit = on_credit
    if peer.talk.am_choking:
        suggesting.offer(engine, peer)
        peer.talk.unchoke()
        peer.flow.unchoked_at = now
        engine.due.touched.add(peer)


def _choke(engine: Engine, peer: Peer) -> None:
    peer.serving.on_credit = False
    if not peer.talk.am_choking:
        peer.talk.choke()
        queueing.drop_queue(engine, peer)
        engine.due.touched.add(peer)
