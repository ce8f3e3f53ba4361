"""Which tracker is told what, and when, in virtual time; no tracker is asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import inf

import pytest

from anabranch.engine import announcing, events
from anabranch.engine.announce_list import MOST_TRACKERS
from anabranch.engine.fleet import SILENCE, shown
from anabranch.engine.stage import Checking, Failed, Live
from anabranch.engine.trackers import FLOOR
from anabranch.engine.wanting import allow_download, allow_upload
from anabranch.metainfo import Magnet
from anabranch.model import Address, InfoHash, InfoHashV2
from anabranch.tracker import AnnounceRequest, Event, FaultKind, TrackerFault
from engine.clocks import Clock
from engine.rig import Node, until
from engine.samples import Faults, Held, PlainStorage
from engine.trackers import (
    DOWN,
    ONE,
    PLAIN,
    PORT,
    SIMPLE,
    THREE,
    TWO,
    begun,
    due,
    failed,
    farewells,
    fetched,
    live,
    only,
    told,
    tracked,
)

# What is told.


def test_who_comes_says_so_and_what_it_lacks() -> None:
    """The first announce of a torrent that is live, for which the network thread is woken."""
    node, _, torrent = live()
    assert node.loop.asked_to_dial
    assert only(node).request == AnnounceRequest(
        info_hash=torrent.info_hash,
        peer_id=node.engine.peer_id,
        port=PORT,
        left=torrent.pieces.geometry.total,
        event=Event.STARTED,
        numwant=200,
        key=int.from_bytes(node.engine.peer_id[-4:], "big"),
        supports_encryption=True,
    )


def test_who_does_not_know_yet_what_it_lacks_says_a_very_large_number() -> None:
    """Some trackers take -1 for an error, and 0 for a seed. Both names of a hybrid are announced at once."""
    node = Node(Clock())
    magnet = Magnet(v1=PLAIN.info_hash, v2=InfoHashV2(b"2" * 32), trackers=(ONE,))
    node.prepare(PLAIN, source=magnet)
    node.settle()
    requests = [one.request for one in due(node)]
    assert [request.info_hash for request in requests] == [PLAIN.info_hash, InfoHash(b"2" * 20)]
    assert {(request.left, request.event) for request in requests} == {(2**63 - 1, Event.STARTED)}


def test_what_moved_since_we_began_is_told() -> None:
    """What an earlier run moved was told then."""
    node = Node(clock := Clock())
    torrent = node.add(SIMPLE)
    torrent.totals.downloaded, torrent.totals.uploaded = 5000, 700
    node.settle()
    told(node, only(node))
    torrent.totals.downloaded += 30
    torrent.totals.uploaded += 4
    torrent.totals.corrupt += 2
    torrent.totals.wasted += 3
    clock.now += 1800
    request = only(node).request
    assert (request.downloaded, request.uploaded, request.corrupt, request.redundant) == (30, 4, 2, 3)
    assert request.event is Event.NONE


def test_encryption_is_told_as_it_is_wanted() -> None:
    """Trackers may choose peers by it."""
    for encryption, supported, required in [("off", False, False), ("allow", True, False), ("require", True, True)]:
        node, _, _ = live(encryption=encryption)
        request = only(node).request
        assert (request.supports_encryption, request.requires_encryption) == (supported, required)


def test_peers_are_asked_for_only_by_who_would_dial_them() -> None:
    """Neither by a client that does not dial, nor for a torrent that is paused."""
    node, _, _ = live(dial_peers=False)
    assert only(node).request.numwant == 0
    node, _, torrent = live()
    with node.engine.turn:
        allow_download(node.engine, torrent, False)
        allow_upload(node.engine, torrent, False)
    assert only(node).request.numwant == 0


def test_the_tracker_s_word_for_us_is_said_to_it_again() -> None:
    """Until it gives another one."""
    node, clock, _ = live()
    told(node, only(node), tracker_id=b"four")
    for given, said in [(b"", b"four"), (b"five", b"four"), (b"", b"five")]:
        clock.now += 1800
        one = only(node)
        assert one.request.tracker_id == said
        told(node, one, tracker_id=given)


def test_trackers_may_be_left_out_altogether() -> None:
    """--no-trackers."""
    node, _, torrent = live(disable_trackers=True)
    assert due(node) == []
    node.drop(torrent)
    node.settle()
    assert farewells(node) == []


# What comes of it.


@pytest.mark.parametrize("private", [False, True])
def test_peers_become_candidates(private: bool) -> None:
    """Those of a private torrent, too: there, trackers are all there is. People are told how many."""
    node, _, torrent = live(tracked([ONE], private=private))
    node.told()
    address = Address("203.0.113.5", 6881)
    told(node, only(node), peers=(address,), seeders=3, leechers=None)
    candidate = torrent.swarm.candidates.get(address)
    assert candidate is not None
    assert candidate.sources == {"tracker"}
    node.settle()
    assert node.told() == [events.TrackerReplied(torrent.info_hash, "http://one.example", 1, 3, None)]
    assert node.loop.asked_to_dial


@pytest.mark.parametrize(
    ("url", "told_of_it"),
    [
        ("http://tracker.example/secret/announce", "http://tracker.example"),
        ("http://tracker.example:8080?passkey=secret", "http://tracker.example:8080"),
        ("https://me:secret@tracker.example/announce#secret", "https://tracker.example"),
        ("udp://tracker.example:6969/secret", "udp://tracker.example:6969"),
        ("wss://tracker.example/secret", "wss://tracker.example"),
        ("secret", "not a URL"),
        ("http://[secret/announce", "not a URL"),
    ],
)
def test_nobody_is_told_a_passkey(url: str, told_of_it: str) -> None:
    """It stands in the path, in the query, in the login."""
    assert shown(url) == told_of_it


# When.


@pytest.mark.parametrize(
    ("interval", "least", "pause"), [(1800, None, 1800), (0, None, FLOOR), (900, 1200, 1200), (5, 20, FLOOR)]
)
def test_trackers_are_asked_again_when_they_want_it(interval: int, least: int | None, pause: float) -> None:
    """By the longer of the two intervals, and never more than once a minute."""
    node, clock, _ = live()
    told(node, only(node), interval, min_interval=least)
    clock.now += pause - 1
    assert due(node) == []
    clock.now += 1
    assert only(node).request.event is Event.NONE


def test_a_clock_that_jumps_makes_one_announce_due() -> None:
    """A machine that slept for ten days does not catch up on what it missed."""
    node, clock, _ = begun()
    clock.now += 864_000
    told(node, only(node))
    assert due(node) == []


def test_completion_is_told_at_once_and_once() -> None:
    """Trackers count it. What is checked and fetched again later was complete before."""
    node, clock, torrent = begun()
    fetched(node, clock, torrent)
    one = only(node)
    assert (one.request.event, one.request.left) == (Event.COMPLETED, 0)
    assert one.request.downloaded == PLAIN.geometry.total
    told(node, one)
    assert due(node) == []
    with node.engine.turn:
        torrent.totals.downloaded += 16384
        announcing.completed(node.engine, torrent)
    assert due(node) == []
    clock.now += 1800
    assert only(node).request.event is Event.NONE


def test_a_completion_is_not_lost_while_the_tracker_is_being_asked() -> None:
    """It is told right after the answer, and after a failure when the tracker is asked again."""
    node, clock, torrent = live()
    first = only(node)
    fetched(node, clock, torrent)
    assert due(node) == []
    told(node, first)
    one = only(node)
    assert one.request.event is Event.COMPLETED
    failed(node, one)
    clock.now += 2 * FLOOR
    assert only(node).request.event is Event.COMPLETED


def test_a_completion_does_not_wake_trackers_that_want_to_be_left_alone() -> None:
    """Those that failed have their pause."""
    node, clock, torrent = begun()
    clock.now += 1800
    failed(node, only(node), TrackerFault(FaultKind.REFUSED, "no", retry_in=7200.0))
    fetched(node, clock, torrent)
    clock.now += 7000
    assert due(node) == []


def test_who_had_everything_completes_nothing() -> None:
    """A seed only starts and stops."""
    node = Node(clock := Clock())
    torrent = node.add(SIMPLE, Held(SIMPLE))
    node.settle()
    one = only(node)
    assert (one.request.event, one.request.left) == (Event.STARTED, 0)
    told(node, one)
    clock.now += 1800
    told(node, one := only(node))
    assert one.request.event is Event.NONE
    with node.engine.turn:
        torrent.totals.downloaded += 100  # a piece was found broken, and fetched again
        announcing.completed(node.engine, torrent)
    assert due(node) == []
    node.drop(torrent)
    node.settle()
    assert [one.event for one in farewells(node)] == [Event.STOPPED]


def test_who_checks_or_has_failed_is_silent_until_it_is_live() -> None:
    """It neither has anything to give nor takes anything."""
    node = Node(clock := Clock())
    home = PlainStorage(faults := Faults())
    home.hold(PLAIN, range(4))
    node.disk.held = True
    torrent = node.add(SIMPLE, home)
    node.settle()
    assert due(node) == []
    node.disk.held = False
    node.disk.run_one()
    node.disk.held = True
    node.settle()
    assert isinstance(torrent.stage, Checking)
    assert due(node) == []
    node.disk.held = False
    node.settle()
    assert isinstance(torrent.stage, Live)
    told(node, one := only(node))
    assert one.request.left == 0
    faults.always.add("read")
    with node.engine.turn:
        torrent.stage = Failed(DOWN, clock.now + 5000)
    clock.now += 1800
    assert due(node) == []
    faults.forgive()
    with node.engine.turn:
        torrent.stage = Failed(DOWN, clock.now)
    until(clock, node, lambda: isinstance(torrent.stage, Live), 60)
    assert only(node).request.event is Event.NONE


# Whom.


def test_trackers_are_tried_in_order_and_who_answers_is_the_first_of_its_tier() -> None:
    """BEP 12: the first tier's one after the other, then the next tier."""
    node, clock, torrent = live(tracked([ONE, TWO], [THREE]))
    [tiers] = torrent.swarm.trackers
    first, second = (tracker.url for tracker in tiers.tiers[0])
    asked = []
    for _ in range(3):
        one = only(node)
        asked.append(one.tracker.url)
        if one.tracker.url == THREE:
            told(node, one)
        else:
            failed(node, one)
    assert asked == [first, second, THREE]
    assert due(node) == []
    clock.now += 1800
    failed(node, one := only(node))
    assert one.tracker.url == first
    told(node, one := only(node))
    assert one.tracker.url == second
    assert [tracker.url for tracker in tiers.tiers[0]] == [second, first]
    clock.now += 1800
    assert only(node).tracker.url == second


