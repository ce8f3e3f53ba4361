"""What time itself brings about: once a second, for the torrents that have anything going on.

Network thread, within a turn per torrent.
"""

from __future__ import annotations

from anabranch.model import BLOCK_SIZE

from . import (
    announcing,
    consistency,
    exchanging,
    gossiping,
    hopeless,
    keeping,
    learning,
    orders,
    planning,
    recording,
    relocating,
    resting,
    resyncing,
    retrying,
    seeking,
    super_seeding,
    unchoking,
    wanting,
)
from .asking import ask, ask_idle, show_interest, take_back, take_back_all
from .checking import advance
from .claiming import plan_soon
from .dialing import able
from .engine import Engine
from .fetches import Fetch
from .finishing import give_up, spill
from .judging import feed_starved
from .membership import of_no_use
from .stage import Checking, Dropped, Failed, Learning, Live, Moving
from .state import Peer, TorrentState

SNUBBED_AFTER = 30.0  # seconds without an answer, after which others are asked
ZOMBIE_AFTER = 120.0  # seconds without an answer, after which the connection ends
IDLE_AFTER = 5.0  # seconds without gain, after which a piece is written out and gives its memory back
IDLE_IN_NEED = 1.0  # the same, when somebody waits for memory
_LONGEST_BLOCK = 10.0  # seconds for a block of a web seed, beyond which it counts as idle then


