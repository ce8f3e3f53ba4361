"""Which blocks of a wrong piece are wrong: peers are asked for the hashes of its blocks (BEP 52).

Only of a piece that failed its own hash, as libtorrent does it: so a good piece costs nothing. The piece's hash proves
each answer. Nobody has to answer: who has nothing but piece hashes refuses, who lies is sent away, and after a while
the piece is judged without. Network thread, within a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Set

from anabranch.metainfo import Wanted
from anabranch.wire import HashRequest

from .engine import Engine
from .hashing import Doubt, Doubts
from .state import Peer, TorrentState

PATIENCE = 5.0  # seconds that the blocks of a wrong piece are kept for the answers
WITNESSES = 2  # peers that are asked for the same at a time: one of them may be the liar
MOST_OPEN = 64  # pieces of a torrent in doubt at a time
MOST_ASKED = 16  # requests under way with one peer; we ourselves refuse more
_MOST_KNOWN = 64  # pieces that failed and did not come again, whose blocks' hashes are remembered
_REST = 30.0  # seconds in which a peer that had no answer is not asked


def doubt(
    engine: Engine, torrent: TorrentState, piece: int, senders: Set[str], told: Callable[[bytes | None], None]
) -> bool:
    """Ask for the hashes of a piece's blocks, those last who sent blocks of it. Whether there is anybody to ask.

    If so, *told* is called once, in a later turn: with the hashes, joined, or None where nobody told.
    """
    exchange = torrent.exchange
    if exchange is None or len(exchange.doubts.open) >= MOST_OPEN:
        return False
    wanted = exchange.layers.leaves_wanted(piece)
    now = engine.clock()
    fresh = Doubt(piece, senders, told, now + PATIENCE, set(wanted))
    if not wanted or not _ask(engine, torrent, exchange.doubts, fresh, now):
        return False
    exchange.doubts.open[piece] = fresh
    return True


def in_doubt(torrent: TorrentState) -> Collection[int]:
    """The pieces whose blocks' hashes are waited for."""
    return torrent.exchange.doubts.open if torrent.exchange is not None else ()


def known(torrent: TorrentState, piece: int) -> bytes | None:
    """The hashes of a piece's blocks, joined, if it was in doubt before."""
    return torrent.exchange.doubts.known.get(piece) if torrent.exchange is not None else None


def forget(torrent: TorrentState, piece: int) -> None:
    """The piece is complete."""
    if torrent.exchange is not None:
        torrent.exchange.doubts.known.pop(piece, None)


def heard(engine: Engine, peer: Peer, wanted: Wanted, hashes: bytes) -> bool:
    """Hashes came. Whether they were asked for here.

    Raises:
        PeerFault: they are wrong.
    """
    torrent, exchange = peer.torrent, peer.torrent.exchange
    if exchange is None or not _answered(exchange.doubts, peer, wanted):
        return False
    peer.profile.chatter.credit(len(hashes))
    doubts = exchange.doubts
    for one in [one for one in doubts.open.values() if wanted in one.missing]:
        one.found[wanted] = exchange.layers.leaves_in(one.piece, wanted, hashes)
        one.missing.discard(wanted)
        if not one.missing:
            leaves = b"".join(one.found[part] for part in sorted(one.found, key=lambda part: part.first))
            doubts.known[one.piece] = leaves
            while len(doubts.known) > _MOST_KNOWN:
                del doubts.known[next(iter(doubts.known))]
            _tell(doubts, one, leaves)
    engine.turn.defer("ask on", doubts, _ask_on, engine, torrent, doubts)  # once, however many answers came
    return True


def refused(engine: Engine, peer: Peer, wanted: Wanted) -> bool:
    """A peer does not have the hashes, or does not give them. Whether they were asked for here."""
    exchange = peer.torrent.exchange
    if exchange is None or not _answered(exchange.doubts, peer, wanted):
        return False
    exchange.doubts.mute[peer] = engine.clock() + _REST
    engine.turn.defer("ask on", exchange.doubts, _ask_on, engine, peer.torrent, exchange.doubts)
    return True


def look(engine: Engine, torrent: TorrentState, now: float) -> None:
    """See who keeps us waiting, and who came that may be asked; called each second."""
    doubts = torrent.exchange.doubts if torrent.exchange is not None else None
    if doubts is None or not (doubts.open or doubts.mute):
        return
    for one in [one for one in doubts.open.values() if one.until <= now]:
        for peer, owed in doubts.asked.items():
            if owed & one.missing:
                doubts.mute[peer] = now + _REST
        _tell(doubts, one, None)
    for peer in [peer for peer, until in doubts.mute.items() if until <= now]:
        del doubts.mute[peer]
    _ask_on(engine, torrent, doubts)


def left(torrent: TorrentState, peer: Peer) -> None:
    """A peer is gone; others are asked when somebody looks."""
    if torrent.exchange is not None:
        torrent.exchange.doubts.asked.pop(peer, None)
        torrent.exchange.doubts.mute.pop(peer, None)


def end(torrent: TorrentState) -> None:
    """Nobody is asked any more: the torrent closes."""
    if torrent.exchange is not None:
        doubts = torrent.exchange.doubts
        for one in list(doubts.open.values()):
            _tell(doubts, one, None)


def _ask_on(engine: Engine, torrent: TorrentState, doubts: Doubts) -> None:
    """Ask as many as may be asked; where there is nobody, do not wait."""
    now = engine.clock()
    for one in list(doubts.open.values()):
        if not _ask(engine, torrent, doubts, one, now):
            _tell(doubts, one, None)


def _ask(engine: Engine, torrent: TorrentState, doubts: Doubts, one: Doubt, now: float) -> bool:
    """Ask for what is missing of a piece. Whether somebody owes an answer to any of it."""
    owed = dict.fromkeys(sorted(one.missing), 0)
    for peer, words in doubts.asked.items():
        if doubts.mute.get(peer, 0.0) <= now:
            for wanted in words & owed.keys():
                owed[wanted] += 1
    if all(count >= WITNESSES for count in owed.values()):
        return True
    fit = [
        peer
        for peer in torrent.swarm.peers.values()
        if peer.profile.v2
        and (peer.has_all or peer.has[one.piece])
        and doubts.mute.get(peer, 0.0) <= now
        and peer.address.host not in engine.banned
    ]
    fit.sort(key=lambda peer: (peer.address.host in one.senders, len(doubts.asked.get(peer, ()))))
    for wanted, count in owed.items():
        for peer in fit:
            if count >= WITNESSES:
                break
            words = doubts.asked.setdefault(peer, set())
            if wanted not in words and len(words) < MOST_ASKED:
                words.add(wanted)
                peer.talk.hash_request(HashRequest(*wanted))
                engine.due.touched.add(peer)
                count += 1
        owed[wanted] = count
    return any(owed.values())


def _answered(doubts: Doubts, peer: Peer, wanted: Wanted) -> bool:
    """A peer answers a request, now or late: it owes that no more. Whether it did."""
    owed = doubts.asked.get(peer)
    if owed is None or wanted not in owed:
        return False
    owed.discard(wanted)
    if not owed:
        del doubts.asked[peer]
    return True


def _tell(doubts: Doubts, one: Doubt, leaves: bytes | None) -> None:
    if doubts.open.pop(one.piece, None) is one:
        one.told(leaves)
