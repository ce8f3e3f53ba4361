"""Trackers of a torrent: named, replaced, asked again, scraped and told about, with trackers that are really asked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import trees
from anabranch.api import Client, InputRefused, Torrent, TrackerStatus, create
from anabranch.bencode import encode
from anabranch.model import InfoHash
from anabranch.testing import TrackerServer
from anabranch.tracker import Event
from origin import Origin
from ours import make_client, until
from threads import PATIENCE

NOBODY = "http://127.0.7.9:9/announce"  # nobody listens there
SOCKET = "ws://127.0.7.9:9/announce"


@pytest.fixture
def tracker() -> Iterator[TrackerServer]:
    with TrackerServer() as tracker:
        yield tracker


@pytest.fixture
def other() -> Iterator[TrackerServer]:
    with TrackerServer(interval=900) as tracker:
        yield tracker


def torrent_of(number: int, *tiers: Sequence[str], private: bool = False) -> bytes:
    """A torrent of one piece, that nobody has."""
    info = {"length": 1, "name": f"{number}", "piece length": 16384, "pieces": number.to_bytes(20, "big")}
    return encode({"announce-list": [list(tier) for tier in tiers], "info": info | ({"private": 1} if private else {})})


def told(tracker: TrackerServer, torrent: Torrent) -> list[Event]:
    """What a tracker heard of a torrent."""
    return [one.event for one in tracker.announces if one.info_hash == bytes(torrent.info_hash)]


def heard(tracker: TrackerServer, torrent: Torrent, *expected: Event) -> None:
    """Wait until it has heard just this."""
    tracker.wait_for(lambda tracker: len(told(tracker, torrent)) >= len(expected))
    assert told(tracker, torrent) == [*expected]


def status_of(torrent: Torrent, url: str) -> TrackerStatus:
    [status] = [one for one in torrent.tracker_statuses() if one.url == url]
    return status


def works(torrent: Torrent, url: str) -> TrackerStatus:
    """Wait until that tracker does."""
    until(lambda: status_of(torrent, url).is_working, PATIENCE)
    return status_of(torrent, url)


def fails(torrent: Torrent, url: str) -> TrackerStatus:
    until(lambda: status_of(torrent, url).error_type, PATIENCE)
    return status_of(torrent, url)


@pytest.mark.parametrize("by", ["http", "udp"])
def test_a_tracker_s_status_says_what_it_said_and_when_it_is_asked_next(
    by: str, tracker: TrackerServer, client: Client
) -> None:
    """One entry, in its own tier, whatever its kind; the next announce is the schedule's, by the same clock."""
    url = tracker.announce_url if by == "http" else tracker.udp_url
    before = time.monotonic()
    torrent = client.add(torrent_of(1, [NOBODY], [url]))
    status = works(torrent, url)
    assert [(one.tier, one.url) for one in torrent.tracker_statuses()] == [(0, NOBODY), (1, url)]
    assert (status.kind, status.state, status.name) == (by, "working", url.removesuffix("/announce"))
    assert (status.num_peers, status.seeders, status.leechers) == (0, 0, 1)
    assert (status.interval, status.consecutive_fails, status.error_type) == (1800, 0, "")
    assert status.last_announce is not None
    assert status.next_announce is not None
    assert before <= status.last_announce <= time.monotonic()
    first = status_of(torrent, NOBODY)
    assert (first.error_type, first.consecutive_fails, first.is_working) == ("network_error", 1, False)
    assert first.remedy
    assert first.last_announce is not None
    assert first.next_announce == pytest.approx(status.last_announce + 1800)  # it is tried again before the other
    assert status.next_announce == pytest.approx(status.last_announce + 1800)
    [end] = status.endpoints
    assert (end.family, end.info_hash, end.error_type) == ("ipv4", torrent.info_hash, "")


