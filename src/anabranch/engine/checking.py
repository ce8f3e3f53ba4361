"""Hashing what is on disk: pieces nobody knows about at start, and everything when the user asks.

A few jobs of a torrent are under way at a time, each of some megabytes, so that the cores are busy, the answers come
steadily and a cancel takes effect at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from bitarray import bitarray

from anabranch.storage import Groups

from . import resting
from .asking import ask_everybody
from .engine import Engine
from .failing import attempt
from .filing import piece_changed
from .going_live import set_live
from .inspecting import inspect
from .piece_states import tell_watchers
from .recording import look_complete, not_complete
from .settling import settle_checked
from .stage import Checking, Closing, Dropped
from .state import TorrentState

JOB_SIZE = 16 * 1024 * 1024  # bytes hashed in one job; at least one piece
MOST_PIECES = 1024  # of one job: what it found is settled in one turn
MOST_WORDS = 16 * 1024  # that may have to be said to peers in that turn


def want_check(engine: Engine, torrent: TorrentState, pieces: bitarray) -> None:
    """Have these pieces hashed because the user wishes it. Any thread; `checked` is not set from here on until then."""
    if torrent.pieces.learned and not isinstance(torrent.stage, Closing | Dropped):
        torrent.disk.checks.wished = True
        settle_checked(engine, torrent)
        engine.turn.outbox("check", pieces, engine.network.post, queue_check, engine, torrent, pieces)


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


def advance(engine: Engine, torrent: TorrentState) -> None:
    """Hand out jobs while there is something to check; see whether all is done."""
    disk = torrent.disk
    if isinstance(torrent.stage, Closing | Dropped) or disk.storage is None:
        return
    if disk.checks.left and not resting.is_awake(torrent):
        resting.wake(engine, torrent, lambda: advance(engine, torrent))
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
    if lost:
        _unrecord(engine, torrent, lost)
        not_complete(engine, torrent)


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
