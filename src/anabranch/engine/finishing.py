"""From the last block of a piece to its place on disk and in everybody's knowledge.

A piece that is all here goes to a worker, which hashes and writes it; what the worker found is settled in a turn. Large
pieces are written stretch by stretch as they come and hashed by reading them back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bitarray import bitarray

from anabranch.metainfo import due_of
from anabranch.model import BLOCK_SIZE, all_pieces, no_pieces
from anabranch.picker import PieceProgress, Run, runs_in

from . import doubting, events, hopeless
from .asking import ask, ask_idle, show_interest
from .banning import only_sender, senders_of
from .buffers import Buffer
from .checking import book
from .checksums import Checksums, SecondLook, look_again, sums_of
from .engine import Engine
from .failing import attempt, fail
from .filing import piece_changed
from .jobs import Part, Verdict, Whole, finish_in_parts, finish_whole, write_parts
from .metrics import HASHED
from .recording import look_complete
from .stage import Closing, Dropped
from .state import Peer, TorrentState

JOBS = 2  # of one torrent at a time: two cores hash 6 GB/s
TOGETHER = 1024 * 1024  # bytes of small pieces that are hashed in one job
_DOUBTED = 4  # pieces in doubt keep up to a quarter of the pool


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
    holding.sums.pop(piece, None)


def feed_starved(engine: Engine) -> None:
    """Peers that could not be asked for want of memory are asked now, who delivered last the first."""
    if engine.due.starved:
        starved, engine.due.starved = engine.due.starved, set()
        now = engine.clock()
        for peer in sorted(starved, key=lambda peer: (peer.flow.snubbed, -peer.flow.last_block, peer.flow.asked_at)):
            ask(engine, peer, now)


def _memory_came_back(engine: Engine) -> None:
    """At the end of the turn, in which there may be many such pieces, those who wait for memory are asked."""
    engine.turn.defer("feed starved", engine, feed_starved, engine)


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
            _settle(engine, torrent, one, verdict)

    def again() -> None:
        for one in several:
            if holding.finishing.get(one.piece) is one:  # else it was given up for want of memory
                _hash_and_write(engine, torrent, one)

    def refused() -> None:
        ended()
        if isinstance(torrent.stage, Closing | Dropped) or engine.pool.short:
            for one in several:
                _forget(engine, torrent, one.piece)

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
        for part in _parts(torrent, progress, stretch, buffer)
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
            _mend(engine, torrent, progress, changed, again)
        else:
            _settle(engine, torrent, progress, verdict)

    def refused() -> None:
        if isinstance(torrent.stage, Closing | Dropped) or engine.pool.short:
            _forget(engine, torrent, piece)

    attempt(engine, torrent, job, settle, again, refused=refused)


def _mend(
    engine: Engine, torrent: TorrentState, progress: PieceProgress, changed: Iterable[int], again: Callable[[], None]
) -> None:
    """The disk has changed blocks: they are fetched again, some times, and then it is only seen whether it can read.

    No peer is to blame. The torrent stops meanwhile, as at any failure of its disk.
    """
    piece, holding = progress.piece, torrent.holding
    if isinstance(torrent.stage, Dropped):
        _forget(engine, torrent, piece)
        return
    wrong = no_pieces(progress.blocks)
    for block in changed:
        wrong[block] = True
    error = hopeless.misread_error(torrent, piece, wrong.find(1) * BLOCK_SIZE)
    if hopeless.may_mend(torrent, piece) or isinstance(torrent.stage, Closing):
        torrent.totals.corrupt += sum(torrent.pieces.geometry.block_length(piece, block) for block in wrong.search(1))
        holding.written[piece] &= ~wrong
        _lose(engine, torrent, progress, wrong)
        fail(engine, torrent, error)
    else:
        fail(engine, torrent, error, again)
    _memory_came_back(engine)


def _settle(engine: Engine, torrent: TorrentState, progress: PieceProgress, verdict: Verdict) -> None:
    """A worker hashed the piece, and wrote it if it is right."""
    piece = progress.piece
    if isinstance(torrent.stage, Dropped):
        _forget(engine, torrent, piece)
        return
    torrent.totals.hashed += torrent.pieces.geometry.length_of(piece)
    if (metrics := engine.metrics) is not None:
        metrics.add(HASHED, verdict.good)
    engine.due.lively.add(torrent)
    if verdict.contradiction is not None:
        _forget(engine, torrent, piece)
        fail(engine, torrent, verdict.contradiction)
    elif verdict.good:
        torrent.pieces.set_complete(piece, True)  # before it counts as missing again
        _forget(engine, torrent, piece)
        _accept(engine, torrent, piece, verdict)
    else:
        engine.tell(events.PieceFailed(torrent.info_hash, piece))
        _doubt(engine, torrent, progress, verdict)
    _memory_came_back(engine)


def _accept(engine: Engine, torrent: TorrentState, piece: int, verdict: Verdict) -> None:
    """The piece is right, and written."""
    table = torrent.pieces
    guilty = torrent.evidence.passed(piece, verdict.digests) if piece in torrent.evidence else set()
    doubting.forget(torrent, piece)
    torrent.evidence.repeated.pop(piece, None)
    book(engine, torrent, piece)
    tell_everybody(engine, torrent, piece)
    if not table.missing_wanted:
        for peer in torrent.swarm.peers.values():
            show_interest(engine, peer)
    look_complete(engine, torrent)
    _ban_all(engine, torrent, guilty, piece)


def _doubt(engine: Engine, torrent: TorrentState, progress: PieceProgress, verdict: Verdict) -> None:
    """The piece is wrong: keep it, where that can be told soon, until it is known which of its blocks are.

    It counts as being hashed meanwhile. Memory that others need is not kept.
    """
    piece, holding = progress.piece, torrent.holding
    shares = _shares(progress)
    if hopeless.failed(torrent, piece, {host for _, host in shares}, verdict.digests):
        _ban_all(engine, torrent, only_sender(shares, progress.blocks), piece)
    leaves = doubting.known(torrent, piece) if verdict.leaves else None
    if leaves is not None:
        _keep_good(engine, torrent, progress, verdict, leaves)
        return

    def told(leaves: bytes | None) -> None:
        if holding.finishing.get(piece) is not progress:
            return
        if leaves is None:
            _discard(engine, torrent, progress, verdict)
        else:
            _keep_good(engine, torrent, progress, verdict, leaves)
        _memory_came_back(engine)

    kept = sum((one, 0) in holding.buffers for one in doubting.in_doubt(torrent)) * holding.stretch_size
    in_memory = (piece, 0) in holding.buffers
    affordable = not in_memory or not (engine.pool.short or kept >= engine.pool.limit // _DOUBTED)
    senders = {host for _, host in shares}
    if not (verdict.leaves and affordable and doubting.doubt(engine, torrent, piece, senders, told)):
        _discard(engine, torrent, progress, verdict)


def _keep_good(engine: Engine, torrent: TorrentState, progress: PieceProgress, verdict: Verdict, leaves: bytes) -> None:
    """It is known what the blocks must be: only those that are wrong are asked for again, and who sent them is banned.

    When they have come, all of the piece is hashed again: one way for every piece, and nobody else hashes blocks.
    """
    piece, written = progress.piece, torrent.holding.written
    size = len(verdict.leaves[0])
    due = [leaves[at : at + size] for at in range(0, len(leaves), size)]
    wrong = no_pieces(progress.blocks)
    for block, (leaf, right) in enumerate(zip(verdict.leaves, due, strict=True)):
        wrong[block] = leaf != right
    if not wrong.any():  # the padding of a hybrid, which only its v1 hash covers
        _discard(engine, torrent, progress, verdict)
        return
    geometry = torrent.pieces.geometry
    guilty = senders_of(set(wrong.search(1)), _shares(progress))
    torrent.totals.corrupt += sum(geometry.block_length(piece, block) for block in wrong.search(1))
    if piece in written:
        written[piece] &= ~wrong
    progress.last_gain = engine.clock()
    _lose(engine, torrent, progress, wrong)
    _ban_all(engine, torrent, guilty, piece)
    engine.turn.defer("ask idle", torrent, ask_idle, engine, torrent, engine.clock())


def _discard(engine: Engine, torrent: TorrentState, progress: PieceProgress, verdict: Verdict) -> None:
    """Nobody can tell which of its blocks are wrong: all of them are asked for again."""
    piece = progress.piece
    torrent.totals.corrupt += torrent.pieces.geometry.length_of(piece)
    torrent.evidence.failed(piece, _shares(progress), verdict.digests)  # its only sender was banned before
    _forget(engine, torrent, piece)
    hopeless.rest(engine, torrent, piece)
    engine.turn.defer("ask idle", torrent, ask_idle, engine, torrent, engine.clock())


def _shares(progress: PieceProgress) -> list[tuple[Run, str]]:
    """Which hosts sent which blocks."""
    return [(run, sender.address.host) for run, sender in progress.shares() if isinstance(sender, Peer)]


def _ban_all(engine: Engine, torrent: TorrentState, hosts: set[str], piece: int) -> None:
    for host in hosts - engine.banned:
        ban(engine, torrent, host, piece)


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
    piece_changed(engine, torrent, piece, True)


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
        _memory_came_back(engine)

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
