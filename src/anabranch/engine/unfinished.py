"""The memory of begun pieces and what is known of them: given back, forgotten, or taken apart to be written."""

from __future__ import annotations

from collections.abc import Iterable

from bitarray import bitarray

from anabranch.model import BLOCK_SIZE, no_pieces
from anabranch.picker import PieceProgress, runs_in

from .buffers import Buffer
from .engine import Engine
from .jobs import Part
from .stage import Dropped
from .state import TorrentState


def release(engine: Engine, torrent: TorrentState, piece: int) -> None:
    """Give the memory of a piece back to the pool, and forget what of it is on disk."""
    holding = torrent.holding
    for stretch in holding.stretches(torrent.pieces.geometry.blocks_of(piece)):
        buffer = holding.buffers.pop((piece, stretch), None)
        if buffer is not None:
            engine.pool.give(buffer)
    holding.written.pop(piece, None)
    holding.sums.pop(piece, None)


def forget(engine: Engine, torrent: TorrentState, piece: int) -> None:
    """The piece is through: neither memory nor bookkeeping is needed any more."""
    torrent.holding.finishing.pop(piece, None)
    torrent.pieces.busy.discard(piece)
    release(engine, torrent, piece)
    torrent.pieces.refresh(piece)


def lose(engine: Engine, torrent: TorrentState, progress: PieceProgress, bits: bitarray) -> None:
    """Blocks are gone: they are to be asked for again."""
    piece = progress.piece
    torrent.holding.finishing.pop(piece, None)
    torrent.pieces.busy.discard(piece)
    progress.lose(bits)
    if not isinstance(torrent.stage, Dropped):
        torrent.pieces.begun[piece] = progress
        torrent.pieces.refresh(piece)


def in_memory(torrent: TorrentState, piece: int) -> list[int]:
    """The stretches of the piece that have memory."""
    return [stretch for one, stretch in torrent.holding.buffers if one == piece]


def blocks_in(progress: PieceProgress, parts: Iterable[Part]) -> bitarray:
    """The blocks that the parts consist of."""
    blocks = no_pieces(progress.blocks)
    for part in parts:
        first = part.begin // BLOCK_SIZE
        blocks[first : first - (-len(part.view) // BLOCK_SIZE)] = 1
    return blocks


def parts_of(torrent: TorrentState, progress: PieceProgress, stretch: int, buffer: Buffer) -> list[Part]:
    """What of a stretch is in its buffer and not on disk."""
    holding = torrent.holding
    first = stretch * holding.stretch_blocks
    last = first + holding.stretch_blocks
    here = progress.got[first:last]
    written = holding.written.get(progress.piece)
    if written is not None:
        here &= ~written[first:last]
    length = torrent.pieces.geometry.length_of(progress.piece)
    return [
        Part(begin, buffer.view[run.first * BLOCK_SIZE : end - first * BLOCK_SIZE])
        for run in runs_in(here)
        for begin, end in [
            ((first + run.first) * BLOCK_SIZE, min((first + run.first + run.blocks) * BLOCK_SIZE, length))
        ]
    ]
