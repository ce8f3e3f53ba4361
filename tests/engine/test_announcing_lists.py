"""The user changes a torrent's trackers: who is asked then, and who is told that we go."""

from __future__ import annotations

from math import inf

import pytest

from anabranch.engine import announcing
from anabranch.engine.snapshots import trackers_of
from anabranch.engine.stage import Checking, Live
from anabranch.engine.state import TorrentState
from anabranch.engine.tracker_status import tracker_statuses
from anabranch.engine.trackers import FLOOR
from anabranch.metainfo import Magnet
from anabranch.model import Address
from anabranch.tracker import Event, FaultKind, TrackerFault
from engine.clocks import Clock
from engine.remotes import Remote, Teacher
from engine.rig import Node
from engine.samples import changed
from engine.trackers import ONE, PLAIN, THREE, TWO, begun, due, failed, farewells, live, only, told, tracked

A, B = Address("203.0.113.1", 1), Address("203.0.113.2", 2)


def choose(node: Node, torrent: TorrentState, *tiers: list[str]) -> None:
    with node.engine.turn:
        announcing.replace_all(node.engine, torrent, tiers)
    node.settle()


def add(node: Node, torrent: TorrentState, *tiers: list[str]) -> None:
    with node.engine.turn:
        announcing.add(node.engine, torrent, tiers)
    node.settle()


def again(node: Node, torrent: TorrentState) -> None:
    with node.engine.turn:
        announcing.again(node.engine, torrent)
    node.settle()


def order(node: Node, torrent: TorrentState) -> list[list[str]]:
    [tiers] = torrent.swarm.trackers
    return [[tracker.url for tracker in tier] for tier in tiers.tiers]


def test_a_tracker_that_comes_back_is_announced_to_as_the_first_time() -> None:
    """A, then B, then A: a fork of the Go engine kept A's entry, and A was never asked again. Both hear that we go."""
    node, clock, torrent = begun()
    node.loop.asked_to_dial = 0
    choose(node, torrent, [TWO])
    assert node.loop.asked_to_dial  # the network thread looks whom to ask
    assert [(said.event, said.info_hash) for said in farewells(node)] == [(Event.STOPPED, torrent.info_hash)]
    told(node, one := only(node))
    assert (one.tracker.url, one.request.event) == (TWO, Event.STARTED)
    choose(node, torrent, [ONE])
    assert [said.event for said in farewells(node)] == [Event.STOPPED]
    told(node, one := only(node))
    assert (one.tracker.url, one.request.event) == (ONE, Event.STARTED)
    clock.now += 1800
    assert only(node).request.event is Event.NONE


def test_who_stays_in_the_list_is_told_nothing_and_asked_when_it_was_to_be() -> None:
    """The new ones are asked at once, and who answers of them is asked from then on."""
    node, clock, torrent = begun()
    clock.now += 100
    choose(node, torrent, [ONE])
    assert due(node) == []
    choose(node, torrent, [ONE], [TWO])
    told(node, one := only(node))
    assert one.tracker.url == TWO
    assert due(node) == []
    assert farewells(node) == []
    clock.now += 1800
    assert (one := only(node)).tracker.url == ONE
    assert one.request.event is Event.NONE


def test_the_list_is_tried_in_the_order_in_which_it_was_given() -> None:
    """Also where the trackers are known already; within a tier, who answered stays the first."""
    node, _, torrent = live(tracked([ONE], [TWO, THREE]))
    choose(node, torrent, [THREE, TWO], [ONE])
    assert order(node, torrent)[1] == [ONE]
    failed(node, first := only(node))
    told(node, second := only(node))
    assert {first.tracker.url, second.tracker.url} == {TWO, THREE}
    choose(node, torrent, [ONE], [first.tracker.url, second.tracker.url])
    assert order(node, torrent) == [[ONE], [second.tracker.url, first.tracker.url]]
    with node.engine.turn:
        assert [(one.tier, one.url) for one in tracker_statuses(node.engine, torrent)] == [
            (0, ONE),
            *((1, url) for url in sorted([TWO, THREE])),
        ]


def test_a_url_that_is_named_twice_is_one_tracker() -> None:
    """In the first tier that names it."""
    node, _, torrent = live()
    choose(node, torrent, [TWO, TWO], [TWO, ONE], [ONE])
    assert list(torrent.metainfo.trackers) == [(TWO,), (ONE,)]
    assert order(node, torrent) == [[TWO], [ONE]]
    add(node, torrent, [THREE, ONE], [THREE])
    assert list(torrent.metainfo.trackers) == [(TWO,), (ONE,), (THREE,)]
    choose(node, torrent, [TWO], [ONE])
    with node.engine.turn:
        assert [(one.tier, one.url) for one in tracker_statuses(node.engine, torrent)] == [(0, TWO), (1, ONE)]


