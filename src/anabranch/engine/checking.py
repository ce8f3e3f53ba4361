"""Hashing what is on disk: pieces nobody knows about at start, and everything when the user asks.

A few jobs of a torrent are under way at a time, each of some megabytes, so that the cores are busy, the answers come
steadily and a cancel takes effect at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from bitarray import bitarray

from anabranch.model import no_pieces
from anabranch.storage import Finds, Groups

from . import resting
from .asking import ask_everybody
from .engine import Engine
from .failing import attempt
from .filing import piece_changed, piece_lost
from .going_live import set_live
from .inspecting import inspect
from .piece_states import tell_watchers
from .recording import look_complete, not_complete
from .settling import settle_checked
from .stage import Checking, Closing, Dropped, Moving
from .state import TorrentState

JOB_SIZE = 16 * 1024 * 1024  # bytes hashed in one job; at least one piece
MOST_PIECES = 1024  # of one job: what it found is settled in one turn
MOST_WORDS = 16 * 1024  # that may have to be said to peers in that turn


def want_check(engine: Engine, torrent: TorrentState, pieces: bitarray) -> None:
    """Have these pieces hashed because the user wishes it. Any thread; `checked` is not set from here on until then."""
    if torrent.pieces.learned and not isinstance(torrent.stage, Closing | Dropped):
        torrent.disk.checks.wished = True
        settle_checked(engine, torrent)
        engine.turn.outbox("check", pieces, engine.network.post, _grant, engine, torrent, pieces)


def _grant(engine: Engine, torrent: TorrentState, pieces: bitarray) -> None:
    torrent.disk.checks.anew = True
    queue_check(engine, torrent, pieces)


def queue_check(engine: Engine, torrent: TorrentState, pieces: bitarray) -> None:
    """Have these pieces hashed, each once."""
    disk = torrent.disk
    if isinstance(torrent.stage, Closing | Dropped):
        return
    fresh = pieces & ~disk.checks.queued
    for piece in torrent.pieces.busy:
        fresh[piece] = False
    disk.checks.queued |= fresh
    tell_watchers(torrent)
    disk.checks.left += fresh.count()
    disk.checks.wished = False
    settle_checked(engine, torrent)
    advance(engine, torrent)


def book(engine: Engine, torrent: TorrentState, piece: int) -> None:
    """A piece was found right and is written: it is recorded with the next group.

    Unless a sync has failed since that was begun, when the system may have dropped what was written: then it is hashed.
    """
    disk = torrent.disk
    if piece not in disk.checks.doubted:
        disk.unrecorded.append(piece)
        return
    disk.checks.doubted.discard(piece)
    torrent.pieces.set_unknown(piece)
    piece_lost(torrent, piece)
    doubted = no_pieces(torrent.pieces.geometry.piece_count)
    doubted[piece] = True
    queue_check(engine, torrent, doubted)


def advance(engine: Engine, torrent: TorrentState) -> None:
    """Hand out jobs while there is something to check; see whether all is done."""
    disk = torrent.disk
    if isinstance(torrent.stage, Moving | Closing | Dropped) or disk.storage is None:
        return
    if disk.checks.left and not resting.is_awake(torrent):
        resting.wake(engine, torrent, lambda: advance(engine, torrent))
        return
    if disk.checks.looking or _look_anew(engine, torrent):
        return
    most = min(
        max(1, JOB_SIZE // torrent.pieces.geometry.piece_length),
        MOST_PIECES,
        max(1, MOST_WORDS // (len(torrent.swarm.peers) + 1)),
    )
    while disk.checks.jobs < engine.config.piece_hashers_per_torrent:
        group = list(islice(disk.checks.queued.search(1), most))
        if not group:
            break
        disk.checks.queued[group] = False
        tell_watchers(torrent)
        _hand_out(engine, torrent, group)
    if not disk.checks.left:
        _through(engine, torrent)


def _look_anew(engine: Engine, torrent: TorrentState) -> bool:
    """Have the storage look at what others put there, if a user wishes it. Whether it does."""
    checks, storage = torrent.disk.checks, torrent.opened()
    due, checks.anew = checks.anew and checks.queued.any(), False
    if not due or not isinstance(storage, Finds):
        return False
    checks.looking = True
    checks.jobs += 1
    pieces = range(checks.queued.find(1), checks.queued.find(1, right=True) + 1)

    def settle(came: bitarray) -> None:
        checks.jobs -= 1
        hold_back(came & checks.queued)

    def hold_back(came: bitarray) -> None:
        """Nobody is to fetch what has come, and write over it; as much as a turn has time for."""
        table = torrent.pieces
        came &= ~table.complete
        for piece in list(islice(came.search(1), MOST_PIECES)):
            came[piece] = False
            if piece not in table.busy and piece not in table.begun:
                table.set_unknown(piece)
        if came.any():
            engine.network.post(hold_back, came)
            return
        checks.looking = False
        advance(engine, torrent)

    def refused() -> None:
        checks.jobs -= 1
        checks.looking, checks.anew = False, True

    attempt(
        engine,
        torrent,
        lambda: storage.find(pieces),
        settle,
        lambda: advance(engine, torrent),
        refused=refused,
    )
    return True


def _hand_out(engine: Engine, torrent: TorrentState, group: list[int]) -> None:
    disk, info, layers, storage = torrent.disk, torrent.metainfo.info, torrent.layers, torrent.opened()
    before = torrent.pieces.complete[group]
    disk.checks.jobs += 1

    def unwanted() -> bool:  # in a worker: to look at one reference takes no turn, and may come a moment late
        return isinstance(torrent.stage, Closing | Dropped)

    def settle(right: list[bool]) -> None:
        disk.checks.jobs -= 1
        disk.checks.left -= len(group)
        table = torrent.pieces
        # What was received meanwhile is younger than what the check has seen.
        unmoved = [
            (piece, good)
            for piece, good, was in zip(group, right, before, strict=True)
            if table.complete[piece] == was and piece not in table.busy and piece not in table.begun
        ]
        _found(engine, torrent, unmoved)
        torrent.totals.hashed += sum(map(table.geometry.length_of, group))
        advance(engine, torrent)

    def refused() -> None:
        disk.checks.jobs -= 1
        disk.checks.left -= disk.checks.queued[group].count()  # queued a second time meanwhile: once is enough
        disk.checks.queued[group] = True
        tell_watchers(torrent)

    attempt(
        engine,
        torrent,
        lambda: inspect(storage, info, layers, group, unwanted),
        settle,
        lambda: advance(engine, torrent),
        refused=refused,
    )


def _found(engine: Engine, torrent: TorrentState, pieces: list[tuple[int, bool]]) -> None:
    """Book what a job found, and tell everybody whom it concerns."""
    table = torrent.pieces
    gained: list[int] = []
    lost: list[int] = []
    for piece, good in pieces:
        torrent.evidence.forget(piece)
        if table.set_complete(piece, good):
            (gained if good else lost).append(piece)
            piece_changed(engine, torrent, piece, good)
    for piece in gained if torrent.signals.of_piece else ():
        for waiting in torrent.signals.of_piece.pop(piece, ()):
            engine.turn.outbox("signal", waiting, waiting.set)
    if gained or lost:
        for peer in torrent.swarm.peers.values():
            if not peer.has_all:
                peer.talk.have_many(gained)
            for piece in lost:
                peer.talk.dont_have(piece)
            engine.due.touched.add(peer)
    torrent.disk.unrecorded += gained
    if unbelieved := _refuted(torrent, pieces) + lost:
        _unrecord(engine, torrent, unbelieved)
    if lost:
        not_complete(engine, torrent)


def _refuted(torrent: TorrentState, pieces: list[tuple[int, bool]]) -> list[int]:
    """Pieces that were recorded complete, which nobody believed, and are wrong indeed."""
    distrusted = torrent.disk.checks.distrusted
    if distrusted is None:
        return []
    wrong = [piece for piece, good in pieces if not good and distrusted[piece]]
    distrusted[wrong] = False
    return wrong


def _unrecord(engine: Engine, torrent: TorrentState, pieces: Sequence[int]) -> None:
    """Pieces that were recorded complete are not: let nobody believe the record."""
    storage = torrent.opened()

    def job() -> None:
        if isinstance(storage, Groups):
            storage.record([], pieces)
            return
        for piece in pieces:
            storage.piece(piece).mark_incomplete()

    def again() -> None:
        _unrecord(engine, torrent, pieces)

    attempt(engine, torrent, job, lambda _: None, again, worker=engine.workshop.record)


def _through(engine: Engine, torrent: TorrentState) -> None:
    settle_checked(engine, torrent)
    engine.due.lively.add(torrent)
    if isinstance(torrent.stage, Checking):
        set_live(engine, torrent)
    else:
        ask_everybody(engine, torrent, engine.clock())
        look_complete(engine, torrent)