def tick(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Look after one torrent. It leaves engine.due.lively when there is nothing left to look after each second."""
    if isinstance(torrent.stage, Dropped):
        engine.due.lively.leave(torrent)
        return
    swarm, disk = torrent.swarm, torrent.disk
    relocating.look(engine, torrent)
    if isinstance(torrent.stage, Failed):
        retrying.retry(engine, torrent, now)
    if isinstance(torrent.stage, Checking):
        advance(engine, torrent)
    if isinstance(torrent.stage, Learning):
        learning.look(engine, torrent, now)
        learning.go_on(engine, torrent)
    elif torrent.exchange is not None:
        exchanging.look(engine, torrent, now)
    if disk.unrecorded:
        recording.record(engine, torrent)
    keeping.look(engine, torrent, now)
    resting_pieces = hopeless.look(engine, torrent, now)
    orders.look(engine, torrent)
    announcing.look(engine, torrent)
    seeking.look(engine, torrent)
    gossiping.take(engine, torrent, now)
    resyncing.forget_begun(engine, torrent)
    if swarm.webseeds and torrent.pieces.missing_wanted and torrent not in engine.due.web.torrents:
        plan_soon(engine, torrent, "missing")
    if engine.config.debug:
        consistency.look(engine, torrent)
    if swarm.peers:
        disk.dirty = True  # the totals move
        if torrent.pieces.missing_wanted:
            resting.wake(engine, torrent, lambda: None)
        unchoking.look(engine, torrent, now)
        super_seeding.look(engine, torrent, now)
        idle = [peer for peer in swarm.peers.values() if _look_after(engine, peer, now)]
        for peer in sorted(idle, key=lambda peer: (peer.flow.snubbed, peer.flow.asked_at)):  # as in ask_idle()
            _set_to_work(engine, peer, now)
        _write_out_idle(engine, torrent, now)
    elif torrent.holding.buffers:
        _write_out_idle(engine, torrent, now)
    if torrent not in engine.due.lively.dials and able(engine, torrent, now):
        engine.due.lively.add(torrent)
    if not swarm.peers:
        resting.rest(engine, torrent)
    busy = (
        swarm.webseeds.fetches
        or disk.unrecorded
        or torrent.holding.buffers
        or resting_pieces
        or swarm.seeking.hearsay
        or keeping.due(engine, torrent)
    )
    if not (swarm.peers or busy) and _only_waits(torrent):
        engine.due.lively.rest(torrent)
        if not len(swarm.candidates):
            wanting.forget_order(engine, torrent)


def _only_waits(torrent: TorrentState) -> bool:
    """Whether time alone brings nothing about in this stage: without peers, whose name is all that is known waits."""
    stage = torrent.stage
    return isinstance(stage, Live) or (isinstance(stage, Learning) and stage.fetch is not None)


def tick_client(engine: Engine) -> None:
    """Look after what all torrents share."""
    feed_starved(engine)
    planning.look(engine, engine.clock())
    if not engine.pool.lent:
        engine.pool.trim()


def _look_after(engine: Engine, peer: Peer, now: float) -> bool:
    """See whether the peer answers. Tells whether it stays and owes nothing."""
    torrent, flow = peer.torrent, peer.flow
    if of_no_use(engine, peer, now):
        reason = "both have everything" if peer.has_all and torrent.pieces.is_seed else "of no use to each other"
        engine.turn.outbox("close", peer, engine.network.call, peer.link.close, reason)
        return False
    gossiping.look(engine, peer, now)
    if peer.serving.throttle is not None and peer.serving.blocks:
        engine.due.touched.add(peer)
    if not peer.talk.outstanding:
        return True
    silent = now - max(flow.last_block, flow.asked_at)
    if silent > ZOMBIE_AFTER:
        engine.turn.outbox(
            "close", peer, engine.network.call, peer.link.close, f"did not answer requests for {ZOMBIE_AFTER:.0f} s"
        )
    elif silent > SNUBBED_AFTER and (not flow.snubbed or peer.talk.peer_choking):
        flow.snubbed = True
        peer.window.shrink()
        take_back_all(engine, peer)
        engine.turn.defer("ask idle", torrent, ask_idle, engine, torrent, now)
    return False


def _set_to_work(engine: Engine, peer: Peer, now: float) -> None:
    """Ask a peer that owes nothing."""
    show_interest(engine, peer)
    if peer.torrent.pieces.missing_wanted:
        ask(engine, peer, now)
    if not peer.talk.outstanding:
        peer.flow.snubbed = False  # it owes nothing any more


def _write_out_idle(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Begun pieces that nobody adds to give their memory back; in need also those that somebody is slow to add to."""
    need = len(engine.due.starved) + len(engine.due.web.thirsty)
    if isinstance(torrent.stage, Failed | Moving):
        for piece in {piece for piece, _ in torrent.holding.buffers if need and piece in torrent.pieces.begun}:
            give_up(engine, torrent, torrent.pieces.begun[piece])
        return
    patience = IDLE_IN_NEED if need else IDLE_AFTER
    with_memory = {piece for piece, _ in torrent.holding.buffers}
    begun = torrent.pieces.begun
    fed = {
        fetch.opened.piece
        for fetch in torrent.swarm.webseeds.fetches
        if fetch.opened is not None and fetch.heard >= now - IDLE_AFTER and not (need and _drips(fetch, now))
    }
    idle = sorted(
        (
            begun[piece]
            for piece in with_memory
            if piece in begun and piece not in fed and begun[piece].last_gain < now - patience
        ),
        key=lambda progress: progress.last_gain,
    )
    if not idle:
        return
    owed = {run.piece for peer in torrent.swarm.peers.values() for run in peer.talk.expected_runs()}
    for progress in idle:
        if progress.piece in owed:
            if need <= 0:
                continue
            _call_off(engine, torrent, progress.piece)
        need -= 1
        spill(engine, torrent, progress)


def _drips(fetch: Fetch, now: float) -> bool:
    """Whether a block of it takes so long that others should have the memory meanwhile."""
    return fetch.down.rate(now) * _LONGEST_BLOCK < BLOCK_SIZE


def _call_off(engine: Engine, torrent: TorrentState, piece: int) -> None:
    """Nobody shall land in the memory of this piece any more."""
    for peer in torrent.swarm.peers.values():
        take_back(engine, peer, piece)
