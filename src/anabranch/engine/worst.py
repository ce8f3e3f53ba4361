"""Which peer gives way where there is no room for all: one order for newcomers both ways, and for lower limits.

Source: the worst-connection rules of a fork of the Go engine (direction, use, last help, age, BEP 40 priority). Beyond
them: whoever moves blocks is spared, a crowd of one network goes before all others, and whom the user gave goes last.
Not known here: how many are allowed (membership.py, entrance_io.py). Looks at each peer once and sorts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from anabranch.model import BLOCK_SIZE
from anabranch.net import network
from anabranch.wire import METADATA

from .ourselves import Ourselves
from .state import Peer

IDLE_AFTER = 60.0  # seconds without a block, either way
GRACE = 10.0  # seconds a peer has to become interesting or interested
OLD = 60.0  # seconds after which one of the worse half has had its chance
MOST_UNASKED = 6 * BLOCK_SIZE  # bytes that nobody asked for; from here on a peer must have given more of use
_GRACE_OF_CROWD = 2.0  # seconds, for one of many of one network
_CROWD = 4  # peers of one network

_Mark = tuple[bool, bool, int, bool, bool, float, float]


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Who wants to come in.

    Args:
        host: Its address; empty where only somebody is looked for.
        outgoing: We dial it, or would.
        chosen: We look for somebody to fetch from. Who came by itself and has not given us anything may give way to it,
            too: a crowd of callers must not keep us from those we know of.
    """

    host: str
    outgoing: bool = False
    chosen: bool = False


def gives_way(peers: Iterable[Peer], newcomer: Newcomer, now: float, ours: Ourselves) -> Peer | None:
    """The worst of the peers that may go for a newcomer; None where none may.

    A peer may go when it

    - sent more that nobody asked for than what was of use, six blocks at least; or else when it moves no blocks, and
    - is of no use to us, nor we to it, or
    - is one of a crowd of one network, which is greater than the newcomer's, or
    - came the other way than the newcomer, as two more than the newcomer's did, or
    - is of the worse half, and is there for a minute.

    Args:
        peers: All of them.
        newcomer: Who would come.
        now: The time.
        ours: Our own addresses, for BEP 40.
    """
    everybody = list(peers)
    networks = _networks(everybody)
    crowd = max((networks[network(newcomer.host)] if newcomer.host else 0) + 2, _CROWD)
    surplus = _outgoing_surplus(everybody)
    crowded_out = surplus < -1 if newcomer.outgoing else surplus > 1

    def wrong_way(peer: Peer) -> bool:
        return crowded_out and peer.outgoing != newcomer.outgoing

    ranked = _ranked(everybody, networks, wrong_way, ours, now)
    for place, peer in enumerate(ranked):
        if wasteful(peer):
            return peer
        age = now - peer.flow.connected_at
        if busy(peer, now) or age <= _GRACE_OF_CROWD:
            continue
        if networks[network(peer.address.host)] >= crowd:
            return peer
        if newcomer.chosen and not peer.outgoing and not peer.flow.last_block:
            return peer
        worse_half = len(ranked) - place - 1 >= (len(ranked) + 1) // 2
        if (age > GRACE and (wrong_way(peer) or not useful(peer))) or (age > OLD and worse_half):
            return peer
    return None


def worst_first(peers: Iterable[Peer], now: float, ours: Ourselves) -> list[Peer]:
    """All of them in the order in which they go when fewer are allowed."""
    everybody = list(peers)
    surplus = _outgoing_surplus(everybody)

    def wrong_way(peer: Peer) -> bool:
        return surplus > 1 if peer.outgoing else surplus < -1

    return _ranked(everybody, _networks(everybody), wrong_way, ours, now)


def _ranked(
    peers: list[Peer], networks: Counter[str], wrong_way: Callable[[Peer], bool], ours: Ourselves, now: float
) -> list[Peer]:
    def mark(peer: Peer) -> _Mark:
        crowd = networks[network(peer.address.host)]
        return (
            peer.candidate is not None and peer.candidate.of_user,
            busy(peer, now) and not wasteful(peer),
            -crowd if crowd >= _CROWD else 0,
            not wrong_way(peer),
            useful(peer),
            last_helpful(peer),
            peer.flow.connected_at,
        )

    marked = sorted(((mark(peer), peer) for peer in peers), key=itemgetter(0))
    ranked: list[Peer] = []
    for _, equals in groupby(marked, key=itemgetter(0)):
        alike = [peer for _, peer in equals]
        if len(alike) > 1:  # seldom: the priority costs more than all else
            alike.sort(key=lambda peer: ours.priority(peer.address))
        ranked += alike
    return ranked


def busy(peer: Peer, now: float) -> bool:
    """Whether blocks move, or did lately, or are about to."""
    talk = peer.talk
    if talk.outstanding or talk.pending_payload or peer.serving.blocks:
        return True
    helped = last_helpful(peer)
    return bool(helped) and now - helped < IDLE_AFTER


def useful(peer: Peer) -> bool:
    """Whether it has what we want or wants what we have: that is the metadata at first."""
    talk = peer.talk
    if not peer.torrent.pieces.learned:
        return METADATA in talk.peer_extensions.ids
    return talk.am_interested or talk.peer_interested


def last_helpful(peer: Peer) -> float:
    """When it last gave us a block of use or took one from us; 0 for never."""
    return max(peer.flow.last_block, peer.flow.up.last)


def wasteful(peer: Peer) -> bool:
    """Whether it sends what nobody asked for, more than what is of use. Copies that we asked for do not count."""
    flow = peer.flow
    return flow.unasked >= MOST_UNASKED and flow.unasked > flow.down.total - flow.wasted


def _networks(peers: list[Peer]) -> Counter[str]:
    return Counter(network(peer.address.host) for peer in peers)


def _outgoing_surplus(peers: list[Peer]) -> int:
    """How many more we dialed than came by themselves."""
    return sum(1 if peer.outgoing else -1 for peer in peers)
