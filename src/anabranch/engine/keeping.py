"""Blocks of unfinished pieces that survive a crash: now and then they are synced, and then remembered.

A piece of 64 MiB may be under way for an hour. What is remembered of its blocks is a hint: at the next start they are
read, and the piece's hash decides. So it does no harm when it is old; but it never runs ahead of the disk. Pieces that
lie in memory as a whole are not written before they are complete, and cost nothing here.
"""

from __future__ import annotations

from .engine import Engine
from .recording import make_durable
from .saving import key_of, written_blocks
from .stage import Checking, Live
from .state import TorrentState

KEEP_EVERY = 10.0  # seconds; what comes within them is fetched again after a crash


def due(engine: Engine, torrent: TorrentState) -> bool:
    """Whether anything is to be remembered or forgotten."""
    holding = torrent.holding
    if engine.workshop.sessions is None or not (holding.written or holding.kept.blocks):
        return False
    return written_blocks(torrent) != holding.kept.blocks


def look(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Each second, within a turn: sync and remember what is new, if it is time."""
    kept, disk = torrent.holding.kept, torrent.disk
    storage, sessions = disk.storage, engine.workshop.sessions
    if now < kept.next_at or disk.recording or not isinstance(torrent.stage, Live | Checking):
        return
    if storage is None or sessions is None or not due(engine, torrent):
        return
    blocks = written_blocks(torrent)
    kept.next_at = now + KEEP_EVERY
    fresh = any(piece not in kept.blocks or (bits & ~kept.blocks[piece]).any() for piece, bits in blocks.items())

    def job() -> None:
        storage.flush()
        sessions.save_partial(key, {piece: bits.tobytes() for piece, bits in blocks.items()})

    def done() -> None:
        kept.blocks = blocks
        disk.dirty = True  # what is saved of the torrent has them from now on; it may have been overtaken

    key = key_of(torrent)
    if fresh:
        make_durable(engine, torrent, tuple(blocks), job, done)
    else:
        done()
