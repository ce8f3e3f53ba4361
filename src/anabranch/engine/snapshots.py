"""Numbers for those who ask again and again: a picture is kept for a while, and an old one is better than a wait.

Source: the cached stats of a fork of the Go engine (200 ms from the moment they were stored, one computation at a
time), without its flaw that everybody waits while the engine is stuck.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .engine import Engine, Runner
from .state import Snapshot, TorrentState
from .stats import TorrentStats, stats_of
from .tracker_status import TrackerStatus, tracker_statuses
from .webseed_status import WebSeedStatus
from .webseeding import statuses

FRESH = 0.2  # seconds

T = TypeVar("T")


def picture_of(runner: Runner, torrent: TorrentState) -> TorrentStats:
    """The torrent's numbers, made anew if they are older than FRESH and the turn is free.

    If it is not, the old ones are given, and one refresh is queued for the network thread. Only the very first picture
    of a torrent waits for the turn. However many ask at a time, one of them computes.
    """
    return _latest(runner, torrent.snapshot, stats_of, torrent)


def webseeds_of(runner: Runner, torrent: TorrentState) -> list[WebSeedStatus]:
    """The torrent's web seeds, on the same terms."""
    told: list[WebSeedStatus] = _latest(runner, torrent.swarm.webseeds.snapshot, statuses, torrent)
    return list(told)  # what they do with it is nothing to the next who asks


def trackers_of(runner: Runner, torrent: TorrentState) -> list[TrackerStatus]:
    """The torrent's trackers, on the same terms."""
    told: list[TrackerStatus] = _latest(runner, torrent.swarm.trackers.snapshot, tracker_statuses, torrent)
    return list(told)


def _latest(
    runner: Runner, snapshot: Snapshot[T], make: Callable[[Engine, TorrentState], T], torrent: TorrentState
) -> T:
    engine, at, last = runner.engine, snapshot.at, snapshot.picture  # in this order: they change in the other
    if last is not None and engine.clock() - at < FRESH:
        return last
    if runner.turn.held_by_me:
        return _refresh(engine, snapshot, make, torrent)
    if last is None:
        with runner.turn:
            return _refresh(engine, snapshot, make, torrent)
    if snapshot.due:
        return last
    with runner.turn.if_free() as taken:
        if taken:
            return _refresh(engine, snapshot, make, torrent)
    if not snapshot.due:
        snapshot.due = True
        engine.network.post(_refresh_later, engine, snapshot, make, torrent)
    return last


def _refresh_later(
    engine: Engine, snapshot: Snapshot[T], make: Callable[[Engine, TorrentState], T], torrent: TorrentState
) -> None:
    snapshot.due = False
    _refresh(engine, snapshot, make, torrent)


def _refresh(
    engine: Engine, snapshot: Snapshot[T], make: Callable[[Engine, TorrentState], T], torrent: TorrentState
) -> T:
    """Within a turn: the picture, unless somebody was here between our look and our turn."""
    last, now = snapshot.picture, engine.clock()
    if last is not None and now - snapshot.at < FRESH:
        return last
    snapshot.picture = picture = make(engine, torrent)
    snapshot.at = now
    return picture
