"""What peers asked us for: a queue for each.

Network thread, within a turn. serving.py reads and sends what is queued here.
"""

from __future__ import annotations

from collections import deque

from anabranch.wire import CancelRun, RequestRun

from . import fast, suggesting
from .engine import Engine
from .metrics import CANCELS_UNKNOWN, QUEUE_FULL
from .stage import Live
from .state import Peer, Serving

REQQ = 1024  # requests we say that we queue
PATIENCE = 4 * REQQ  # blocks queued above which nothing more is read from the peer: it is slowed, never dropped
MOST_SEARCHED = 250_000  # runs in a peer's queue that are looked at in a second for its cancels


def enqueue(engine: Engine, peer: Peer, run: RequestRun) -> None:
    """The peer asks for blocks. Those it may not have are rejected (BEP 6), or passed over without that extension."""
    torrent = peer.torrent
    if (
        not torrent.pieces.complete[run.piece]
        or not isinstance(torrent.stage, Live)
        or not torrent.policy.upload
        or (peer.serving.shown is not None and not peer.serving.shown[run.piece])
        or (peer.talk.am_choking and not fast.grants(engine, peer, run))
    ):
        peer.talk.reject(run.piece, run.begin, run.length, run.block)
        engine.due.touched.add(peer)
        if (metrics := engine.metrics) is not None:
            metrics.refused(peer, run.piece)
        return
    suggesting.asked(engine, peer, run)
    queue = peer.serving
    queue.queue.append(run)
    queue.blocks += -(-run.length // run.block)
    if queue.blocks > PATIENCE:
        peer.link.pause_reading(True)
        if (metrics := engine.metrics) is not None:
            metrics.add(QUEUE_FULL)
    engine.due.touched.add(peer)


def cancel(engine: Engine, peer: Peer, gone: CancelRun) -> None:
    """The peer does not want these blocks any more; what is on its way goes on.

    Each cancel is looked for in the whole queue. Of a flood of them, most are passed over: to serve the block is an
    answer, too (BEP 6).
    """
    if not _may_search(peer.serving, engine.clock()):
        return
    end = gone.begin + gone.length
    kept: deque[RequestRun] = deque()
    blocks = 0
    for run in peer.serving.queue:
        parts = [run]
        if run.piece == gone.piece and run.begin < end and gone.begin < run.begin + run.length:
            parts = _without(run, gone.begin, end)
            first, last = max(run.begin, gone.begin), min(run.begin + run.length, end)
            peer.talk.reject(run.piece, first, last - first, run.block)
        for part in parts:
            kept.append(part)
            blocks += -(-part.length // part.block)
    if blocks == peer.serving.blocks and (metrics := engine.metrics) is not None:
        metrics.add(CANCELS_UNKNOWN)
    peer.serving.queue = kept
    peer.serving.blocks = blocks
    if blocks <= PATIENCE // 2:
        peer.link.pause_reading(False)
    engine.due.touched.add(peer)


def drop_queue(engine: Engine, peer: Peer) -> None:
    """We choke the peer: what it asked for is rejected, but for what it is allowed nevertheless (BEP 6)."""
    queue = peer.serving
    kept: deque[RequestRun] = deque()
    for run in queue.queue:
        if fast.grants(engine, peer, run):
            kept.append(run)
        else:
            peer.talk.reject(run.piece, run.begin, run.length, run.block)
    queue.queue = kept
    queue.blocks = sum(-(-run.length // run.block) for run in kept)
    peer.link.pause_reading(False)
    engine.due.touched.add(peer)


def _may_search(serving: Serving, now: float) -> bool:
    """Whether the queue may be gone through once more in this second."""
    if now - serving.searched_since >= 1.0:
        serving.searched_since = now
        serving.searched = 0
    serving.searched += len(serving.queue)
    return serving.searched <= MOST_SEARCHED


def _without(run: RequestRun, begin: int, end: int) -> list[RequestRun]:
    """What is left of a run when [begin, end) is taken out."""
    left: list[RequestRun] = []
    if run.begin < begin:
        left.append(RequestRun(run.piece, run.begin, begin - run.begin, run.block))
    if end < run.begin + run.length:
        left.append(RequestRun(run.piece, end, run.begin + run.length - end, run.block))
    return left
