"""Nobody waits for ever: neither behind those who come again and again, nor behind trackers that do not answer."""

from __future__ import annotations

from collections import Counter

import pytest

from anabranch.engine import announcing
from anabranch.engine.fleet import AT_ONCE, PACE, STRANGERS, Busy, Fleet, host_of
from anabranch.engine.tracker_status import tracker_statuses
from anabranch.engine.trackers import FLOOR, Announce
from anabranch.tracker import FaultKind, TrackerFault
from engine.clocks import Clock
from engine.rig import Node
from engine.samples import sample
from engine.test_announcing_many import Running, crowd
from engine.trackers import ONE, THREE, due, failed, live, only, told, tracked

SILENT = TrackerFault(FaultKind.TIMEOUT, "no answer")


def test_who_waits_is_served_before_who_comes_again() -> None:
    """10,000 torrents that are due again in two minutes are more than a tracker is asked: all have their turn."""
    node = Node(clock := Clock())
    every = crowd(node, 10_000, lambda _: ONE)
    running = Running(node, clock, lambda _: (0.05, TrackerFault(FaultKind.REFUSED, "busy")))
    running.until(clock.now + 330)
    asked = Counter(one.tiers for _, one in running.begun)
    assert len(asked) == len(every)
    assert len(running.begun) >= 320 * PACE  # and no time was lost


def test_a_living_tracker_does_not_wait_for_hundreds_of_dead_ones() -> None:
    """They have most of the room, and the rest is for those of whom somebody has heard."""
    node = Node(clock := Clock())
    dead = 600
    every = crowd(node, 3 * dead + 600, lambda n: ONE if n % 4 == 0 else f"http://{n % dead}.dead.example/")

    def takes(one: Announce) -> tuple[float, TrackerFault | None]:
        return (0.05, None) if one.tracker.url == ONE else (15.0, SILENT)

    running = Running(node, clock, takes)
    running.until(clock.now + 60)
    assert len(running.answered) == sum(tiers.tiers[0][0].url == ONE for tiers in every)
    running.until(clock.now + 900)
    asked = Counter(host_of(one.tracker.url) for _, one in running.begun)
    assert len(asked) > dead / 2  # the dead ones are not forgotten for it


def test_a_stranger_is_who_did_not_answer_last() -> None:
    """An answer of any kind makes a tracker known, a silence unknown again."""
    fleet = Fleet()
    strange = [f"http://{number}.example/" for number in range(STRANGERS)]
    assert STRANGERS < AT_ONCE
    assert fleet.admits(ONE, 0.0, Busy(strange[1:], fleet.known))
    assert not fleet.admits(ONE, 0.0, Busy(strange, fleet.known))
    for fault in (None, TrackerFault(FaultKind.REFUSED, "no")):
        if fault is None:
            fleet.answered(ONE)
        else:
            fleet.failed(ONE, fault, 0.0)
        assert fleet.admits(ONE, 0.0, Busy(strange, fleet.known))
        assert not fleet.admits(THREE, 0.0, Busy(strange, fleet.known))
        assert fleet.admits(THREE, 0.0, Busy([*strange[1:], ONE], fleet.known))  # ONE takes nothing of their room
        fleet.failed(ONE, SILENT, 0.0)
        assert not fleet.admits(ONE, 0.0, Busy(strange, fleet.known))
    for number in range(5000):
        fleet.answered(f"http://{number}.example/")
    assert len(fleet.known) == 4096


@pytest.mark.parametrize("asked", [False, True], ids=["others found out", "it found out itself"])
def test_the_user_may_have_a_tracker_asked_that_is_left_alone(asked: bool) -> None:
    """By announce(): at once, where the torrent itself has not asked for a minute."""
    node, clock, torrent = live(tracked([ONE]))
    for pause in (120, 240, 480):
        failed(node, only(node))
        clock.now += pause if pause < 480 else 0
    other = torrent
    if not asked:
        other = node.add(tracked([ONE], content=sample(pieces=4, blocks=1, seed=1)))
        node.settle()
        assert due(node) == []
    clock.now += FLOOR
    assert due(node) == []
    with node.engine.turn:
        announcing.again(node.engine, other)
        [status] = tracker_statuses(node.engine, other)
    assert status.next_announce == clock.now
    one = only(node)
    assert one.tiers.torrent is other
    told(node, one)
    assert node.engine.due.fleet.left_alone(ONE, clock.now) is None


def test_who_waits_for_a_tracker_that_others_found_silent_is_told_until_when() -> None:
    """W34: its own pause ends before, and it is not asked then."""
    node, clock, torrent = live(tracked([ONE]))
    told(node, only(node), 1800)
    clock.now += 1750
    others = [node.add(tracked([ONE], content=sample(pieces=4, blocks=1, seed=number))) for number in (1, 2, 3)]
    node.settle()
    made = due(node)
    assert {one.tiers.torrent for one in made} < set(others)
    for one in made:
        failed(node, one, SILENT)
    failed(node, only(node), SILENT)
    with node.engine.turn:
        [status] = tracker_statuses(node.engine, torrent)
    assert status.next_announce == clock.now + 120
    clock.now += 119
    assert due(node) == []
    clock.now += 1
    assert [one.tiers.torrent for one in due(node)]


def test_what_the_user_asks_for_is_not_made_of_a_living_tracker_s_room() -> None:
    """To be asked again is not to have answered: a tracker that is dead stays a stranger."""
    node, clock, torrent = live(tracked([ONE]))
    for pause in (120, 240, 480):
        failed(node, only(node))
        clock.now += pause
    with node.engine.turn:
        announcing.again(node.engine, torrent)
    assert node.engine.due.fleet.known == {}
