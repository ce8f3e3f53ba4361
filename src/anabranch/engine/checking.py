"""Hashing what is on disk: pieces nobody knows about at start, and everything when the user asks.

A few jobs of a torrent are under way at a time, each of some megabytes, so that the cores are busy, the answers come
steadily and a cancel takes effect at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from bitarray import bitarray

from anabranch.metainfo import due_of
from anabranch.storage import Groups

from . import events
from .asking import ask_everybody
from .engine import Engine
from .failing import attempt
from .finishing import tell_everybody
from .going_live import set_live
from .jobs import check
from .recording import look_complete, not_complete
from .settling import settle_checked
from .stage import Checking, Closing, Dropped
from .state import TorrentState

JOB_SIZE = 16 * 1024 * 1024  # bytes hashed in one job; at least one piece
MOST_PIECES = 1024  # of one job: what it found is settled in one turn


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
    disk.checks.left += fresh.count()
    disk.checks.wished = False
    settle_checked(engine, torrent)
    advance(engine, torrent)


def advance(engine: Engine, torrent: TorrentState) -> None:
    """Hand out jobs while there is something to check; see whether all is done."""
    disk = torrent.disk
    if isinstance(torrent.stage, Closing | Dropped) or disk.storage is None:
        return
    most = min(max(1, JOB_SIZE // torrent.pieces.geometry.piece_length), MOST_PIECES)
    while disk.checks.jobs < engine.config.piece_hashers_per_torrent:
        group = list(islice(disk.checks.queued.search(1), most))
        if not group:
            break
        disk.checks.queued[group] = False
        _hand_out(engine, torrent, group)
    if not disk.checks.left:
        _through(engine, torrent)


def _hand_out(engine: Engine, torrent: TorrentState, group: list[int]) -> None:
    disk, info, storage = torrent.disk, torrent.metainfo.info, torrent.opened()
    geometry = torrent.pieces.geometry
    hashes = [due_of(info, torrent.layers, piece) for piece in group]
    before = [torrent.pieces.complete[piece] for piece in group]
    disk.checks.jobs += 1

    def settle(results: list[bool]) -> None:
        disk.checks.jobs -= 1
        disk.checks.left -= len(group)
        table = torrent.pieces
        for piece, good, was in zip(group, results, before, strict=True):
            # What was received meanwhile is younger than what the check has seen.
            if piece not in table.busy and piece not in table.begun and table.complete[piece] == was:
                _found(engine, torrent, piece, good)
        torrent.totals.hashed += sum(map(geometry.length_of, group))
        advance(engine, torrent)

    def refused() -> None:
        disk.checks.jobs -= 1
        disk.checks.left -= disk.checks.queued[group].count()  # queued a second time meanwhile: once is enough
        disk.checks.queued[group] = True

    attempt(
        engine,
        torrent,
        lambda: check(storage, geometry, group, hashes),
        settle,
        lambda: advance(engine, torrent),
        refused=refused,
    )


def _found(engine: Engine, torrent: TorrentState, piece: int, good: bool) -> None:
    table = torrent.pieces
    torrent.evidence.forget(piece)
    if not table.set_complete(piece, good):
        return
    if good:
        torrent.disk.unrecorded.append(piece)
        tell_everybody(engine, torrent, piece)
        return
    engine.tell(events.PieceChanged(torrent.info_hash, piece, False), (torrent.info_hash, piece))
    for peer in torrent.swarm.peers.values():
        peer.talk.dont_have(piece)
        engine.due.touched.add(peer)
    _unrecord(engine, torrent, [piece])
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
