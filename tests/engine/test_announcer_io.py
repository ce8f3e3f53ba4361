"""A client and real trackers on loopback: what they are told, and that those which fail hold nobody up."""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import trees
from anabranch.api import Client, Torrent, create, events
from anabranch.bencode import encode
from anabranch.engine import announcer_io
from anabranch.engine.names_io import FamilyNames
from ours import KIB, address_of, finished, make_client, until
from small_servers import HttpServer, ProxyServer, UdpServer, http_reply

HOST = "127.0.7.20"
LENGTH = 100_000
PASSKEY = "0123456789abcdef0123"
SOON = 4.0  # seconds on a slow machine; who waits for a last answer waits 5
NOBODY = http_reply(encode({"interval": 1800, "peers": b""}))


@dataclass(frozen=True)
class Told:
    """An announce, as its tracker read it."""

    info_hash: bytes
    peer_id: bytes
    port: int
    left: int
    downloaded: int
    event: str
    key: int
    numwant: int


def over_http(target: str) -> Told:
    query = parse_qs(urlsplit(target).query, encoding="latin-1")
    word = {key: values[0] for key, values in query.items()}
    return Told(
        word["info_hash"].encode("latin-1"),
        word["peer_id"].encode("latin-1"),
        int(word["port"]),
        int(word["left"]),
        int(word["downloaded"]),
        word.get("event", ""),
        int(word["key"], 16),
        int(word["numwant"]),
    )


def over_udp(datagram: bytes) -> Told:
    words = struct.unpack_from(">20s20sQQQIIIIH", datagram, 16)
    info_hash, peer_id, downloaded, left, _, event, _, key, numwant, port = words
    name = ("", "completed", "started", "stopped")[event]
    return Told(info_hash, peer_id, port, left, downloaded, name, key, numwant)


def events_of(server: HttpServer) -> list[str]:
    return [over_http(target).event for target in server.targets]


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.make_file(tmp_path_factory.mktemp("content") / "content.bin", LENGTH)


def torrent_of(content: Path, *urls: str, name: str = "content.bin") -> bytes:
    return create(content, piece_length=16 * KIB, trackers=urls, name=name)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with make_client(tmp_path, HOST) as client:
        yield client


def announced(torrent: Torrent) -> bool:
    """Whether its tracker has answered."""
    return any(tracker.knows for tiers in torrent._state.swarm.trackers for tracker in tiers.every())