def test_every_kind_of_tracker_is_listed_in_a_fixed_order(tracker: TrackerServer, client: Client) -> None:
    """A fork of the Go engine left WebSocket trackers out, showed UDP ones twice, in tier 0, and drew the order."""
    tiers = [[NOBODY], [tracker.udp_url, SOCKET], [tracker.announce_url]]
    torrent = client.add(torrent_of(2, *tiers))
    expected = [(number, url) for number, tier in enumerate(tiers) for url in sorted(tier)]
    assert [(one.tier, one.url) for one in torrent.tracker_statuses()] == expected
    works(torrent, tracker.udp_url)
    assert [(one.tier, one.url) for one in torrent.tracker_statuses()] == expected
    assert status_of(torrent, SOCKET).kind == "websocket"


def test_a_websocket_tracker_that_nobody_answers_at_fails_as_any_other(client: Client) -> None:
    """With its category."""
    torrent = client.add(torrent_of(3, [SOCKET]))
    status = fails(torrent, SOCKET)
    assert (status.kind, status.error_type, status.state) == ("websocket", "network_error", "failing")


def test_a_hybrid_has_each_url_once_with_both_its_names(tracker: TrackerServer, client: Client, tmp_path: Path) -> None:
    """BEP 52: it is announced by each."""
    content = trees.make_file(tmp_path / "content.bin", 40_000)
    torrent = client.add(create(content, piece_length=16384, version="hybrid", trackers=[tracker.announce_url]))
    assert tracker.wait_for(lambda tracker: len(tracker.announces) == 2)
    until(lambda: len(status_of(torrent, tracker.announce_url).endpoints) == 2, PATIENCE)
    [status] = torrent.tracker_statuses()
    names = {bytes(name) for name in torrent.metainfo.info.swarm_hashes}
    assert len(names) == 2
    assert {bytes(end.info_hash) for end in status.endpoints} == names
    assert {one.info_hash for one in tracker.announces} == names


def test_after_a_failure_the_next_announce_is_when_the_pause_ends(tracker: TrackerServer, client: Client) -> None:
    """W34: two minutes, not the interval, nor the least that is ever waited; and what the tracker said is told."""
    tracker.decide = lambda announce: "Unregistered torrent"
    torrent = client.add(torrent_of(4, [tracker.announce_url], private=True))
    status = fails(torrent, tracker.announce_url)
    assert status.error_type == "torrent_not_registered"
    assert "Unregistered torrent" in status.message
    assert status.last_announce is not None
    assert status.next_announce == pytest.approx(status.last_announce + 120)
    assert (status.num_peers, status.seeders, status.consecutive_fails) == (0, None, 1)


def test_a_tracker_that_comes_back_is_announced_to_again(
    tracker: TrackerServer, other: TrackerServer, client: Client
) -> None:
    """A, B, A: the first is asked as if it were new, and whoever is left hears that we go."""
    torrent = client.add(torrent_of(5, [tracker.announce_url]))
    heard(tracker, torrent, Event.STARTED)
    works(torrent, tracker.announce_url)
    torrent.set_trackers([other.udp_url])
    heard(tracker, torrent, Event.STARTED, Event.STOPPED)
    heard(other, torrent, Event.STARTED)
    assert works(torrent, other.udp_url).interval == 900
    assert [one.url for one in torrent.tracker_statuses()] == [other.udp_url]
    torrent.set_trackers([tracker.announce_url])
    heard(other, torrent, Event.STARTED, Event.STOPPED)
    heard(tracker, torrent, Event.STARTED, Event.STOPPED, Event.STARTED)


def test_added_trackers_are_asked_at_once_and_stand_behind(
    tracker: TrackerServer, other: TrackerServer, client: Client
) -> None:
    """A URL is a tier of its own, several are one; what the user names may have any path in our own network."""
    torrent = client.add(torrent_of(6, [tracker.announce_url]))
    works(torrent, tracker.announce_url)
    odd = other.announce_url.replace("/announce", "/my/own/announce?x=1")
    torrent.add_trackers([odd, (NOBODY, tracker.udp_url)])
    heard(other, torrent, Event.STARTED)
    assert other.announces[-1].target.startswith("/my/own/announce?x=1&")
    assert [(one.tier, one.url) for one in torrent.tracker_statuses()] == [
        (0, tracker.announce_url),
        (1, odd),
        (2, NOBODY),
        (2, tracker.udp_url),
    ]
    assert told(tracker, torrent) == [Event.STARTED]
    assert torrent.metainfo.trackers == ((tracker.announce_url,), (odd,), (NOBODY, tracker.udp_url))


