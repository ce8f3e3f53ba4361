"""Going round a torrent's trackers: all at once, but not all at one host, and in time.

An announce tells a tracker a port where nobody listens here. So each is taken back at once: event started, then, where
the tracker answered, stopped. (With no event at all, strict trackers refuse whom they do not know, others list us
until they forget us.) Who must not be told anything is scraped.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from anabranch.model import Address
from anabranch.tracker import Announced, AnnounceRequest, Event, FaultKind, ScrapeReply, TrackerFault

from .findings import Finding, Subject, is_of_the_way, share_of

PATIENCE = 15.0  # seconds for an answer
ROUND = 15.5  # seconds until every question of a round is answered or given up, those that waited for their turn too
FAREWELL = 3.0  # seconds more for taking announces back
AT_ONCE = 32  # questions
PER_HOST = 2  # of them to one host
HOLD = 0.5  # seconds after which a question that nobody answers counts no more: it costs nobody anything
FLOOR = 60.0  # seconds between two announces to a tracker, whatever it says
_GRACE = 0.5  # seconds in which a question whose time is over should end by itself
_PROGRESS = 0.5  # seconds
_REMEMBERED = 10  # rounds that the health of a tracker is told of


class Asker(Protocol):
    """Who asks: a TrackerClient."""

    async def announce(self, url: str, request: AnnounceRequest, *, patience: float, trusted: bool) -> Announced:
        """Tell a tracker of us. Raises TrackerFault."""

    async def scrape(
        self, url: str, info_hashes: Sequence[bytes], *, patience: float, trusted: bool
    ) -> dict[bytes, ScrapeReply]:
        """Ask it how many there are. Raises TrackerFault."""


@dataclass(slots=True, eq=False)
class _Visited:
    """A tracker through the rounds; *announce_at*: when it may be told of us again, by the loop's clock."""

    subject: Subject
    finding: Finding | None = None
    announce_at: float = 0.0
    shares: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


class Visits:
    """Rounds of questions to the same trackers. For one event loop.

    Args:
        client: Who asks.
        request: What is told: that we have started.
        subjects: The trackers, one at least.
        only_scrape: Announce nothing.
        progress: Told now and then how many have answered in this round, of how many, and the seconds since it began.
    """

    def __init__(
        self,
        client: Asker,
        request: AnnounceRequest,
        subjects: Sequence[Subject],
        *,
        only_scrape: bool,
        progress: Callable[[int, int, float], None],
    ) -> None:
        self._client = client
        self._request = request
        self._only_scrape = only_scrape
        self._progress = progress
        self._visited = [_Visited(subject) for subject in subjects]
        self._clock = asyncio.get_running_loop().time

    async def round(self) -> list[Finding]:
        """Ask each tracker what it may be asked now. Answers what is known of each then, in 19 s at most."""
        began = self._clock()
        room = asyncio.Semaphore(AT_ONCE)
        rooms: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(PER_HOST))

        async def visit(one: _Visited) -> None:
            place = one.subject.place
            async with rooms[place.host if place else ""], room:
                question = group.create_task(self._ask(one, began + ROUND, farewell_group))
                await asyncio.wait([question], timeout=HOLD)
            await asyncio.wait([question])

        async with asyncio.TaskGroup() as farewell_group, asyncio.TaskGroup() as group:
            pending = {group.create_task(visit(one)) for one in self._visited}
            while pending:
                self._progress(len(self._visited) - len(pending), len(self._visited), self._clock() - began)
                _, pending = await asyncio.wait(pending, timeout=_PROGRESS)
        return [one.finding for one in self._visited if one.finding is not None]

    async def _ask(self, one: _Visited, end: float, farewell_group: asyncio.TaskGroup) -> None:
        now, before = self._clock(), one.finding
        if self._only_scrape or before is None or now >= one.announce_at:
            finding = await self._answered(one.subject, end, announce=not self._only_scrape)
        elif not before.is_working:
            return  # it failed a moment ago: whether it would take us now, a scrape does not tell
        else:
            finding = await self._answered(one.subject, end, announce=False)
            if finding.fault is not None and not is_of_the_way(finding.fault):
                return  # it gives no numbers, as many do; that it takes announces is what counts
            if finding.is_working:
                finding = replace(finding, reply=before.reply, endpoints=before.endpoints, wayless=before.wayless)
        if finding.asked == "announce":
            one.announce_at = self._clock() + _pause(finding)
            if finding.is_working:
                farewell_group.create_task(self._take_back(one.subject, finding))
        one.shares.append(share_of(finding.endpoints, finding.wayless) if finding.is_working else 0)
        one.finding = replace(finding, health=sum(one.shares) // len(one.shares))

    async def _answered(self, subject: Subject, end: float, *, announce: bool) -> Finding:
        """What came of one question."""
        began = self._clock()
        patience = float(int(min(PATIENCE, end - began)))  # whole seconds, as it is told to people
        finding = Finding(subject, "announce" if announce else "scrape", time.time(), 0.0)
        try:
            if patience <= 0.0:
                raise TrackerFault(FaultKind.TIMEOUT, "no time was left to ask it")  # noqa: TRY301 # told as any other
            async with asyncio.timeout(patience + _GRACE):
                if announce:
                    announced = await self._client.announce(
                        subject.url, self._request, patience=patience, trusted=subject.trusted
                    )
                    finding = replace(finding, reply=announced.reply, endpoints=announced.endpoints)
                else:
                    info_hash = self._request.info_hash
                    numbers = await self._client.scrape(
                        subject.url, [info_hash], patience=patience, trusted=subject.trusted
                    )
                    finding = replace(finding, numbers=numbers.get(info_hash))
        except TimeoutError:
            fault = TrackerFault(FaultKind.TIMEOUT, f"no answer in {patience:.0f} s")
            finding = replace(finding, fault=fault)
        except TrackerFault as fault:
            finding = replace(finding, fault=fault, endpoints=fault.endpoints)
        wayless = {one.family for one in finding.endpoints if one.fault and one.address and not _has_way(one.address)}
        return replace(finding, at=time.time(), seconds=self._clock() - began, wayless=frozenset(wayless))

    async def _take_back(self, subject: Subject, told: Finding) -> None:
        tracker_id = told.reply.tracker_id if told.reply else b""
        stopped = replace(self._request, event=Event.STOPPED, tracker_id=tracker_id)
        with suppress(TrackerFault, TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._client.announce(subject.url, stopped, patience=FAREWELL, trusted=subject.trusted)


def _pause(finding: Finding) -> float:
    """Seconds until a tracker may be told of us again."""
    if finding.fault is not None:
        return max(FLOOR, finding.fault.retry_in or 0.0)
    reply = finding.reply
    assert reply is not None
    return max(FLOOR, reply.interval if reply.min_interval is None else reply.min_interval)


def _has_way(address: Address) -> bool:
    """Whether this machine knows a way to an address. Sends nothing: it is the system that knows or does not."""
    try:
        with socket.socket(socket.AF_INET6 if address.is_v6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(tuple(address))
    except OSError:
        return False
    return True
