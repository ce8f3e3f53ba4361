"""What is told of a torrent's trackers: all of them, once, and the schedule that is followed."""

from __future__ import annotations

from math import inf

import pytest

from anabranch.engine import announcing
from anabranch.engine.state import TorrentState
from anabranch.engine.tracker_status import TrackerStatus, tracker_statuses
from anabranch.metainfo import Magnet
from anabranch.model import Address, InfoHashV2
from anabranch.tracker import Announced, AnnounceReply, Endpoint, ErrorType, FaultKind, TrackerFault
from engine.clocks import Clock
from engine.rig import Node
from engine.samples import sample
from engine.trackers import ONE, PLAIN, THREE, TWO, begun, due, failed, live, only, told, tracked

SOCKET = "wss://four.example/?passkey=secret"
V4, V6 = Address("203.0.113.1", 80), Address("2001:db8::1", 80)


def statuses(node: Node, torrent: TorrentState) -> list[TrackerStatus]:
    with node.engine.turn:
        return tracker_statuses(node.engine, torrent)


def status(node: Node, torrent: TorrentState) -> TrackerStatus:
    [found] = statuses(node, torrent)
    return found


def test_every_tracker_is_there_once_in_its_own_tier() -> None:
    """HTTP, UDP (one entry, whatever families its host has) and WebSocket alike, sorted by tier and URL."""
    node, _, torrent = live(tracked([TWO, ONE], [THREE, SOCKET]))
    found = statuses(node, torrent)
    assert [(one.tier, one.url, one.kind) for one in found] == [
        (0, ONE, "http"),
        (0, TWO, "http"),
        (1, THREE, "udp"),
        (1, SOCKET, "websocket"),
    ]
    assert {one.state for one in found} == {"waiting"}
    assert "secret" not in repr(found)
    assert found[3].name == "wss://four.example"


def test_who_was_not_asked_yet_neither_works_nor_fails() -> None:
    """And while it is being asked that is what is told."""
    node, clock, torrent = live()
    before = status(node, torrent)
    assert (before.is_working, before.error_type, before.last_announce) == (False, "", None)
    assert (before.state, before.next_announce) == ("waiting", clock.now)
    due(node)
    assert status(node, torrent).state == "asking"


def test_an_answer_is_told_with_all_that_it_said() -> None:
    """Peers, seeders, leechers, downloads, intervals, a warning, how long it took."""
    node, clock, torrent = live()
    one = only(node)
    clock.now += 2.5
    reply = AnnounceReply(1800, 900, 5, 7, 11, (V4,), warning="be nice")
    fault = TrackerFault(FaultKind.TIMEOUT, "no answer within 15 s")
    with node.engine.turn:
        ends = Endpoint("ipv4", V4, 2.0, reply), Endpoint("ipv6", V6, 2.5, fault=fault)
        announcing.told(node.engine, one, Announced(reply, ends))
    told_of = status(node, torrent)
    assert told_of.is_working
    assert told_of.state == "working"
    assert (told_of.num_peers, told_of.seeders, told_of.leechers, told_of.downloaded) == (1, 5, 7, 11)
    assert (told_of.interval, told_of.min_interval) == (1800, 900)
    assert told_of.warning == told_of.message == "be nice"
    assert (told_of.last_announce, told_of.next_announce, told_of.seconds) == (clock.now, clock.now + 1800, 2.5)
    assert [(end.family, end.address, end.num_peers, end.error_type, end.seconds) for end in told_of.endpoints] == [
        ("ipv4", str(V4), 1, "", 2.0),
        ("ipv6", str(V6), 0, "timeout", 2.5),
    ]
    assert (told_of.error_type, told_of.last_error, told_of.remedy) == ("", "", "")


@pytest.mark.parametrize(
    ("fault", "category"),
    [
        (TrackerFault(FaultKind.REFUSED, "it said", reason="Unregistered torrent"), "torrent_not_registered"),
        (TrackerFault(FaultKind.STATUS, "404 Not Found", status=404), "tracker_not_found"),
        (TrackerFault(FaultKind.NAME, "no such name"), "dns_error"),
        (TrackerFault(FaultKind.INTERNAL, "internal error"), "unknown_error"),
    ],
)
def test_a_failure_is_told_with_its_category_and_a_remedy(fault: TrackerFault, category: str) -> None:
    """After one, the numbers of the answer before are no more; after a success, nothing of the failure is left."""
    node, clock, torrent = begun()
    clock.now += 1800
    failed(node, only(node), fault)
    failing = status(node, torrent)
    assert (failing.state, failing.is_working, failing.error_type) == ("failing", False, category)
    assert failing.last_error == str(fault)
    assert failing.message == (fault.reason or str(fault))
    assert failing.remedy
    assert (failing.num_peers, failing.seeders, failing.consecutive_fails) == (0, None, 1)
    assert failing.next_announce == clock.now + 120
    clock.now += 120
    told(node, only(node))
    working = status(node, torrent)
    assert (working.is_working, working.error_type, working.consecutive_fails) == (True, "", 0)


