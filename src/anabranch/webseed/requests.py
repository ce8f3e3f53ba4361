"""The book of requests to web seeds: which there are, and which may come next.

Source: the fork's requester pool and the limits of the Go engine's planner. There, a request that was queued was in no
book until a worker had started it, so that the same was queued again and again, and what replaced it was removed from
one book before the other. Here there is one book. A request takes its slot at the host and the key of its slice when it
is planned, and has both until it ends; every change is one call, after which all that is counted agrees.

Whoever holds the turn calls this. Who asks the servers, what the bytes are and what is worth asking is not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import Enum
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any, NamedTuple

from anabranch.model import InfoHash, Misused, Priority

from .seeds import WebSeed

HOST_REQUESTS = 25  # of one host in all, as in the Go engine: what is queued and what rests after a failure counts
STARTERS = 2  # requests of one web seed between leaving the queue and the head of an answer, as in the fork
CONNECTIONS = 10  # to one host, as in the Go engine
FEW_CONNECTIONS = 2  # with which a host is begun: where one brings all that comes through, more only cost
SPARE_CONNECTIONS = 2  # more, for what a reader waits for: it must not queue behind a slow server
LOW_WATER = HOST_REQUESTS // 2  # requests left at a host at which more are planned
PLAN_EVERY = 5.0  # seconds
LONGEST_REST = 10.0  # seconds after a failure; how many is left to chance, so that not all come again at once


class Key(NamedTuple):
    """What there is one live request for at most."""

    url: str
    torrent: InfoHash
    slice: int


class State(Enum):
    """The stages of a request's life."""

    RESERVED = "reserved"
    """It waits for its turn."""
    STARTING = "starting"
    """It is being sent, or its answer has not begun."""
    READING = "reading"
    """Its content comes."""
    RESTING = "resting"
    """It failed, and keeps its place for a while so that no other takes it at once."""
    ENDED = "ended"
    """It is in no book any more."""


_MAY_FOLLOW = {
    State.RESERVED: frozenset({State.STARTING, State.RESTING, State.ENDED}),
    State.STARTING: frozenset({State.READING, State.RESTING, State.ENDED}),
    State.READING: frozenset({State.RESTING, State.ENDED}),
    State.RESTING: frozenset({State.ENDED}),
}
_OVER = frozenset({State.RESTING, State.ENDED})  # what comes late changes nothing
_CONNECTED = frozenset({State.STARTING, State.READING})


@dataclass(slots=True, eq=False)
class Request:
    """Neighbouring bytes that one web seed is asked for, [begin, end) in the torrent.

    Attributes:
        seed: Who is asked.
        key: Under what it is booked.
        begin: Where in the torrent it starts.
        end: The offset behind it; who holds the turn may take it back.
        next: What comes next: all before that has landed.
        priority: What it was worth when that was last looked at.
        state: Changed by the book alone.
        reason: Why it was cancelled; empty while it lives, and where it ended by itself.
        rest_until: When its rest is over; 0 before it rests.
        attachment: Whatever the engine keeps with it.
    """

    seed: WebSeed
    key: Key
    begin: int
    end: int
    priority: int
    next: int = field(init=False)
    state: State = State.RESERVED
    reason: str = ""
    rest_until: float = 0.0
    attachment: Any = None

    def __post_init__(self) -> None:
        self.next = self.begin


@dataclass(slots=True)
class _Host:
    """What is booked at one host. Never more than HOST_REQUESTS, so looking through the queue is a constant cost."""

    requests: int = 0
    connections: int = 0  # STARTING or READING
    width: int = FEW_CONNECTIONS  # of these there may be
    queue: dict[Request, None] = field(default_factory=dict)  # RESERVED, first in first


@dataclass(slots=True)
class _Asked:
    """What is booked of one web seed."""

    requests: dict[Request, None] = field(default_factory=dict)
    starting: int = 0


