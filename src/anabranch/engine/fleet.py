"""How much trackers are asked by a client of thousands of torrents: limits at once, pace, and who does not answer.

Limits at once are those of a fork of the Go engine (two announces for each URL). The rest is ours: a tracker that all
torrents share is not stormed when they start together, and a dead one is not found out by each of them anew, 15
seconds at a time. Whoever has the turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from anabranch.model import InputRefused
from anabranch.net import Bucket, parse_url
from anabranch.tracker import SCHEMES, FaultKind, TrackerFault

AT_ONCE = 64  # announces under way
STRANGERS = 48  # of them to trackers that nobody has heard of: hundreds of dead ones leave room for those that answer
PER_URL = 2  # of them to one tracker
PER_HOST = 8  # and to one host, whatever its URLs: some have another passkey for each torrent
PACE = 32  # announces that begin in a second at one host, and at once after a pause: 10,000 torrents take 5 minutes
SILENCE = 3  # announces in a row, of any torrents, that nobody answered: then the others need not find out, too
_PAUSES = (120.0, 240.0, 480.0)  # seconds that a silent tracker is left alone by all; then one asks
_NOBODY = frozenset({FaultKind.NAME, FaultKind.NETWORK, FaultKind.TIMEOUT, FaultKind.TLS})
_OURS = frozenset({FaultKind.CANCELLED, FaultKind.CLOSED, FaultKind.INTERNAL, FaultKind.FORBIDDEN, FaultKind.URL})
_MOST = 4096  # hosts and trackers that are remembered


@dataclass(slots=True)
class Quiet:
    """A tracker that did not answer."""

    times: int = 0  # in a row
    rounds: int = 0  # in a row, that it was left alone
    until: float = 0.0  # it is left alone
    fault: TrackerFault | None = None


class Busy:
    """The announces that are under way, by what they are bounded by.

    Args:
        urls: Where, one for each.
        known: The places, as shown() tells them, where somebody answers.
    """

    __slots__ = ("_known", "hosts", "places", "strangers", "urls")

    def __init__(self, urls: Iterable[str] = (), known: Container[str] = ()) -> None:
        self.urls: Counter[str] = Counter()
        self.hosts: Counter[str] = Counter()
        self.places: Counter[str] = Counter()
        self.strangers = 0
        self._known = known
        for url in urls:
            self.add(url)

    def add(self, url: str) -> None:
        """One more."""
        place = shown(url)
        self.urls[url] += 1
        self.hosts[host_of(url)] += 1
        self.places[place] += 1
        self.strangers += place not in self._known


@dataclass(slots=True)
class Fleet:
    """What is known of trackers beyond single torrents."""

    budgets: dict[str, Bucket] = field(default_factory=dict)  # by host
    quiet: dict[str, Quiet] = field(default_factory=dict)  # by scheme, host and port
    known: dict[str, None] = field(default_factory=dict)  # the same of those that answered last

    def left_alone(self, url: str, now: float) -> Quiet | None:
        """What happened there, if it is left alone now."""
        quiet = self.quiet.get(shown(url))
        return quiet if quiet is not None and quiet.until > now else None

    def admits(self, url: str, now: float, busy: Busy) -> bool:
        """Whether one more announce may begin there."""
        return busy.urls[url] < PER_URL and self.has_room(url, now, busy)

    def has_room(self, place: str, now: float, busy: Busy) -> bool:
        """The same for some URL there: *place* is one of them, or what shown() makes of it."""
        place = shown(place)
        if busy.strangers >= STRANGERS and place not in self.known:
            return False
        host = host_of(place)
        if busy.hosts[host] >= PER_HOST:
            return False
        quiet = self.quiet.get(place)
        if quiet is not None and quiet.times >= SILENCE and busy.places[place]:
            return False  # one finds out for all
        budget = self.budgets.get(host)
        return budget is None or budget.ready_at(now) <= now

    def begins(self, url: str, now: float) -> None:
        """An announce begins there."""
        host = host_of(url)
        budget = self.budgets.get(host)
        if budget is None:
            _make_room(self.budgets)
            budget = self.budgets[host] = Bucket(PACE, PACE)
        budget.grant(1, now)

    def forgive(self, url: str) -> None:
        """It is to be asked again, whoever found nobody there."""
        self.quiet.pop(shown(url), None)

    def answered(self, url: str) -> None:
        """Somebody is there."""
        place = shown(url)
        self.quiet.pop(place, None)
        if place not in self.known:
            _make_room(self.known)
            self.known[place] = None

    def failed(self, url: str, fault: TrackerFault, now: float) -> None:
        """An announce there failed: maybe nobody is there."""
        place = shown(url)
        if fault.kind in _OURS:
            return
        if fault.kind not in _NOBODY:
            self.answered(url)
            return
        self.known.pop(place, None)
        quiet = self.quiet.get(place)
        if quiet is None:
            _make_room(self.quiet)
            quiet = self.quiet[place] = Quiet()
        quiet.times += 1
        if quiet.times >= SILENCE and quiet.until <= now:
            quiet.until = now + _PAUSES[min(quiet.rounds, len(_PAUSES) - 1)]
            quiet.rounds += 1
            quiet.fault = fault


@lru_cache(_MOST)
def shown(url: str) -> str:
    """A tracker's URL without what must not be told: scheme, host and port."""
    try:
        return str(parse_url(url, SCHEMES))
    except (InputRefused, UnicodeError):
        return "not a URL"


@lru_cache(_MOST)
def host_of(url: str) -> str:
    """Its host; "" where there is none."""
    try:
        return parse_url(url, SCHEMES).host.lower()
    except (InputRefused, UnicodeError):
        return ""


def _make_room(known: dict[str, Bucket] | dict[str, Quiet] | dict[str, None]) -> None:
    if len(known) >= _MOST:
        del known[next(iter(known))]