def test_not_everybody_asks_the_same_tracker_of_a_tier() -> None:
    """BEP 12: a tier is shuffled when it is read; tiers stay in their order."""
    first = Counter[str]()
    for number in range(50):
        node = Node(Clock(), number)
        node.add(tracked([ONE, TWO], [THREE]))
        node.settle()
        first[only(node).tracker.url] += 1
    assert first[ONE] > 10
    assert first[TWO] > 10
    assert not first[THREE]


def test_a_tracker_that_fails_has_longer_and_longer_pauses() -> None:
    """W34: 2, 4, 8, 8 minutes; a success begins anew. It is told which one and why."""
    node, clock, torrent = live()
    node.told()
    for minutes in (2, 4, 8, 8):
        failed(node, only(node))
        clock.now += 60 * minutes - 1
        assert due(node) == []
        clock.now += 1
    node.settle()
    assert (
        node.told() == [events.TrackerFailed(torrent.info_hash, "http://one.example", "refused", "network_error")] * 4
    )
    told(node, only(node))
    clock.now += 1800
    failed(node, only(node))
    clock.now += 120
    assert only(node).request.event is Event.NONE


@pytest.mark.parametrize(("retry_in", "pause"), [(30.0, 120.0), (3600.0, 3600.0)])
def test_a_tracker_may_say_when_it_wants_to_be_asked_again(retry_in: float, pause: float) -> None:
    """BEP 31; not sooner than we would."""
    node, clock, _ = live()
    failed(node, only(node), TrackerFault(FaultKind.REFUSED, "busy", retry_in=retry_in))
    clock.now += pause - 1
    assert due(node) == []
    clock.now += 1
    assert due(node)


