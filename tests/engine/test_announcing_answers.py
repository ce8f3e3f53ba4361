"""What an answer sets in motion, beyond the next announce."""

from __future__ import annotations

import pytest

from anabranch.engine import announcing, scraping
from anabranch.engine.announcing import LOW_WATER
from anabranch.engine.failing import fail_for_good
from anabranch.engine.fleet import AT_ONCE, PER_HOST, PER_URL, SILENCE, Busy, Fleet
from anabranch.engine.ourselves import Ourselves
from anabranch.engine.tracker_status import tracker_statuses
from anabranch.engine.wanting import allow_download, allow_upload
from anabranch.metainfo import Magnet
from anabranch.model import Address, InfoHashV2, TorrentError
from anabranch.tracker import Announced, AnnounceReply, Endpoint, Event, FaultKind, TrackerFault
from engine.clocks import Clock
from engine.rig import Node
from engine.samples import sample
from engine.trackers import ONE, PLAIN, TWO, begun, due, failed, farewells, fetched, live, only, told, tracked

SILENT = TrackerFault(FaultKind.TIMEOUT, "no answer")


@pytest.mark.parametrize("fails", [False, True])
def test_who_was_counted_and_leaves_says_goodbye(fails: bool) -> None:
    """Right after the tracker has heard that it is whole, or could not hear it, as at any other time."""
    node, clock, torrent = begun()
    fetched(node, clock, torrent)
    one = only(node)
    assert one.request.event is Event.COMPLETED
    if fails:
        failed(node, one)
    else:
        told(node, one)
    node.drop(torrent)
    node.settle()
    assert [said.event for said in farewells(node)] == [Event.STOPPED]


def test_a_torrent_that_rested_is_looked_after_again_when_a_tracker_tells_of_peers() -> None:
    """And they are dialed at once, not when something else happens."""
    node, clock, torrent = begun(tracked([ONE]))
    clock.now += 1800
    one = only(node)
    node.engine.due.lively.leave(torrent)
    node.loop.asked_to_dial = 0
    told(node, one, peers=(Address("203.0.113.5", 6881),))
    assert torrent in node.engine.due.lively
    assert node.loop.asked_to_dial


def test_an_external_address_is_believed_as_told_of_where_it_was_asked() -> None:
    """BEP 24: by the family of the tracker's own address."""
    node, _, _ = live()
    heard: list[tuple[str, str]] = []

    class Listening(Ourselves):
        def told(self, host: str, by: str) -> None:
            heard.append((host, by))

    node.loop.ourselves = Listening()
    one = only(node)

    there = Address("203.0.113.1", 80)
    reply = AnnounceReply(1800, external_ip="198.51.100.7")
    ends = (Endpoint("ipv4", there, 1.0, reply), Endpoint("ipv6", None, 1.0), Endpoint("proxy", None, 1.0, reply))
    with node.engine.turn:
        announcing.told(node.engine, one, Announced(reply, ends))
    assert heard == [("198.51.100.7", "203.0.113.1")]


def test_of_both_names_of_a_hybrid_the_larger_numbers_are_told() -> None:
    """Nobody knows how many have it by both: at least so many."""
    node = Node(Clock())
    torrent = node.prepare(PLAIN, source=Magnet(v1=PLAIN.info_hash, v2=InfoHashV2(b"2" * 32), trackers=(ONE,)))
    node.settle()
    for one, seeders in zip(due(node), (3, 5), strict=True):
        told(node, one, seeders=seeders, leechers=10 - seeders)
    with node.engine.turn:
        [status] = tracker_statuses(node.engine, torrent)
    assert (status.seeders, status.leechers, status.downloaded) == (5, 7, None)


def test_the_limits_are_those_that_are_promised() -> None:
    """Two for a URL, eight for a host, 64 in all."""
    fleet = Fleet()
    assert fleet.admits(ONE, 0.0, Busy([ONE]))
    assert not fleet.admits(ONE, 0.0, Busy([ONE, ONE]))
    ports = [f"http://one.example:{port}/" for port in range(1, 9)]
    assert fleet.admits(ONE, 0.0, Busy(ports[:7]))
    assert not fleet.admits(ONE, 0.0, Busy(ports))
    assert (PER_URL, PER_HOST) == (2, 8)
    node, _, _ = live(tracked([ONE], [TWO]))
    assert len(due(node, [f"http://{number}.example/" for number in range(AT_ONCE)])) == 0
    assert AT_ONCE == 64


def test_an_answer_to_a_torrent_that_turned_out_useless_changes_nothing() -> None:
    """It is still there to be told about, and its tracker is told that it left."""
    node, _, torrent = live()
    one = only(node)
    with node.engine.turn:
        fail_for_good(node.engine, torrent, TorrentError("damaged"))
    node.settle()
    told(node, one, peers=(Address("203.0.113.5", 6881),))
    node.settle()
    assert [said.event for said in farewells(node)] == [Event.STOPPED]
    assert len(torrent.swarm.candidates) == 0
    assert len(node.engine.due.announces) == 0


