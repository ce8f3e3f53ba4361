"""How many peers have each piece, kept as peers come, tell and go.

A peer with everything is one number. Others are counted piece by piece, in slices over several turns where torrents are
large: the pieces below `peer.counted` are in the numbers, so that what it gains or loses meanwhile is counted once.
"""

from __future__ import annotations

from bitarray import bitarray

from anabranch.model import all_pieces

from .engine import Engine
from .state import Peer


def begin(engine: Engine, peer: Peer, bits: bitarray) -> None:
    """The peer told which pieces it has."""
    forget(engine, peer)
    if bits.all():
        begin_all(peer)
        return
    peer.has = bits
    peer.counted = 0

    def count(piece: int) -> None:
        peer.counted = piece + 1
        if peer.has[piece] and not peer.has_all:
            peer.torrent.pieces.count_have(piece, 1)

    engine.turn.sliced("count pieces", peer, range(len(bits)), count)


def begin_all(peer: Peer) -> None:
    """The peer has everything."""
    peer.has = all_pieces(len(peer.has))
    peer.has_all = True
    peer.torrent.pieces.seeds += 1
    if peer.candidate is not None:
        peer.candidate.seed = True


def one_more(engine: Engine, peer: Peer, piece: int) -> None:
    """The peer got a piece; with the last one it becomes a seed."""
    if peer.has_all or peer.has[piece]:
        return
    peer.has[piece] = True
    if piece < peer.counted:
        peer.torrent.pieces.count_have(piece, 1)
    if peer.has.all():
        forget(engine, peer)
        begin_all(peer)


def one_less(engine: Engine, peer: Peer, piece: int) -> None:
    """The peer lost a piece (BEP 54). A peer that had everything is counted piece by piece from now on."""
    if not peer.has[piece]:
        return
    if peer.has_all:
        left = peer.has.copy()
        left[piece] = False
        begin(engine, peer, left)
        return
    peer.has[piece] = False
    if piece < peer.counted:
        peer.torrent.pieces.count_have(piece, -1)


def forget(engine: Engine, peer: Peer) -> None:
    """The peer goes, or tells anew: take it out of the numbers."""
    table = peer.torrent.pieces
    engine.turn.stop_sliced("count pieces", peer)
    if peer.has_all:
        table.seeds -= 1
        peer.has_all = False
        return
    gone, upto = peer.has, peer.counted
    peer.counted = 0

    def uncount(piece: int) -> None:
        table.count_have(piece, -1)

    if upto:
        engine.turn.sliced("uncount pieces", gone, gone.search(1, 0, upto), uncount)
