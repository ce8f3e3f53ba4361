"""Which pieces a peer is asked for next: the best of the request order that it has.

Network thread, within a turn. How many blocks of them, and where these are to land, is for asking.py to say.
"""

from __future__ import annotations

from .state import Peer, TorrentState

_SKIP = 512  # pieces of the order that a peer may lack before its bitfield is compared as a whole


def pieces_for(torrent: TorrentState, peer: Peer, room: int) -> list[int]:
    """The first pieces of the order that the peer has, enough for *room* blocks."""
    table = torrent.pieces
    begun, geometry, has, has_all = table.begun, table.geometry, peer.has, peer.has_all
    found: list[int] = []
    skipped = 0
    for piece in table.order.scan():
        if not (has_all or has[piece]):
            skipped += 1
            if skipped == _SKIP:
                both = table.order.members & has
                if both.count() < _SKIP:
                    return sorted(both.search(1), key=lambda one: table.standing(one).key)
            continue
        found.append(piece)
        progress = begun.get(piece)
        room -= progress.free_count if progress else geometry.blocks_of(piece)
        if room <= 0:
            break
    return found
