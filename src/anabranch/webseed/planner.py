"""What to ask of web seeds next, what to stop asking, and what to ask instead.

Source: the Go engine's planner. Differences: a request has its slot and key from the moment it is planned, so that
nothing is planned twice; what a reader waits for takes the place of a request for the same slice that is worth less; of
several web seeds that could begin the same slice one is chosen; and what is equal in all else is ordered by URL, where
the Go engine ends the program.

Everything is handed in, and nothing is changed but what requests are worth. A plan holds for the book as it is: carried
out in the same turn, first what is cancelled, then what is replaced, then what starts, none of it is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from anabranch.model import InfoHash, Priority

from .requests import HOST_REQUESTS, Key, Request, Requests, State
from .seeds import WebSeed

NEAR = 1024 * 1024  # bytes; what a request reaches so soon is not worth a new one

NOT_WANTED = "nothing of it is wanted any more"
DEPRIORITIZED = "others at this host are wanted more"
SUSPENDED = "the web seed may not be asked now"


class Standing(NamedTuple):
    """What decides among equal priorities: less is better, but for *partial*."""

    peers: int = 0
    """The torrent's connections to peers: who has none has nobody else to ask."""
    partial: bool = False
    """The slice touches a file that is done in part."""
    name: str = ""
    """The torrent's."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A request that could be made: somewhere in a slice is something that nobody brings.

    For what a reader waits for, it may also be what the request under the same key has yet to bring: it is replaced
    where it would not come to that soon.

    Args:
        key: Under what it would be booked.
        seed: Who would be asked.
        start: Where in the torrent it would begin, in bytes.
        priority: What that is worth.
        asked: A peer owes what is there.
        partial, peers, name: As in Standing.
    """

    key: Key
    seed: WebSeed
    start: int
    priority: int
    asked: bool = False
    partial: bool = False
    peers: int = 0
    name: str = ""


class Plan(NamedTuple):
    """What to do; what starts and what is replaced, best first. Nothing of it contradicts the rest."""

    cancel: list[tuple[Request, str]]
    start: list[Candidate]
    replace: list[tuple[Request, Candidate]]


class _Place(NamedTuple):
    """Sorts by who comes first."""

    worth: int  # the priority, negative
    new: bool
    peers: int
    whole: bool
    name: str
    torrent: InfoHash
    slice: int


def plan(
    requests: Requests,
    candidates: Iterable[Candidate],
    priority_of: Callable[[Request], int | None],
    *,
    now: float,
    standing_of: Callable[[Request], Standing] = lambda _: Standing(),
) -> Plan:
    """Decide what each host's slots are used for. O(n log n) for n requests and candidates.

    Args:
        requests: What is booked.
        candidates: What could be asked. Those of a web seed that may not be asked now are left out.
        priority_of: What a request is worth now, by the piece at its *next*; None: it is done, or not wanted any more.
            It is what requests are taken from the queue by until the next plan.
        now: The time.
        standing_of: Decides which of a host's requests of equal priority give way to better ones.
    """
    draft = _Draft(requests, now)
    existing: list[tuple[_Place, Request]] = []
    for request in requests.live():
        if request.state is State.RESTING:
            continue
        priority = priority_of(request)
        if priority is None:
            draft.cancel(request, NOT_WANTED)
        elif request.state is State.RESERVED and not _may_be_asked(request.seed, now):
            draft.cancel(request, SUSPENDED)
        else:
            draft.priorities[request] = request.priority = priority
            existing.append((_place(request.key, priority, standing_of(request), new=False), request))
    fresh: list[tuple[_Place, Candidate]] = []
    for candidate in _best_of_each_key(one for one in candidates if _may_be_asked(one.seed, now)):
        if draft.may_have_its_key(candidate):
            standing = Standing(candidate.peers, candidate.partial, candidate.name)
            fresh.append((_place(candidate.key, candidate.priority, standing, new=True), candidate))

    ordered: list[tuple[_Place, Request | Candidate]] = sorted(
        [*existing, *fresh], key=lambda one: (one[0], one[1].key.url)
    )
    for _, equals in groupby(ordered, key=itemgetter(0)):
        alternatives = []  # for one slice, by web seeds
        for _, one in equals:
            if isinstance(one, Request):
                draft.keep(one)
            else:
                alternatives.append(one)
        if alternatives:
            draft.choose(alternatives)
    return draft.plan


