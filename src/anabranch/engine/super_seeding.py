"""Giving a torrent to its first peers with as little upload as possible (BEP 16).

A super-seeder says at first that it has nothing. Then it shows each peer one piece, which nobody has, as if it had just
got it, and the next when that piece is seen with somebody else: so each peer gets pieces to pass on, those who do get
more of them, and hardly any piece is uploaded twice. Once all pieces are out, they have them from each other, and each
is shown the rarest that it lacks now and then.

Only newcomers are treated so, and only while everything is here; who was told what we have, knows it. A peer that is
alone has nobody to pass anything on to, one that waits in vain for others to want its piece gets the next one after
some time, and one that does not want what it was shown at once. What others say that they have is believed as far as
a peer that is shown pieces gets any from elsewhere. Network thread, within a turn.
"""

from __future__ import annotations

from itertools import chain, islice

from bitarray import bitarray

from anabranch.model import all_pieces, no_pieces

from .engine import Engine
from .introducing import tell_pieces, tell_upload_only
from .state import Offer, Offers, Peer, TorrentState

PATIENCE = 30.0  # seconds that others have to get what a peer was shown, before it is shown more
UNWANTED_AFTER = 3.0  # seconds in which a peer becomes interested in what it was shown, if it wants it
REST = 10.0  # seconds between pieces that others have or were shown, too, for a peer that others give to
HUNGRY_REST = 1.0  # the same for one that gets nothing from them: they may only say that they have it
_SILENT_FOR = 2.0  # seconds after which a peer that says nothing of its pieces has none
_COMPARED = 64  # pieces of which the rarest is taken, where all have been shown


def set_super_seeding(engine: Engine, torrent: TorrentState, on: bool) -> None:
    """Super-seed while everything is here, or tell everybody what we have. Any thread, within a turn."""
    torrent.policy.super_seed = on
    engine.turn.outbox("super-seeding", torrent, engine.network.post, _switched, engine, torrent)


def begin(engine: Engine, peer: Peer) -> bool:
    """A peer came that does not know what we have. Tells whether it shall not know, and is super-seeded."""
    torrent = peer.torrent
    if not _active(torrent):
        return False
    swarm = torrent.swarm
    if swarm.offers is None:
        swarm.offers = Offers(all_pieces(torrent.pieces.geometry.piece_count))
        for other in swarm.peers.values():
            swarm.offers.fresh &= ~other.has
    peer.serving.shown = no_pieces(torrent.pieces.geometry.piece_count)
    return True


def look(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Each second: see who is to be shown another piece, and whether we still have everything."""
    offers = torrent.swarm.offers
    if offers is None:
        return
    if not _active(torrent):
        _end(engine, torrent)
        return
    for peer in torrent.swarm.peers.values():
        if peer.serving.shown is not None:
            _look_at(engine, offers, peer, peer.serving.shown, now)


def told(engine: Engine, peer: Peer, now: float) -> None:
    """The peer told which pieces it has, or that it has none."""
    offers = peer.torrent.swarm.offers
    if offers is not None:
        offers.fresh &= ~peer.has
        if peer.serving.shown is not None and peer not in offers.open:
            _show_next(engine, offers, peer, peer.serving.shown, now)
        engine.turn.defer("super-seeding", peer.torrent, look, engine, peer.torrent, now)


def told_have(engine: Engine, peer: Peer, piece: int, now: float) -> None:
    """The peer got a piece: whoever was shown it has passed it on, perhaps."""
    offers = peer.torrent.swarm.offers
    if offers is not None:
        offers.fresh[piece] = False
        for holder in list(offers.of_piece.get(piece, ())):
            if holder.serving.shown is not None:
                _look_at(engine, offers, holder, holder.serving.shown, now)


def left(peer: Peer) -> None:
    """A peer is gone, and out of the numbers of copies."""
    offers = peer.torrent.swarm.offers
    if offers is not None:
        _close(offers, peer)


def _active(torrent: TorrentState) -> bool:
    return torrent.policy.super_seed and torrent.pieces.is_seed


def _switched(engine: Engine, torrent: TorrentState) -> None:
    look(engine, torrent, engine.clock())


def _look_at(engine: Engine, offers: Offers, peer: Peer, shown: bitarray, now: float) -> None:
    offer = offers.open.get(peer)
    if offer is None:
        due = now >= peer.flow.connected_at + _SILENT_FOR
    else:
        age = now - offer.made_at
        has = bool(peer.has[offer.piece])
        taking = not has and peer.flow.up.rate(now) > 0
        refused = not has and not peer.talk.peer_interested and age >= UNWANTED_AFTER
        due = _is_spread(peer, offer, has) or refused or (age >= PATIENCE and not taking)
    if due:
        _show_next(engine, offers, peer, shown, now)


def _is_spread(peer: Peer, offer: Offer, has: bool) -> bool:
    """Whether the piece that the peer was shown is where it shall be."""
    others = _copies(peer.torrent, offer.piece) - has
    if offer.known or len(peer.torrent.swarm.peers) - peer.torrent.pieces.seeds <= 1:
        return has
    return others > 0


def _copies(torrent: TorrentState, piece: int) -> int:
    return torrent.pieces.availability[piece] + torrent.pieces.seeds


def _show_next(engine: Engine, offers: Offers, peer: Peer, shown: bitarray, now: float) -> None:
    """Show the peer a piece that it lacks and nobody was shown, else after a rest the rarest of some."""
    torrent = peer.torrent
    lacking = ~(peer.has | shown)
    fresh = lacking & offers.fresh
    first = engine.draw(len(lacking))
    last = offers.open.get(peer)
    elsewhere = int((peer.has & ~shown).count())
    if fresh.any():
        piece = next(_from(fresh, first))
    elif last is not None and now < last.made_at + (REST if elsewhere > last.elsewhere else HUNGRY_REST):
        return
    else:

        def rarity(one: int) -> int:
            return _copies(torrent, one) + 2 * len(offers.of_piece.get(one, ()))  # those on their way count double

        some = list(islice(_from(lacking, first), _COMPARED))
        if not some:
            return
        piece = min(some, key=rarity)
    _close(offers, peer)
    offers.open[peer] = Offer(piece, now, _copies(torrent, piece) > 0, elsewhere)
    offers.of_piece.setdefault(piece, set()).add(peer)
    offers.fresh[piece] = False
    shown[piece] = True
    peer.talk.have(piece)
    engine.due.touched.add(peer)


def _from(pieces: bitarray, first: int) -> chain[int]:
    """The pieces of a set, beginning somewhere, once around."""
    return chain(pieces.search(1, first), pieces.search(1, 0, first))


def _close(offers: Offers, peer: Peer) -> None:
    """The peer need not pass on any more what it was shown last. If nobody has it, it is shown to another one."""
    offer = offers.open.pop(peer, None)
    if offer is None:
        return
    holders = offers.of_piece[offer.piece]
    holders.discard(peer)
    if not holders:
        del offers.of_piece[offer.piece]
        offers.fresh[offer.piece] = not _copies(peer.torrent, offer.piece)


def _end(engine: Engine, torrent: TorrentState) -> None:
    """Tell everybody what we have."""
    torrent.swarm.offers = None
    for peer in torrent.swarm.peers.values():
        shown, peer.serving.shown = peer.serving.shown, None
        if shown is not None:
            tell_pieces(engine, peer, torrent.pieces.complete & ~shown)
    tell_upload_only(engine, torrent)
