"""Who may come in: callers that say nothing, call again and again, or break the protocol keep nobody else out.

An IPv4 address counts as one caller, and so does a /64 network of IPv6; loopback counts like any other. Not known here:
who is banned (banning.py), and what a connection may become (membership.py). Network thread only.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from anabranch.net import neighbourhood

from .state import Peer

MOST_UNFINISHED = 200  # connections that came and have not shaken hands; a handshake takes a second or two
MOST_OF_ONE = 16  # of them from one caller
BURST = 600  # connections of one caller at once: a seedbox that comes back has one for each torrent
CALLS_PER_SECOND = 50.0  # of one caller, after such a burst; each costs us about 0.1 ms
FAULTS = 10  # broken protocols of one caller within FAULTS_WITHIN, after which it is not let in
FAULTS_WITHIN = 60.0  # seconds
SHUT_FOR = 60.0  # seconds
_MOST_CALLERS = 2048  # remembered; the latest

IDLE_AFTER = 60.0  # seconds without a block, either way
_GRACE = 10.0  # seconds a peer has to become interesting or interested
_GRACE_OF_CROWD = 2.0  # the same for one of many from one caller
_CROWD = 4  # peers of one caller


class Visitor(Protocol):
    """A connection that came by itself.

    Attributes:
        peer: Not None once it has shaken hands.
    """

    @property
    def peer(self) -> object:
        """See above."""


V = TypeVar("V", bound=Visitor)


@dataclass(slots=True)
class _Caller:
    credit: float = BURST  # connections
    seen_at: float = 0.0
    faults: deque[float] = field(default_factory=lambda: deque(maxlen=FAULTS))
    shut_until: float = 0.0


class Doorkeeper(Generic[V]):
    """Counts the connections that have not shaken hands yet, and remembers how callers behaved.

    A newcomer is let in, and the oldest of the greatest crowd gives way for it: those who shake hands at once are not
    kept out by those who do not, not even by those of their own address.
    """

    def __init__(self) -> None:
        self._callers: dict[str, _Caller] = {}  # the latest last
        self._waiting: dict[V, str] = {}  # who has not shaken hands -> which caller; who came first is first

    def admits(self, host: str, now: float) -> bool:
        """Whether a connection from there is taken at all: it costs the caller credit."""
        caller = self._caller(host, now)
        if now < caller.shut_until or caller.credit < 1:
            return False
        caller.credit -= 1
        return True

    def enter(self, visitor: V, host: str) -> V | None:
        """A connection was taken. Answers who has to go for it, if anybody has."""
        name = neighbourhood(host)
        self._forget_finished()
        victim = None
        if list(self._waiting.values()).count(name) >= MOST_OF_ONE:
            victim = self._take_first(name)
        elif len(self._waiting) >= MOST_UNFINISHED:
            victim = self.turn_away()
        self._waiting[visitor] = name
        return victim

    def turn_away(self) -> V | None:
        """Who may be sent away: whoever has waited longest of the greatest crowd. None where nobody waits."""
        self._forget_finished()
        if not self._waiting:
            return None
        [(name, _)] = Counter(self._waiting.values()).most_common(1)  # of equal ones that which came first
        return self._take_first(name)

    def leave(self, visitor: V) -> None:
        """A connection has ended. One that did not come this way is nothing to us."""
        self._waiting.pop(visitor, None)

    def blame(self, host: str, now: float) -> None:
        """A connection with that host ended because it broke the protocol."""
        caller = self._caller(host, now)
        caller.faults.append(now)
        if len(caller.faults) == FAULTS and now - caller.faults[0] <= FAULTS_WITHIN:
            caller.shut_until = now + SHUT_FOR
            caller.faults.clear()

    def _caller(self, host: str, now: float) -> _Caller:
        name = neighbourhood(host)
        caller = self._callers.pop(name, None)
        if caller is None:
            caller = _Caller(seen_at=now)
            if len(self._callers) >= _MOST_CALLERS:
                del self._callers[next(iter(self._callers))]
        self._callers[name] = caller
        caller.credit = min(caller.credit + (now - caller.seen_at) * CALLS_PER_SECOND, BURST)
        caller.seen_at = now
        return caller

    def _forget_finished(self) -> None:
        for visitor in [one for one in self._waiting if one.peer is not None]:
            del self._waiting[visitor]

    def _take_first(self, name: str) -> V:
        visitor = next(one for one, its_name in self._waiting.items() if its_name == name)
        del self._waiting[visitor]
        return visitor


def least_useful(peers: Iterable[Peer], host: str, now: float, *, chosen: bool = False) -> Peer | None:
    """Which of the peers may give way to a newcomer from that host, where there is no room for both.

    It is one that has moved no block for a while, and that either is not interested, nor are we in it, or comes from an
    address that has a crowd here, greater than the newcomer's. Whom the user gave goes last.

    Args:
        peers: All of them.
        host: The newcomer's address.
        now: The time.
        chosen: We look for somebody to fetch from, and the newcomer is whom we want to dial. Who came by itself and has
            not given us anything may give way to it, too: a crowd of callers must not keep us from those we know of.
    """
    all_of_them = list(peers)
    crowds = Counter(neighbourhood(peer.address.host) for peer in all_of_them)
    too_many = max(crowds[neighbourhood(host)] + 2, _CROWD)
    found: Peer | None = None
    least: tuple[bool, int, bool, float, float] | None = None
    for peer in all_of_them:
        flow, talk = peer.flow, peer.talk
        crowd = crowds[neighbourhood(peer.address.host)]
        idle = not (talk.peer_interested or talk.am_interested)
        age = now - flow.connected_at
        useless = chosen and not peer.outgoing and not flow.last_block and age > _GRACE_OF_CROWD
        crowded = crowd >= too_many and age > _GRACE_OF_CROWD
        if _busy(peer, now) or not ((idle and age > _GRACE) or crowded or useless):
            continue
        given = peer.candidate is not None and peer.candidate.of_user
        use = (given, -crowd, not idle, flow.last_block, flow.connected_at)
        if least is None or use < least:
            found, least = peer, use
    return found


def _busy(peer: Peer, now: float) -> bool:
    """Whether blocks move, or are about to."""
    flow, talk = peer.flow, peer.talk
    if talk.outstanding or talk.pending_payload or peer.serving.blocks or flow.up.rate(now) > 0:
        return True
    return bool(flow.last_block) and now - flow.last_block < IDLE_AFTER
