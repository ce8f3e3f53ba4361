"""The fast extension's words on single pieces: which are given while choking, and which are asked for because of them.

Source: BEP 6 ("allowed fast", "suggest piece"). Network thread, within a turn. A peer that has next to nothing has
nothing to trade, so a few pieces are its to have at once. They are always the same for its neighbourhood, so that
coming back, or from next door, brings no others; and each is given once to an address, over however many connections.
"""

from __future__ import annotations

from hashlib import sha1
from ipaddress import ip_address
from itertools import chain

from anabranch.model import Priority
from anabranch.net import neighbourhood
from anabranch.wire import RequestRun

from .choosing import may_be_asked, pieces_for
from .engine import Engine
from .stage import Live
from .state import Peer

SET_SIZE = 10  # pieces, as BEP 6 proposes
MOST_GIVEN = 8 * 1024 * 1024  # bytes that an address has for nothing; at least one piece
REMEMBERED = 1024  # addresses of a torrent that were given something; the latest
_V6_NETWORK = 6  # bytes, a /48: what one customer is given at most. BEP 6 knows IPv4 only, where it takes the /24


def canonical_set(host: str, info_hash: bytes, piece_count: int, size: int) -> list[int]:
    """The pieces that anybody would allow a peer at that address, the first *size* of them."""
    packed = ip_address(host).packed
    network = packed[:3] + b"\0" if len(packed) == 4 else packed[:_V6_NETWORK] + bytes(len(packed) - _V6_NETWORK)
    digest = network + info_hash
    found: dict[int, None] = {}
    size = min(size, piece_count)
    while len(found) < size:
        digest = sha1(digest).digest()
        for at in range(0, 20, 4):
            if len(found) < size:
                found[int.from_bytes(digest[at : at + 4]) % piece_count] = None
    return list(found)


def is_starting(peer: Peer) -> bool:
    """Whether the peer has next to nothing, so that it has nothing to trade."""
    if peer.has_all:
        return False
    return int(peer.has.count()) < max(SET_SIZE, len(peer.has) // 10)


def offer(engine: Engine, peer: Peer) -> None:
    """Tell a peer that has just begun which pieces it may have while we choke it. Once; we may serve it."""
    table = peer.torrent.pieces
    if peer.serving.allowed or not peer.talk.fast or not peer.talk.am_choking or not is_starting(peer):
        return
    if peer.serving.shown is not None:  # it is super-seeded (BEP 16), and must not know what we have
        return
    geometry = table.geometry
    allowed = peer.serving.allowed = _given(peer)
    size = min(SET_SIZE, max(1, MOST_GIVEN // geometry.piece_length))
    suggestions = peer.torrent.swarm.suggestions
    for piece in canonical_set(peer.address.host, bytes(peer.torrent.info_hash), geometry.piece_count, size):
        if suggestions is not None and table.availability[piece] + table.seeds <= 0:
            continue  # nobody else has it, and those that we serve are to: the same for many would be sent many times
        if table.complete[piece] and not peer.has[piece] and allowed.setdefault(piece, geometry.blocks_of(piece)):
            peer.talk.allowed_fast(piece)
            engine.due.touched.add(peer)


def _given(peer: Peer) -> dict[int, int]:
    """What is left of what the peer's address is given, of all its connections together."""
    given, place = peer.torrent.swarm.given, neighbourhood(peer.address.host)
    left = given[place] = given.pop(place, {})
    if len(given) > REMEMBERED:
        del given[next(iter(given))]
    return left


def grants(engine: Engine, peer: Peer, run: RequestRun) -> bool:
    """Whether a request is served although we choke the peer. What is granted is used up: each piece is given once."""
    left = peer.serving.allowed.get(run.piece, 0) - -(-run.length // run.block)
    torrent = peer.torrent
    if left < 0 or not (isinstance(torrent.stage, Live) and torrent.policy.upload) or not is_starting(peer):
        return False
    if not (engine.config.seed or torrent.pieces.missing_wanted):
        return False
    peer.serving.allowed[run.piece] = left
    return True


def best_for(peer: Peer, room: int, now: float) -> list[int]:
    """What the peer is asked for next, as pieces_for() has it, and as the peer itself does.

    While it chokes us, that is what it allows. What it suggests comes before its equals in priority, but for what a
    reader waits for, which has an order; what it refused lately comes last, for others to be asked first.
    """
    torrent, advice = peer.torrent, peer.profile.advice
    table, has = torrent.pieces, peer.has
    if peer.talk.peer_choking:
        allowed = may_be_asked(torrent, [piece for piece in advice.allowed if has[piece]])
        return sorted(allowed, key=lambda piece: table.standing(piece).key)
    advice.forgive(now)
    refused = advice.refused
    found = pieces_for(torrent, peer, room + sum(table.geometry.blocks_of(piece) for piece in refused))
    if advice.suggested:
        for piece in [piece for piece in advice.suggested if table.complete[piece]]:
            del advice.suggested[piece]
        suggested = [piece for piece in advice.suggested if has[piece] and table.worth[piece] < Priority.READAHEAD]
        suggested = may_be_asked(torrent, suggested)
        found = list(dict.fromkeys(sorted(chain(suggested, found), key=lambda piece: -table.worth[piece])))
    if refused:
        found.sort(key=lambda piece: piece in refused)
    return found