def test_what_was_told_before_a_change_is_not_told_after_it() -> None:
    """However little time has passed between."""
    node, _, torrent = live()
    assert [one.url for one in trackers_of(node, torrent)] == [ONE]
    for change, urls in ((add, [ONE, TWO]), (choose, [TWO])):
        change(node, torrent, [TWO])
        assert [one.url for one in trackers_of(node, torrent)] == urls


def test_added_ones_stand_behind_and_are_asked_at_once() -> None:
    """Each tier is its own; one that is there already stays where it is."""
    node, _, torrent = begun()
    add(node, torrent, [ONE, TWO], [THREE])
    assert order(node, torrent) == [[ONE], [TWO], [THREE]]
    failed(node, one := only(node))
    assert one.tracker.url == TWO
    assert only(node).tracker.url == THREE
    assert torrent.swarm.trackers.chosen == ((ONE,), (TWO,), (THREE,))


def test_only_what_the_user_names_is_trusted() -> None:
    """It may be in our own network; what the torrent's file names may not, but under /announce."""
    node, _, torrent = live()
    one = only(node)
    assert not one.trusted
    told(node, one)
    add(node, torrent, [TWO])
    one = only(node)
    assert (one.tracker.url, one.trusted) == (TWO, True)
    add(node, torrent, [ONE])
    assert torrent.swarm.trackers.trusted == {ONE, TWO}
    choose(node, torrent, [THREE])
    assert torrent.swarm.trackers.trusted == {THREE}
    assert only(node).trusted
    assert torrent.swarm.trackers.chosen == ((THREE,),)  # to be remembered


@pytest.mark.parametrize("fails", [False, True])
def test_who_was_just_being_asked_and_is_left_hears_of_it(fails: bool) -> None:
    """When it has answered; its peers are not taken, and it does not count as one of ours."""
    node, _, torrent = live()
    one = only(node)
    choose(node, torrent, [TWO])
    assert farewells(node) == []
    other = only(node)
    assert other.tracker.url == TWO
    if fails:
        failed(node, one)
    else:
        told(node, one, peers=(A,))
    node.settle()
    assert [said.event for said in farewells(node)] == ([] if fails else [Event.STOPPED])
    assert len(torrent.swarm.candidates) == 0
    told(node, other, peers=(B,))
    assert len(torrent.swarm.candidates) == 1


def test_a_torrent_may_have_no_trackers_at_all() -> None:
    """And get some later."""
    node, clock, torrent = begun()
    choose(node, torrent)
    assert [said.event for said in farewells(node)] == [Event.STOPPED]
    clock.now += 10_000
    assert due(node) == []
    assert len(node.engine.due.announces) == 0
    add(node, torrent, [TWO])
    assert only(node).request.event is Event.STARTED


def test_a_torrent_that_never_had_any_may_be_given_trackers() -> None:
    """Also while it is being checked: it is announced when it takes part again."""
    node, _, torrent = live(tracked())
    assert due(node) == []
    with node.engine.turn:
        torrent.stage = Checking(4)
    add(node, torrent, [ONE])
    assert due(node) == []
    with node.engine.turn:
        torrent.stage = Live()
    add(node, torrent, [TWO])
    told(node, one := only(node))
    assert (one.tracker.url, one.request.event) == (ONE, Event.STARTED)
    with node.engine.turn:
        torrent.stage = Checking(4)
    choose(node, torrent, [TWO])
    assert [said.event for said in farewells(node)] == [Event.STOPPED]
    assert due(node) == []


@pytest.mark.parametrize("late", [False, True])
def test_what_the_user_chose_before_the_metadata_came_stays_chosen(late: bool) -> None:
    """The link's own trackers do not come back when a peer has told what the torrent is."""
    node = Node(Clock(), dial_rate=0.0)
    torrent = node.learn(Magnet(v1=PLAIN.info_hash, trackers=(ONE,)))
    node.settle()
    told(node, only(node))
    choose(node, torrent, [TWO], [THREE])
    told(node, one := only(node))
    assert one.tracker.url == TWO
    if late:
        node.disk.held = True
    Teacher(node, torrent, PLAIN, pieces=[])
    node.settle()
    if late:  # its metadata is being read
        choose(node, torrent, [THREE])
        told(node, only(node))
        choose(node, torrent, [TWO], [THREE])
        told(node, only(node))
        node.disk.held = False
        node.settle()
    assert torrent.pieces.learned
    assert torrent.metainfo.trackers == ((TWO,), (THREE,))
    assert order(node, torrent) == [[TWO], [THREE]]
    assert due(node) == []


