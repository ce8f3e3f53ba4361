"""Opening a torrent's storage, and deciding of each piece what is known of it.

Three facts decide of each piece, and none stands for another: what is recorded, whether the user trusts that, and
whether there shall be a check now. The truth table (Policy has the last two):

| recorded   | trust | check | asked for?          | hashed? |
|------------|-------|-------|---------------------|---------|
| complete   | yes   |       | no: we have it      | no      |
| complete   | no    | yes   | not before the hash | yes     |
| complete   | no    | no    | yes: the safe way   | no      |
| incomplete |       |       | yes                 | no      |
| unknown    |       | yes   | not before the hash | yes     |
| unknown    |       | no    | yes                 | no      |

What is unknown and certainly not on the disk is missing; blocks of unfinished pieces that an earlier run left are
taken over, and it is their piece's hash that decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bitarray import bitarray

from anabranch.model import Geometry, no_pieces
from anabranch.picker import PieceProgress
from anabranch.storage import Bulk, Capacity, Completion, Selects, Sparse, Surveys, TorrentStorage

from . import events, orders, super_seeding
from .checking import advance, queue_check
from .engine import Engine
from .failing import attempt
from .going_live import set_live
from .introducing import tell_pieces
from .jobs import readable
from .resyncing import GivenUp
from .settling import settle_checked
from .stage import Checking, Closing, Opening, follow
from .state import TorrentState
from .wanting import refresh_all, tell_storage


@dataclass(frozen=True, slots=True)
class Opened:
    """What a worker found: the storage, and sets of pieces."""

    storage: TorrentStorage
    known: bitarray
    complete: bitarray
    present: bitarray  # of the unknown ones, those that may be on disk
    partial: Mapping[int, bytes]  # blocks that a clean stop left and can be read; b"": known to be missing
    capacity: object | None  # the space that it shares with others
    room: int | None  # bytes of that; None for no limit at present


def open_storage(engine: Engine, torrent: TorrentState) -> None:
    """Open the storage by a worker, then check or go live."""
    info = torrent.metainfo.info
    home = torrent.disk.home
    selected = torrent.worth.selected()
    partial = dict(torrent.disk.partial)
    given_up = GivenUp(engine, torrent)

    def job() -> Opened:
        storage = home.open(info, torrent.info_hash)
        try:
            given_up.listen(storage)
            if isinstance(storage, Selects):
                storage.select(selected)
            return look_over(storage, info.geometry, partial)
        except BaseException:
            storage.close()
            raise

    def ended() -> bool:
        if isinstance(torrent.stage, Closing):
            torrent.stage = replace(torrent.stage, opening=False)
        return isinstance(torrent.stage, Closing)

    def settle(found: Opened) -> None:
        torrent.disk.storage = found.storage
        if ended():
            return
        if torrent.worth.selected() != selected:  # chosen while the storage was being opened
            tell_storage(engine, torrent)
        _start(engine, torrent, found)
        given_up.look()

    attempt(engine, torrent, job, settle, refused=ended)


def look_over(storage: TorrentStorage, geometry: Geometry, partial: Mapping[int, bytes]) -> Opened:
    """Ask the storage about all pieces. Raises StorageFailed."""
    count = geometry.piece_count
    known, complete = no_pieces(count), no_pieces(count)
    if isinstance(storage, Bulk):
        known, complete = storage.completions()
    else:
        for piece in range(count):
            state = storage.piece(piece).completion()
            known[piece] = state is not Completion.UNKNOWN
            complete[piece] = state is Completion.COMPLETE
    present = ~known
    if isinstance(storage, Surveys) and present.any():
        present &= storage.presence()
    elif isinstance(storage, Sparse):
        for piece in present.search(1):
            if not storage.present(piece):
                present[piece] = False
    kept = {
        piece: bits
        for piece, bits in partial.items()
        if not bits or readable(storage, piece, geometry.length_of(piece), bits)
    }
    capacity = storage.capacity
    room = capacity.capacity() if isinstance(capacity, Capacity) else None
    return Opened(storage, known, complete, present, kept, capacity, room)


def _start(engine: Engine, torrent: TorrentState, found: Opened) -> None:
    table = torrent.pieces
    distrusted = _distrusted(torrent, found)
    to_check = found.present | distrusted if torrent.policy.check else no_pieces(len(found.present))
    for piece, bits in found.partial.items():
        if not bits or _restore(torrent, piece, bits, found):
            to_check[piece] = False
    torrent.disk.partial = {}
    torrent.holding.kept.blocks = {piece: bits.copy() for piece, bits in torrent.holding.written.items()}
    table.start(~to_check, found.complete & ~distrusted)
    orders.enter(engine, torrent, found.capacity, found.room)
    if torrent.swarm.peers or table.ordering.shared is not None:
        refresh_all(engine, torrent)
    else:
        table.disband()
    for peer in torrent.swarm.peers.values():  # those that came while only the torrent's name was known
        if not super_seeding.begin(engine, peer):
            tell_pieces(engine, peer, table.complete.copy())
    for piece in [piece for piece in torrent.signals.of_piece if table.complete[piece]]:  # readers came before
        for waiting in torrent.signals.of_piece.pop(piece):
            engine.turn.outbox("signal", waiting, waiting.set)
    if isinstance(torrent.stage, Opening) and to_check.any():
        queue_check(engine, torrent, to_check)
        torrent.stage = follow(torrent.stage, Checking(torrent.disk.checks.left))
        engine.tell(events.StageChanged(torrent.info_hash, "checking"))
        return
    set_live(engine, torrent)
    if torrent.disk.checks.left:  # somebody asked for it before there was a storage
        advance(engine, torrent)
    else:
        settle_checked(engine, torrent)


def _distrusted(torrent: TorrentState, found: Opened) -> bitarray:
    """The pieces that are recorded complete and not believed; what this run records is taken from them."""
    if torrent.policy.trust:
        return no_pieces(len(found.complete))
    torrent.disk.checks.distrusted = found.complete.copy()
    return found.complete


def _restore(torrent: TorrentState, piece: int, bits: bytes, found: Opened) -> bool:
    """Take blocks of an unfinished piece over that a clean stop left on disk. A piece of which all are there is not."""
    table = torrent.pieces
    blocks = table.geometry.blocks_of(piece)
    got = bitarray(endian="big")
    got.frombytes(bits)
    if found.complete[piece] or len(got) < blocks or got.count(1, 0, blocks) == blocks:
        return False
    del got[blocks:]
    progress = PieceProgress(piece, blocks, 0.0)
    progress.restore(got)
    table.begun[piece] = progress
    torrent.holding.written[piece] = got
    return True
