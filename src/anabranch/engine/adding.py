"""Making a torrent's state of its metainfo and of what earlier runs left.

No turn is needed before register(): nobody knows the torrent yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from anabranch.metainfo import Metainfo
from anabranch.model import Priority, no_pieces
from anabranch.storage import Claim, ClientStorage, SavedTorrent

from . import events
from .buffers import BufferPool
from .engine import Engine
from .files import Worth
from .opening import open_storage
from .pieces import PieceTable
from .signals_io import Signal
from .state import Checks, Disk, Holding, Policy, Signals, TorrentState


def make(
    metainfo: Metainfo,
    data_path: str,
    home: ClientStorage,
    pool: BufferPool,
    draw: Callable[[int], int],
    forbidden: Callable[[], bool],
    policy: Policy,
) -> TorrentState:
    """A torrent that nothing is known of."""
    info = metainfo.info
    return TorrentState(
        info_hash=info.info_hash,
        metainfo=metainfo,
        data_path=data_path,
        pieces=PieceTable(info.geometry, draw),
        worth=Worth(info.geometry, info.files),
        holding=Holding(pool.stretch_size(info.geometry)),
        signals=Signals(Signal(forbidden), Signal(forbidden), Signal(forbidden), Signal(forbidden)),
        disk=Disk(home, Checks(no_pieces(info.geometry.piece_count))),
        policy=policy,
    )


def take_over(torrent: TorrentState, saved: SavedTorrent) -> None:
    """Go on where an earlier run stopped."""
    torrent.policy.download = saved.downloading_allowed
    torrent.policy.upload = saved.uploading_allowed
    torrent.totals.uploaded = saved.uploaded
    torrent.totals.downloaded = saved.downloaded
    torrent.totals.added = saved.added
    torrent.disk.partial = saved.partial
    if len(saved.priorities) == len(torrent.worth.of_file):
        prefer(torrent, [Priority(min(number, Priority.HIGH)) for number in saved.priorities])


def prefer(torrent: TorrentState, priorities: Sequence[Priority]) -> None:
    """Give the files their first priorities."""
    torrent.worth.of_file[:] = priorities
    torrent.pieces.replace_worth(0, torrent.worth.of_all(priorities))


def register(engine: Engine, torrent: TorrentState, claim: Claim | None) -> None:
    """Within a turn: the torrent becomes known, and its storage is opened."""
    torrent.disk.claim = claim
    torrent.disk.dirty = True
    engine.torrents[torrent.info_hash] = torrent
    engine.turn.outbox("signal", torrent.signals.got_info, torrent.signals.got_info.set)
    engine.tell(events.TorrentAdded(torrent.info_hash))
    open_storage(engine, torrent)
