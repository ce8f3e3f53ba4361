"""From the last block of a piece to its place on disk and in everybody's knowledge.

A piece that is all here goes to a worker, which hashes and writes it; what the worker found is settled in a turn. Large
pieces are written stretch by stretch as they come and hashed by reading them back.
"""

from __future__ import annotations

from collections.abc import Iterable

from bitarray import bitarray

from anabranch.metainfo import due_of
from anabranch.model import BLOCK_SIZE, no_pieces
from anabranch.picker import PieceProgress, Run, runs_in

from . import events
from .asking import ask, ask_idle, show_interest
from .buffers import Buffer
from .engine import Engine
from .failing import attempt, fail
from .jobs import Part, Verdict, finish_in_parts, finish_whole, write_parts
from .recording import look_complete
from .stage import Closing, Dropped
from .state import Peer, TorrentState


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
    stretches = _in_memory(torrent, progress.piece)
    if stretches:
        _write_out(engine, torrent, progress, stretches)


def give_up(engine: Engine, torrent: TorrentState, progress: PieceProgress) -> None:
    """Give the memory of a begun piece back without writing it: the disk takes nothing, and others need the memory."""
    holding, piece = torrent.holding, progress.piece
    lost: list[Part] = []
    for stretch in _in_memory(torrent, piece):
        buffer = holding.buffers.pop((piece, stretch))
        lost += _parts(torrent, progress, stretch, buffer)
        engine.pool.give(buffer)
    _lose(engine, torrent, progress, _blocks_of(progress, lost))


def release(engine: Engine, torrent: TorrentState, piece: int) -> None:
    """Give the memory of a piece back to the pool, and forget what of it is on disk."""
    holding = torrent.holding
    for stretch in holding.stretches(torrent.pieces.geometry.blocks_of(piece)):
        buffer = holding.buffers.pop((piece, stretch), None)
        if buffer is not None:
            engine.pool.give(buffer)
    holding.written.pop(piece, None)


def feed_starved(engine: Engine) -> None:
    """Memory came back: peers that could not be asked for want of it are asked now, who delivered last the first."""
    if engine.due.starved:
        starved, engine.due.starved = engine.due.starved, set()
        now = engine.clock()
        for peer in sorted(starved, key=lambda peer: (peer.flow.snubbed, -peer.flow.last_block, peer.flow.asked_at)):
            ask(engine, peer, now)


def _hash_and_write(engine: Engine, torrent: TorrentState, progress: PieceProgress) -> None:
    piece, holding = progress.piece, torrent.holding
    length = torrent.pieces.geometry.length_of(piece)
    due = due_of(torrent.metainfo.info, torrent.layers, piece)
    storage = torrent.opened()
    testify = piece in torrent.evidence
    whole = holding.buffers.get((piece, 0))
    parts: list[Part] = []
    if whole is None or holding.stretch_size < length or piece in holding.written:
        whole = None
        parts = [
            part
            for stretch in holding.stretches(progress.blocks)
            if (buffer := holding.buffers.get((piece, stretch))) is not None
            for part in _parts(torrent, progress, stretch, buffer)
        ]

    def job() -> Verdict:
        if whole is not None:
            return finish_whole(storage.piece(piece), whole.view[:length], due, testify)
        return finish_in_parts(storage.piece(piece), parts, length, due)

    def again() -> None:
        if holding.finishing.get(piece) is progress:  # else it was given up for want of memory
            _hash_and_write(engine, torrent, progress)

    def settle(verdict: Verdict) -> None:
        _settle(engine, torrent, progress, verdict)

    def refused() -> None:
        if isinstance(torrent.stage, Closing | Dropped) or engine.pool.short:
            _forget(engine, torrent, piece)

    attempt(engine, torrent, job, settle, again, refused=refused)


def _settle(engine: Engine, torrent: TorrentState, progress: PieceProgress, verdict: Verdict) -> None:
    """A worker hashed the piece, and wrote it if it is right."""
    table, piece = torrent.pieces, progress.piece
    length = table.geometry.length_of(piece)
    _forget(engine, torrent, piece)
    if isinstance(torrent.stage, Dropped):
        return
    torrent.totals.hashed += length
    engine.due.lively.add(torrent)
    if verdict.contradiction is not None:
        fail(engine, torrent, verdict.contradiction)
        return
    if verdict.good:
        guilty = torrent.evidence.passed(piece, verdict.digests) if piece in torrent.evidence else set()
        table.set_complete(piece, True)
        torrent.disk.unrecorded.append(piece)
        tell_everybody(engine, torrent, piece)
        if not table.missing_wanted:
            for peer in torrent.swarm.peers.values():
                show_interest(engine, peer)
        look_complete(engine, torrent)
    else:
        torrent.totals.corrupt += length
        shares = [(run, sender.address.host) for run, sender in progress.shares() if isinstance(sender, Peer)]
        guilty = torrent.evidence.failed(piece, shares, verdict.digests)
        table.refresh(piece)
        engine.tell(events.PieceFailed(torrent.info_hash, piece))
        engine.turn.defer("ask idle", torrent, ask_idle, engine, torrent, engine.clock())
    for host in guilty:
        ban(engine, torrent, host, piece)
    feed_starved(engine)


