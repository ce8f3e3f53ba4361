"""Which blocks a peer is asked for: the request order, filled into the peer's window.

Network thread, within a turn. A peer is asked for free blocks in the order of the torrent. When there are none left,
it takes over blocks from those who would need longer for them (stealing.py). When there are none either, or no memory,
and it sits idle, it is asked for copies of blocks that others owe us (end game): at most three copies of a block, which
land aside so that nobody scribbles over what another delivered. What a reader waits for is copied at any time.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from anabranch.model import BLOCK_SIZE, Priority
from anabranch.picker import PieceProgress, Run
from anabranch.wire import ExpectedRun

from .buffers import Buffer
from .choosing import fitting, pieces_for
from .claiming import give_way
from .engine import Engine
from .fast import best_for
from .parole import barred, own
from .stage import Live
from .state import Peer, TorrentState
from .stealing import takings

COPIES = 3  # of one block, at most
END_GAME_RUN = 16  # blocks that an idle peer is asked for again at a time
_AT_ONCE = 64  # blocks looked for at first: of a large window, memory mostly allows a part
_NEARLY_IDLE = 4  # a peer takes over from others while less than this part of its window is asked
_STALLED = 1.0  # seconds without gain after which a piece is copied although the order is not empty
_PAUSING = 0.25  # seconds without gain after which a piece is copied in the end game: most are through by then
_HURRY = 0.5  # seconds without gain after which the piece is copied that a reader waits for
_BORED = 0.5  # seconds after which an idle peer is asked for copies of whatever is left
_IN_LINE = 8  # blocks; nothing has stalled before the time in which the idle peer delivers so many,
_LONGEST = 5.0  # seconds at the longest


class Aside:
    """Memory of its own for a copy of a block that another peer may be delivering."""

    __slots__ = ("data", "view")

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)
        self.view = memoryview(self.data)


def may_ask(peer: Peer) -> bool:
    """Whether the torrent wants data now and the peer gives any."""
    torrent = peer.torrent
    if not isinstance(torrent.stage, Live) or torrent.disk.selecting or not torrent.metainfo.body.here:
        return False
    return torrent.policy.download and (not peer.talk.peer_choking or bool(peer.profile.advice.allowed))


def show_interest(engine: Engine, peer: Peer) -> None:
    """Tell the peer whether it has anything for us.

    Interest is lost only when the peer has nothing that we lack: some clients punish those who waver.
    """
    torrent = peer.torrent
    if not (isinstance(torrent.stage, Live) and torrent.policy.download) or not torrent.pieces.missing_wanted:
        wanted = False
    else:
        wanted = torrent.pieces.interesting(peer.has) or (peer.talk.am_interested and peer.talk.outstanding > 0)
    if wanted != peer.talk.am_interested:
        if wanted:
            peer.talk.interested()
        else:
            peer.talk.not_interested()
        engine.due.touched.add(peer)


def ask(engine: Engine, peer: Peer, now: float) -> None:
    """Fill the peer's request window. Asks in runs: a window that is nearly full is left alone."""
    if not may_ask(peer) or now < peer.flow.resting_until:
        return
    talk = peer.talk
    size = peer.window.size(peer.profile.reqq)
    outstanding = talk.outstanding
    room = size - outstanding
    if room <= 0 or (outstanding and room * 8 < size):
        return
    if not outstanding:
        peer.window.idle(now)
    torrent, advice, choking = peer.torrent, peer.profile.advice, talk.peer_choking
    advised = choking or advice.suggested or advice.refused
    if torrent.worth.readers and not choking:
        room = _hurry(engine, peer, room, now)
    before = room
    short = False
    for most in (_AT_ONCE, room):  # twice: each search begins at the front, with all that the peer lacks
        wanted = min(room, most)
        for piece in best_for(peer, wanted, now) if advised else pieces_for(torrent, peer, wanted):
            room, short = _ask_piece(engine, peer, piece, room, now)
            if room <= 0 or short:
                break
        if room <= 0 or short or before - room < most:
            break
    if room > 0 and not choking and _NEARLY_IDLE * talk.outstanding <= size:
        if not short and torrent.swarm.webseeds.fetches and give_way(engine, peer, room, now):
            for piece in pieces_for(torrent, peer, room):
                room, short = _ask_piece(engine, peer, piece, room, now)
                if room <= 0 or short:
                    break
        if short:
            room = _ask_begun(engine, peer, room, now)
        elif not _spreading(torrent) and not anything_free(torrent):
            room = _take_over(engine, peer, room, now)
    if room == before and not talk.outstanding and not choking:
        _ask_idle_peer(engine, peer, min(room, END_GAME_RUN), now)
        if short and not talk.outstanding:
            engine.due.starved.add(peer)
    if talk.outstanding != outstanding:
        peer.flow.idle_since = None
        if not outstanding and not peer.flow.snubbed:  # to be asked again is no answer
            peer.flow.asked_at = now
        engine.due.touched.add(peer)