@pytest.mark.parametrize("wrong", ["ftp://host.example/passkey", "host.example/passkey", "", "http://\udcff/passkey"])
def test_what_is_no_tracker_s_url_is_refused_and_nothing_is_changed(
    wrong: str, tracker: TrackerServer, client: Client
) -> None:
    """All of it or nothing; the text does not repeat what may be secret. A string is no list."""
    torrent = client.add(torrent_of(7, [tracker.announce_url]))
    for change in (torrent.add_trackers, torrent.set_trackers):
        with pytest.raises(InputRefused, match="not a tracker's URL: ") as refused:
            change([NOBODY, [SOCKET, wrong]])
        assert "passkey" not in str(refused.value)
        with pytest.raises(InputRefused, match="trackers are a list of URLs"):
            change(NOBODY)
    assert [one.url for one in torrent.tracker_statuses()] == [tracker.announce_url]


def test_a_restart_remembers_what_was_chosen(tracker: TrackerServer, other: TrackerServer, tmp_path: Path) -> None:
    """Also where the same file or a link to it is added; the former trackers do not come back."""
    source = torrent_of(8, [tracker.announce_url])
    odd = other.announce_url.replace("/announce", "/own/announce")
    with make_client(tmp_path) as client:
        torrent = client.add(source)
        works(torrent, tracker.announce_url)
        torrent.set_trackers([[odd], [other.udp_url, NOBODY]])
        works(torrent, odd)
        link = f"magnet:?xt=urn:btih:{torrent.info_hash}&tr={tracker.announce_url}"
    asked = len(tracker.announces)
    with make_client(tmp_path) as client:
        [torrent] = client.restore()
        assert works(torrent, odd).tier == 0
        assert torrent._state.swarm.trackers.trusted == {odd, other.udp_url, NOBODY}
    for again in (source, link):
        with make_client(tmp_path) as client:
            torrent = client.add(again)
            assert torrent.checked.wait(PATIENCE)
            assert [one.url for one in torrent.tracker_statuses()] == [odd, *sorted([other.udp_url, NOBODY])]
    assert len(tracker.announces) == asked


def test_what_is_added_is_there_after_a_restart(tracker: TrackerServer, other: TrackerServer, tmp_path: Path) -> None:
    """Behind those of the file; also of a link of which nothing was learned yet."""
    for source in (
        torrent_of(9, [tracker.announce_url]),
        f"magnet:?xt=urn:btih:{InfoHash(b'7' * 20)}&tr={tracker.announce_url}",
    ):
        with make_client(tmp_path) as client:
            client.add(source).add_trackers([other.announce_url])
        with make_client(tmp_path) as client:
            torrent = client.add(source)
            assert [one.url for one in torrent.tracker_statuses()] == [tracker.announce_url, other.announce_url]
            torrent.drop()


def test_what_was_chosen_before_the_metadata_came_stays_chosen(
    tracker: TrackerServer, other: TrackerServer, origin: Origin, client: Client
) -> None:
    """The link's own trackers do not come back when a peer tells what the torrent is."""
    torrent = client.add(f"magnet:?xt=urn:btih:{origin.metainfo.info.info_hash}&tr={tracker.announce_url}")
    heard(tracker, torrent, Event.STARTED)
    works(torrent, tracker.announce_url)
    torrent.set_trackers([other.announce_url])
    heard(tracker, torrent, Event.STARTED, Event.STOPPED)
    works(torrent, other.announce_url)
    torrent.add_peers([origin.address])
    assert torrent.got_info.wait(PATIENCE)
    assert torrent.metainfo.trackers == ((other.announce_url,),)
    assert torrent.checked.wait(PATIENCE)
    assert [one.url for one in torrent.tracker_statuses()] == [other.announce_url]
    assert told(tracker, torrent) == [Event.STARTED, Event.STOPPED]