def how_long(act: Callable[[], object]) -> float:
    """Seconds."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


@pytest.mark.parametrize("protocol", ["http", "udp"])
def test_a_tracker_hears_that_we_come_and_that_we_go(protocol: str, content: Path, client: Client) -> None:
    """With our name, port and key, what we lack, and for how many peers we ask; closing waits for no more than that."""
    with HttpServer(lambda _: NOBODY) as web, UdpServer() as datagrams:

        def told() -> list[Told]:
            if protocol == "http":
                return [over_http(target) for target in web.targets]
            return [over_udp(datagram) for datagram in datagrams.datagrams if datagram[11] == 1]

        url = f"{web.url}/announce" if protocol == "http" else f"{datagrams.url}/announce"
        torrent = client.add(torrent_of(content, url))
        torrent.download_all()
        until(told)
        until(partial(announced, torrent))
        assert how_long(client.close) < SOON
        first, last = told()
    expected = Told(
        bytes(torrent.info_hash),
        client._core.engine.peer_id,
        address_of(client).port,
        LENGTH,
        0,
        "started",
        int.from_bytes(client._core.engine.peer_id[-4:], "big"),
        200,
    )
    assert first == expected
    assert last == replace(expected, event="stopped", numwant=0)


def test_peers_are_found_and_the_completion_is_told(content: Path, tmp_path: Path, client: Client) -> None:
    """Nobody but the tracker knows of the seeder. A seed that has all from the start completes nothing."""
    swarm: list[bytes] = []
    with (
        HttpServer(lambda _: http_reply(encode({"interval": 1800, "peers": b"".join(swarm)}))) as tracker,
        make_client(tmp_path / "seeder", "127.0.7.21", data_dir=content.parent) as seeder,
    ):
        torrent = torrent_of(content, f"{tracker.url}/announce")
        assert seeder.add(torrent).checked.wait(30)
        until(lambda: len(tracker.targets) == 1)
        there = address_of(seeder)
        swarm.append(bytes(map(int, there.host.split("."))) + there.port.to_bytes(2, "big"))
        wanted = client.add(torrent)
        wanted.download_all()
        finished(wanted)
        until(lambda: len(tracker.targets) == 3)
        client.close()
        seeder.close()
        told = [over_http(target) for target in tracker.targets]
    assert [(one.event, one.left) for one in told[:3]] == [("started", 0), ("started", LENGTH), ("completed", 0)]
    assert told[2].downloaded >= LENGTH
    assert [one.event for one in told[3:]] == ["stopped", "stopped"]


def test_a_tracker_that_never_answered_hardly_delays_the_end(content: Path, client: Client) -> None:
    """It may just be hearing of us, and gets a second."""
    with HttpServer(lambda _: None) as tracker:
        client.add(torrent_of(content, f"{tracker.url}/announce"))
        until(lambda: tracker.targets)
        assert how_long(client.close) < SOON
        assert events_of(tracker) == ["started"]


def test_a_tracker_that_answers_no_more_delays_the_end_by_no_more_than_its_time(
    content: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows us and should hear that we go, but nobody waits for it for long."""
    monkeypatch.setattr(announcer_io, "_LAST_PATIENCE", 0.3)
    replies = [NOBODY]
    with HttpServer(lambda _: replies.pop() if replies else None) as tracker:
        torrent = client.add(torrent_of(content, f"{tracker.url}/announce"))
        until(partial(announced, torrent))
        assert how_long(client.close) < SOON
        assert events_of(tracker) == ["started", "stopped"]


def test_who_leaves_while_a_tracker_takes_its_time_says_so_when_it_has_answered(content: Path, client: Client) -> None:
    """Else it would send others to us for an hour."""
    gate = threading.Event()

    def answer(target: str) -> bytes:
        gate.wait(10)
        return NOBODY

    with HttpServer(answer) as tracker:
        torrent = client.add(torrent_of(content, f"{tracker.url}/announce"))
        until(lambda: tracker.targets)
        torrent.drop()
        assert torrent.closed.wait(10)
        gate.set()
        until(lambda: events_of(tracker) == ["started", "stopped"])


def test_who_comes_back_is_announced_after_its_farewell(content: Path, client: Client) -> None:
    """A tracker that heard it the other way round would forget us."""
    with HttpServer(lambda _: NOBODY) as tracker:
        source = torrent_of(content, f"{tracker.url}/announce")
        for _ in range(2):
            torrent = client.add(source)
            until(partial(announced, torrent))
            torrent.drop()
        until(lambda: len(tracker.targets) == 4)
        assert events_of(tracker) == ["started", "stopped"] * 2


def test_many_torrents_all_say_that_they_go(content: Path, client: Client) -> None:
    """A few at a time, each once."""
    count = 60
    with HttpServer(lambda _: NOBODY) as tracker:
        torrents = [
            client.add(torrent_of(content, f"{tracker.url}/announce", name=f"{number}")) for number in range(count)
        ]
        until(lambda: all(map(announced, torrents)))
        client.close()
        told = [over_http(target) for target in tracker.targets]
        assert tracker.connections <= announcer_io._LAST_PER_HOST + 2
    for event in ("started", "stopped"):
        assert {one.info_hash for one in told if one.event == event} == {bytes(one.info_hash) for one in torrents}
    assert len(told) == 2 * count


