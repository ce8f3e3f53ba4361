"""Rounds of questions, in a loop whose time passes only where everybody waits."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeVar

import pytest

from anabranch.cli.findings import Subject
from anabranch.cli.visiting import Visits
from anabranch.model import Address
from anabranch.net import parse_url
from anabranch.tracker import (
    Announced,
    AnnounceReply,
    AnnounceRequest,
    Endpoint,
    ErrorType,
    Event,
    FaultKind,
    ScrapeReply,
    TrackerFault,
)

HASH = bytes(range(20))
REQUEST = AnnounceRequest(info_hash=HASH, peer_id=bytes(20), port=6881, event=Event.STARTED)
FOUND = AnnounceReply(interval=1800, seeders=2, leechers=1)
KNOWN = {HASH: ScrapeReply(5, 6, 7)}
NOWHERE = Address("255.255.255.255", 80)  # no system sends there without being asked twice
T = TypeVar("T")


class Skipping(selectors.DefaultSelector):
    """Nothing comes from outside: who waits is at the end of the wait at once."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    skipping = Skipping()

    def make_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.SelectorEventLoop(skipping)
        loop.time = lambda: skipping.now  # type: ignore[method-assign] # that is the point
        return loop

    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(work())


@dataclass
class Town:
    """Trackers that do as they are told; an Asker.

    Args:
        announces: What comes of telling each: an answer, a fault, or seconds before none comes.
        scrapes: What comes of asking each for numbers.
    """

    announces: Mapping[str, Announced | TrackerFault | float] = field(default_factory=dict)
    scrapes: Mapping[str, Mapping[bytes, ScrapeReply] | TrackerFault] = field(default_factory=dict)
    asked: list[tuple[float, str, str]] = field(default_factory=list)
    patience: list[float] = field(default_factory=list)

    async def announce(self, url: str, request: AnnounceRequest, *, patience: float, trusted: bool) -> Announced:
        self.asked.append((now(), url, request.event.name))
        self.patience.append(patience)
        outcome = self.announces.get(url, Announced(FOUND, ()))
        if isinstance(outcome, float):
            await asyncio.sleep(min(patience, outcome))
            raise TrackerFault(FaultKind.TIMEOUT, "no answer")
        if isinstance(outcome, TrackerFault):
            raise outcome
        return outcome

    async def scrape(
        self, url: str, info_hashes: Sequence[bytes], *, patience: float, trusted: bool
    ) -> dict[bytes, ScrapeReply]:
        self.asked.append((now(), url, "scrape"))
        outcome = self.scrapes.get(url, KNOWN)
        if isinstance(outcome, TrackerFault):
            raise outcome
        return dict(outcome)

    def events(self, url: str) -> list[str]:
        return [event for _, asked, event in self.asked if asked == url]


def now() -> float:
    return asyncio.get_running_loop().time()


def subjects(*urls: str) -> list[Subject]:
    return [Subject(url, 0, parse_url(url, ("http", "udp")), False) for url in urls]


def visits(town: Town, *urls: str, only_scrape: bool = False) -> Visits:
    return Visits(town, REQUEST, subjects(*urls), only_scrape=only_scrape, progress=lambda *_: None)


A, B = "http://a.example/announce", "udp://b.example:6969"


def test_who_answered_is_told_that_we_have_stopped() -> None:
    """Else peers would be sent for hours to a port where nobody listens."""

    async def work() -> None:
        town = Town({B: TrackerFault(FaultKind.REFUSED, "go away")})
        found = await visits(town, A, B).round()
        assert [one.state for one in found] == ["works", "fails"]
        assert town.events(A) == ["STARTED", "STOPPED"]
        assert town.events(B) == ["STARTED"]

    run(work)


def test_what_must_not_be_told_is_scraped() -> None:
    """Nobody hears of us; a tracker that does not know the torrent works all the same."""

    async def work() -> None:
        town = Town(scrapes={B: {}})
        one, other = await visits(town, A, B, only_scrape=True).round()
        assert {event for _, _, event in town.asked} == {"scrape"}
        assert (one.state, one.counts) == ("works", KNOWN[HASH])
        assert (other.state, other.counts) == ("works", None)
        assert "does not know" in other.message

    run(work)


@pytest.mark.parametrize("count", [1, 40, 500])
def test_a_round_ends_in_time_though_nobody_answers(count: int) -> None:
    """Each tracker is asked, and has at least some seconds: one that hangs does not make another look dead."""

    async def work() -> None:
        urls = [f"http://{number}.example/announce" for number in range(count)]
        town = Town(dict.fromkeys(urls, inf))
        began = now()
        found = await visits(town, *urls).round()
        assert now() - began <= 19.0
        assert [one.error_type for one in found] == [ErrorType.TIMEOUT] * count
        assert len(town.asked) == count
        assert min(town.patience) >= 7.0
        assert town.patience[0] == 15.0

    run(work)


def test_who_does_not_keep_to_the_time_is_left_behind() -> None:
    """Twenty seconds are all that a round may take, whoever breaks a promise: also of being told that we stop."""

    class Stubborn(Town):
        async def announce(self, url: str, request: AnnounceRequest, *, patience: float, trusted: bool) -> Announced:
            if url == A or request.event is Event.STOPPED:
                await asyncio.sleep(1000.0)
            return await super().announce(url, request, patience=patience, trusted=trusted)

    async def work() -> None:
        began = now()
        one, other = await visits(Stubborn(), A, B).round()
        assert now() - began <= 19.0
        assert (one.error_type, one.message, other.state) == ("timeout", "no answer in 15 s", "works")

    run(work)


