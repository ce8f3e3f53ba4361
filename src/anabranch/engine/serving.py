"""Giving peers the blocks they asked for: warm data at once, cold data by a worker.

Network thread, outside of turns. What the page cache holds is sent from mapped pages, where the storage has them and
nothing is encrypted, or read on the spot; for the rest a worker waits for the disk, and meanwhile only this peer waits.

Mapped pages may be gone when they are sent: a file was cut short, its disk fails. Nobody but the system looks into
them, and it says so then (EFAULT). The bytes before were sent, so nothing can be taken back: the connection ends.
Until the disk has said why, and for good where it says that nothing is wrong, that torrent's blocks are read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import cast

from anabranch.model import Closed, StorageFailed
from anabranch.storage import Mapped, ReadsWarm, TorrentStorage
from anabranch.wire import RequestRun

from .engine import Engine
from .exact import read
from .failing import in_words
from .metrics import READ_FAILURES
from .queueing import PATIENCE
from .rereading import fail_reading
from .sending import WATERMARK
from .state import Peer, TorrentState
from .unchoking import allowance

LEAST_LENT = 64 * 1024  # bytes of a run; what is shorter costs less to copy than to find mapped


def fill(engine: Engine, peer: Peer) -> None:
    """Read blocks for the peer until enough is queued. Outside of turns; the link calls it before it sends."""
    serving = peer.serving
    if serving.reading or not serving.queue:
        return
    storage = peer.torrent.disk.storage
    if storage is None:
        return
    warm = cast(ReadsWarm, storage) if _is(type(storage), ReadsWarm) else None
    lends = peer.torrent.swarm.lends and not peer.talk.encrypted and _is(type(storage), Mapped)
    lender = cast(Mapped, storage) if lends else None
    offset_of = peer.torrent.pieces.geometry.offset_of
    while serving.queue and peer.talk.pending_payload < WATERMARK:
        run = serving.queue[0]
        if not peer.torrent.pieces.complete[run.piece]:  # a check found it wrong since
            peer.talk.reject(run.piece, run.begin, run.length, run.block)
            serving.queue.popleft()
            serving.blocks -= -(-run.length // run.block)
            continue
        offset = offset_of(run.piece) + run.begin
        view, buffer = None, None
        if lender is not None and run.length >= LEAST_LENT:
            view = _pages(lender, run, offset)
        if view is None:
            buffer = engine.workshop.sending.take(peer.link.flush_soon, idle=not peer.talk.pending_payload)
            if buffer is None:
                return
            view = buffer[: min(run.length, len(buffer) - len(buffer) % run.block)]
        if serving.on_credit or serving.throttle is not None:
            view = view[: allowance(engine, peer, run, len(view))]
            if not len(view):
                if buffer is not None:
                    engine.workshop.sending.give(buffer)
                return
        if buffer is None:
            _send_lent(peer, run, view)
            continue
        length = len(view)
        got = warm.read_warm(offset, view) if warm else 0
        if got < length:
            got -= got % run.block
        if got:
            _send(engine, peer, run, buffer, got)
            continue
        _read_cold(engine, peer, run, buffer, length)
        return


def cannot_send(engine: Engine, peer: Peer) -> None:
    """Pages that were lent to the peer are not there any more: have a worker find out which, and why.

    The connection is to be closed.
    """
    lent = tuple(peer.serving.lent)
    torrent = peer.torrent
    storage = torrent.disk.storage
    if storage is None or not lent:
        return

    def look() -> tuple[int, StorageFailed] | None:
        for run in lent:
            try:
                read(storage, run.piece, run.begin, memoryview(bytearray(run.length)))
            except StorageFailed as failed:
                return run.piece, failed
        return None

    def done(found: tuple[int, StorageFailed] | None) -> None:
        if found is None:  # put back meanwhile; or only its pages cannot be had, which would end one peer after another
            return
        torrent.swarm.lends = True
        if torrent.pieces.complete[found[0]]:  # else it was found wrong meanwhile
            _fail(engine, torrent, storage, *found)

    def failed(error: BaseException) -> None:
        _fail(engine, torrent, storage, lent[0].piece, error)

    torrent.swarm.lends = False
    engine.workshop.cold.submit(look, done, failed, torrent.owner)


@cache
def _is(kind: type[TorrentStorage], ability: type) -> bool:
    """Whether storages of this type have that ability: to ask one costs as much as a system call."""
    return issubclass(kind, ability)


def _pages(lender: Mapped, run: RequestRun, offset: int) -> memoryview | None:
    """Mapped pages with as much of the run as is sent in one go: whole blocks, or all of it. None: it is to be read."""
    view = lender.mapped(offset, min(run.length, WATERMARK))
    if view is None or len(view) == run.length:
        return view
    return view[: len(view) - len(view) % run.block] or None


def _send_lent(peer: Peer, run: RequestRun, view: memoryview) -> None:
    """Queue mapped pages with the front of the run; they are free when they were sent."""
    lent = peer.serving.lent

    def sent() -> None:
        lent.popleft()

    lent.append(RequestRun(run.piece, run.begin, len(view), run.block))
    _queue(peer, run, view, sent)


def _send(engine: Engine, peer: Peer, run: RequestRun, buffer: memoryview, length: int) -> None:
    """Queue the first *length* bytes of the run, which lie in the buffer."""

    def sent() -> None:
        engine.workshop.sending.give(buffer)

    _queue(peer, run, buffer[:length], sent)


def _queue(peer: Peer, run: RequestRun, view: memoryview, sent: Callable[[], None]) -> None:
    serving, length = peer.serving, len(view)
    peer.talk.send_blocks(run.piece, run.begin, view, run.block, sent)
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

    def read_run() -> None:
        read(storage, run.piece, run.begin, buffer[:length])

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
        _fail(engine, peer.torrent, storage, run.piece, error)

    engine.workshop.cold.submit(read_run, done, failed, peer.torrent.owner)


def _fail(engine: Engine, torrent: TorrentState, storage: TorrentStorage, piece: int, error: BaseException) -> None:
    if storage is not torrent.disk.storage:  # it was closed, for the files to go elsewhere
        return
    if (metrics := engine.metrics) is not None:
        metrics.add(READ_FAILURES)
    if isinstance(error, Closed):  # and not by us
        error = StorageFailed(torrent.data_path, f"unexpected {type(error).__name__}: {error}")
    engine.network.run(fail_reading, engine, torrent, piece, in_words(torrent, error))
