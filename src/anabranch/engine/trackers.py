"""The trackers of torrents, as they lie: who was told what, what came of it, and whom of them to ask when.

Sources: BEP 12 (a tier's trackers one after the other, then the next tier), BEP 52 (a hybrid announces each of its
names). When to ask is computed from what was heard, never stored beside it: what is told of the schedule is the
schedule. announcing.py acts on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from anabranch.model import InfoHash
from anabranch.tracker import AnnounceRequest, TrackerFault

if TYPE_CHECKING:
    from .state import TorrentState
    from .tracker_status import EndpointStatus

FLOOR = 60.0  # seconds between two announces to a tracker, whatever it says, but to tell it that we have got everything

_LONGEST_RETRY = 24 * 3600.0  # seconds; a page of a network that wants a login first may say anything, and be gone soon

Farewell = tuple[str, InfoHash]  # a tracker's URL, and by which name the torrent leaves


def barred_for(fault: TrackerFault) -> float:
    """Seconds for which a tracker that failed wants to be left alone: a day at most, or infinity, for ever (BEP 31)."""
    retry_in = fault.retry_in or 0.0
    return retry_in if retry_in == inf else min(retry_in, _LONGEST_RETRY)


@dataclass(slots=True)
class Heard:
    """What came of the last announce to a tracker, without the peers: there are thousands of these.

    Args:
        seconds: How long it took; 0.0 where it was not asked itself.
        fault: What went wrong.
        peers: How many addresses it gave.
        seeders, leechers, downloaded: What it says of the swarm, or said when it was scraped.
        interval, least: Seconds that it wants between announces, and before which it wants none.
        warning: For people.
        unscraped: Why it gave no numbers when it was scraped; "" if it did, or was not.
        endpoints: What came of each family that its host has.
    """

    seconds: float = 0.0
    fault: TrackerFault | None = None
    peers: int = 0
    seeders: int | None = None
    leechers: int | None = None
    downloaded: int | None = None
    interval: int | None = None
    least: int | None = None
    warning: str = ""
    unscraped: str = ""
    endpoints: tuple[EndpointStatus, ...] = ()


@dataclass(slots=True, eq=False)
class Tracker:
    """One announce URL, for one name of a torrent.

    Args:
        url: As it was given.
        port: Where we listen, as it was told last.
        knows: It was told that we are there.
        fails: Failures in a row.
        barren: Answers in a row that told of nobody new.
        asked: When the last announce came to its end.
        pause: Seconds from then until the next one; infinity for never.
        hurry: The same while the torrent is hungry.
        held: It is not asked before then: others found that nobody answers there.
        tracker_id: What it wants to hear again.
        told_complete: It was told that we have got everything, or need not be.
        hears_complete: It is being told just that.
        heard: What came of the last announce; None: nothing yet.
        scraped: When it was scraped last.
    """

    url: str = field(repr=False)
    port: int = 0
    knows: bool = False
    fails: int = 0
    barren: int = 0
    asked: float | None = None
    pause: float = 0.0
    hurry: float = 0.0
    held: float = 0.0
    tracker_id: bytes = b""
    told_complete: bool = True
    hears_complete: bool = False
    heard: Heard | None = None
    scraped: float | None = None

    def due(self, hungry: bool) -> float:
        """When it may be asked, infinity for never; 0.0 is at once."""
        if self.asked is None:
            return self.held if self.pause < inf else inf
        return max(self.held, self.asked + (self.hurry if hungry else self.pause))

    def wait(self, now: float, pause: float, hurry: float) -> None:
        """An announce came to its end: how long to the next one."""
        self.asked, self.pause, self.hurry = now, pause, min(hurry, pause)


@dataclass(slots=True, eq=False, repr=False)
class Tiers:
    """A torrent's trackers, for one of its names.

    Args:
        torrent: Whose they are.
        name: The name.
        tiers: The trackers, best tier first.
        uploaded, downloaded: The torrent's totals when we began: trackers are told what came since.
        counted: That we have got everything was told, or nobody has to be told: we had it when we began.
        hungry: The torrent was, when somebody looked last.
        lines: Those of whom one is asked at a time.
    """

    torrent: TorrentState
    name: InfoHash
    tiers: list[list[Tracker]]
    uploaded: int
    downloaded: int
    counted: bool = False
    hungry: bool = False
    lines: list[Line] = field(default_factory=list)

    def every(self) -> list[Tracker]:
        """All of them, first tier first."""
        return [one for tier in self.tiers for one in tier]


@dataclass(slots=True, eq=False, repr=False)
class Line:
    """Trackers of whom one is asked at a time: all of a name's, or, where all are announced to, a single one.

    Args:
        tiers: Whose they are.
        only: The single one.
        asking: Who is being asked.
        current: Who answered last: while it does, the others are left alone.
    """

    tiers: Tiers
    only: Tracker | None = None
    asking: Tracker | None = None
    current: Tracker | None = None

    def every(self) -> list[Tracker]:
        """Its trackers, in the order in which they are tried."""
        return self.tiers.every() if self.only is None else [self.only]

    def due(self, hungry: bool) -> float:
        """When one of them is to be asked; infinity for never."""
        if self.current is not None:
            return self.current.due(hungry)
        return min((one.due(hungry) for one in self.every()), default=inf)

    def next(self, now: float, hungry: bool) -> Tracker | None:
        """Whom to ask, if its time has come by then: the first that may be asked, also when a later one answered."""
        if self.due(hungry) > now:
            return None
        return next((one for one in self.every() if one.due(hungry) <= now), None)

    def expected(self, hungry: bool) -> dict[Tracker, float]:
        """When each is asked next, as things stand; those left out: not before one that is tried earlier fails."""
        at = self.due(hungry)
        first = self.next(at, hungry) if at < inf else None
        times: dict[Tracker, float] = {}
        before = True  # it is tried before who answered last
        for one in self.every():
            before &= one is not self.current
            due = one.due(hungry)
            if one is first or one is self.current:
                times[one] = at
            elif one.asked is not None and due < inf and (before or self.current is None):
                times[one] = max(at, due)
        return times


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Announce:
    """One announce to be made, as it was when it became due.

    Args:
        line, tracker: Where.
        request: What to tell.
        due: When that was.
        trusted: The user named the URL.
        last: The torrent leaves.
    """

    line: Line
    tracker: Tracker
    request: AnnounceRequest
    due: float
    trusted: bool = False
    last: bool = False

    @property
    def tiers(self) -> Tiers:
        """Whose trackers these are."""
        return self.line.tiers

    @property
    def key(self) -> Farewell:
        """Where it goes, and about whom."""
        return self.tracker.url, self.tiers.name
