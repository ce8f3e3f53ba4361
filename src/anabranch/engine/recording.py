"""Making verified pieces durable, in groups: sync what was touched, then record, and only then call a torrent complete.

One group of a torrent is under way at a time; what is verified meanwhile makes the next one. After a failed sync nobody
knows what the disk holds: the pieces of the group become unknown and are hashed.
"""

from __future__ import annotations

from collections.abc import Sequence

from anabranch.storage import Groups, TorrentStorage

from . import announcing, events, failing
from .engine import Engine
from .filing import piece_lost
from .introducing import tell_upload_only
from .settling import settle_complete
from .stage import Closing, Dropped, Live
from .state import TorrentState


def record(engine: Engine, torrent: TorrentState) -> None:
    """Start a group, if there is anything to record and none is under way."""
    disk = torrent.disk
    if disk.recording or not disk.unrecorded or disk.storage is None:
        return
    group, disk.unrecorded = disk.unrecorded, []
    disk.recording = group
    storage = disk.storage

    def recorded(_: None) -> None:
        disk.recording = ()
        disk.dirty = True
        look_complete(engine, torrent)

    def refused() -> None:
        disk.recording = ()
        doubtful = group + disk.unrecorded  # the system may have dropped what was written since, too
        disk.unrecorded = []
        for piece in doubtful:
            if torrent.pieces.complete[piece]:  # else a check has found out meanwhile
                torrent.pieces.set_unknown(piece)
                piece_lost(torrent, piece)
                disk.checks.left += not disk.checks.queued[piece]
                disk.checks.queued[piece] = True

    failing.attempt(
        engine,
        torrent,
        lambda: record_group(storage, group),
        recorded,
        worker=engine.workshop.record,
        refused=refused,
    )


def record_group(storage: TorrentStorage, group: Sequence[int]) -> None:
    """Make pieces durable and record them. Raises StorageFailed; then none of them may be believed."""
    if isinstance(storage, Groups):
        storage.record(group)
        return
    storage.flush()
    for piece in group:
        storage.piece(piece).mark_complete()


def look_complete(engine: Engine, torrent: TorrentState) -> None:
    """Say that the torrent is complete, once it is: everything wanted is verified, written and recorded."""
    table, disk = torrent.pieces, torrent.disk
    if isinstance(torrent.stage, Closing | Dropped) or table.missing_wanted or not _wants_anything(torrent):
        return
    if disk.unrecorded or disk.recording:
        record(engine, torrent)
        return
    if torrent.signals.said_complete or not isinstance(torrent.stage, Live):
        return
    torrent.signals.said_complete = True
    settle_complete(engine, torrent)
    tell_upload_only(engine, torrent)
    announcing.completed(engine, torrent)
    engine.tell(events.Completed(torrent.info_hash))


def _wants_anything(torrent: TorrentState) -> bool:
    """Whether there is anything to be complete with; empty files count, and a seed has everything anyhow."""
    worth = torrent.pieces.worth
    return torrent.pieces.is_seed or worth.count(0) < len(worth) or any(torrent.worth.of_file)


def not_complete(engine: Engine, torrent: TorrentState) -> None:
    """More is wanted, or something was lost: what was said is not true any more."""
    ended = isinstance(torrent.stage, Closing | Dropped)
    if torrent.signals.said_complete and torrent.pieces.missing_wanted and not ended:
        torrent.signals.said_complete = False
        settle_complete(engine, torrent)
        engine.turn.outbox("upload only", torrent, engine.network.post, tell_upload_only, engine, torrent)
