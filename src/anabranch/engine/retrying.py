"""Trying again what a disk refused, every RETRY_EVERY seconds, until all of it goes through."""

from __future__ import annotations

from . import checking, events, failing
from .engine import Engine
from .going_live import set_live
from .opening import open_storage
from .stage import Checking, Failed, Opening, follow
from .state import TorrentState


def retry(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Go on if what was repeated went through; repeat what failed if it is time."""
    stage, disk = torrent.stage, torrent.disk
    if not isinstance(stage, Failed) or disk.trying:
        return
    if stage.tried and not disk.again:
        _go_on(engine, torrent)
    elif stage.retry_at <= now:
        torrent.stage = Failed(stage.error, now + failing.RETRY_EVERY, tried=True)
        again, disk.again = disk.again, []
        for action in again:
            action()


def _go_on(engine: Engine, torrent: TorrentState) -> None:
    engine.tell(events.Recovered(torrent.info_hash))
    if torrent.disk.storage is None:
        torrent.stage = follow(torrent.stage, Opening())
        engine.tell(events.StageChanged(torrent.info_hash, "opening"))
        open_storage(engine, torrent)
    elif torrent.disk.checks.left:
        torrent.stage = follow(torrent.stage, Checking(torrent.disk.checks.left))
        engine.tell(events.StageChanged(torrent.info_hash, "checking"))
        checking.advance(engine, torrent)
    else:
        set_live(engine, torrent)
