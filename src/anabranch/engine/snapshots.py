"""Numbers for those who ask again and again: a picture is kept for a while, and an old one is better than a wait.

Source: the cached stats of a fork of the Go engine (200 ms from the moment they were stored, one computation at a
time), without its flaw that everybody waits while the engine is stuck.
"""

from __future__ import annotations

from .engine import Engine, Runner
from .state import TorrentState
from .stats import TorrentStats, stats_of

FRESH = 0.2  # seconds


def picture_of(runner: Runner, torrent: TorrentState) -> TorrentStats:
    """The torrent's numbers, made anew if they are older than FRESH and the turn is free.

    If it is not, the old ones are given, and one refresh is queued for the network thread. Only the very first picture
    of a torrent waits for the turn. However many ask at a time, one of them computes.
    """
    engine = runner.engine
    last = torrent.snapshot.stats
    if last is not None and engine.clock() - last.at < FRESH:
        return last
    if runner.turn.held_by_me:
        return _refresh(engine, torrent)
    if last is None:
        with runner.turn:
            return _refresh(engine, torrent)
    if torrent.snapshot.due:
        return last
    with runner.turn.if_free() as taken:
        if taken:
            return _refresh(engine, torrent)
    if not torrent.snapshot.due:
        torrent.snapshot.due = True
        engine.network.post(_refresh_later, engine, torrent)
    return last


def _refresh_later(engine: Engine, torrent: TorrentState) -> None:
    torrent.snapshot.due = False
    _refresh(engine, torrent)


def _refresh(engine: Engine, torrent: TorrentState) -> TorrentStats:
    """Within a turn: the picture, unless somebody was here between our look and our turn."""
    last = torrent.snapshot.stats
    if last is not None and engine.clock() - last.at < FRESH:
        return last
    picture = torrent.snapshot.stats = stats_of(engine, torrent)
    return picture
