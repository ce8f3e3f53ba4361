"""Who may come in: callers that say nothing, call again and again, or break the protocol keep nobody else out.

An IPv4 address counts as one caller, and so does a /64 network of IPv6; loopback counts like any other. Not known here:
who is banned (banning.py), what a connection may become (membership.py), and which peer gives way (worst.py). Network
thread only.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from anabranch.net import neighbourhood

MOST_UNFINISHED = 200  # connections that came and have not shaken hands; a handshake takes a second or two
MOST_OF_ONE = 16  # of them from one caller
BURST = 600  # connections of one caller at once: a seedbox that comes back has one for each torrent
CALLS_PER_SECOND = 50.0  # of one caller, after such a burst; each costs us about 0.1 ms
FAULTS = 10  # broken protocols of one caller within FAULTS_WITHIN, after which it is not let in
FAULTS_WITHIN = 60.0  # seconds
SHUT_FOR = 60.0  # seconds
FORGOTTEN_AFTER = 900.0  # seconds without a call, as with the Go engine; all that is known of it has lapsed by then
_MOST_CALLERS = 2048  # remembered; the latest


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
            self._forget_callers(now)
        self._callers[name] = caller
        caller.credit = min(caller.credit + (now - caller.seen_at) * CALLS_PER_SECOND, BURST)
        caller.seen_at = now
        return caller

    def _forget_callers(self, now: float) -> None:
        """Make room for one more: the two that called longest ago go, if they are forgotten by now; one goes anyway.

        Two of the old for one that is new: so that all of them go, and no call has to look at all of them.
        """
        for _ in range(2):
            oldest = next(iter(self._callers), None)
            if oldest is None:
                return
            forgotten = now - self._callers[oldest].seen_at > FORGOTTEN_AFTER
            if forgotten or len(self._callers) >= _MOST_CALLERS:
                del self._callers[oldest]

    def _forget_finished(self) -> None:
        for visitor in [one for one in self._waiting if one.peer is not None]:
            del self._waiting[visitor]

    def _take_first(self, name: str) -> V:
        visitor = next(one for one, its_name in self._waiting.items() if its_name == name)
        del self._waiting[visitor]
        return visitor