def test_who_stands_by_has_no_appointment_as_long_as_another_answers() -> None:
    """Who answers is asked next; who failed before it is tried again first, when its own pause is over."""
    node, clock, torrent = live(tracked([ONE], [TWO], [THREE]))
    failed(node, only(node))
    told(node, only(node))
    first, second, third = statuses(node, torrent)
    assert [one.state for one in (first, second, third)] == ["failing", "working", "standby"]
    assert [one.next_announce for one in (first, second, third)] == [clock.now + 1800, clock.now + 1800, None]
    clock.now += 1800
    assert only(node).tracker.url == ONE


def test_who_failed_and_stands_behind_who_answers_has_no_appointment() -> None:
    """Only those before it are tried again while it answers."""
    node, clock, torrent = live(tracked([ONE], [TWO]))
    failed(node, only(node))
    clock.now += 30
    failed(node, only(node))
    assert [one.next_announce for one in statuses(node, torrent)] == [clock.now + 90, clock.now + 120]
    clock.now += 90
    told(node, only(node))
    assert [(one.state, one.next_announce) for one in statuses(node, torrent)] == [
        ("working", clock.now + 1800),
        ("failing", None),
    ]
    clock.now += 1800
    told(node, one := only(node))
    assert one.tracker.url == ONE


def test_who_is_not_asked_again_says_so() -> None:
    """BEP 31's "never", and what is no URL."""
    node, _, torrent = live(tracked([ONE]))
    failed(node, only(node), TrackerFault(FaultKind.REFUSED, "go away", retry_in=inf))
    assert (status(node, torrent).state, status(node, torrent).next_announce) == ("unusable", None)


def test_trackers_that_are_switched_off_are_told_of_as_such() -> None:
    """By the user for all, or by a star before the URL, as some programs write them: those are not asked."""
    node, _, torrent = live(disable_trackers=True)
    assert [one.state for one in statuses(node, torrent)] == ["off"]
    node, _, torrent = live(tracked(["*http://off.example/a"], [ONE]))
    assert [one.state for one in statuses(node, torrent)] == ["off", "waiting"]
    assert only(node).tracker.url == ONE


def test_a_client_without_webtorrent_has_its_trackers_switched_off() -> None:
    """They bring WebRTC peers only. The others are asked, one after the other as ever."""
    node, _, torrent = live(tracked(["ws://web.example"], ["WSS://web.example/a"], [ONE]), disable_webtorrent=True)
    assert [(one.kind, one.state) for one in statuses(node, torrent)] == [
        ("websocket", "off"),
        ("websocket", "off"),
        ("http", "waiting"),
    ]
    assert only(node).tracker.url == ONE


def test_a_hybrid_has_each_tracker_once_with_what_it_says_of_both_names() -> None:
    """Two announces, one tracker: the one that fails speaks for it."""
    node = Node(clock := Clock())
    torrent = node.prepare(PLAIN, source=Magnet(v1=PLAIN.info_hash, v2=InfoHashV2(b"2" * 32), trackers=(ONE,)))
    node.settle()
    one, other = due(node)
    for announce, end in ((one, Endpoint("ipv4", V4, 1.0, AnnounceReply(1800, peers=(V4,)))),):
        with node.engine.turn:
            announcing.told(node.engine, announce, Announced(AnnounceReply(1800, seeders=3, peers=(V4,)), (end,)))
    fault = TrackerFault(FaultKind.REFUSED, "unregistered torrent", reason="unregistered torrent")
    fault.endpoints = (Endpoint("ipv4", V4, 1.0, fault=fault),)
    failed(node, other, fault)
    found = status(node, torrent)
    assert (found.error_type, found.is_working) == (ErrorType.TORRENT_NOT_REGISTERED, False)
    assert [end.info_hash for end in found.endpoints] == [one.tiers.name, other.tiers.name]
    assert found.num_peers == 1
    assert found.next_announce == clock.now + 120


def test_what_others_found_out_is_told_of_who_was_not_asked_for_it() -> None:
    """A tracker that nobody could reach is left alone by all torrents, and each says why it waits."""
    node, clock, _ = live()
    for pause in (120, 240):
        failed(node, only(node))
        clock.now += pause
    failed(node, only(node))
    other = node.add(tracked([ONE], content=sample(pieces=4, blocks=1, seed=1)))
    node.settle()
    assert due(node) == []
    waits = status(node, other)
    assert (waits.state, waits.error_type, waits.last_announce) == ("failing", "network_error", None)
    assert waits.next_announce == clock.now + 120
    clock.now += 120
    assert only(node).tiers.torrent is other