def tell_everybody(engine: Engine, torrent: TorrentState, piece: int) -> None:
    """A piece became complete: tell peers, readers and subscribers.

    Also peers that have the piece: they count what we have, and see when neither has any use for the other.
    """
    for peer in torrent.swarm.peers.values():
        if not peer.has_all:
            peer.talk.have(piece)
            engine.due.touched.add(peer)
    for waiting in torrent.signals.of_piece.pop(piece, ()):
        engine.turn.outbox("signal", waiting, waiting.set)
    engine.tell(events.PieceChanged(torrent.info_hash, piece, True), (torrent.info_hash, piece))


def ban(engine: Engine, torrent: TorrentState, host: str, piece: int) -> None:
    """The address sent wrong data: speak to it no more, about any torrent."""
    engine.banned.add(host)
    engine.tell(events.PeerBanned(torrent.info_hash, host, piece))
    for other in engine.torrents.values():
        for peer in [peer for peer in other.swarm.peers.values() if peer.address.host == host]:
            reason = f"banned: sent wrong data for piece {piece}"
            engine.turn.outbox("close", peer, engine.network.call, peer.link.close, reason)


def _forget(engine: Engine, torrent: TorrentState, piece: int) -> None:
    """The piece is through: neither memory nor bookkeeping is needed any more."""
    torrent.holding.finishing.pop(piece, None)
    torrent.pieces.busy.discard(piece)
    release(engine, torrent, piece)
    torrent.pieces.refresh(piece)


def _write_out(engine: Engine, torrent: TorrentState, progress: PieceProgress, stretches: list[int]) -> None:
    """Write what is in memory of these stretches and give the memory back."""
    piece, holding = progress.piece, torrent.holding
    buffers: list[tuple[int, Buffer]] = [(stretch, holding.buffers.pop((piece, stretch))) for stretch in stretches]
    parts = [part for stretch, buffer in buffers for part in _parts(torrent, progress, stretch, buffer)]
    bits = _blocks_of(progress, parts)
    storage = torrent.opened()
    holding.writing[piece] = holding.writing.get(piece, 0) + 1
    # From here on: other blocks of the stretch may come to other memory, which must not be written over these.
    holding.written[piece] = holding.written.get(piece, no_pieces(progress.blocks)) | bits

    def ended() -> None:
        left = holding.writing.pop(piece) - 1
        if left:
            holding.writing[piece] = left

    def settle(_nothing: None) -> None:
        ended()
        for _, buffer in buffers:
            engine.pool.give(buffer)
        _go_on(engine, torrent, progress)
        feed_starved(engine)

    def refused() -> None:
        ended()
        holding.written[piece] &= ~bits
        if isinstance(torrent.stage, Closing | Dropped) or engine.pool.short:
            _lose(engine, torrent, progress, bits)
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

    attempt(engine, torrent, lambda: write_parts(storage.piece(piece), parts), settle, again, refused=refused)


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


def _lose(engine: Engine, torrent: TorrentState, progress: PieceProgress, bits: bitarray) -> None:
    """Blocks are gone: they are to be asked for again."""
    piece = progress.piece
    torrent.holding.finishing.pop(piece, None)
    torrent.pieces.busy.discard(piece)
    progress.lose(bits)
    if not isinstance(torrent.stage, Dropped):
        torrent.pieces.begun[piece] = progress
        torrent.pieces.refresh(piece)


def _in_memory(torrent: TorrentState, piece: int) -> list[int]:
    """The stretches of the piece that have memory."""
    return [stretch for one, stretch in torrent.holding.buffers if one == piece]


def _blocks_of(progress: PieceProgress, parts: Iterable[Part]) -> bitarray:
    """The blocks that the parts consist of."""
    blocks = no_pieces(progress.blocks)
    for part in parts:
        first = part.begin // BLOCK_SIZE
        blocks[first : first - (-len(part.view) // BLOCK_SIZE)] = 1
    return blocks


def _parts(torrent: TorrentState, progress: PieceProgress, stretch: int, buffer: Buffer) -> list[Part]:
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
