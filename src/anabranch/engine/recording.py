"""Making verified pieces durable, in groups: sync what was touched, then record, and only then call a torrent complete.

One group of a torrent is under way at a time; what is verified meanwhile makes the next one. After a failed sync nobody
knows what the disk holds: the pieces of the group become unknown and are hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from anabranch.storage import Groups, TorrentStorage

from . import announcing, events, failing
from .engine import Engine
from .filing import piece_lost
from .introducing import tell_upload_only
from .residence_io import is_away
from .settling import settle_complete
from .stage import Closing, Dropped, Live
from .state import TorrentState


def record(engine: Engine, torrent: TorrentState) -> None:
    """Start a group, if there is anything to record and none is under way."""
    disk = torrent.disk
    if disk.recording or not disk.unrecorded or disk.storage is None:
        return
    group, disk.unrecorded = disk.unrecorded, []
    storage = disk.storage

    def recorded() -> None:
        disk.dirty = True
        if disk.checks.distrusted is not None:
            disk.checks.distrusted[group] = False

    make_durable(engine, torrent, group, lambda: record_group(storage, group), recorded)


def make_durable(
    engine: Engine, torrent: TorrentState, group: Sequence[int], job: Callable[[], None], done: Callable[[], None]
) -> None:
    """Have a worker sync what was written, these pieces and what else *job* takes along; then *done*, within a turn.

    Only where no other group is under way. If it fails, what was complete of them is hashed.
    """
    disk = torrent.disk
    disk.recording = group

    def settle(_: None) -> None:
        disk.recording = ()
        done()
        look_complete(engine, torrent)

    def refused() -> None:
        disk.recording = ()
        doubtful = [*group, *disk.unrecorded]  # the system may have dropped what was written since, too
        disk.checks.doubted.update(torrent.holding.finishing)
        disk.unrecorded = []
        for piece in doubtful:
            if torrent.pieces.complete[piece]:  # else a check has found out meanwhile
                torrent.pieces.set_unknown(piece)
                piece_lost(torrent, piece)
                disk.checks.left += not disk.checks.queued[piece]
                disk.checks.queued[piece] = True

    failing.attempt(engine, torrent, job, settle, worker=engine.workshop.record, refused=refused)


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
    if not isinstance(torrent.stage, Live):
        return
    if is_away(disk.home):  # first they come to where they belong: who waits for `complete` looks there
        disk.lodging.call_home()
        engine.due.lively.add(torrent)
        return
    if torrent.signals.said_complete:
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
