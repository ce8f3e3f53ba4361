"""Opening a torrent's storage, and deciding of each piece what is known of it.

The truth table: what is recorded complete is not hashed; what is unknown and may be on disk is hashed before it is asked
for, unless the user wants no check, then it is asked for at once; what is not on disk at all is known to be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bitarray import bitarray

from anabranch.model import no_pieces
from anabranch.picker import PieceProgress
from anabranch.storage import Bulk, Completion, Groups, Selects, Sparse, TorrentStorage

from . import events
from .checking import advance, queue_check
from .engine import Engine
from .failing import attempt
from .going_live import set_live
from .stage import Checking, Closing, Dropped, Opening, follow
from .state import TorrentState
from .wanting import refresh_all, tell_storage


@dataclass(frozen=True, slots=True)
class Opened:
    """What a worker found: the storage, and sets of pieces."""

    storage: TorrentStorage
    known: bitarray
    complete: bitarray
    present: bitarray  # of the unknown ones, those that may be on disk


def open_storage(engine: Engine, torrent: TorrentState) -> None:
    """Open the storage by a worker, then check or go live."""
    info = torrent.metainfo.info
    home = torrent.disk.home
    selected = torrent.worth.selected()
    partial = dict(torrent.disk.partial)
    vouched = torrent.disk.vouched

    def job() -> Opened:
        storage = home.open(info, torrent.info_hash)
        if isinstance(storage, Selects):
            storage.select(selected)
        if vouched is not None and isinstance(storage, Groups):
            storage.record(list(vouched.search(1)))
        return look_over(storage, info.geometry.piece_count)

    def settle(found: Opened) -> None:
        if isinstance(torrent.stage, Closing | Dropped):
            attempt(engine, torrent, found.storage.close, lambda _: None)
            return
        torrent.disk.storage = found.storage
        if torrent.worth.selected() != selected:  # chosen while the storage was being opened
            tell_storage(engine, torrent)
        _start(engine, torrent, found, partial)

    attempt(engine, torrent, job, settle)


def look_over(storage: TorrentStorage, count: int) -> Opened:
    """Ask the storage about all pieces. Raises StorageFailed."""
    known, complete = no_pieces(count), no_pieces(count)
    if isinstance(storage, Bulk):
        known, complete = storage.completions()
    else:
        for piece in range(count):
            state = storage.piece(piece).completion()
            known[piece] = state is not Completion.UNKNOWN
            complete[piece] = state is Completion.COMPLETE
    present = ~known
    if isinstance(storage, Sparse):
        for piece in present.search(1):
            if not storage.present(piece):
                present[piece] = False
    return Opened(storage, known, complete, present)


def _start(engine: Engine, torrent: TorrentState, found: Opened, partial: Mapping[int, bytes]) -> None:
    table = torrent.pieces
    to_check = found.present.copy() if torrent.policy.check else no_pieces(len(found.present))
    for piece, bits in partial.items():
        _restore(torrent, piece, bits, found)
        to_check[piece] = False
    table.start(found.known | ~to_check, found.complete)
    refresh_all(engine, torrent)
    unknown = to_check.count()
    if isinstance(torrent.stage, Opening) and unknown:
        torrent.stage = follow(torrent.stage, Checking(unknown))
        engine.tell(events.StageChanged(torrent.info_hash, "checking"))
        queue_check(engine, torrent, to_check.search(1))
        return
    set_live(engine, torrent)
    if torrent.disk.to_check:  # somebody asked for it before there was a storage
        advance(engine, torrent)
    else:
        engine.turn.outbox("signal", torrent.signals.checked, torrent.signals.checked.set)


def _restore(torrent: TorrentState, piece: int, bits: bytes, found: Opened) -> None:
    """Blocks of an unfinished piece that a clean stop left on disk."""
    table = torrent.pieces
    blocks = table.geometry.blocks_of(piece)
    got = bitarray(endian="big")
    got.frombytes(bits)
    if found.complete[piece] or not found.present[piece] or len(got) < blocks or got.count(1, 0, blocks) == blocks:
        return
    del got[blocks:]
    progress = PieceProgress(piece, blocks, 0.0)
    progress.restore(got)
    table.begun[piece] = progress
    torrent.holding.written[piece] = got