def ask_again(engine: Engine, peer: Peer, now: float) -> None:
    """Ask one that was to be looked at later, unless it has left since: a connection that is gone answers nothing."""
    if peer.torrent.swarm.peers.get(peer.address) is peer:
        ask(engine, peer, now)


def ask_everybody(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Something changed for all peers: look at the interest in each, and fill the windows."""
    for peer in torrent.swarm.peers.values():
        show_interest(engine, peer)
        ask(engine, peer, now)


def ask_idle(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Blocks became free: those that have nothing to do look at them, who keep us waiting last.

    Who was asked longest ago comes first: else some who never answer would pass the last blocks round among them.
    """
    for peer in sorted(torrent.swarm.peers.values(), key=lambda peer: (peer.flow.snubbed, peer.flow.asked_at)):
        if not peer.talk.outstanding:
            show_interest(engine, peer)
            ask(engine, peer, now)


def give_back(torrent: TorrentState, runs: Iterable[tuple[int, int, int, object]]) -> None:
    """A peer will not answer these requests (piece, begin, length, where they were to land): ask others."""
    table = torrent.pieces
    for piece, begin, length, _ in runs:
        progress = table.begun.get(piece)
        if progress is not None:
            progress.give_back(Run(begin // BLOCK_SIZE, -(-length // BLOCK_SIZE)))
            table.refresh(piece)


def take_back_all(engine: Engine, peer: Peer) -> None:
    """Cancel everything the peer was asked for and let others be asked."""
    _take_back(engine, peer, peer.talk.expected_runs())
    engine.due.touched.add(peer)


def take_back(engine: Engine, peer: Peer, piece: int) -> bool:
    """The same of one piece. Tells whether the peer was asked for anything of it."""
    runs = [run for run in peer.talk.expected_runs() if run.piece == piece]
    _take_back(engine, peer, runs)
    return bool(runs)


def _take_back(engine: Engine, peer: Peer, runs: list[ExpectedRun]) -> None:
    for run in runs:
        peer.talk.cancel(run.piece, run.begin, run.length)
        engine.due.touched.add(peer)
    give_back(peer.torrent, runs)


def buffer_for(engine: Engine, torrent: TorrentState, piece: int, stretch: int) -> Buffer | None:
    """The memory that a stretch of a piece is received in, taken from the pool where it has none yet."""
    buffers = torrent.holding.buffers
    buffer = buffers.get((piece, stretch))
    if buffer is None:
        buffer = engine.pool.take(torrent.holding.stretch_size, torrent.owner)
        if buffer is not None:
            buffers[piece, stretch] = buffer
    return buffer


def _ask_piece(engine: Engine, peer: Peer, piece: int, room: int, now: float) -> tuple[int, bool]:
    """Ask for free blocks of the piece. Answers the room left, and whether memory was short."""
    torrent = peer.torrent
    table = torrent.pieces
    geometry = table.geometry
    if piece in torrent.evidence.repeated:
        if barred(torrent, peer, piece):
            return room, False
        own(torrent, peer, piece)
    progress = table.begun.get(piece)
    if progress is None:
        progress = PieceProgress(piece, geometry.blocks_of(piece), now)
    align = torrent.holding.stretch_blocks
    last_length = geometry.block_length(piece, progress.blocks - 1)
    short = False
    while room > 0:
        run = progress.free_run(room, align)
        if run is None:
            break
        had = (piece, run.first // align) in torrent.holding.buffers
        buffer = buffer_for(engine, torrent, piece, run.first // align)
        if buffer is None:
            short = True
            break
        if not had:  # memory that was just given is not taken away for want of gain before
            progress.last_gain = now
        start = run.first % align
        views = buffer.blocks[start : start + run.blocks]
        if run.first + run.blocks == progress.blocks and len(views[-1]) != last_length:
            views[-1] = views[-1][:last_length]
        peer.talk.request(piece, run.first * BLOCK_SIZE, views, buffer)
        progress.ask(run)
        table.begun[piece] = progress
        room -= run.blocks
    table.refresh(piece)
    return room, short


def anything_free(torrent: TorrentState) -> bool:
    """Whether any block may be asked for the first time, of whomever: what nobody has, or has no room, is not free."""
    table = torrent.pieces
    if table.ordering.shared is not None:
        return any(True for _ in fitting(torrent, None))
    standings = (bucket.standing for bucket in table.order.buckets())
    return any(one.availability + table.seeds > 0 or one.priority >= Priority.READAHEAD for one in standings)


def _spreading(torrent: TorrentState) -> bool:
    """Whether more pieces are to come than are under way, be it that nobody has them yet: blocks change hands later."""
    askable = torrent.pieces.askable
    if torrent.pieces.ordering.shared is not None or askable is None:
        return False
    return bool(askable.count() > len(torrent.pieces.begun))


def _hurry(engine: Engine, peer: Peer, room: int, now: float) -> int:
    """A reader waits for a piece, and those who owe us its blocks are slow: ask one who is not. Answers the room left.

    The order alone would have all who are fast fetch what comes later.
    """
    torrent = peer.torrent
    if not _is_proven(peer):
        return room
    for piece in torrent.worth.awaited:
        progress = torrent.pieces.begun.get(piece)
        if progress is None or progress.last_gain > now - _HURRY or not (peer.has_all or peer.has[piece]):
            continue
        if all(run.piece != piece for run in peer.talk.expected_runs()):
            room -= _copy(peer, progress, room)
    return room


def _ask_begun(engine: Engine, peer: Peer, room: int, now: float) -> int:
    """There is no memory for another piece: go on with those that have some. Answers the room left."""
    table = peer.torrent.pieces
    for piece in [piece for piece in islice(table.begun, _AT_ONCE) if table.requestable(piece)]:
        if room > 0 and (peer.has_all or peer.has[piece]):
            room, _ = _ask_piece(engine, peer, piece, room, now)
    return room


def _take_over(engine: Engine, peer: Peer, room: int, now: float) -> int:
    """Ask the peer for blocks that others owe us now. Answers the room left."""
    begun = peer.torrent.pieces.begun
    freed: dict[int, int] = {}
    for owner, piece, begin, length in takings(peer, room, now):
        if piece in peer.torrent.evidence.repeated and barred(peer.torrent, peer, piece):
            continue
        owner.talk.cancel(piece, begin, length)
        owner.flow.robbed_at = now
        engine.due.touched.add(owner)
        blocks = -(-length // BLOCK_SIZE)
        begun[piece].give_back(Run(begin // BLOCK_SIZE, blocks))
        freed[piece] = freed.get(piece, 0) + blocks
    for piece, blocks in freed.items():
        room += _ask_piece(engine, peer, piece, blocks, now)[0] - blocks
    return room


def _ask_idle_peer(engine: Engine, peer: Peer, room: int, now: float) -> None:
    """There is nothing new to ask this peer for: see whether it can help out those who keep us waiting.

    While others can still be asked for something new, only what has stalled is asked for again. In the end game it is
    what pauses, and after a while everything: a slow peer that dribbles on must not hold up the last piece. Where all
    lines are slow, blocks wait in line for seconds without having stalled: the peer's own pace tells how long.
    """
    flow, torrent = peer.flow, peer.torrent
    if flow.idle_since is None:
        flow.idle_since = now
    if anything_free(torrent):
        pace = peer.window.pace(now)
        before = now - max(_STALLED, min(_IN_LINE / pace, _LONGEST) if pace else 0.0)
    elif now - flow.idle_since < _BORED:
        before = now - _PAUSING
    else:
        before = now
    if _ask_copies(engine, peer, room, before):
        engine.due.idle.add(peer)


def _ask_copies(engine: Engine, peer: Peer, room: int, before: float) -> bool:
    """Ask for blocks that others owe us, of pieces that gained nothing since *before*. Tells whether there is more."""
    torrent = peer.torrent
    proven = _is_proven(peer)
    later = False
    for piece, progress in torrent.pieces.begun.items():
        if room <= 0:
            return False
        if not (peer.has_all or peer.has[piece]) or not torrent.pieces.worth[piece]:
            continue
        if progress.last_gain > before:
            later = True
            continue
        copied = _copy(peer, progress, room)
        if proven and not copied and _call_off_unproven(engine, torrent, piece):
            copied = room - _ask_piece(engine, peer, piece, room, engine.clock())[0]
            copied = copied or _copy(peer, progress, room)
        room -= copied
    return later and not peer.talk.outstanding


def _copy(peer: Peer, progress: PieceProgress, room: int) -> int:
    """Ask the peer for blocks of the piece that others owe us, too. Answers for how many.

    The last copy of a block is kept for a peer that has delivered something, if there is any.
    """
    geometry = peer.torrent.pieces.geometry
    keep = not _is_proven(peer) and any(map(_is_proven, peer.torrent.swarm.peers.values()))
    blocks = progress.ask_again(room, COPIES - keep)
    for block in blocks:
        aside = Aside(geometry.block_length(progress.piece, block))
        peer.talk.request(progress.piece, block * BLOCK_SIZE, [aside.view], aside)
        progress.copy(block)
    return len(blocks)


def _is_proven(peer: Peer) -> bool:
    """Whether the peer has delivered something, and does not keep us waiting."""
    return bool(peer.flow.last_block) and not peer.flow.snubbed


def _call_off_unproven(engine: Engine, torrent: TorrentState, piece: int) -> bool:
    """Those who have delivered nothing yet, or nothing for long, must not keep out one who has of a stalled piece.

    Tells whether they were asked for anything of it.
    """
    before = engine.clock() - _STALLED  # who was asked a moment ago may be about to answer
    unproven = [
        peer
        for peer in torrent.swarm.peers.values()
        if peer.talk.outstanding and (peer.flow.snubbed or (not peer.flow.last_block and peer.flow.asked_at < before))
    ]
    return sum(take_back(engine, peer, piece) for peer in unproven) > 0
