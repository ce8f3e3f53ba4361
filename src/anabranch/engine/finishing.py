"""From the last block of a piece to its place on disk and in everybody's knowledge.

A piece that is all here goes to a worker, which hashes and writes it; what the worker found is settled in a turn. Large
pieces are written stretch by stretch as they come and hashed by reading them back.
"""

from __future__ import annotations

from bitarray import bitarray

from anabranch.metainfo import due_of
from anabranch.model import all_pieces, no_pieces
from anabranch.picker import PieceProgress, Run

from .buffers import Buffer
from .checksums import Checksums, SecondLook, look_again, sums_of
from .engine import Engine
from .failing import attempt
from .jobs import Part, Verdict, Whole, finish_in_parts, finish_whole, write_parts
from .judging import memory_came_back, mend, settle_piece
from .stage import Closing, Dropped
from .state import TorrentState
from .unfinished import blocks_in, forget, in_memory, lose, parts_of, release

JOBS = 2  # of one torrent at a time: two cores hash 6 GB/s
TOGETHER = 1024 * 1024  # bytes of small pieces that are hashed in one job


def finish(engine: Engine, torrent: TorrentState, progress: PieceProgress) -> None:
    """Every block of the piece is here: have it hashed and written, once its earlier writes are through."""
    table, holding, piece = torrent.pieces, torrent.holding, progress.piece
    table.begun.pop(piece, None)
    table.busy.add(piece)
    holding.finishing[piece] = progress
    table.refresh(piece)
    if not holding.writing.get(piece):
        _hash_and_write(engine, torrent, progress)


def write_stretch(engine: Engine, torrent: TorrentState, progress: PieceProgress, run: Run) -> None:
    """Blocks of a large piece came: write their stretch if it is full."""
    holding = torrent.holding
    stretch = run.first // holding.stretch_blocks
    first = stretch * holding.stretch_blocks
    if progress.got[first : first + holding.stretch_blocks].all():
        _write_out(engine, torrent, progress, [stretch])


def spill(engine: Engine, torrent: TorrentState, progress: PieceProgress) -> None:
    """Write what is here of an unfinished piece to its place and give its memory back.

    Whoever still owes blocks of it must have been told to keep them: nobody may land in the memory any more.
    """
    stretches = in_memory(torrent, progress.piece)
    if stretches:
        _write_out(engine, torrent, progress, stretches)


def give_up(engine: Engine, torrent: TorrentState, progress: PieceProgress) -> None:
    """Give the memory of a begun piece back without writing it: the disk takes nothing, and others need the memory."""
    holding, piece = torrent.holding, progress.piece
    lost: list[Part] = []
    for stretch in in_memory(torrent, piece):
        buffer = holding.buffers.pop((piece, stretch))
        lost += parts_of(torrent, progress, stretch, buffer)
        engine.pool.give(buffer)
    lose(engine, torrent, progress, blocks_in(progress, lost))


def _hash_and_write(engine: Engine, torrent: TorrentState, progress: PieceProgress) -> None:
    """Have a piece hashed and written that is all here, in memory and on disk."""
    holding, piece = torrent.holding, progress.piece
    in_memory = (piece, 0) in holding.buffers and holding.stretch_size >= torrent.pieces.geometry.length_of(piece)
    if in_memory and piece not in holding.written:
        holding.whole.append(progress)
        engine.turn.defer("hash", torrent, _hash_whole, engine, torrent)
    else:
        _hash_in_parts(engine, torrent, progress)


