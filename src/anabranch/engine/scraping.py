"""Asking trackers how many have a torrent, without taking part: many torrents in one question (BEP 48, 15).

Never by itself: announces tell the same, and who asks for it is a user. Within a turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

from anabranch.tracker import FaultKind, ScrapeReply, TrackerFault

from .engine import Engine
from .metrics import SCRAPED
from .state import TorrentState
from .trackers import FLOOR, Heard, Tracker

MOST = 50  # torrents in one question: what any tracker takes, and a URL of it


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scrape:
    """One question to one tracker: who is meant, by info hash, and whether the user named the URL."""

    url: str
    asked: dict[bytes, Tracker]
    trusted: bool


def plan(engine: Engine, torrents: Iterable[TorrentState]) -> list[Scrape]:
    """What to ask whom. A tracker that was asked for a torrent less than a minute ago is not asked again for it."""
    now = engine.clock()
    wanted: dict[tuple[str, bool], dict[bytes, Tracker]] = {}
    for torrent in torrents:
        for tiers in torrent.swarm.trackers:
            for tracker in tiers.every():
                asked = max((at for at in (tracker.asked, tracker.scraped) if at is not None), default=None)
                if (asked is None or asked + FLOOR <= now) and not _unusable(tracker):
                    tracker.scraped = now
                    trusted = tracker.url in torrent.swarm.trackers.trusted
                    wanted.setdefault((tracker.url, trusted), {})[bytes(tiers.name)] = tracker
    scrapes = []
    for (url, trusted), asked_for in wanted.items():
        pairs = iter(asked_for.items())
        while batch := dict(islice(pairs, MOST)):
            scrapes.append(Scrape(url, batch, trusted))
    return scrapes


def told(engine: Engine, scrape: Scrape, numbers: dict[bytes, ScrapeReply]) -> None:
    """The tracker answered. Of what it does not know it says nothing."""
    if (metrics := engine.metrics) is not None:
        metrics.add(SCRAPED, "answered")
    for name, tracker in scrape.asked.items():
        reply = numbers.get(name)
        if reply is not None:
            tracker.heard = replace(
                tracker.heard or Heard(),
                seeders=reply.seeders,
                leechers=reply.leechers,
                downloaded=reply.completed,
                unscraped="",
            )


def failed(engine: Engine, scrape: Scrape, fault: TrackerFault) -> None:
    """It did not: that says nothing about announces, many trackers give no numbers."""
    if (metrics := engine.metrics) is not None:
        metrics.add(SCRAPED, str(fault.error_type))
    for tracker in scrape.asked.values():
        tracker.heard = replace(tracker.heard or Heard(), unscraped=str(fault))


def _unusable(tracker: Tracker) -> bool:
    fault: TrackerFault | None = tracker.heard.fault if tracker.heard is not None else None
    return fault is not None and fault.kind is FaultKind.URL
