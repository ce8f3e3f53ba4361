"""What follows from the hash of a piece: it is for everybody, or its blocks are fetched anew and senders blamed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from anabranch.model import BLOCK_SIZE, no_pieces
from anabranch.picker import PieceProgress, Run
from anabranch.webseed import WebSeed

from . import doubting, events, hopeless
from .asking import ask, ask_idle, show_interest
from .banning import only_sender, senders_of
from .checking import book
from .convicting import wrong_piece
from .engine import Engine
from .failing import fail
from .filing import piece_changed
from .jobs import Verdict
from .metrics import HASHED
from .recording import look_complete
from .stage import Closing, Dropped
from .state import Peer, TorrentState
from .unfinished import forget, lose

_DOUBTED = 4  # pieces in doubt keep up to a quarter of the pool


def mend(
    engine: Engine, torrent: TorrentState, progress: PieceProgress, changed: Iterable[int], again: Callable[[], None]
) -> None:
    """The disk has changed blocks: they are fetched again, some times, and then it is only seen whether it can read.

    No peer is to blame. The torrent stops meanwhile, as at any failure of its disk.
    """
    piece, holding = progress.piece, torrent.holding
    if isinstance(torrent.stage, Dropped):
        forget(engine, torrent, piece)
        return
    wrong = no_pieces(progress.blocks)
    for block in changed:
        wrong[block] = True
    error = hopeless.misread_error(torrent, piece, wrong.find(1) * BLOCK_SIZE)
    if hopeless.may_mend(torrent, piece) or isinstance(torrent.stage, Closing):
        torrent.totals.corrupt += sum(torrent.pieces.geometry.block_length(piece, block) for block in wrong.search(1))
        holding.written[piece] &= ~wrong
        lose(engine, torrent, progress, wrong)
        fail(engine, torrent, error)
    else:
        fail(engine, torrent, error, again)
    memory_came_back(engine)


def settle_piece(engine: Engine, torrent: TorrentState, progress: PieceProgress, verdict: Verdict) -> None:
    """A worker hashed the piece, and wrote it if it is right."""
    piece = progress.piece
    if isinstance(torrent.stage, Dropped):
        forget(engine, torrent, piece)
        return
    torrent.totals.hashed += torrent.pieces.geometry.length_of(piece)
    if (metrics := engine.metrics) is not None:
        metrics.add(HASHED, verdict.good)
    engine.due.lively.add(torrent)
    if verdict.contradiction is not None:
        forget(engine, torrent, piece)
        fail(engine, torrent, verdict.contradiction)
    elif verdict.good:
        torrent.pieces.set_complete(piece, True)  # before it counts as missing again
        forget(engine, torrent, piece)
        _accept(engine, torrent, piece, verdict)
    else:
        engine.tell(events.PieceFailed(torrent.info_hash, piece))
        _doubt(engine, torrent, progress, verdict)
    memory_came_back(engine)


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
        memory_came_back(engine)

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
    lose(engine, torrent, progress, wrong)
    _ban_all(engine, torrent, guilty, piece)
    engine.turn.defer("ask idle", torrent, ask_idle, engine, torrent, engine.clock())


def _discard(engine: Engine, torrent: TorrentState, progress: PieceProgress, verdict: Verdict) -> None:
    """Nobody can tell which of its blocks are wrong: all of them are asked for again."""
    piece = progress.piece
    torrent.totals.corrupt += torrent.pieces.geometry.length_of(piece)
    torrent.evidence.failed(piece, _shares(progress), verdict.digests)  # its only sender was banned before
    forget(engine, torrent, piece)
    hopeless.rest(engine, torrent, piece)
    engine.turn.defer("ask idle", torrent, ask_idle, engine, torrent, engine.clock())


def _shares(progress: PieceProgress) -> list[tuple[Run, str]]:
    """Which hosts sent which blocks; of web seeds their URLs."""
    shares: list[tuple[Run, str]] = []
    for run, sender in progress.shares():
        if isinstance(sender, Peer):
            shares.append((run, sender.address.host))
        elif isinstance(sender, WebSeed):
            shares.append((run, sender.source.url))
    return shares


def _ban_all(engine: Engine, torrent: TorrentState, hosts: set[str], piece: int) -> None:
    for host in hosts - engine.banned:
        if host in torrent.swarm.webseeds:
            wrong_piece(engine, torrent, host, piece)
        elif "://" not in host:
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


def feed_starved(engine: Engine) -> None:
    """Peers that could not be asked for want of memory are asked now, who delivered last the first."""
    if engine.due.starved:
        starved, engine.due.starved = engine.due.starved, set()
        now = engine.clock()
        for peer in sorted(starved, key=lambda peer: (peer.flow.snubbed, -peer.flow.last_block, peer.flow.asked_at)):
            ask(engine, peer, now)
    feed_thirsty(engine)


def feed_thirsty(engine: Engine) -> None:
    """The same of web seeds. Outside of the turn they see whether it is enough."""
    thirsty, engine.due.web.thirsty = engine.due.web.thirsty, {}
    for fetch in thirsty:
        if fetch.flow is not None:
            engine.turn.outbox("drink", fetch, engine.network.call, fetch.flow.resume)


def memory_came_back(engine: Engine) -> None:
    """At the end of the turn, in which there may be many such pieces, those who wait for memory are asked."""
    engine.turn.defer("feed starved", engine, feed_starved, engine)