def _hash_whole(engine: Engine, torrent: TorrentState) -> None:
    """At the end of a turn: give workers what they have room for.

    What came while they were busy goes together: two pieces are hashed in hardly more time than one, and of small ones
    a job costs more than they do.
    """
    holding, length = torrent.holding, torrent.pieces.geometry.piece_length
    waiting = [one for one in holding.whole if holding.finishing.get(one.piece) is one]
    most = max(TOGETHER // length, 2)
    while waiting and holding.hashing < JOBS:
        _hash_together(engine, torrent, waiting[:most])
        del waiting[:most]
    holding.whole = waiting


def _hash_together(engine: Engine, torrent: TorrentState, several: list[PieceProgress]) -> None:
    holding, geometry, storage = torrent.holding, torrent.pieces.geometry, torrent.opened()
    holding.hashing += 1
    work = [
        Whole(
            one.piece,
            holding.buffers[one.piece, 0].view[: geometry.length_of(one.piece)],
            due_of(torrent.metainfo.info, torrent.layers, one.piece),
            one.piece in torrent.evidence,
        )
        for one in several
    ]

    def ended() -> None:
        holding.hashing -= 1
        if holding.whole:
            engine.turn.defer("hash", torrent, _hash_whole, engine, torrent)

    def settle(verdicts: list[Verdict]) -> None:
        ended()
        for one, verdict in zip(several, verdicts, strict=True):
            settle_piece(engine, torrent, one, verdict)

    def again() -> None:
        for one in several:
            if holding.finishing.get(one.piece) is one:  # else it was given up for want of memory
                _hash_and_write(engine, torrent, one)

    def refused() -> None:
        ended()
        if isinstance(torrent.stage, Closing | Dropped) or engine.pool.short:
            for one in several:
                forget(engine, torrent, one.piece)

    attempt(engine, torrent, lambda: finish_whole(storage, work), settle, again, refused=refused)


def _hash_in_parts(engine: Engine, torrent: TorrentState, progress: PieceProgress) -> None:
    """Have what is still in memory of the piece written, and all of it hashed by reading it back."""
    piece, holding = progress.piece, torrent.holding
    length = torrent.pieces.geometry.length_of(piece)
    due = due_of(torrent.metainfo.info, torrent.layers, piece)
    storage = torrent.opened()
    parts = [
        part
        for stretch in holding.stretches(progress.blocks)
        if (buffer := holding.buffers.get((piece, stretch))) is not None
        for part in parts_of(torrent, progress, stretch, buffer)
    ]

    sums = holding.sums.setdefault(piece, Checksums(progress.blocks))
    came, testify = sums.copy(), piece in torrent.evidence

    def job() -> SecondLook:
        came.take(sums_of(parts))
        verdict = finish_in_parts(storage, piece, parts, length, due, testify=testify)
        if verdict.good or verdict.contradiction is not None:
            return SecondLook(verdict, ())
        return look_again(storage, piece, length, due, came)

    def again() -> None:
        if holding.finishing.get(piece) is progress:
            _hash_and_write(engine, torrent, progress)

    def settle(found: SecondLook) -> None:
        verdict, changed = found
        if not verdict.good:  # all of it is on disk
            release(engine, torrent, piece)
            holding.written[piece], holding.sums[piece] = all_pieces(progress.blocks), came
        if changed:
            mend(engine, torrent, progress, changed, again)
        else:
            settle_piece(engine, torrent, progress, verdict)

    def refused() -> None:
        if isinstance(torrent.stage, Closing | Dropped) or engine.pool.short:
            forget(engine, torrent, piece)

    attempt(engine, torrent, job, settle, again, refused=refused)


def _write_out(engine: Engine, torrent: TorrentState, progress: PieceProgress, stretches: list[int]) -> None:
    """Write what is in memory of these stretches and give the memory back."""
    piece, holding = progress.piece, torrent.holding
    buffers: list[tuple[int, Buffer]] = [(stretch, holding.buffers.pop((piece, stretch))) for stretch in stretches]
    parts = [part for stretch, buffer in buffers for part in parts_of(torrent, progress, stretch, buffer)]
    bits = blocks_in(progress, parts)
    storage = torrent.opened()
    sums = holding.sums.setdefault(piece, Checksums(progress.blocks))
    holding.writing[piece] = holding.writing.get(piece, 0) + 1
    # From here on: other blocks of the stretch may come to other memory, which must not be written over these.
    holding.written[piece] = holding.written.get(piece, no_pieces(progress.blocks)) | bits
    holding.under_way[piece] = holding.under_way.get(piece, no_pieces(progress.blocks)) | bits

    def ended() -> None:
        left = holding.writing.pop(piece) - 1
        if left:
            holding.writing[piece] = left
            holding.under_way[piece] &= ~bits
        else:
            del holding.under_way[piece]
        for waiting in torrent.signals.of_piece.get(piece, ()):  # responsive readers see now what was written
            engine.turn.outbox("signal", waiting, waiting.set)

    def job() -> list[tuple[int, int]]:
        came = sums_of(parts)
        write_parts(storage.piece(piece), parts)
        return came

    def settle(came: list[tuple[int, int]]) -> None:
        sums.take(came)
        ended()
        for _, buffer in buffers:
            engine.pool.give(buffer)
        _go_on(engine, torrent, progress)
        memory_came_back(engine)

    def refused() -> None:
        ended()
        holding.written[piece] &= ~bits
        if isinstance(torrent.stage, Closing | Dropped) or engine.pool.short:
            lose(engine, torrent, progress, bits)
            for _, buffer in buffers:
                engine.pool.give(buffer)
            return
        for stretch, buffer in buffers:
            _keep(engine, torrent, progress, stretch, buffer, bits)

    def again() -> None:
        kept = [stretch for stretch, _ in buffers if (piece, stretch) in holding.buffers]
        if torrent.pieces.begun.get(piece) is progress and kept:
            _write_out(engine, torrent, progress, kept)
        else:
            _go_on(engine, torrent, progress)

    attempt(engine, torrent, job, settle, again, refused=refused)


def _go_on(engine: Engine, torrent: TorrentState, progress: PieceProgress) -> None:
    """A write of the piece is through: hash it if that was the last it waited for."""
    holding, piece = torrent.holding, progress.piece
    if holding.finishing.get(piece) is progress and not holding.writing.get(piece):
        _hash_and_write(engine, torrent, progress)


def _keep(
    engine: Engine, torrent: TorrentState, progress: PieceProgress, stretch: int, buffer: Buffer, bits: bitarray
) -> None:
    """What could not be written stays in memory, together with what came to the stretch since."""
    key = progress.piece, stretch
    newer = torrent.holding.buffers.setdefault(key, buffer)
    if newer is buffer:
        return
    first = stretch * torrent.holding.stretch_blocks
    for block in bits.search(1, first, first + torrent.holding.stretch_blocks):
        newer.blocks[block - first][:] = buffer.blocks[block - first]
    engine.pool.give(buffer)
