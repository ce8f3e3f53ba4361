"""The addresses that a torrent may dial, where each is known from, in which order, and when it may be tried again.

Whom the user gave comes first, then who failed least, then who did not understand us and is dialed in another way, then
who has the greater canonical priority (BEP 40), then who became known first. The order is made when somebody asks for
it: a torrent that dials nobody pays nothing.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

from anabranch.model import Address
from anabranch.net import why_not_dialed

from .metrics import CANDIDATES, CANDIDATES_BAD, CANDIDATES_EXCESS, Metrics
from .ourselves import Ourselves

MOST = 500  # candidates of a torrent (the Go engine's TorrentPeersHighWater)
_FIRST_PAUSE = 2.0  # seconds after the first failure; doubled by each further one
_LONGEST_PAUSE = 300.0  # seconds
_PATIENCE = 8  # failures after which a candidate that nobody vouches for is forgotten
_DISTRUST: Mapping[str, int] = {  # by source; in a full list the greater makes room for the smaller
    "user": 0,
    "incoming": 1,  # it spoke to us
    "magnet": 2,
    "tracker": 3,
    "lsd": 3,
    "dht": 4,
    "pex": 5,  # any peer may tell any address
}
_SHARES: Mapping[str, float] = {  # of a list, that one source may fill: what it tells must leave room for others
    "incoming": 0.5,
    "magnet": 0.5,
    "lsd": 0.25,
    "dht": 0.75,
    "pex": 0.5,
}


@dataclass(slots=True, eq=False)
class Candidate:
    """One address.

    Args:
        address: Where to dial.
        sources: Who told us: "user", "incoming", "magnet", "tracker", "lsd", "dht", "pex".
        first: Who told us first: it is one of those that fill the share of that source.
    """

    address: Address
    sources: set[str]
    first: str = ""
    failures: int = 0
    not_before: float = 0.0
    engaged: bool = False  # being dialed, or connected
    seed: bool = False  # had everything when last seen
    way: int = 0  # which of the ways to begin a connection is tried (dialing.py)
    misunderstood: bool = False  # the last dial was, and the next one is made for that
    ticket: int = 0  # of its one place in a heap that counts; 0: none

    @property
    def of_user(self) -> bool:
        """Whether the user gave it: it is never forgotten."""
        return "user" in self.sources

    @property
    def distrust(self) -> int:
        """How little its best source is to be believed."""
        return min(_DISTRUST[source] for source in self.sources)


_Ready = tuple[bool, int, bool, int, int, Candidate]  # not of the user, failures, understood, negative priority, ticket
_Resting = tuple[float, int, Candidate]  # not before, ticket


@dataclass(slots=True)
class Candidates:
    """All candidates of one torrent; *most* of them, beside those of the user."""

    most: int = MOST
    taken_at: float = -inf  # when one of them was dialed last
    metrics: Metrics | None = None  # the engine's
    _known: dict[Address, Candidate] = field(default_factory=dict)
    _fresh: list[Candidate] = field(default_factory=list)  # not in a heap yet
    _ready: list[_Ready] = field(default_factory=list)
    _resting: list[_Resting] = field(default_factory=list)
    _seeds: list[Candidate] = field(default_factory=list)  # were ready when nobody wanted seeds
    _worst: list[Candidate] = field(default_factory=list)  # those that make room for others, the worst last
    _worst_known: bool = False  # nothing happened since that would change the list above
    _told: Counter[str] = field(default_factory=Counter)  # how many each source told first
    _shares_full: set[str] = field(default_factory=set)  # sources of whose candidates none may be forgotten for another
    _tickets: int = 0
    _changes: int = 0  # of our own addresses, when the heap was made

    def __len__(self) -> int:
        return len(self._known)

    def add(self, address: Address, source: str) -> bool:
        """Remember an address, if it can be dialed at all. Tells whether it was new.

        A full list forgets one that failed, or whose source is worse, for it; else it takes only what the user gave.
        A source that has filled its share of the list makes room for what else it tells by what failed of that.
        What the user gives again is dialed without waiting for the end of its pause.
        """
        known = self._known.get(address)
        if known is not None:
            if source not in known.sources:
                known.sources.add(source)
                self._worst_known = False
            if source == "user" and not known.engaged:
                known.failures, known.not_before = 0, 0.0
                if known.ticket:  # else it waits to be sorted in already: some give the same ones every few seconds
                    known.ticket = 0
                    self._fresh.append(known)
            return False
        candidate = Candidate(address, {source}, source)
        metrics = self.metrics
        if why_not_dialed(address):
            if metrics is not None:
                metrics.add(CANDIDATES_BAD)
            return False
        full = len(self._known) >= self.most and source != "user"
        if (self._share_is_full(source) and not self._make_room_among(source)) or (
            full and len(self._known) >= self.most and not self._make_room(candidate)
        ):
            if metrics is not None:
                metrics.add(CANDIDATES_EXCESS)
            return False
        if metrics is not None:
            metrics.add(CANDIDATES, source)
        self._known[address] = candidate
        self._told[source] += 1
        self._fresh.append(candidate)
        if self._worst_known and not candidate.of_user:
            insort(self._worst, candidate, key=_badness)
        return True

    def get(self, address: Address) -> Candidate | None:
        """The candidate with that address, if it is known."""
        return self._known.get(address)

    def forget(self, candidate: Candidate) -> None:
        """Dial this one no more."""
        candidate.ticket = 0
        if self._known.get(candidate.address) is candidate:
            del self._known[candidate.address]
            self._told[candidate.first] -= 1
            self._shares_full.discard(candidate.first)

    def drop_sources(self, sources: Set[str]) -> int:
        """What these said counts no more: who is known from nowhere else is forgotten, whether it is engaged or not.

        Returns:
            How many were forgotten.
        """
        forgotten = [one for one in self._known.values() if one.sources <= sources]
        for one in forgotten:
            self.forget(one)
        for one in self._known.values():
            one.sources -= sources
        self._worst_known = False
        return len(forgotten)

    def waiting(self) -> int:
        """How many are known and not engaged. Looks at all of them."""
        return sum(not one.engaged for one in self._known.values())

    @property
    def ready(self) -> int:
        """About how many could be dialed at once: those whose pause lasts do not count. Costs nothing."""
        return len(self._fresh) + len(self._ready)

    def due(self, now: float, seeds_too: bool) -> bool:
        """Whether next() might find one: costs nothing where there is none."""
        if self._fresh or self._ready or (seeds_too and self._seeds):
            return True
        return bool(self._resting) and self._resting[0][0] <= now

    def rests_until(self) -> float:
        """When the pause of the next one ends; infinity for none."""
        return self._resting[0][0] if self._resting else inf

    def next(self, now: float, seeds_too: bool, ours: Ourselves) -> Candidate | None:
        """The candidate to dial now, which stays the next one until it is engaged or forgotten.

        Args:
            now: The time.
            seeds_too: False while we have everything ourselves.
            ours: Our own addresses, which the order depends on.
        """
        self._sort(now, seeds_too, ours)
        while self._ready:
            ticket, candidate = self._ready[0][4:]
            if candidate.ticket == ticket and not candidate.engaged:
                if seeds_too or not candidate.seed:
                    return candidate
                candidate.ticket = 0
                self._seeds.append(candidate)
            heappop(self._ready)
        return None

    def engage(self, candidate: Candidate, now: float) -> None:
        """It is dialed."""
        candidate.engaged = True
        candidate.misunderstood = False
        self.taken_at = now

    def again(self, candidate: Candidate) -> None:
        """A dial was misunderstood, which says nothing about the next one: that need not wait."""
        candidate.engaged = False
        candidate.misunderstood = True
        candidate.ticket = 0
        self._fresh.append(candidate)

    def lost(self, candidate: Candidate, now: float, served: bool) -> None:
        """A dial failed or a connection ended. *served*: it was of use, so it may come back soon."""
        candidate.engaged = False
        candidate.failures = 0 if served else candidate.failures + 1
        pause = min(_FIRST_PAUSE * 2 ** min(max(candidate.failures - 1, 0), 10), _LONGEST_PAUSE)
        candidate.not_before = now + pause
        if self._known.get(candidate.address) is not candidate:
            return
        self._worst_known = False
        self._shares_full.clear()
        if candidate.failures > _PATIENCE and not candidate.of_user:
            self.forget(candidate)
        else:
            candidate.ticket = self._ticket()
            heappush(self._resting, (candidate.not_before, candidate.ticket, candidate))

    def _share_is_full(self, source: str) -> bool:
        share = _SHARES.get(source)
        return share is not None and self._told[source] >= max(1, int(share * self.most))

    def _make_room_among(self, source: str) -> bool:
        """Forget who failed most of those that this source told first. Tells whether there was one."""
        if source in self._shares_full:
            return False
        failed = [one for one in self._known.values() if one.first == source and one.failures and not one.engaged]
        worst = max((one for one in failed if not one.of_user), key=_badness, default=None)
        if worst is None:
            self._shares_full.add(source)
            return False
        self.forget(worst)
        if self.metrics is not None:
            self.metrics.add(CANDIDATES_EXCESS)
        return True

    def _sort(self, now: float, seeds_too: bool, ours: Ourselves) -> None:
        """Bring the heaps up to date."""
        if self._changes != ours.changes:
            self._changes = ours.changes
            self._fresh += [one for *_, ticket, one in sorted(self._ready) if one.ticket == ticket]
            self._ready.clear()
        if seeds_too and self._seeds:
            self._fresh += self._seeds
            self._seeds.clear()
        while self._resting and self._resting[0][0] <= now:
            _, ticket, candidate = heappop(self._resting)
            if candidate.ticket == ticket:
                self._fresh.append(candidate)
        for candidate in self._fresh:
            if self._known.get(candidate.address) is candidate and not candidate.engaged:
                candidate.ticket = ticket = self._ticket()
                priority = ours.priority(candidate.address)
                order = not candidate.of_user, candidate.failures, not candidate.misunderstood, -priority
                heappush(self._ready, (*order, ticket, candidate))
        self._fresh.clear()

    def _ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    def _make_room(self, newcomer: Candidate) -> bool:
        """Forget the worst, if it is worse than the newcomer: one that failed, or else one that is less believed."""
        if not self._worst_known:
            free = [one for one in self._known.values() if not one.engaged and not one.of_user]
            self._worst = sorted(free, key=_badness)
            self._worst_known = True
        while self._worst:
            worst = self._worst.pop()
            if self._known.get(worst.address) is not worst or worst.engaged:
                continue
            if worst.failures or worst.distrust > newcomer.distrust:
                self.forget(worst)
                if self.metrics is not None:
                    self.metrics.add(CANDIDATES_EXCESS)
                return True
            self._worst.append(worst)
            break
        return False


def _badness(candidate: Candidate) -> tuple[int, int]:
    return candidate.failures, candidate.distrust


def half_open_limit(most: int, connected: int, reserve: int, configured: int = 25) -> int:
    """How many dials one torrent may have under way.

    Source: the budget of a fork of the Go engine that serves a fleet: idle torrents must leave room for busy ones.

    Args:
        most: Connections the torrent may have; 0 or less dials nobody.
        connected: Connections it has.
        reserve: Candidates received.
        configured: EstablishedHalfOpen of the configuration.
    """
    if most <= 0:
        return 0
    floor = max(1, most // 4)
    cap = max(2, most // 2)
    return min(max(floor, reserve - most // 2) + (most - connected), configured, cap)
