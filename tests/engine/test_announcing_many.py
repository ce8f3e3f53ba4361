"""Many torrents and many trackers: nobody is forgotten, nobody waits for others' trackers, and no turn is long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from math import inf
from random import Random

import pytest

from anabranch.engine import announcing
from anabranch.engine.fleet import AT_ONCE, PACE, PER_HOST, PER_URL, SILENCE, host_of
from anabranch.engine.state import TorrentState
from anabranch.engine.tracker_status import tracker_statuses
from anabranch.engine.trackers import Announce, Line, Tiers, Tracker
from anabranch.metainfo import Magnet
from anabranch.model import InfoHash, InfoHashV2
from anabranch.tracker import FaultKind, TrackerFault
from engine.clocks import Clock
from engine.rig import Node
from engine.samples import Sample, sample
from engine.trackers import DOWN, ONE, PLAIN, THREE, TWO, due, failed, told, tracked

Takes = Callable[[Announce], tuple[float, TrackerFault | None]]  # seconds, and what goes wrong

MANY = 10_000
LOOKED_AT = 256


def crowd(node: Node, count: int, *urls_of: Callable[[int], str]) -> list[Tiers]:
    """So many torrents, due at once, each with a tier for each of *urls_of*; one stands for all."""
    node.add(tracked([ONE]))
    node.settle()
    [torrent] = node.engine.torrents.values()
    for tiers in torrent.swarm.trackers:
        node.engine.due.announces.forget(tiers.lines[0])
    every = []
    for number in range(count):
        trackers = [[Tracker(url(number))] for url in urls_of]
        tiers = Tiers(torrent, InfoHash(number.to_bytes(20, "big")), trackers, 0, 0)
        tiers.lines = [Line(tiers)]
        every.append(tiers)
        node.engine.due.announces.put(tiers.lines[0], node.engine.clock())
    return every


class Running:
    """The announcer in virtual time: announces last as long as their trackers take.

    Attributes:
        begun: When each announce began, and to whom.
    """

    def __init__(self, node: Node, clock: Clock, takes: Takes) -> None:
        self.node, self.clock, self.takes = node, clock, takes
        self.begun: list[tuple[float, Announce]] = []
        self.answered: dict[Tiers, float] = {}
        self._under_way: list[tuple[float, int, Announce, TrackerFault | None]] = []

    def until(self, end: float) -> None:
        """As the network thread does: a look each second, and one after each answer."""
        clock = self.clock
        tick = clock.now
        while clock.now < end:
            while self._under_way and self._under_way[0][0] <= clock.now:
                _, _, one, fault = heappop(self._under_way)
                if fault is None:
                    told(self.node, one)
                    self.answered.setdefault(one.tiers, clock.now)
                else:
                    failed(self.node, one, fault)
                self._look()
            if clock.now >= tick:
                self._look()
                tick = clock.now + 1.0
            clock.now = min(tick, self._under_way[0][0] if self._under_way else inf)

    def _look(self) -> None:
        agenda = self.node.engine.due.announces
        before = len(agenda)
        fresh = due(self.node, [one.tracker.url for _, _, one, _ in self._under_way])
        assert before - len(agenda) <= LOOKED_AT
        for one in fresh:
            seconds, fault = self.takes(one)
            self.begun.append((self.clock.now, one))
            heappush(self._under_way, (self.clock.now + seconds, len(self.begun), one, fault))
        urls = [one.tracker.url for _, _, one, _ in self._under_way]
        assert len(urls) <= AT_ONCE
        assert max(Counter(urls).values(), default=0) <= PER_URL
        assert max(Counter(map(host_of, urls)).values(), default=0) <= PER_HOST

    def busiest_second(self) -> int:
        """How many announces began at one host within a second, at most."""
        most = 0
        by_host: dict[str, list[float]] = {}
        for at, one in self.begun:
            times = by_host.setdefault(host_of(one.tracker.url), [])
            times.append(at)
            while times[0] <= at - 1.0:
                times.pop(0)
            most = max(most, len(times))
        return most


@pytest.mark.parametrize(
    "url",
    [
        lambda number: "http://one.example/announce",
        lambda number: f"http://one.example/{number:032x}/announce",
        lambda number: f"udp://{number % 10}.example:80",
    ],
    ids=["one URL", "a passkey for each torrent", "ten hosts"],
)
def test_ten_thousand_torrents_are_announced_within_ten_minutes_and_never_in_a_burst(
    url: Callable[[int], str],
) -> None:
    """Two at once for a URL, eight for a host, 64 in all; so many a second; in bounded turns; each torrent once."""
    node = Node(clock := Clock())
    every = crowd(node, MANY, url)
    began = clock.now
    running = Running(node, clock, lambda one: (0.05, None))
    running.until(began + 600)
    assert len(running.begun) == len(running.answered) == len(every)
    assert running.busiest_second() <= 2 * PACE
    first = {one.tiers: at for at, one in running.begun}
    running.begun.clear()
    running.until(began + 600 + 1800)
    again = {one.tiers: at for at, one in running.begun}
    assert len(again) == len(running.begun) == len(every)
    assert running.busiest_second() <= 2 * PACE
    assert all(1800 <= again[tiers] - first[tiers] <= 1815 for tiers in every)


def test_a_dead_tracker_of_ten_thousand_torrents_costs_a_few_announces() -> None:
    """Each goes on to its second one, soon; one finds out when the dead one is back, and then all use it."""
    node = Node(clock := Clock())
    every = crowd(node, MANY, lambda _: "http://dead.example/announce", lambda _: "http://alive.example/announce")
    began, dead = clock.now, True

    def takes(one: Announce) -> tuple[float, TrackerFault | None]:
        if dead and host_of(one.tracker.url) == "dead.example":
            return 15.0, TrackerFault(FaultKind.TIMEOUT, "no answer")
        return 0.05, None

    running = Running(node, clock, takes)
    running.until(began + 600)
    assert len(running.answered) == len(every)
    asked = Counter(host_of(one.tracker.url) for _, one in running.begun)
    assert asked["dead.example"] <= SILENCE + PER_URL + 4
    assert asked["alive.example"] == len(every)
    dead = False
    running.begun.clear()
    running.until(began + 600 + 3600)
    asked = Counter(host_of(one.tracker.url) for _, one in running.begun)
    assert asked["dead.example"] >= len(every)


def test_trackers_that_do_not_answer_do_not_keep_the_others_waiting() -> None:
    """Forty of them take all the room there is, once."""
    node = Node(clock := Clock())
    every = crowd(node, 4100, lambda number: f"http://{number % 41}.example/")
    began = clock.now

    def takes(one: Announce) -> tuple[float, TrackerFault | None]:
        alive = host_of(one.tracker.url) == "40.example"
        return (0.05, None) if alive else (15.0, TrackerFault(FaultKind.TIMEOUT, "no answer"))

    running = Running(node, clock, takes)
    running.until(began + 120)
    assert len(running.answered) == len(every) / 41
    assert len([one for _, one in running.begun if host_of(one.tracker.url) != "40.example"]) <= 40 * (
        SILENCE + PER_URL
    )


def test_who_is_refused_is_no_reason_to_leave_the_tracker_alone() -> None:
    """It is there: what it says to one torrent is that torrent's matter."""
    node = Node(clock := Clock())
    crowd(node, 1000, lambda _: ONE)
    running = Running(node, clock, lambda one: (0.05, TrackerFault(FaultKind.REFUSED, "not registered")))
    running.until(clock.now + 60)
    assert len(running.begun) == 1000