@pytest.mark.parametrize(("tiers", "stays"), [([[TWO]], False), ([[ONE], [TWO]], True)])
def test_a_private_torrent_that_is_given_to_other_trackers_leaves_the_peers_of_the_former(
    tiers: list[list[str]], stays: bool
) -> None:
    """BEP 27; who came by itself heard of us there, too. Whom the user named stays, and all where a tracker does."""
    content = changed(PLAIN, private=1)
    node, _, torrent = live(tracked([ONE], content=content))
    told(node, only(node), peers=(A, B))
    candidates = torrent.swarm.candidates
    remotes = {}
    for source, address in [("tracker", A), ("user", Address("203.0.113.9", 9))]:
        candidates.add(address, source)
        candidate = candidates.get(address)
        assert candidate is not None
        candidates.engage(candidate, 0.0)
        remotes[source] = Remote(node, torrent, content, pieces=[], candidate=candidate)
    remotes["incoming"] = Remote(node, torrent, content, pieces=[])
    choose(node, torrent, *tiers)
    assert {source for source, remote in remotes.items() if not remote.link.closed} == (
        {"tracker", "user", "incoming"} if stays else {"user"}
    )
    assert (candidates.get(B) is not None) == stays


@pytest.mark.parametrize(
    ("least", "allowed"), [(None, FLOOR), (900, 900)], ids=["a minute after", "the least it will bear"]
)
def test_the_user_may_have_a_tracker_asked_before_its_interval(least: int | None, allowed: float) -> None:
    """As soon as it allows."""
    node, clock, torrent = live()
    told(node, only(node), 1800, min_interval=least)
    again(node, torrent)
    clock.now += allowed - 1
    assert due(node) == []
    clock.now += 1
    assert only(node).request.event is Event.NONE


def test_the_network_thread_looks_when_the_user_wants_somebody_asked() -> None:
    """It may have nothing else to do for half an hour."""
    node, _, torrent = begun()
    node.loop.asked_to_dial = 0
    again(node, torrent)
    assert node.loop.asked_to_dial


def test_a_list_without_end_is_told_of_as_far_as_somebody_reads() -> None:
    """100,000 URLs made a turn of more than a second."""
    node, _, torrent = live(tracked([f"http://victim.example/{number}" for number in range(3000)]))
    with node.engine.turn:
        told_of = tracker_statuses(node.engine, torrent)
    assert len(told_of) == 1000
    assert sum(one.state == "waiting" for one in told_of) == 500


@pytest.mark.parametrize(("retry_in", "allowed"), [(None, FLOOR), (300.0, 300.0), (inf, inf)])
def test_the_user_may_have_one_asked_that_failed(retry_in: float | None, allowed: float) -> None:
    """A minute after it did, or when it said (BEP 31); never, if it said so."""
    node, clock, torrent = live()
    for _ in range(3):
        failed(node, only(node), TrackerFault(FaultKind.REFUSED, "no", retry_in=retry_in))
        if allowed == inf:
            break
        clock.now += 480
    failed_at = clock.now if allowed == inf else clock.now - 480
    clock.now = failed_at
    again(node, torrent)
    clock.now = failed_at + min(allowed, 100_000) - 1
    assert due(node) == []
    clock.now += 1
    assert len(due(node)) == (allowed < inf)


def test_asking_again_makes_nobody_wait_longer() -> None:
    """Who is due sooner stays so, and who is being asked is not asked twice."""
    node, clock, torrent = live(tracked([ONE], private=False), dial_rate=0.0)
    one = only(node)
    again(node, torrent)
    assert due(node) == []
    told(node, one)
    again(node, torrent)
    clock.now += FLOOR
    told(node, only(node))


def test_a_torrent_that_was_dropped_is_not_announced_again_by_a_handle_that_somebody_kept() -> None:
    """It has no trackers any more."""
    node, _, torrent = begun()
    node.drop(torrent)
    node.settle()
    assert len(farewells(node)) == 1
    for change in (choose, add):
        change(node, torrent, [TWO])
    again(node, torrent)
    assert due(node) == []
    assert len(node.engine.due.announces) == 0
