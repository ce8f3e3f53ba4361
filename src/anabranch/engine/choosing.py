"""Which pieces a peer is asked for next: the best of the request order that it has.

Network thread, within a turn. How many blocks of them, and where these are to land, is for asking.py to say.
"""

from __future__ import annotations

from collections.abc import Iterator

from bitarray import bitarray

from anabranch.picker import SharedOrder

from .pieces import PieceTable
from .state import Peer, TorrentState


def pieces_for(torrent: TorrentState, peer: Peer, room: int) -> list[int]:
    """The first pieces of the order that the peer has, enough for *room* blocks."""
    table = torrent.pieces
    begun, geometry = table.begun, table.geometry
    has = None if peer.has_all else peer.has
    shared = table.ordering.shared
    pieces = table.order.scan(has) if shared is None else _within(torrent, table, shared, has)
    found: list[int] = []
    for piece in pieces:
        found.append(piece)
        progress = begun.get(piece)
        room -= progress.free_count if progress else geometry.blocks_of(piece)
        if room <= 0:
            break
    return found


def _within(torrent: TorrentState, table: PieceTable, shared: SharedOrder, has: bitarray | None) -> Iterator[int]:
    """What may be asked for of a torrent that shares its space with others: what there is room for."""
    askable = table.askable
    if askable is None:
        return
    if has is not None:
        askable = askable & has
    for fit in shared.within(torrent.info_hash):
        yield from (fit & askable).search(1)
