"""Giving peers the blocks they asked for: warm data at once, cold data by a worker.

Network thread, outside of turns. What the page cache holds is read on the spot; for the rest a worker waits for the
disk, and meanwhile only this peer waits.
"""

from __future__ import annotations

from functools import cache
from typing import cast

from anabranch.model import StorageFailed
from anabranch.storage import ReadsWarm, TorrentStorage
from anabranch.wire import RequestRun

from .engine import Engine
from .metrics import READ_FAILURES
from .queueing import PATIENCE
from .rereading import fail_reading
from .sending import WATERMARK
from .state import Peer
from .unchoking import allowance


def fill(engine: Engine, peer: Peer) -> None:
    """Read blocks for the peer until enough is queued. Outside of turns; the link calls it before it sends."""
    serving = peer.serving
    if serving.reading or not serving.queue:
        return
    storage = peer.torrent.disk.storage
    if storage is None:
        return
    warm = cast(ReadsWarm, storage) if _reads_warm(type(storage)) else None
    offset_of = peer.torrent.pieces.geometry.offset_of
    while serving.queue and peer.talk.pending_payload < WATERMARK:
        run = serving.queue[0]
        if not peer.torrent.pieces.complete[run.piece]:  # a check found it wrong since
            peer.talk.reject(run.piece, run.begin, run.length, run.block)
            serving.queue.popleft()
            serving.blocks -= -(-run.length // run.block)
            continue
        buffer = engine.workshop.sending.take(peer.link.flush_soon, idle=not peer.talk.pending_payload)
        if buffer is None:
            return
        length = min(run.length, len(buffer) - len(buffer) % run.block)
        if serving.on_credit or serving.throttle is not None:
            length = allowance(engine, peer, run, length)
            if not length:
                engine.workshop.sending.give(buffer)
                return
        got = warm.read_warm(offset_of(run.piece) + run.begin, buffer[:length]) if warm else 0
        if got < length:
            got -= got % run.block
        if got:
            _send(engine, peer, run, buffer, got)
            continue
        _read_cold(engine, peer, run, buffer, length)
        return


@cache
def _reads_warm(kind: type[TorrentStorage]) -> bool:
    """Whether storages of this type have that ability: to ask one costs as much as a system call."""
    return issubclass(kind, ReadsWarm)


def _send(engine: Engine, peer: Peer, run: RequestRun, buffer: memoryview, length: int) -> None:
    """Queue the first *length* bytes of the run, which lie in the buffer."""

    def sent() -> None:
        engine.workshop.sending.give(buffer)

    serving = peer.serving
    peer.talk.send_blocks(run.piece, run.begin, buffer[:length], run.block, sent)
    serving.queue.popleft()
    serving.blocks -= -(-length // run.block)
    if length < run.length:
        serving.queue.appendleft(RequestRun(run.piece, run.begin + length, run.length - length, run.block))
    if serving.blocks <= PATIENCE // 2:
        peer.link.pause_reading(False)


def _read_cold(engine: Engine, peer: Peer, run: RequestRun, buffer: memoryview, length: int) -> None:
    serving = peer.serving
    serving.reading = True
    storage = peer.torrent.opened()

    def read() -> None:
        storage.piece(run.piece).readinto(run.begin, buffer[:length])

    def done(_: None) -> None:
        serving.reading = False
        if serving.queue and serving.queue[0] == run:
            _send(engine, peer, run, buffer, length)
        else:  # cancelled, choked or gone meanwhile
            engine.workshop.sending.give(buffer)
        peer.link.flush()

    def failed(error: BaseException) -> None:
        serving.reading = False
        engine.workshop.sending.give(buffer)
        if (metrics := engine.metrics) is not None:
            metrics.add(READ_FAILURES)
        if not isinstance(error, StorageFailed):
            error = StorageFailed(peer.torrent.data_path, f"unexpected {type(error).__name__}: {error}")
        engine.network.run(fail_reading, engine, peer.torrent, run.piece, error)

    engine.workshop.cold.submit(read, done, failed, peer.torrent.owner)
