"""Many torrents in one question, and nobody asked who was asked just now."""

from __future__ import annotations

from anabranch.engine import scraping
from anabranch.engine.scraping import MOST, Scrape
from anabranch.engine.state import TorrentState
from anabranch.engine.tracker_status import tracker_statuses
from anabranch.engine.trackers import FLOOR
from anabranch.tracker import FaultKind, ScrapeReply, TrackerFault
from engine.clocks import Clock
from engine.rig import Node
from engine.samples import sample
from engine.trackers import ONE, THREE, TWO, due, failed, only, told, tracked


def several(count: int, *tiers: list[str]) -> tuple[Node, Clock, list[TorrentState]]:
    node = Node(clock := Clock(), disable_trackers=False)
    torrents = [node.add(tracked(*tiers, content=sample(pieces=1, blocks=1, seed=number))) for number in range(count)]
    node.settle()
    return node, clock, torrents


def plan(node: Node, torrents: list[TorrentState]) -> list[Scrape]:
    with node.engine.turn:
        return scraping.plan(node.engine, torrents)


def test_many_torrents_of_a_tracker_are_one_question() -> None:
    """BEP 48: as many as any tracker takes; each tracker is asked about each torrent once."""
    node, _, torrents = several(MOST + 10, [ONE], [TWO])
    questions = plan(node, torrents)
    assert sorted((one.url, len(one.asked)) for one in questions) == sorted(
        [(ONE, MOST), (ONE, 10), (TWO, MOST), (TWO, 10)]
    )
    for url in (ONE, TWO):
        about = [name for one in questions if one.url == url for name in one.asked]
        assert sorted(about) == sorted(bytes(torrent.info_hash) for torrent in torrents)


def test_who_was_asked_less_than_a_minute_ago_is_not_asked_again() -> None:
    """By a scrape or by an announce, which tells the same."""
    node, clock, [torrent] = several(1, [ONE])
    assert len(plan(node, [torrent])) == 1
    assert plan(node, [torrent]) == []
    clock.now += FLOOR
    told(node, only(node))
    assert plan(node, [torrent]) == []
    clock.now += FLOOR
    assert len(plan(node, [torrent])) == 1


def test_what_is_said_stands_beside_what_announces_said() -> None:
    """Of a tracker that was never announced to as well; what the tracker does not know changes nothing."""
    node, clock, torrents = several(2, [ONE])
    [one] = plan(node, torrents)
    with node.engine.turn:
        scraping.told(node.engine, one, {bytes(torrents[0].info_hash): ScrapeReply(5, 100, 7)})
        [first], [second] = (tracker_statuses(node.engine, torrent) for torrent in torrents)
    assert (first.seeders, first.leechers, first.downloaded, first.state) == (5, 7, 100, "waiting")
    assert (second.seeders, second.is_working) == (None, False)
    told(node, due(node)[0], seeders=6, warning="x")
    clock.now += FLOOR
    [again] = plan(node, [torrents[0]])
    with node.engine.turn:
        scraping.told(node.engine, again, {bytes(torrents[0].info_hash): ScrapeReply(8, None, 9)})
        [first] = tracker_statuses(node.engine, torrents[0])
    assert (first.seeders, first.leechers, first.warning, first.is_working) == (8, 9, "x", True)


def test_a_tracker_that_gives_no_numbers_does_not_fail_for_that() -> None:
    """Many have none; why is told apart, until it gives some."""
    node, clock, [torrent] = several(1, [THREE])
    told(node, only(node))
    clock.now += FLOOR
    [one] = plan(node, [torrent])
    with node.engine.turn:
        scraping.failed(node.engine, one, TrackerFault(FaultKind.NO_SCRAPE, "none here"))
        [status] = tracker_statuses(node.engine, torrent)
        assert (status.is_working, status.error_type, status.scrape_error) == (True, "", "none here")
        scraping.told(node.engine, one, {bytes(torrent.info_hash): ScrapeReply(1, 2, 3)})
        [status] = tracker_statuses(node.engine, torrent)
    assert status.scrape_error == ""


def test_what_is_no_url_is_not_scraped() -> None:
    """It was found out by the announce."""
    node, clock, [torrent] = several(1, [ONE])
    failed(node, only(node), TrackerFault(FaultKind.URL, "not a URL"))
    clock.now += 10 * FLOOR
    assert plan(node, [torrent]) == []


def test_the_users_own_urls_are_told_apart() -> None:
    """They may be in our own network, whatever they look like."""
    node, _, torrents = several(2, [ONE])
    torrents[1].swarm.trackers.trusted = {ONE}
    assert sorted((one.url, one.trusted) for one in plan(node, torrents)) == [(ONE, False), (ONE, True)]
