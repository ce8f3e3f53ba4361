"""Trying again what a disk refused, every RETRY_EVERY seconds, until all of it goes through.

What was to be written may have been given up for want of memory. Then a block of zeros is written where it would have
been: else more would be fetched each time, only to be thrown away.
"""

from __future__ import annotations

from anabranch.model import BLOCK_SIZE, StorageFailed
from anabranch.picker import PieceProgress

from . import checking, events, failing
from .engine import Engine
from .failing import attempt
from .going_live import set_live
from .opening import open_storage
from .stage import Checking, Failed, Opening, follow
from .state import TorrentState


def retry(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Go on if what was repeated went through; repeat what failed if it is time."""
    stage, disk = torrent.stage, torrent.disk
    if not isinstance(stage, Failed) or disk.trying:
        return
    if stage.tried and not disk.again:
        _go_on(engine, torrent)
    elif stage.retry_at <= now:
        torrent.stage = Failed(stage.error, now + failing.RETRY_EVERY, tried=True)
        again, disk.again = disk.again, []
        for action in again:
            action()
        engine.turn.defer("probe", torrent, _probe, engine, torrent)  # behind what the actions defer


def _probe(engine: Engine, torrent: TorrentState) -> None:
    """See whether the disk takes a block, if nothing else is tried and it was a disk that refused."""
    table, disk, storage, stage = torrent.pieces, torrent.disk, torrent.disk.storage, torrent.stage
    if disk.trying or storage is None or disk.checks.left or table.ordering.shared is not None:
        return
    if not isinstance(stage, Failed) or not isinstance(stage.error, StorageFailed) or not stage.error.errno:
        return
    missing = table.wanted() & table.known & ~table.complete
    piece = next((piece for piece in (*table.begun, missing.find(1)) if piece >= 0 and missing[piece]), None)
    if piece is None or piece in table.busy:
        return
    progress = table.begun.setdefault(piece, PieceProgress(piece, table.geometry.blocks_of(piece), 0.0))
    table.refresh(piece)  # as it is begun, no check believes what it reads of it meanwhile
    block = progress.got.find(0)
    if block < 0:
        return
    zeros = bytes(table.geometry.block_length(piece, block))

    def again() -> None:
        """Nothing but another probe."""

    attempt(
        engine,
        torrent,
        lambda: storage.piece(piece).writev(block * BLOCK_SIZE, [zeros]),
        lambda _: None,
        again,
    )


def _go_on(engine: Engine, torrent: TorrentState) -> None:
    engine.tell(events.Recovered(torrent.info_hash))
    if torrent.disk.storage is None:
        torrent.stage = follow(torrent.stage, Opening())
        engine.tell(events.StageChanged(torrent.info_hash, "opening"))
        open_storage(engine, torrent)
    elif torrent.disk.checks.left:
        torrent.stage = follow(torrent.stage, Checking(torrent.disk.checks.left))
        engine.tell(events.StageChanged(torrent.info_hash, "checking"))
        checking.advance(engine, torrent)
    else:
        set_live(engine, torrent)