def test_a_tracker_that_was_dead_is_asked_as_soon_as_the_user_wants_it(client: Client) -> None:
    """Three torrents found that nobody is there, and the others leave it alone: unless they are told otherwise."""
    with TrackerServer() as gone:
        url = gone.announce_url
    for number in range(3):
        fails(client.add(torrent_of(100 + number, [url])), url)
    torrent = client.add(torrent_of(110, [url]))
    status = fails(torrent, url)
    assert (status.state, status.error_type, status.last_announce) == ("failing", "network_error", None)
    with gone:
        torrent.announce()
        assert works(torrent, url).consecutive_fails == 0
        assert told(gone, torrent) == [Event.STARTED]


def test_asking_again_asks_nobody_within_a_minute(tracker: TrackerServer, client: Client) -> None:
    """What is due then says the status."""
    torrent = client.add(torrent_of(10, [tracker.announce_url], private=True))
    at = works(torrent, tracker.announce_url).last_announce
    assert at is not None
    torrent.announce()
    until(lambda: status_of(torrent, tracker.announce_url).next_announce == pytest.approx(at + 60), PATIENCE)
    assert told(tracker, torrent) == [Event.STARTED]


@pytest.mark.parametrize("by", ["http", "udp"])
def test_all_torrents_are_scraped_in_one_question(
    by: str, tracker: TrackerServer, other: TrackerServer, client: Client, tmp_path: Path
) -> None:
    """Who stands by gives its numbers without being announced to; who was asked within a minute is left alone."""
    standby = other.announce_url if by == "http" else other.udp_url
    with make_client(tmp_path / "third", "127.0.7.30", state_dir=None) as third:  # the other tracker knows of it
        there = third.add(torrent_of(20, [standby]))
        works(there, standby)
        torrents = [client.add(torrent_of(number, [tracker.announce_url], [standby])) for number in (20, 21, 22)]
        for torrent in torrents:
            works(torrent, tracker.announce_url)
        assert client.scrape().wait(PATIENCE)
        until(lambda: status_of(torrents[0], standby).leechers == 1, PATIENCE)
        for torrent in torrents:
            status = status_of(torrent, standby)
            assert (status.state, status.last_announce) == ("standby", None)
        assert other.counts.scrapes == 1
        assert tracker.counts.scrapes == 0
        assert client.scrape(torrents[:1]).wait(PATIENCE)
        assert other.counts.scrapes == 1


def test_who_cannot_be_scraped_says_so_beside_the_rest(tracker: TrackerServer, client: Client) -> None:
    """It says nothing about announces; the signal comes all the same, and at once where there is nothing to ask."""
    torrent = client.add(torrent_of(23, [tracker.announce_url], [NOBODY]))
    works(torrent, tracker.announce_url)
    assert client.scrape().wait(PATIENCE)
    until(lambda: status_of(torrent, NOBODY).scrape_error, PATIENCE)
    assert status_of(torrent, NOBODY).error_type == ""
    assert client.scrape([]).wait(PATIENCE)


def test_a_handle_that_somebody_kept_does_no_harm(tracker: TrackerServer, client: Client) -> None:
    """The torrent is gone: nothing is asked or remembered."""
    torrent = client.add(torrent_of(24, [tracker.announce_url]))
    works(torrent, tracker.announce_url)
    torrent.drop()
    assert torrent.closed.wait(PATIENCE)
    torrent.add_trackers([NOBODY])
    torrent.set_trackers([tracker.announce_url])
    torrent.announce()
    assert client.scrape([torrent]).wait(PATIENCE)
    assert {one.state for one in torrent.tracker_statuses()} <= {"off"}
    heard(tracker, torrent, Event.STARTED, Event.STOPPED)
    assert torrent._state not in client._core.engine.due.unsaved


def test_who_scrapes_when_the_client_is_closed_waits_for_nobody(tracker: TrackerServer, tmp_path: Path) -> None:
    """There is nothing to ask any more."""
    with make_client(tmp_path) as client:
        torrent = client.add(torrent_of(25, [tracker.announce_url], [NOBODY]))
        works(torrent, tracker.announce_url)
    assert client.scrape([torrent]).wait(PATIENCE)