@pytest.mark.parametrize(
    "fault", [TrackerFault(FaultKind.REFUSED, "go away", retry_in=inf), TrackerFault(FaultKind.URL, "not a URL")]
)
def test_who_cannot_be_asked_is_not_asked_again(fault: TrackerFault) -> None:
    """BEP 31's "never", and what is no URL. The other trackers go on."""
    node, clock, _ = live(tracked([ONE], [TWO]))
    failed(node, only(node), fault)
    for _ in range(5):
        one = only(node)
        assert one.tracker.url == TWO
        told(node, one)
        clock.now += 1800
    node, clock, torrent = live()
    failed(node, only(node), fault)
    assert len(node.engine.due.announces) == 0
    fetched(node, clock, torrent)
    clock.now += 1_000_000
    assert due(node) == []


def test_trackers_that_are_learned_later_are_asked_as_well() -> None:
    """The user adds the .torrent of what a link has begun; who was asked already is not asked again for it."""
    node, clock, torrent = begun()
    with node.engine.turn:
        torrent.metainfo = replace(torrent.metainfo, trackers=((ONE,), (TWO,)))
        announcing.begin(node.engine, torrent)
    told(node, one := only(node))
    assert (one.tracker.url, one.request.event) == (TWO, Event.STARTED)
    assert due(node) == []
    clock.now += 1800
    assert only(node).tracker.url == ONE


