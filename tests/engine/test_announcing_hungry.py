"""Who wants peers asks more often, if that is allowed, and no failing tracker is asked more often for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from anabranch.engine import ticking
from anabranch.engine.announcing import LOW_WATER
from anabranch.engine.state import TorrentState
from anabranch.engine.trackers import FLOOR
from anabranch.engine.wanting import allow_download, set_max_connections
from anabranch.metainfo import Magnet
from anabranch.model import Address
from anabranch.tracker import FaultKind, TrackerFault
from engine.clocks import Clock
from engine.remotes import Teacher
from engine.rig import Node
from engine.samples import Held, changed
from engine.trackers import ONE, PLAIN, TWO, begun, due, failed, live, only, told, tracked

PUBLIC = tracked([ONE], private=False)


def gap(node: Node, clock: Clock, most: float = 4000.0) -> float:
    """Seconds until an announce is due, which is made as the one thing that is done meanwhile."""
    began = clock.now
    while clock.now < began + most:
        clock.now += 1
        for torrent in list(node.engine.due.lively):
            with node.engine.turn:
                ticking.tick(node.engine, torrent, clock.now)
        node.settle()
        at = node.engine.due.announces.deadline()
        if at <= clock.now and (made := due(node)):
            [one] = made
            node.loop.announced.append(one)
            return clock.now - began
    return float("inf")


def fresh(number: int, count: int = 1) -> tuple[Address, ...]:
    return tuple(Address(f"203.0.{number}.{host}", 6881) for host in range(1, count + 1))


def test_a_public_torrent_that_lacks_something_asks_each_minute() -> None:
    """A fork of the Go engine, where fewer than 51 are left to dial; as long as somebody new is told of."""
    node, clock, _ = live(PUBLIC, dial_rate=0.0)
    one = only(node)
    for number in range(4):
        told(node, one, 1800, peers=fresh(number))
        assert gap(node, clock) == FLOOR
        one = node.loop.announced.pop()


def test_who_learns_of_nobody_new_asks_less_and_less_often() -> None:
    """1, 2, 4 minutes and so on, up to what the tracker wants: thousands of torrents that nobody has would storm it."""
    node, clock, _ = live(PUBLIC, dial_rate=0.0)
    one = only(node)
    gaps = []
    for number in (0, 0, 0, 0, 0, 0, 1):
        told(node, one, 900, peers=fresh(number))
        gaps.append(gap(node, clock))
        one = node.loop.announced.pop()
    assert gaps == [60, 60, 120, 240, 480, 900, 60]


def test_our_own_address_and_a_banned_one_are_nobody_new() -> None:
    """Trackers tell them again and again, and who dials nobody there forgets them each time."""
    node, clock, torrent = live(PUBLIC, dial_rate=0.0)
    ours, liar = fresh(1, 2)
    node.loop.ourselves.learn(ours)
    node.engine.banned.add(liar.host)
    one = only(node)
    gaps = []
    for _ in range(3):
        told(node, one, 1800, peers=(ours, liar))
        gaps.append(gap(node, clock))
        one = node.loop.announced.pop()
    assert gaps == [60, 120, 240]
    assert len(torrent.swarm.candidates) == 0


def test_a_private_torrent_never_asks_before_its_tracker_wants_it() -> None:
    """W34: however hungry it is."""
    node, clock, _ = begun()
    assert gap(node, clock) == 1800


@pytest.mark.parametrize("least", [90, 600])
def test_the_least_interval_is_obeyed_by_the_hungry(least: int) -> None:
    """It is what the tracker will bear."""
    node, clock, _ = live(PUBLIC)
    told(node, only(node), 1800, min_interval=least)
    assert gap(node, clock) == least


def not_dialing(node: Node, clock: Clock) -> TorrentState:
    return node.add(PUBLIC)


def seeding(node: Node, clock: Clock) -> TorrentState:
    return node.add(PUBLIC, Held(PUBLIC))


def paused(node: Node, clock: Clock) -> TorrentState:
    torrent = node.add(PUBLIC)
    with node.engine.turn:
        allow_download(node.engine, torrent, False)
    return torrent


def full(node: Node, clock: Clock) -> TorrentState:
    torrent = node.add(PUBLIC)
    with node.engine.turn:
        set_max_connections(node.engine, torrent, 0)
    return torrent


def knowing_many(node: Node, clock: Clock) -> TorrentState:
    torrent = node.add(PUBLIC)
    for address in fresh(7, LOW_WATER + 1):
        torrent.swarm.candidates.add(address, "tracker")
    return torrent


@pytest.mark.parametrize("made", [not_dialing, seeding, paused, full, knowing_many])
def test_who_has_no_use_for_more_peers_waits_as_long_as_the_tracker_says(
    made: Callable[[Node, Clock], TorrentState],
) -> None:
    """A client that dials nobody, a seed, who is paused or full, and who has 51 left to dial."""
    node = Node(clock := Clock(), dial_peers=made is not not_dialing, dial_rate=0.0)
    made(node, clock)
    node.settle()
    told(node, only(node))
    assert gap(node, clock) == 1800


def test_who_gets_hungry_asks_sooner_but_not_before_a_minute_has_passed() -> None:
    """What is wanted changes when the next announce is, and never makes one that was not due since the last."""
    node, clock, torrent = live(PUBLIC)
    with node.engine.turn:
        allow_download(node.engine, torrent, False)
    told(node, only(node))
    clock.now += 20
    with node.engine.turn:
        allow_download(node.engine, torrent, True)
    assert gap(node, clock) == 40
    told(node, node.loop.announced.pop())
    with node.engine.turn:
        allow_download(node.engine, torrent, False)
    clock.now += 500
    with node.engine.turn:
        allow_download(node.engine, torrent, True)
    assert gap(node, clock) == 1


def test_who_has_enough_again_asks_later() -> None:
    """The minute was promised to nobody."""
    node, clock, torrent = begun(PUBLIC)
    clock.now += 30
    with node.engine.turn:
        allow_download(node.engine, torrent, False)
    assert gap(node, clock) == 1770


@pytest.mark.parametrize(("private", "pause"), [(False, 1), (True, 1700)])
def test_nothing_is_shortened_before_the_torrent_is_known(private: bool, pause: int) -> None:
    """It may be private. When its metadata comes, that is looked at anew."""
    content = changed(PLAIN, private=1) if private else PLAIN
    node = Node(clock := Clock(), dial_rate=0.0)
    torrent = node.learn(Magnet(v1=content.info_hash, trackers=(ONE,)))
    node.settle()
    told(node, only(node))
    clock.now += 99
    assert due(node) == []
    remote = Teacher(node, torrent, content, pieces=[])
    node.settle()
    remote.link.close("enough")
    assert torrent.pieces.learned
    clock.now += 1
    assert gap(node, clock) == pause


@pytest.mark.parametrize("private", [False, True])
def test_a_failing_tracker_is_not_asked_each_minute_by_the_hungry(private: bool) -> None:
    """W34: 2, 4, 8, 8 minutes, applied last; success resets. What is told of the schedule is what happens."""
    node, clock, _ = live(tracked([ONE], private=private))
    one = only(node)
    gaps = []
    for _ in range(4):
        failed(node, one, TrackerFault(FaultKind.STATUS, "no", status=500))
        gaps.append(gap(node, clock))
        one = node.loop.announced.pop()
    assert gaps == [120, 240, 480, 480]
    told(node, one)
    assert gap(node, clock) == (1800 if private else 60)
    failed(node, node.loop.announced.pop(), TrackerFault(FaultKind.STATUS, "no", status=500))
    assert gap(node, clock) == 120


def test_all_trackers_are_asked_side_by_side_where_all_are_announced_to() -> None:
    """As the Go engine does; each has its own pause and its own peers."""
    node, clock, torrent = live(tracked([ONE, TWO], ["http://three.example/a"], private=True), announce_to_all=True)
    made = due(node)
    assert sorted(one.tracker.url for one in made) == sorted([ONE, TWO, "http://three.example/a"])
    failed(node, made[0])
    told(node, made[1], 600)
    told(node, made[2], 1800)
    clock.now += 120
    assert [one.tracker for one in due(node)] == [made[0].tracker]
    clock.now += 480
    assert [one.tracker for one in due(node)] == [made[1].tracker]
    node.drop(torrent)
    node.settle()
    assert {one.tracker.url for one in node.loop.announced} == {made[1].tracker.url, made[2].tracker.url}