def broken(kind: str) -> tuple[str, AbstractContextManager[object]]:
    """The URL of a tracker that fails so, with a passkey in it, and what serves it."""
    if kind == "name":
        return f"http://no.such.host.invalid/{PASSKEY}/announce", nullcontext()
    if kind == "nobody":
        with HttpServer(lambda _: None) as gone:
            return f"{gone.url}/announce/{PASSKEY}", nullcontext()
    if kind == "no url":
        return f"http://[{PASSKEY}/announce", nullcontext()
    reply = {
        "refuses": http_reply(encode({"failure reason": f"unknown passkey {PASSKEY}"})),
        "forbids": http_reply(f"/announce/{PASSKEY} is forbidden".encode(), status=f"403 not for {PASSKEY}"),
        "babbles": http_reply(f"<html>{PASSKEY}".encode()),
        "hangs up": b"",
        "moves": http_reply(b"", f"Location: http://[{PASSKEY}", status="302 Found"),
    }[kind]
    server = HttpServer(lambda _: reply)
    return f"{server.url}/announce/{PASSKEY}", server


@pytest.mark.parametrize("kind", ["name", "nobody", "no url", "refuses", "forbids", "babbles", "hangs up", "moves"])
def test_a_tracker_that_fails_says_why_and_nobody_hears_the_passkey(
    kind: str, content: Path, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in an event nor in any log, our own or a library's; the torrent goes on and the next one is asked."""
    url, server = broken(kind)
    caplog.set_level(logging.DEBUG)
    with HttpServer(lambda _: NOBODY) as good, server:
        feed = client.events()
        client.add(torrent_of(content, url, f"{good.url}/announce"))
        heard: list[events.Event] = []
        while not any(isinstance(event, events.TrackerReplied) for event in heard):
            heard.append(feed.get(15))
        assert events_of(good) == ["started"]
        client.close()
    [failure] = [event for event in heard if isinstance(event, events.TrackerFailed)]
    assert failure.reason
    assert not [event for event in heard if PASSKEY in str(event)]
    said = [logging.Formatter().format(record) for record in caplog.records]
    assert not [line for line in said if PASSKEY in line]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def heard(client: Client, source: bytes) -> events.Event:
    """What becomes of the first announce."""
    feed = client.events()
    client.add(source)
    while True:
        event = feed.get(15)
        if isinstance(event, events.TrackerReplied | events.TrackerFailed):
            return event


@pytest.mark.parametrize("mitigation", [True, False])
def test_a_torrents_tracker_in_our_own_network_is_asked_under_announce_only(
    mitigation: bool, content: Path, tmp_path: Path
) -> None:
    """Unless the user says that such torrents are meant; what is not asked is told, and why."""
    with HttpServer(lambda _: NOBODY) as tracker, make_client(tmp_path, HOST, ssrf_mitigation=mitigation) as client:
        event = heard(client, torrent_of(content, f"{tracker.url}/reboot"))
        if mitigation:
            assert isinstance(event, events.TrackerFailed)
            assert "127.0.0.1 is this machine: of trackers only /announce is asked there" in event.reason
            assert tracker.heads == []
        else:
            assert isinstance(event, events.TrackerReplied)


def test_a_name_that_leads_nowhere_is_looked_up_anew(
    content: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tracker may have moved; one that only refuses is where it was."""
    forgotten: list[str] = []
    monkeypatch.setattr(FamilyNames, "forget", lambda names, host: forgotten.append(host))
    with HttpServer(lambda _: None) as server:
        gone = f"http://localhost:{server.port}/announce"
    with HttpServer(lambda _: http_reply(encode({"failure reason": "no"}))) as server:
        heard(client, torrent_of(content, f"http://localhost:{server.port}/announce", name="1"))
        assert forgotten == []
    heard(client, torrent_of(content, gone, name="2"))
    assert forgotten == ["localhost"]


def test_trackers_are_asked_through_the_proxy(content: Path, tmp_path: Path) -> None:
    """Which alone knows the tracker's name."""
    with (
        HttpServer(lambda _: NOBODY) as tracker,
        ProxyServer({"no.such.host.invalid": "127.0.0.1"}, login=f"me:{PASSKEY}") as proxy,
        make_client(tmp_path, HOST, http_proxy=proxy.url) as client,
    ):
        event = heard(client, torrent_of(content, f"http://no.such.host.invalid:{tracker.port}/{PASSKEY}/announce"))
        assert isinstance(event, events.TrackerReplied)
        assert len(proxy.heads) == len(tracker.heads) == 1
