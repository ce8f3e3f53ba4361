"""Blocks that have come, from whomever: booked, told to those who wait for them, and seen through to the whole piece.

Network thread, within a turn. They are in the piece's memory already.
"""

from __future__ import annotations

from anabranch.model import BLOCK_SIZE
from anabranch.picker import PieceProgress, Run

from .engine import Engine
from .finishing import finish, write_stretch
from .piece_states import tell_watchers
from .state import TorrentState


def gained(
    engine: Engine, torrent: TorrentState, progress: PieceProgress, run: Run, length: int, sender: object, now: float
) -> int:
    """Book a run of blocks that is not longer than a stretch, *length* bytes of it; answers how many are of no use.

    Args:
        engine: The engine.
        torrent: Whose piece it is.
        progress: The piece.
        run: Its blocks.
        length: The bytes of these.
        sender: Who sent them: a Peer or a WebSeed.
        now: The time.
    """
    wasted = 0
    copies = progress.copies
    copied = bool(copies) and any(block in copies for block in range(run.first, run.first + run.blocks))
    fresh = progress.gain(run, sender, now)
    if fresh != [run]:
        wasted = max(length - sum(part.blocks for part in fresh) * BLOCK_SIZE, 0)
    if not fresh:
        return wasted
    if progress.missing >= progress.blocks - run.blocks:  # the first of the piece
        tell_watchers(torrent)
    torrent.totals.downloaded += length
    if copied:
        cancel_copies(engine, torrent, sender, progress.piece, run.first * BLOCK_SIZE, length)
        for block in range(run.first, run.first + run.blocks):
            copies.pop(block, None)
    for waiting in torrent.signals.of_piece.get(progress.piece, ()):  # responsive readers look at every block
        engine.turn.outbox("signal", waiting, waiting.set)
    if progress.missing == 0:
        finish(engine, torrent, progress)
    elif torrent.holding.stretch_size < torrent.pieces.geometry.piece_length:
        write_stretch(engine, torrent, progress, run)
    return wasted


def cancel_copies(engine: Engine, torrent: TorrentState, sender: object, piece: int, begin: int, length: int) -> None:
    """The block is here: whoever else was asked for it need not send it, and may not land where it now is."""
    for other in torrent.swarm.peers.values():
        if other is not sender and other.talk.outstanding:
            other.talk.cancel(piece, begin, length)
            engine.due.touched.add(other)