class _Draft:
    """A plan in the making: what is decided, and which slots are left for what comes behind."""

    def __init__(self, requests: Requests, now: float) -> None:
        self.plan = Plan([], [], [])
        self.priorities: dict[Request, int] = {}  # of those that may be kept
        self._requests = requests
        self._now = now
        self._taken = Counter(request.seed.host for request in requests.resting())
        self._started: Counter[str] = Counter()
        self._served: set[tuple[InfoHash, int]] = set()  # slices for which something starts
        self._gone: set[Request] = set()  # cancelled or replaced

    def cancel(self, request: Request, reason: str) -> None:
        self._gone.add(request)
        self.plan.cancel.append((request, reason))

    def may_have_its_key(self, candidate: Candidate) -> bool:
        """Whether the key is free, or its holder is to give way."""
        old = self._requests.get(candidate.key)
        if old is None or old in self._gone:
            return True
        if old.seed is not candidate.seed:  # the same URL may be named twice, as of two kinds
            return False
        worth = self.priorities.get(old)  # None: it rests
        more = worth is not None and candidate.priority > worth and candidate.priority >= Priority.READAHEAD
        soon = old.state is not State.RESERVED and old.next <= candidate.start < min(old.next + NEAR, old.end)
        return more and not soon

    def keep(self, request: Request) -> None:
        """Let the request go on, if better ones have not used up its host's slots."""
        if request in self._gone:
            return
        if self._is_full(request.seed.host):
            self.cancel(request, DEPRIORITIZED)
        else:
            self._taken[request.seed.host] += 1

    def choose(self, alternatives: list[Candidate]) -> None:
        """Start one of these equals, all for one slice: one with nothing in its way, at the host that is used least."""
        one = min((one for one in alternatives if not self._is_full(one.seed.host)), key=self._reluctance, default=None)
        if one is None or one.key[1:] in self._served:
            return
        self._served.add(one.key[1:])
        self._taken[one.seed.host] += 1
        old = self._in_the_way(one)
        if old is None:
            self._started[one.seed.host] += 1
            self.plan.start.append(one)
        else:
            self._gone.add(old)
            self.plan.replace.append((old, one))

    def _is_full(self, host: str) -> bool:
        return self._taken[host] >= HOST_REQUESTS

    def _in_the_way(self, candidate: Candidate) -> Request | None:
        old = self._requests.get(candidate.key)
        return old if old is not None and old not in self._gone else None

    def _reluctance(self, candidate: Candidate) -> tuple[bool, int, float, str]:
        seed = candidate.seed
        busy = self._requests.at_host(seed.host) + self._started[seed.host]
        return (self._in_the_way(candidate) is not None, busy, -seed.down.rate(self._now), candidate.key.url)


def _may_be_asked(seed: WebSeed, now: float) -> bool:
    return not (seed.closed or seed.unusable or seed.suspended(now))


def _place(key: Key, priority: int, standing: Standing, *, new: bool) -> _Place:
    return _Place(-priority, new, standing.peers, not standing.partial, standing.name, key.torrent, key.slice)


def _best_of_each_key(candidates: Iterable[Candidate]) -> Iterable[Candidate]:
    best: dict[Key, Candidate] = {}
    for candidate in candidates:
        other = best.get(candidate.key)
        if other is None or _merit(candidate) < _merit(other):
            best[candidate.key] = candidate
    return best.values()


def _merit(candidate: Candidate) -> tuple[int, bool, int]:
    return (-candidate.priority, candidate.asked, candidate.start)