@pytest.mark.parametrize("hosts", [10, 40])
def test_no_host_is_stormed(hosts: int) -> None:
    """Of questions that are new, two go to one host and 32 to all; what waits for an answer keeps nobody waiting."""

    async def work() -> None:
        urls = [f"http://{number % hosts}.example/{number}/announce" for number in range(hosts * 5)]
        town = Town(dict.fromkeys(urls, inf))
        await visits(town, *urls).round()
        assert {url for _, url, _ in town.asked} == set(urls)
        for moment, _, _ in town.asked:
            fresh = [url for at, url, _ in town.asked if moment - 0.5 < at <= moment]
            assert len(fresh) <= 32
            assert max(sum(f"//{host}." in url for url in fresh) for host in range(hosts)) <= 2

    run(work)


def test_trackers_without_time_left_are_said_to_be_so() -> None:
    """Hundreds at one host are too many to be asked in a round."""

    async def work() -> None:
        urls = [f"http://a.example/{number}/announce" for number in range(200)]
        town = Town(dict.fromkeys(urls, inf))
        found = await visits(town, *urls).round()
        assert len(found) == 200
        assert "no time was left" in found[-1].message
        assert found[-1].error_type == "timeout"
        assert len(town.asked) < 200

    run(work)


def test_in_later_rounds_trackers_are_told_of_us_as_rarely_as_they_wish() -> None:
    """In between they are scraped: what the announce brought is kept, and newer numbers stand before older ones."""

    async def work() -> None:
        town = Town({A: Announced(AnnounceReply(interval=1800, min_interval=100, seeders=2), ())})
        going = visits(town, A)
        for _ in range(5):
            [found] = await going.round()
            await asyncio.sleep(30.0)
        assert town.events(A) == ["STARTED", "STOPPED", "scrape", "scrape", "scrape", "STARTED", "STOPPED"]
        assert found.counts is not None
        assert found.counts.seeders == 2
        [found] = await going.round()
        assert found.counts == KNOWN[HASH]
        assert found.reply is not None
        assert found.reply.interval == 1800

    run(work)


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        (TrackerFault(FaultKind.TIMEOUT, "no answer"), True),
        (TrackerFault(FaultKind.REFUSED, "later", retry_in=50.0), True),
        (TrackerFault(FaultKind.REFUSED, "later", retry_in=3600.0), False),
        (TrackerFault(FaultKind.REFUSED, "never", retry_in=inf), False),
    ],
)
def test_a_tracker_that_failed_is_asked_again_after_a_minute_or_when_it_allows(
    fault: TrackerFault, again: bool
) -> None:
    """A scrape would not tell whether it takes us now: until then its fault stands."""

    async def work() -> None:
        town = Town({A: fault})
        going = visits(town, A)
        await going.round()
        await asyncio.sleep(59.0)
        [found] = await going.round()
        assert (found.state, town.events(A)) == ("fails", ["STARTED"])
        await asyncio.sleep(2.0)
        await going.round()
        assert town.events(A) == ["STARTED"] * (1 + again)

    run(work)


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (TrackerFault(FaultKind.NO_SCRAPE, "has none"), "works"),
        (TrackerFault(FaultKind.REFUSED, "scrape is off"), "works"),
        (TrackerFault(FaultKind.STATUS, "not there", status=404), "works"),
        (TrackerFault(FaultKind.NETWORK, "refused"), "fails"),
        (TrackerFault(FaultKind.STATUS, "too much to do", status=503), "fails"),
    ],
)
def test_a_tracker_that_only_gives_no_numbers_works(fault: TrackerFault, state: str) -> None:
    """As many do: it counts only where nobody is there."""

    async def work() -> None:
        going = visits(Town(scrapes={A: fault}), A)
        await going.round()
        [found] = await going.round()
        assert found.state == state

    run(work)


def test_health_is_that_of_the_last_rounds() -> None:
    """Half of the addresses, or half of the time."""
    half = (
        Endpoint("ipv4", Address("127.0.0.1", 80), 0.1, FOUND),
        Endpoint("ipv6", Address("::1", 80), 3.0, None, TrackerFault(FaultKind.CANCELLED, "the other had answered")),
    )

    async def work() -> None:
        outcomes: dict[str, Announced | TrackerFault | float] = {A: Announced(FOUND, half), B: Announced(FOUND, ())}
        going = visits(Town(outcomes), A, B)
        one, other = await going.round()
        assert (one.state, one.health, other.health) == ("partly", 50, 100)
        outcomes[B] = 1.0
        await asyncio.sleep(1800.0)
        one, other = await going.round()
        assert (one.health, other.health) == (50, 50)

    run(work)


def test_an_address_that_nothing_leads_to_from_here_is_no_fault_of_the_tracker() -> None:
    """A machine without IPv6 would find every tracker half dead."""
    ends = (
        Endpoint("ipv6", NOWHERE, 0.0, None, TrackerFault(FaultKind.NETWORK, "unreachable")),
        Endpoint("ipv4", Address("127.0.0.1", 80), 0.1, FOUND),
    )

    async def work() -> None:
        [found] = await visits(Town({A: Announced(FOUND, ends)}), A).round()
        assert (found.state, found.health, found.wayless) == ("works", 100, frozenset({"ipv6"}))

    run(work)


def test_all_are_asked_at_the_same_time() -> None:
    """Those that answer are known long before those that do not; the progress tells."""

    async def work() -> None:
        told: list[tuple[int, int]] = []
        town = Town({A: inf})
        going = Visits(town, REQUEST, subjects(A, B), only_scrape=False, progress=lambda *seen: told.append(seen[:2]))
        await going.round()
        assert told[0] == (0, 2)
        assert told[2] == told[-1] == (1, 2)
        assert [at for at, _, event in town.asked if event == "STARTED"] == [1000.0, 1000.0]

    run(work)
