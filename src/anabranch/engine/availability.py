"""How many peers have each piece, kept as peers come, tell and go.

A peer with everything is one number, and one more for each piece that it loses. Others are counted piece by piece, in
slices over several turns where torrents are large: the pieces below `peer.counted` are in the numbers, so that what it
gains or loses meanwhile is counted once.
"""

from __future__ import annotations

from itertools import chain

from bitarray import bitarray

from anabranch.model import PeerFault, all_pieces

from .engine import Engine
from .stage import Closing, Dropped
from .state import Peer

_WORD = 9  # bytes that a peer needs to tell of one piece
_FEW = 1024  # changes that are counted at once, within the turn


def tell(engine: Engine, peer: Peer, bits: bitarray) -> None:
    """The peer told all its pieces. What it tells anew is paid for like as many single words.

    Raises:
        PeerFault: it does so for ever; to be silenced comes too late, as few bytes can bring much to count.
    """
    if not peer.among_seeds and not peer.has.any():
        begin(engine, peer, bits)
        return
    changed = bits ^ peer.has
    count = int(changed.count())
    peer.profile.chatter.credit(-_WORD * count)
    if peer.profile.chatter.overdrawn:
        raise PeerFault("tells all its pieces anew, again and again")
    if count > _FEW:
        begin(engine, peer, bits)
        return
    for piece in changed.search(1):
        if bits[piece]:
            one_more(engine, peer, piece)
        else:
            one_less(engine, peer, piece)


def begin(engine: Engine, peer: Peer, bits: bitarray) -> None:
    """Count the pieces of a peer from the beginning."""
    forget(engine, peer)
    if bits.all():
        begin_all(peer)
        return
    peer.has = bits
    peer.counted = 0

    end = len(bits)

    def count(piece: int) -> None:
        if piece == end:
            peer.counted = end
            return
        peer.counted = piece + 1
        if not peer.has_all:
            peer.torrent.pieces.count_have(piece, 1)

    # What it gains or loses meanwhile is seen by the search as far as that has not come there yet.
    engine.turn.sliced("count pieces", peer, chain(bits.search(1), (end,)), count)


def begin_all(peer: Peer) -> None:
    """The peer has everything."""
    peer.has = all_pieces(len(peer.has))
    peer.has_all = peer.among_seeds = True
    peer.torrent.pieces.seeds += 1
    if peer.candidate is not None:
        peer.candidate.seed = True


def one_more(engine: Engine, peer: Peer, piece: int) -> None:
    """The peer got a piece; with the last one it becomes a seed."""
    if peer.has_all or peer.has[piece]:
        return
    peer.has[piece] = True
    if peer.among_seeds or piece < peer.counted:
        peer.torrent.pieces.count_have(piece, 1)
    if not peer.has.all():
        return
    if peer.among_seeds:
        peer.has_all = True
    else:
        forget(engine, peer)
        begin_all(peer)


def one_less(engine: Engine, peer: Peer, piece: int) -> None:
    """The peer lost a piece (BEP 54). One that had everything stays among the seeds, less this piece: O(1), too."""
    if not peer.has[piece]:
        return
    peer.has[piece] = False
    peer.has_all = False
    if peer.among_seeds or piece < peer.counted:
        peer.torrent.pieces.count_have(piece, -1)


def forget(engine: Engine, peer: Peer) -> None:
    """The peer goes, or tells anew: take it out of the numbers."""
    table = peer.torrent.pieces
    engine.turn.stop_sliced("count pieces", peer)
    if isinstance(peer.torrent.stage, Closing | Dropped):  # nobody asks for the numbers, and all peers go in one turn
        peer.counted = 0
        return
    if peer.among_seeds:
        table.seeds -= 1
        peer.has_all = peer.among_seeds = False
        _count(engine, peer, ~peer.has, 1)
        return
    upto = peer.counted
    peer.counted = 0
    if upto:
        _count(engine, peer, peer.has[:upto], -1)


def _count(engine: Engine, peer: Peer, pieces: bitarray, step: int) -> None:
    """Correct the numbers of these pieces, in slices."""
    table = peer.torrent.pieces

    def count(piece: int) -> None:
        table.count_have(piece, step)

    if pieces.any():
        engine.turn.sliced("uncount pieces", pieces, pieces.search(1), count)