def test_who_finds_its_tracker_left_alone_asks_the_next_one_instead() -> None:
    """When it would have asked it; and the first again when that is asked again at all."""
    node, clock, torrent = live(tracked([ONE], [TWO]))
    told(node, only(node), 1800)
    clock.now += 1790
    for _ in range(SILENCE):
        node.engine.due.fleet.failed(ONE, SILENT, clock.now)
    assert due(node) == []
    clock.now += 10
    told(node, one := only(node), 1800)
    assert (one.tracker.url, one.tiers.torrent) == (TWO, torrent)
    clock.now += 109
    assert due(node) == []
    clock.now += 1800
    assert only(node).tracker.url == ONE


def test_hunger_that_is_seen_at_one_tracker_is_felt_at_all() -> None:
    """Where all are announced to: who sees first that it has changed tells the others."""
    node, clock, torrent = live(tracked([ONE, TWO], private=False), announce_to_all=True, dial_rate=0.0)
    with node.engine.turn:
        allow_download(node.engine, torrent, False)
    first, second = due(node)
    told(node, first, 100)
    told(node, second, 1800)
    torrent.policy.download = True  # a moment before anybody looks
    clock.now += 100
    assert {one.tracker for one in [*due(node), *due(node)]} == {first.tracker, second.tracker}
    assert len(node.engine.due.announces) == 0


def test_who_left_while_it_was_counted_says_goodbye_also_where_that_failed() -> None:
    """The tracker has known it all the time."""
    node, clock, torrent = begun()
    fetched(node, clock, torrent)
    one = only(node)
    node.drop(torrent)
    node.settle()
    assert farewells(node) == []
    failed(node, one)
    node.settle()
    assert len(farewells(node)) == 1


def test_who_only_gives_asks_for_peers_as_well() -> None:
    """It dials those that want something; who only takes does, too."""
    for allow in (allow_download, allow_upload):
        node, _, torrent = live()
        with node.engine.turn:
            allow(node.engine, torrent, False)
        assert only(node).request.numwant == 200


@pytest.mark.parametrize(("known", "hungry"), [(LOW_WATER, True), (LOW_WATER + 1, False)])
def test_fifty_peers_to_dial_are_few_and_one_more_is_enough(known: int, hungry: bool) -> None:
    """As with a fork of the Go engine."""
    node, clock, torrent = live(tracked([ONE], private=False), dial_rate=0.0)
    for host in range(1, known + 1):
        torrent.swarm.candidates.add(Address(f"203.0.113.{host}", 6881), "user")
    told(node, only(node), 1800)
    clock.now += 60
    assert bool(due(node)) == hungry


def test_no_more_are_begun_than_there_is_room_for() -> None:
    """However many are due, at however many trackers."""
    node = Node(Clock())
    for number in range(5):
        content = sample(pieces=4, blocks=1, seed=number)
        node.add(tracked([f"http://{number}.example/"], content=content))
    node.settle()
    under_way = [f"http://other{number}.example/" for number in range(AT_ONCE - 2)]
    for url in under_way:
        node.engine.due.fleet.answered(url)
    assert len(due(node, under_way)) == 2
    assert len(due(node, under_way)) == 2
    assert len(due(node)) == 1


def test_asking_again_is_for_the_hungry_whom_nobody_new_was_told_of_as_well() -> None:
    """Their pauses had become longer than a minute."""
    node, clock, torrent = live(tracked([ONE], private=False), dial_rate=0.0)
    for wait in (60, 120, 240):
        told(node, only(node), 1800)
        with node.engine.turn:
            [status] = tracker_statuses(node.engine, torrent)
        assert status.next_announce == clock.now + wait
        clock.now += wait
    told(node, only(node), 1800)
    with node.engine.turn:
        announcing.again(node.engine, torrent)
    clock.now += 60
    assert only(node).request.event is Event.NONE


def test_of_both_names_of_a_hybrid_the_latest_and_the_next_announce_are_told() -> None:
    """Whichever of the two it is about."""
    node = Node(clock := Clock())
    torrent = node.prepare(PLAIN, source=Magnet(v1=PLAIN.info_hash, v2=InfoHashV2(b"2" * 32), trackers=(ONE,)))
    node.settle()
    for one, interval in zip(due(node), (1800, 900), strict=True):
        told(node, one, interval)
        clock.now += 10
    with node.engine.turn:
        [status] = tracker_statuses(node.engine, torrent)
    assert (status.last_announce, status.next_announce) == (clock.now - 10, clock.now - 10 + 900)


def test_a_scrape_that_fails_leaves_what_was_said_before() -> None:
    """Numbers may be old; none would be worse."""
    node, clock, torrent = live()
    told(node, only(node), seeders=4, warning="slow today")
    clock.now += 60
    with node.engine.turn:
        [one] = scraping.plan(node.engine, [torrent])
        scraping.failed(node.engine, one, SILENT)
        [status] = tracker_statuses(node.engine, torrent)
    assert (status.seeders, status.warning, status.scrape_error) == (4, "slow today", "no answer")
