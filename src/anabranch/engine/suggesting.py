"""A seed suggests to each peer that it serves what nobody has, and no other was suggested or asked for.

Source: BEP 6 ("suggest piece"). Peers that draw lots for what to ask of a seed draw the same now and then, and its
line, for which all wait while a swarm is young, sends such pieces twice: of few pieces, a third. Those that follow what
they are suggested do not collide. It is a hint and no more: whoever wants something else gets it. Once nothing is left
that nobody has, nothing is suggested any more. Super-seeding (BEP 16) suggests nothing: there, a peer knows of few
pieces. Network thread, within a turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from bitarray import bitarray

from anabranch.model import BLOCK_SIZE, all_pieces
from anabranch.wire import RequestRun

from .engine import Engine
from .state import Peer, Suggestions, TorrentState

AHEAD = 16 * BLOCK_SIZE  # bytes of what a peer was suggested and did not ask for yet; we ask for as much at first
_LOOKED_AT = 64  # pieces, at a time, to find some that nobody has


def offer(engine: Engine, peer: Peer) -> None:
    """The peer is unchoked: suggest what it may ask for, unless it is the only one, with whom nobody collides."""
    torrent = peer.torrent
    if not torrent.pieces.is_seed or not _follows(peer):
        return
    swarm = torrent.swarm
    if swarm.suggestions is None:
        others = [one for one in swarm.peers.values() if one is not peer and not one.talk.am_choking and _follows(one)]
        if not others:
            return
        swarm.suggestions = Suggestions(all_pieces(torrent.pieces.geometry.piece_count))
        for one in others:
            _suggest(engine, swarm.suggestions, one)
    _suggest(engine, swarm.suggestions, peer)


def _follows(peer: Peer) -> bool:
    """Whether the peer may heed what it is suggested, and knows that we have everything."""
    return peer.talk.fast and not peer.has_all and peer.serving.shown is None


def asked(engine: Engine, peer: Peer, run: RequestRun) -> None:
    """The peer asks for blocks: nobody else is to be suggested their piece, and if it followed us, it another one."""
    suggestions = peer.torrent.swarm.suggestions
    if suggestions is None:
        return
    suggestions.fresh[run.piece] = False
    pending = suggestions.open.get(peer)
    if pending is not None and run.piece in pending:
        pending.remove(run.piece)
        if peer.torrent.pieces.is_seed:
            _suggest(engine, suggestions, peer)


def left(peer: Peer) -> None:
    """The peer is gone: what it did not ask for may be suggested to others."""
    suggestions = peer.torrent.swarm.suggestions
    if suggestions is not None:
        for piece in suggestions.open.pop(peer, ()):
            suggestions.fresh[piece] = True


def _suggest(engine: Engine, suggestions: Suggestions, peer: Peer) -> None:
    torrent = peer.torrent
    pending = suggestions.open.setdefault(peer, set())
    room = -(-AHEAD // torrent.pieces.piece_length) - len(pending)
    for piece in islice(_fresh(engine, torrent, suggestions.fresh), max(room, 0)):
        suggestions.fresh[piece] = False
        pending.add(piece)
        peer.talk.suggest(piece)
        engine.due.touched.add(peer)


def _fresh(engine: Engine, torrent: TorrentState, fresh: bitarray) -> Iterator[int]:
    """Some pieces that nobody has, beginning anywhere. Those found to be with somebody are looked at only once."""
    if not fresh.any():
        return
    first = engine.draw(len(fresh))
    for piece in islice(chain(fresh.search(1, first), fresh.search(1, 0, first)), _LOOKED_AT):
        if torrent.pieces.availability[piece] > 0:
            fresh[piece] = False
        else:
            yield piece
