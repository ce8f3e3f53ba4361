"""What is told about a torrent's trackers: frozen pictures, made within a turn and read without one.

Source: the tracker diagnostics of a fork of the Go engine, without their flaws: every kind of tracker is there, once,
in its own tier, and `next_announce` is the schedule itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf
from typing import NamedTuple

from anabranch.model import InfoHash
from anabranch.tracker import SCHEMES, Endpoint, FaultKind, TrackerFault

from .engine import Engine
from .fleet import shown
from .state import TorrentState
from .trackers import Line, Tracker

MOST = 1000  # of a torrent's trackers: no more than half as many are asked, and 100,000 would be a turn of a second


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """One address family of a tracker's host, as it answered for one name of a torrent.

    Args:
        family: "ipv4", "ipv6", or "proxy" where only a proxy knows.
        address: Where it was asked; "" where that is not known.
        info_hash: What it was asked about: a hybrid is announced by two.
        last_error, error_type: What went wrong; "" if nothing did.
        num_peers: How many addresses it gave.
        seconds: How long it took.
    """

    family: str
    address: str
    info_hash: InfoHash
    last_error: str = ""
    error_type: str = ""
    num_peers: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TrackerStatus:
    """One tracker of a torrent. Times in seconds, on the clock of time.monotonic().

    Args:
        url: As it was given, with its passkey: not for logs (and not in the repr).
        name: Its scheme, host and port, fit for logs.
        tier: Which tier of the announce list it is in; 0 is tried first.
        kind: "http", "udp", "websocket", or "" where the URL is none.
        state: "working", "failing" (the last announce did), "asking" (right now), "waiting" (for its first announce),
            "standby" (another tracker answers), "unusable" (it is not asked again) or "off" (switched off, or the
            torrent is not live).
        error_type: Why it fails, by category (docs/trackers.md); "" where nothing is wrong.
        last_error: The same in words.
        remedy: What can be done about it; "" where nothing is wrong.
        message: The tracker's own words, of a failure or a warning; where it had none, what is wrong.
        warning: A tracker's own words that came with an answer.
        scrape_error: Why Client.scrape() got no numbers there; "" if it did, or was not asked.
        last_announce: When the last announce came to its end, well or not; None: there was none.
        next_announce: When it is asked next, as things stand; None: not as long as others answer, or never.
        num_peers: How many addresses it gave last; 0 after a failure.
        seeders, leechers, downloaded: What it said of the swarm; None where it did not.
        interval, min_interval: Seconds that it wants between announces; None where it did not say.
        consecutive_fails: Failures in a row.
        seconds: How long the last announce took.
        endpoints: What came of each of its addresses, and of each name of the torrent.
        at: When the picture was made.
    """

    url: str = field(repr=False)
    name: str
    tier: int
    kind: str
    state: str
    error_type: str = ""
    last_error: str = ""
    remedy: str = ""
    message: str = ""
    warning: str = ""
    scrape_error: str = ""
    last_announce: float | None = None
    next_announce: float | None = None
    num_peers: int = 0
    seeders: int | None = None
    leechers: int | None = None
    downloaded: int | None = None
    interval: int | None = None
    min_interval: int | None = None
    consecutive_fails: int = 0
    seconds: float = 0.0
    endpoints: tuple[EndpointStatus, ...] = ()
    at: float = 0.0

    @property
    def is_working(self) -> bool:
        """Whether it has been asked, and the last announce succeeded. False also before the first."""
        return self.last_announce is not None and not self.error_type


def endpoints_of(name: InfoHash, endpoints: Iterable[Endpoint]) -> tuple[EndpointStatus, ...]:
    """What is kept of them: not the peers."""
    return tuple(
        EndpointStatus(
            family=one.family,
            address=str(one.address) if one.address is not None else "",
            info_hash=name,
            last_error=str(one.fault) if one.fault is not None else "",
            error_type=str(one.fault.error_type) if one.fault is not None else "",
            num_peers=len(one.reply.peers) if one.reply is not None else 0,
            seconds=one.seconds,
        )
        for one in endpoints
    )


class _Found(NamedTuple):
    """A tracker as it is asked for one name of the torrent, and when it is asked next."""

    line: Line
    tracker: Tracker
    at: float | None

    @property
    def fault(self) -> TrackerFault | None:
        """What went wrong there last."""
        return self.tracker.heard.fault if self.tracker.heard is not None else None


def tracker_statuses(engine: Engine, torrent: TorrentState) -> list[TrackerStatus]:
    """All trackers of a torrent, by tier and URL, but for those that an endless list goes on to. Within a turn."""
    now = engine.clock()
    found: dict[str, list[_Found]] = {}
    for line in (line for tiers in torrent.swarm.trackers for line in tiers.lines):
        times = line.expected(line.tiers.hungry)
        for tracker in line.every():
            at, quiet = times.get(tracker), engine.due.fleet.left_alone(tracker.url, now)
            if at is not None and quiet is not None:
                at = max(at, quiet.until)
            found.setdefault(tracker.url, []).append(_Found(line, tracker, at))
    listed = ((url, number) for number, tier in enumerate(torrent.metainfo.trackers) for url in tier)
    return sorted(
        (_status(url, number, found.get(url, []), now) for url, number in islice(listed, MOST)),
        key=lambda one: (one.tier, one.url),
    )


def _status(url: str, tier: int, found: list[_Found], now: float) -> TrackerStatus:
    """One URL. Where several names of the torrent are announced there, the one that fails speaks for it."""
    name, kind = shown(url), SCHEMES.get(url.partition(":")[0].lower(), "")
    if not found:
        return TrackerStatus(url, name, tier, kind, "off", at=now)
    line, tracker, _ = max(found, key=lambda one: one.fault is not None)
    expected = [one.at for one in found if one.at is not None]
    asked = [one.tracker.asked for one in found if one.tracker.asked is not None]
    every = [one.tracker.heard for one in found if one.tracker.heard is not None]
    heard = tracker.heard
    told = TrackerStatus(
        url,
        name,
        tier,
        kind,
        _state(line, tracker),
        last_announce=max(asked, default=None),
        next_announce=max(now, min(expected)) if expected and min(expected) < inf else None,
        consecutive_fails=max(one.tracker.fails for one in found),
        at=now,
    )
    if heard is None:
        return told
    fault = heard.fault
    return replace(
        told,
        error_type=str(fault.error_type) if fault is not None else "",
        last_error=str(fault) if fault is not None else "",
        remedy=fault.remedy if fault is not None else "",
        message=(fault.reason or str(fault)) if fault is not None else heard.warning,
        warning=heard.warning,
        scrape_error=heard.unscraped,
        num_peers=sum(one.peers for one in every),
        seeders=_most(one.seeders for one in every),
        leechers=_most(one.leechers for one in every),
        downloaded=_most(one.downloaded for one in every),
        interval=heard.interval,
        min_interval=heard.least,
        seconds=heard.seconds,
        endpoints=tuple(endpoint for one in every for endpoint in one.endpoints),
    )


def _most(counts: Iterable[int | None]) -> int | None:
    return max((count for count in counts if count is not None), default=None)


def _state(line: Line, tracker: Tracker) -> str:
    heard = tracker.heard
    if line.asking is tracker:
        return "asking"
    if heard is not None and heard.fault is not None:
        gone = heard.fault.kind is FaultKind.URL or tracker.pause == inf
        return "unusable" if gone else "failing"
    if tracker.asked is not None:
        return "working"
    return "standby" if line.current is not None else "waiting"