def expected(node: Node, torrent: TorrentState) -> dict[str, float | None]:
    with node.engine.turn:
        return {one.url: one.next_announce for one in tracker_statuses(node.engine, torrent)}


@pytest.mark.parametrize("seed", range(30))
def test_what_is_told_of_the_schedule_is_what_happens(seed: int) -> None:
    """W34: whatever was answered before, the next announce is made when, and where, it was told that it would be."""
    draw = Random(seed)
    content = tracked([ONE, TWO], [THREE], private=draw.random() < 0.5)
    node = Node(clock := Clock(), seed, announce_to_all=draw.random() < 0.3, dial_rate=0.0)
    torrent = node.add(content)
    node.settle()
    under_way: list[Announce] = []
    for _ in range(40):
        now = clock.now
        plan = {url: at for url, at in expected(node, torrent).items() if at is not None}
        asking = {one.tracker.url for one in under_way}
        plan = {url: at for url, at in plan.items() if url not in asking}
        at = min(plan.values(), default=None)
        if at is None or (under_way and draw.random() < 0.5):
            if not under_way:
                break
        else:
            assert at >= now
            clock.now = at - 0.5
            assert at - 0.5 < now or not due(node)
            clock.now = at
            made = due(node)
            assert made
            assert all(plan[one.tracker.url] == at for one in made)
            under_way += made
        one = under_way.pop(draw.randrange(len(under_way)))
        clock.now += draw.choice([0.0, 1.0, 20.0])
        match draw.randrange(4):
            case 0:
                failed(node, one, TrackerFault(FaultKind.REFUSED, "no", retry_in=draw.choice([None, 3000.0, inf])))
            case 1:
                failed(node, one, DOWN)
            case _:
                told(node, one, draw.choice([60, 900, 1800]), min_interval=draw.choice([None, 1000]))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_nobody_is_forgotten_and_nobody_is_asked_twice(seed: int) -> None:
    """Each line of a torrent that is here has one appointment, or is being asked, or nobody may be asked any more."""
    draw = Random(seed)
    node = Node(clock := Clock(), seed, announce_to_all=seed % 2 == 1)
    torrents: list[TorrentState] = []
    under_way: list[Announce] = []
    lists = [[ONE], [TWO], [ONE, TWO], [THREE]]
    for step in range(300):
        here = [torrent for torrent in torrents if node.engine.torrents.get(torrent.info_hash) is torrent]
        match draw.randrange(9):
            case 0 if len(here) < 5:
                content = sample(pieces=4, blocks=1, seed=draw.randrange(6))
                if content.info_hash not in node.engine.torrents:
                    torrents.append(node.add(_tracked(content, draw)))
            case 1 if here and draw.random() < 0.3:
                node.drop(draw.choice(here))
            case 2 | 3 if under_way:
                told(node, under_way.pop(draw.randrange(len(under_way))), draw.choice([0, 60, 1800]))
            case 4 if under_way:
                fault = TrackerFault(FaultKind.REFUSED, "no", retry_in=draw.choice([None, 0.0, 600.0, inf]))
                failed(node, under_way.pop(draw.randrange(len(under_way))), draw.choice([fault, DOWN]))
            case 5 if here:
                with node.engine.turn:
                    torrent = draw.choice(here)
                    torrent.totals.downloaded += 1
                    announcing.completed(node.engine, torrent)
                    announcing.begin(node.engine, torrent)
            case 6:
                clock.now += draw.choice([1, 60, 1800, 100_000])
            case 7 if here:
                with node.engine.turn:
                    torrent = draw.choice(here)
                    match draw.randrange(4):
                        case 0:
                            announcing.replace_all(node.engine, torrent, draw.sample(lists, draw.randint(0, 2)))
                        case 1:
                            announcing.add(node.engine, torrent, draw.sample(lists, 1))
                        case 2:
                            announcing.again(node.engine, torrent)
                        case _:
                            torrent.policy.download = not torrent.policy.download
                            announcing.look(node.engine, torrent)
            case _:
                under_way += due(node, [one.tracker.url for one in under_way])
        if step % 3 == 0:
            node.settle()
        _check(node, under_way)
    for torrent in list(node.engine.torrents.values()):
        node.drop(torrent)
    node.settle()
    assert len(node.engine.due.announces) == 0