class Requests:
    """All live requests of a client. O(1) per call but for what a call names, and O(log n) for rests."""

    def __init__(self) -> None:
        self._live: dict[Key, Request] = {}
        self._hosts: dict[str, _Host] = {}
        self._seeds: dict[WebSeed, _Asked] = {}
        self._torrents: dict[InfoHash, dict[Request, None]] = {}
        self._rests: list[tuple[float, int, Request]] = []  # a heap; those that ended meanwhile are left in it
        self._serial = count()

    def __len__(self) -> int:
        return len(self._live)

    # --- changes ---

    def reserve(self, seed: WebSeed, key: Key, begin: int, end: int, priority: int) -> Request | None:
        """Book a request and queue it. None: the web seed is closed, its host's slots or the key are taken."""
        if seed.closed or key in self._live or self.at_host(seed.host) >= HOST_REQUESTS:
            return None
        request = Request(seed, key, begin, end, priority)
        self._live[key] = request
        host = self._hosts.setdefault(seed.host, _Host())
        host.requests += 1
        host.queue[request] = None
        self._seeds.setdefault(seed, _Asked()).requests[request] = None
        self._torrents.setdefault(key.torrent, {})[request] = None
        return request

    def replace(self, old: Request, key: Key, begin: int, end: int, priority: int) -> Request | None:
        """End *old* and book a request of the same web seed in its place, in one step.

        None, and *old* stays: it has ended or rests (which a replacement would cut short), or another has the key.
        """
        holder = self._live.get(key)
        if old.state in _OVER or (holder is not None and holder is not old):
            return None
        self.end(old, "replaced by a more urgent one")
        return self.reserve(old.seed, key, begin, end, priority)

    def take(self, seed: WebSeed) -> Request | None:
        """The next of the web seed's queue to start: best priority first, then first in.

        None: there is none, STARTERS are starting, or the host's connections are used. Whether it is still worth
        starting, and whether the web seed may be asked now, is for the caller to see, before: what waits for something
        else than a connection waits in the queue.
        """
        host, asked = self._hosts.get(seed.host), self._seeds.get(seed)
        if host is None or asked is None or asked.starting >= STARTERS:
            return None
        queued = [request for request in host.queue if request.seed is seed]
        if not queued:
            return None
        best = max(queued, key=_priority_of)  # of equals the first
        if host.connections >= host.width + (SPARE_CONNECTIONS if best.priority >= Priority.READAHEAD else 0):
            return None
        self._enter(best, State.STARTING)
        return best

    def used_up(self, host: str) -> int:
        """How many connections to the host there are, if there may be no more; else 0."""
        found = self._hosts.get(host)
        return found.connections if found is not None and found.connections >= found.width else 0

    def widen(self, host: str) -> None:
        """Allow twice as many connections, up to CONNECTIONS; until the host has no requests."""
        if (found := self._hosts.get(host)) is not None:
            found.width = min(2 * found.width, CONNECTIONS)

    def reading(self, request: Request) -> None:
        """The answer has begun. Nothing happens to one that reads already, and to one that is over."""
        if request.state is not State.READING and request.state not in _OVER:
            self._enter(request, State.READING)

    def rest(self, request: Request, until: float) -> None:
        """The request failed: it keeps slot and key until then. Nothing happens to one that rests already or ended."""
        if request.state in _OVER:
            return
        self._enter(request, State.RESTING)
        request.rest_until = until
        heappush(self._rests, (until, next(self._serial), request))

    def end(self, request: Request, reason: str = "") -> bool:
        """Take the request out of the book, with its slot, and its key. Tells whether it was in it.

        A late call does nothing, whoever has the key by then.
        """
        if request.state is State.ENDED:
            return False
        self._enter(request, State.ENDED)
        request.reason = reason
        seed, key = request.seed, request.key
        del self._live[key]
        host, asked, others = self._hosts[seed.host], self._seeds[seed], self._torrents[key.torrent]
        host.requests -= 1
        if not host.requests:
            del self._hosts[seed.host]
        del asked.requests[request], others[request]
        if not asked.requests:
            del self._seeds[seed]
        if not others:
            del self._torrents[key.torrent]
        return True

    def rested(self, now: float) -> list[Request]:
        """End those whose rest is over, and answer them."""
        over = []
        while self.next_due() <= now and self._rests:
            request = heappop(self._rests)[2]
            self.end(request)
            over.append(request)
        return over

    def unqueue(self, seed: WebSeed, reason: str) -> list[Request]:
        """End what the web seed has in the queue, and answer it: it may not be asked for a while."""
        return self._end_all([request for request in self.of(seed) if request.state is State.RESERVED], reason)

    def close(self, seed: WebSeed, reason: str = "the web seed was removed") -> list[Request]:
        """Close the web seed for good: all its requests end, and no other is ever booked. Answers them."""
        seed.closed = True
        return self._end_all(self.of(seed), reason)

    def drop(self, torrent: InfoHash, reason: str = "the torrent was removed") -> list[Request]:
        """End all requests of the torrent, and answer them. Its web seeds stay as they are."""
        return self._end_all(self._torrents.get(torrent, ()), reason)

    # --- questions ---

    def at_host(self, host: str) -> int:
        """How many slots of the host are taken."""
        found = self._hosts.get(host)
        return found.requests if found is not None else 0

    def waiting(self, host: str) -> list[WebSeed]:
        """The web seeds with something in the host's queue, in the order in which they should take()."""
        found = self._hosts.get(host)
        queued = sorted(found.queue, key=_priority_of, reverse=True) if found is not None else ()
        return list(dict.fromkeys(request.seed for request in queued))

    def of(self, seed: WebSeed) -> Collection[Request]:
        """The web seed's live requests, in the order of booking."""
        asked = self._seeds.get(seed)
        return asked.requests.keys() if asked is not None else ()

    def get(self, key: Key) -> Request | None:
        """The live request under this key."""
        return self._live.get(key)

    def live(self) -> Collection[Request]:
        """All live requests."""
        return self._live.values()

    def resting(self) -> Iterator[Request]:
        """Those that rest."""
        return (request for request in self._live.values() if request.state is State.RESTING)

    def next_due(self) -> float:
        """When the next rest is over; infinity where none rests."""
        while self._rests and self._rests[0][2].state is not State.RESTING:
            heappop(self._rests)
        return self._rests[0][0] if self._rests else inf

    def low_water(self, host: str, succeeded: bool) -> bool:
        """Whether to plan anew after a request at this host ended: few are left after a success, or none at all.

        After failures that is not so: the server that failed would be asked for more, and sooner than others.
        """
        left = self.at_host(host)
        return not left or (succeeded and left <= LOW_WATER)

    def check(self) -> None:
        """Compare all that is counted with the requests themselves, for who looks for our mistakes.

        Raises:
            RuntimeError: something does not fit; the text says what.
        """
        live = set(self._live.values())
        by_host = Counter(request.seed.host for request in live)
        by_seed = Counter(request.seed for request in live)
        connected = Counter(request.seed.host for request in live if request.state in _CONNECTED)
        starting = Counter(request.seed for request in live if request.state is State.STARTING)
        queued = {request for request in live if request.state is State.RESERVED}
        of_seeds = [request for asked in self._seeds.values() for request in asked.requests]
        of_torrents = [request for requests in self._torrents.values() for request in requests]
        in_queues = [request for host in self._hosts.values() for request in host.queue]
        rests = {request for _, _, request in self._rests if request.state is State.RESTING}
        for what, fits in (
            ("ended requests are booked", not any(request.state is State.ENDED for request in live)),
            ("keys are not their requests'", all(request.key == key for key, request in self._live.items())),
            ("URLs are not their web seeds'", all(request.key.url == request.seed.source.url for request in live)),
            ("hosts", {name: host.requests for name, host in self._hosts.items()} == by_host),
            ("a host has too many", all(number <= HOST_REQUESTS for number in by_host.values())),
            ("web seeds", set(of_seeds) == live and len(of_seeds) == len(live)),
            ("web seeds' numbers", {seed: len(asked.requests) for seed, asked in self._seeds.items()} == by_seed),
            ("torrents", set(of_torrents) == live and len(of_torrents) == len(live)),
            ("torrents left behind", all(self._torrents.values())),
            ("connections", all(host.connections == connected[name] for name, host in self._hosts.items())),
            ("too many connections", all(n <= CONNECTIONS + SPARE_CONNECTIONS for n in connected.values())),
            ("starting", all(asked.starting == starting[seed] for seed, asked in self._seeds.items())),
            ("too many start", all(number <= STARTERS for number in starting.values())),
            ("queues", set(in_queues) == queued and len(in_queues) == len(queued)),
            ("queued elsewhere", all(r.seed.host == name for name, host in self._hosts.items() for r in host.queue)),
            ("rests", rests == set(self.resting())),
            ("closed web seeds have requests", not any(seed.closed for seed in self._seeds)),
        ):
            if not fits:
                raise RuntimeError(f"the book of web seed requests does not fit: {what} ({len(live)} live)")

    def _enter(self, request: Request, state: State) -> None:
        before = request.state
        if state not in _MAY_FOLLOW[before]:
            raise Misused(f"a request to a web seed cannot go from {before.value} to {state.value}")
        host, asked = self._hosts[request.seed.host], self._seeds[request.seed]
        if before is State.RESERVED:
            del host.queue[request]
        host.connections += (state in _CONNECTED) - (before in _CONNECTED)
        asked.starting += (state is State.STARTING) - (before is State.STARTING)
        request.state = state

    def _end_all(self, requests: Collection[Request], reason: str) -> list[Request]:
        ended = list(requests)
        for request in ended:
            self.end(request, reason)
        return ended


def _priority_of(request: Request) -> int:
    return request.priority