# Leaving.


def test_who_leaves_says_so_to_those_that_know() -> None:
    """With the port by which the tracker knows us, and wanting nobody. A second close says nothing."""
    node, _, torrent = live(tracked([ONE], [TWO], [THREE]))
    failed(node, only(node))
    told(node, only(node), tracker_id=b"id")
    node.drop(torrent)
    node.drop(torrent)
    node.settle()
    [said] = farewells(node)
    assert (said.event, said.port, said.tracker_id, said.peers_wanted) == (Event.STOPPED, PORT, b"id", 0)
    assert len(node.engine.due.announces) == 0
    assert due(node) == []


def test_who_leaves_while_a_tracker_hears_of_it_says_so_afterwards() -> None:
    """Else the tracker would send others to us for an hour. One that fails has heard nothing."""
    for fails in (False, True):
        node, _, torrent = live()
        one = only(node)
        node.drop(torrent)
        node.settle()
        assert farewells(node) == []
        if fails:
            failed(node, one)
        else:
            told(node, one, peers=(Address("203.0.113.5", 1),))
        node.settle()
        assert [said.event for said in farewells(node)] == ([] if fails else [Event.STOPPED])
        assert len(torrent.swarm.candidates) == 0
        assert len(node.engine.due.announces) == 0


@pytest.mark.parametrize("heard", ["asked", "asking", "nothing"])
def test_who_is_whole_and_leaves_at_once_is_counted_before_it_says_goodbye(heard: str) -> None:
    """Whatever the tracker was doing: it was being asked for peers, or being told just that, or was left alone."""
    node, clock, torrent = live()
    one = only(node)
    if heard != "asked":
        told(node, one)
    fetched(node, clock, torrent)
    if heard == "asking":
        one = only(node)
    node.drop(torrent)
    node.settle()
    if heard != "nothing":
        assert farewells(node) == []
        told(node, one)
        node.settle()
    expected = [Event.STOPPED] if heard == "asking" else [Event.COMPLETED, Event.STOPPED]
    if heard != "asking":
        [last] = node.loop.announced
        assert last.last
        told(node, last)
        node.settle()
    goodbye = node.loop.announced[-1]
    assert [said.event for said in farewells(node)] == expected
    told(node, goodbye)
    node.settle()
    assert farewells(node) == []


def test_an_answer_to_a_torrent_that_left_is_nothing_to_the_one_that_came_back() -> None:
    """Dropped and added again, it begins anew, after the tracker was told of the end."""
    node, clock, before = begun()
    clock.now += 1800
    late = only(node)
    node.drop(before)
    node.settle()
    [last] = node.loop.announced
    after = node.add(SIMPLE)
    node.settle()
    assert due(node, leaving=[last.key]) == []
    told(node, late, peers=(Address("203.0.113.5", 1),))
    told(node, last)
    failed(node, last)
    assert len(after.swarm.candidates) == len(before.swarm.candidates) == 0
    clock.now += 1
    one = only(node)
    assert one.tiers.torrent is after
    assert one.request.event is Event.STARTED
    assert len(node.loop.announced) == 1


def test_a_torrent_with_a_list_of_trackers_without_end_asks_the_first_of_them() -> None:
    """300,000 URLs of one server: it would be asked as fast as it refuses, and each look at them was a long turn."""
    urls = [f"http://victim.example/{number}" for number in range(2 * MOST_TRACKERS)]
    for tiers in ([urls], [[url] for url in urls]):
        node, clock, torrent = live(tracked(*tiers))
        assert {one.url for one in torrent.swarm.trackers[0].every()} == set(urls[:MOST_TRACKERS])
        for _ in range(10):
            failed(node, only(node), TrackerFault(FaultKind.REFUSED, "no"))
            clock.now += 1
        for _ in range(SILENCE):
            failed(node, only(node))
        assert not due(node)  # it need not be found out for each URL that nobody is there