def _tracked(content: Sample, draw: Random) -> Sample:
    tiers: list[Sequence[str]] = draw.sample([[ONE], [TWO], [ONE, TWO], [THREE]], draw.randint(1, 3))
    return tracked(*tiers, content=content, private=draw.random() < 0.5)


def _check(node: Node, under_way: list[Announce]) -> None:
    asking = [(one.line, one.tracker) for one in under_way]
    appointments = 0
    for torrent in node.engine.torrents.values():
        for tiers in torrent.swarm.trackers:
            lined = [one for line in tiers.lines for one in line.every()]
            assert sorted(map(id, lined)) == sorted(map(id, tiers.every()))
            for line in tiers.lines:
                assert line.asking is None or (line, line.asking) in asking
                barred = all(one.due(tiers.hungry) == inf for one in line.every())
                assert (line.asking is not None) + (line in node.engine.due.announces) == 1 or barred
                appointments += line in node.engine.due.announces
    assert len(node.engine.due.announces) == appointments
    asked = Counter(id(tracker) for _, tracker in asking)
    assert max(asked.values(), default=0) <= 1


def test_both_names_of_a_hybrid_go_their_own_ways() -> None:
    """BEP 52: a tracker may know one of them only."""
    node = Node(clock := Clock())
    node.prepare(PLAIN, source=Magnet(v1=PLAIN.info_hash, v2=InfoHashV2(b"2" * 32), trackers=(ONE,)))
    node.settle()
    one, other = due(node)
    told(node, one)
    failed(node, other, TrackerFault(FaultKind.REFUSED, "unregistered"))
    clock.now += 120
    [again] = due(node)
    assert again.tiers is other.tiers
