"""Which pieces a peer is asked for next: the best of the request order that it has.

Network thread, within a turn. How many blocks of them, and where these are to land, is for asking.py to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bitarray import bitarray

from .parole import barred
from .state import Peer, TorrentState


def pieces_for(torrent: TorrentState, peer: Peer, room: int) -> list[int]:
    """The first pieces of the order that the peer has, enough for *room* blocks."""
    table = torrent.pieces
    begun, geometry = table.begun, table.geometry
    has = None if peer.has_all else peer.has
    pieces = table.order.scan(has) if table.ordering.shared is None else fitting(torrent, has)
    doubtful = torrent.evidence.repeated  # mostly empty
    found: list[int] = []
    for piece in pieces:
        if piece in doubtful and barred(torrent, peer, piece):
            continue
        found.append(piece)
        progress = begun.get(piece)
        room -= progress.free_count if progress else geometry.blocks_of(piece)
        if room <= 0:
            break
    return found


def may_be_asked(torrent: TorrentState, pieces: Iterable[int]) -> list[int]:
    """Those of the pieces of which something may be asked for, and for which there is room."""
    table, shared = torrent.pieces, torrent.pieces.ordering.shared
    found = [piece for piece in pieces if table.requestable(piece)]
    if shared is None or not found:
        return found
    fits = list(shared.within(torrent.info_hash))
    return [piece for piece in found if any(fit[piece] for fit in fits)]


def fitting(torrent: TorrentState, has: bitarray | None) -> Iterator[int]:
    """What may be asked for of a torrent that shares its space with others: what there is room for, best first.

    Only what is in *has*, if that is given. The order must not change while this is read.
    """
    askable, shared = torrent.pieces.askable, torrent.pieces.ordering.shared
    if askable is None or shared is None:
        return
    if has is not None:
        askable = askable & has
    for fit in shared.within(torrent.info_hash):
        yield from (fit & askable).search(1)
