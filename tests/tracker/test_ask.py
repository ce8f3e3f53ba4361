"""Asking trackers by URL, against servers on loopback: HTTP and UDP, one family and both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from anabranch.bencode import encode
from anabranch.model import Address
from anabranch.net import HttpClient, NotResolved, parse_url
from anabranch.tracker import (
    AnnounceReply,
    AnnounceRequest,
    Event,
    FaultKind,
    ScrapeReply,
    TrackerFault,
    UdpTrackers,
    announce,
    scrape,
)
from loops import Run
from small_servers import HttpServer, ProxyServer, UdpServer, http_reply

HASH, OTHER = b"h" * 20, b"o" * 20
REQUEST = AnnounceRequest(HASH, b"-DE211s-dWygz4Kq-25R", port=42111, event=Event.STARTED)
V4, V6 = bytes.fromhex("c0000201 1ae1"), bytes.fromhex("20010db8000000000000000000000001 1ae1")
V4_PEER, V6_PEER = Address("192.0.2.1", 6881), Address("2001:db8::1", 6881)
SECRET = "0123456789abcdefs3cret"

Ask = Callable[..., Awaitable[Any]]
Resolve = Callable[[str, int], Awaitable[list[Address]]]


async def asked(
    ask: Ask, url: str, what: object, *, bind: tuple[str, ...] = (), trusted: bool = True, **given: Any
) -> Any:
    """One question, with clients of its own."""
    http, udp = HttpClient("Test/1.0", bind=bind), UdpTrackers(bind)
    try:
        return await ask(url, what, http=http, udp=udp, bind=bind, trusted=trusted, **given)
    finally:
        udp.close()
        await http.close()


def names(*hosts: str) -> Resolve:
    async def resolve(host: str, port: int) -> list[Address]:
        if not hosts:
            raise NotResolved(host, "Name or service not known")
        return [Address(one, port) for one in hosts]

    return resolve


def replying(**reply: object) -> Callable[[str], bytes]:
    return lambda _: http_reply(encode(reply))


def fault_of(run: Run[Any], url: str, ask: Ask = announce, what: object = REQUEST, **given: Any) -> TrackerFault:
    with pytest.raises(TrackerFault) as caught:
        run(asked(ask, url, what, **given))
    return caught.value


def test_an_http_tracker_tells_who_is_there(run: Run[Any]) -> None:
    """Its own query goes first, byte for byte."""
    with HttpServer(replying(interval=900, complete=2, incomplete=1, peers=V4, peers6=V6)) as tracker:
        reply = run(asked(announce, f"{tracker.url}/announce?key=%2f~", REQUEST))
        [target] = tracker.targets
    assert target.startswith(
        "/announce?key=%2f~&info_hash=hhhhhhhhhhhhhhhhhhhh&peer_id=-DE211s-dWygz4Kq-25R&port=42111"
    )
    assert reply == AnnounceReply(900, None, 2, 1, None, (V4_PEER, V6_PEER))


def test_a_long_answer_is_read_like_a_short_one(run: Run[Any]) -> None:
    """In a thread: whoever sends megabytes of small things must not hold up the loop."""
    long = {"zzz": list(range(30_000))}
    with HttpServer(replying(interval=900, peers=V4, **long)) as tracker:
        assert run(asked(announce, f"{tracker.url}/announce", REQUEST)).peers == (V4_PEER,)
    with HttpServer(replying(**{"failure reason": "go away", **long})) as tracker:
        assert fault_of(run, f"{tracker.url}/announce").kind is FaultKind.REFUSED
    with HttpServer(replying(files={HASH: {"complete": 1}}, **long)) as tracker:
        assert run(asked(scrape, f"{tracker.url}/announce", [HASH])) == {HASH: ScrapeReply(1, None, None)}


@pytest.mark.parametrize(("host", "peers", "peer"), [("127.0.0.1", V4, V4_PEER), ("::1", V6, V6_PEER)])
def test_a_udp_tracker_tells_who_is_there(run: Run[Any], host: str, peers: bytes, peer: Address) -> None:
    """Over IPv6 its peers are IPv6 peers."""
    with UdpServer(host, peers=peers) as tracker:
        reply = run(asked(announce, f"{tracker.url}/announce", REQUEST))
    assert reply == AnnounceReply(900, None, 2, 1, None, (peer,))


def test_numbers_come_by_http(run: Run[Any]) -> None:
    """BEP 48; in as many questions as it takes."""
    many = [index.to_bytes(20, "big") for index in range(120)]
    files = {one: {"complete": 1, "downloaded": 2, "incomplete": 3} for one in many}
    with HttpServer(replying(files=files)) as tracker:
        numbers = run(asked(scrape, f"{tracker.url}/x/announce", [*many, many[0]]))
        assert [target[:9] for target in tracker.targets] == ["/x/scrape"] * 3
        assert max(len(target) for target in tracker.targets) < 4000
    assert numbers == dict.fromkeys(many, ScrapeReply(1, 2, 3))


def test_numbers_come_by_udp(run: Run[Any]) -> None:
    """Two torrents in one question."""
    with UdpServer() as tracker:
        assert run(asked(scrape, tracker.url, [HASH, OTHER])) == dict.fromkeys([HASH, OTHER], ScrapeReply(2, 7, 1))
        assert len(tracker.datagrams) == 2


def on_both(
    answer4: Callable[[str], bytes | None], answer6: Callable[[str], bytes | None]
) -> tuple[HttpServer, HttpServer]:
    """Servers at one port of both families."""
    for _ in range(50):
        first = HttpServer(answer4)
        try:
            return first, HttpServer(answer6, "::1", port=first.port)
        except OSError:
            first.close()
    raise AssertionError("no port is free in both families")


def test_both_families_are_asked_and_their_answers_are_one(run: Run[Any]) -> None:
    """BEP 7: a tracker knows our IPv6 address only from who asks by it."""
    four, six = on_both(
        replying(interval=900, peers=V4, complete=1, **{"warning message": "be nice"}),
        replying(interval=1800, peers6=V6 + V6, complete=5, incomplete=7),
    )
    with four, six:
        both = names("::1", "127.0.0.1")
        reply = run(asked(announce, f"http://a.example:{four.port}/announce", REQUEST, resolve=both))
        assert (reply.interval, reply.seeders, reply.leechers, reply.warning) == (1800, 5, 7, "be nice")
        assert set(reply.peers) == {V4_PEER, V6_PEER}
        only = run(
            asked(announce, f"http://a.example:{four.port}/announce", REQUEST, resolve=both, bind=("127.0.0.1",))
        )
        assert only.peers == (V4_PEER,)
        assert (len(four.heads), len(six.heads)) == (2, 1)


@pytest.mark.parametrize("other", [None, http_reply(b"nonsense"), http_reply(b"", status="500 Oops")])
def test_one_family_is_enough(run: Run[Any], monkeypatch: pytest.MonkeyPatch, other: bytes | None) -> None:
    """IPv6 may lead nowhere, or to another server: then IPv4's answer is not waited with for long."""
    monkeypatch.setattr("anabranch.tracker.ask_io._GRACE", 0.05)
    four, six = on_both(replying(peers=V4), lambda _: other)
    with four, six:
        url = f"http://a.example:{four.port}/announce"
        assert run(asked(announce, url, REQUEST, resolve=names("::1", "127.0.0.1"))).peers == (V4_PEER,)


def test_where_all_fail_the_trackers_own_words_are_told(run: Run[Any]) -> None:
    """Rather than that its other family does not answer."""
    with HttpServer(replying(**{"failure reason": "unregistered torrent", "retry in": "15"})) as tracker:
        url = f"http://a.example:{tracker.port}/announce"
        fault = fault_of(run, url, resolve=names("::1", "127.0.0.1"))
    assert (fault.kind, fault.retry_in) == (FaultKind.REFUSED, 900)
    assert str(fault) == f"http://a.example:{tracker.port}: unregistered torrent"


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (http_reply(f"<html>{SECRET}".encode()), FaultKind.REPLY, "not bencoded: it begins with '<html>"),
        (http_reply(b"", status="404 Not Found"), FaultKind.STATUS, "the tracker answered 404 Not Found"),
        (http_reply(b"", status=f"500 {SECRET}"), FaultKind.STATUS, "the tracker answered 500 ***"),
        (
            http_reply(encode({"failure reason": f"who is {SECRET}?"}), status="403 No"),
            FaultKind.REFUSED,
            "who is ***?",
        ),
        (http_reply(b"", f"Location: ftp://a.example/{SECRET}", status="302 Found"), FaultKind.REPLY, "redirected"),
        (b"", FaultKind.NETWORK, "the server hung up"),
        (None, FaultKind.TIMEOUT, "no answer within 0.2 s"),
    ],
    ids=["page", "not found", "status", "refused", "redirect", "hung up", "silent"],
)
def test_what_goes_wrong_is_told_without_the_passkey(
    run: Run[Any], caplog: pytest.LogCaptureFixture, reply: bytes | None, kind: FaultKind, words: str
) -> None:
    """Neither in an error, nor in a log at any level: people post both."""
    caplog.set_level(logging.DEBUG)
    with HttpServer(lambda _: reply) as tracker:
        url = f"{tracker.url}/{SECRET}/announce?uid={SECRET}"
        fault = fault_of(run, url, patience=0.2 if reply is None else 10.0)
    assert fault.kind is kind
    assert str(fault).startswith(f"{tracker.url}: ")
    assert words in str(fault)
    assert SECRET not in str(fault) + caplog.text


def test_a_warning_is_told_without_the_passkey(run: Run[Any]) -> None:
    """It is shown to people too."""
    with HttpServer(replying(**{"warning message": f"{SECRET} is slow"})) as tracker:
        assert run(asked(announce, f"{tracker.url}/{SECRET}/announce", REQUEST)).warning == "*** is slow"


def test_a_udp_tracker_that_refuses_is_told_in_its_words(run: Run[Any]) -> None:
    """As for HTTP; and one that is silent."""
    with UdpServer(failure=f"unknown {SECRET}") as tracker:
        fault = fault_of(run, f"{tracker.url}/{SECRET}/announce")
        assert (fault.kind, str(fault)) == (FaultKind.REFUSED, f"{tracker.url}: unknown ***")
    with UdpServer(deaf=99) as tracker:
        fault = fault_of(run, tracker.url, patience=0.05)
        assert (fault.kind, str(fault)) == (FaultKind.TIMEOUT, f"{tracker.url}: no answer within 0.05 s")


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        (f"wss://a.example/{SECRET}", FaultKind.URL, "'wss' are not supported"),
        (f"udp://a.example/{SECRET}", FaultKind.URL, "no port"),
        (SECRET, FaultKind.URL, "not a URL"),
        (f"http://a.example/{SECRET}", FaultKind.NAME, "http://a.example: Name or service not known"),
    ],
)
def test_a_url_that_cannot_be_asked_is_told_without_the_passkey(
    run: Run[Any], url: str, kind: FaultKind, words: str
) -> None:
    """Before anything is sent."""
    fault = fault_of(run, url, resolve=names())
    assert fault.kind is kind
    assert words in str(fault)
    assert SECRET not in str(fault)


def test_nobody_is_asked_from_where_we_are_not_bound_nor_at_forbidden_addresses(run: Run[Any]) -> None:
    """A VPN's user would be seen; a cloud's keys would be given away."""
    for scheme in ("http", "udp"):
        url = f"{scheme}://a.example:80/announce"
        fault = fault_of(run, url, resolve=names("::1"), bind=("127.0.0.1",))
        assert (fault.kind, "no address that we may ask" in str(fault)) == (FaultKind.NETWORK, True)
        fault = fault_of(run, url, resolve=names("169.254.169.254", "224.0.0.1", "::"))
        assert (fault.kind, "no URL may lead to" in str(fault)) == (FaultKind.FORBIDDEN, True)


def test_who_is_bound_asks_from_there(run: Run[Any]) -> None:
    """Over UDP too."""
    with UdpServer() as tracker:
        assert run(asked(announce, tracker.url, REQUEST, bind=("127.0.0.5",))).seeders == 2
        fault = fault_of(run, tracker.url, bind=("192.0.2.1",))
        assert "Cannot assign requested address" in str(fault)


def test_a_tracker_without_scrape_is_not_asked(run: Run[Any]) -> None:
    """BEP 48; nothing is sent."""
    with HttpServer(replying()) as tracker:
        assert fault_of(run, f"{tracker.url}/x", scrape, [HASH]).kind is FaultKind.NO_SCRAPE
        assert tracker.heads == []


def test_a_name_that_takes_too_long_is_given_up(run: Run[Any]) -> None:
    """Its time is part of the whole."""

    async def slow(host: str, port: int) -> list[Address]:
        await asyncio.Event().wait()
        raise AssertionError

    assert fault_of(run, "http://a.example/announce", patience=0.05, resolve=slow).kind is FaultKind.TIMEOUT


def test_who_stops_waiting_may(run: Run[Any]) -> None:
    """A cancelled announce leaves both clients as they were."""

    async def work(web: HttpServer, silent: UdpServer, udp_tracker: UdpServer) -> None:
        http, udp = HttpClient("Test/1.0"), UdpTrackers()
        for url in (f"{web.url}/silent/announce", silent.url):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await announce(url, REQUEST, http=http, udp=udp, trusted=True)
        for url in (f"{web.url}/announce", udp_tracker.url):
            assert (await announce(url, REQUEST, http=http, udp=udp, trusted=True)).seeders == 2
        udp.close()
        await http.close()

    good = http_reply(encode({"complete": 2}))
    with (
        HttpServer(lambda target: None if "silent" in target else good) as web,
        UdpServer(deaf=99) as silent,
        UdpServer() as udp_tracker,
    ):
        run(work(web, silent, udp_tracker))


@pytest.mark.parametrize(
    ("target", "asked_for"),
    [
        ("/announce", True),
        (f"/announce/{SECRET}?x=y", True),
        ("/announce.php", True),
        ("/", False),
        (f"/{SECRET}/announce", False),
        ("/cgi-bin/reboot?/announce", False),
        ("/announce/../reboot", False),
        ("/announce/%2e%2e/reboot", False),
        ("/announce/..;/reboot", False),
        ("/announce%2f..%5creboot", False),
        ("/announce/%252e%252e/reboot", False),
        ("//announce", False),
    ],
)
def test_in_our_own_network_a_torrents_tracker_is_asked_under_announce_only(
    run: Run[Any], target: str, asked_for: bool
) -> None:
    """Whoever makes a torrent must not open the router's pages through us; UDP opens none. What was typed is meant."""
    with HttpServer(replying(complete=2)) as tracker:
        url = f"{tracker.url}{target}"
        if asked_for:
            assert run(asked(announce, url, REQUEST, trusted=False)).seeders == 2
        else:
            fault = fault_of(run, url, trusted=False)
            assert fault.kind is FaultKind.FORBIDDEN
            assert str(fault) == (
                f"{tracker.url}: its host may not be asked: 127.0.0.1 is this machine: of trackers only /announce is "
                "asked there"
            )
            assert tracker.heads == []
            assert run(asked(announce, url, REQUEST, trusted=True)).seeders == 2
    with UdpServer() as datagrams:
        assert run(asked(announce, f"{datagrams.url}{target}", REQUEST, trusted=False)).seeders == 2


def test_in_our_own_network_a_torrents_tracker_is_scraped_under_scrape(run: Run[Any]) -> None:
    """What BEP 48 makes of /announce."""
    files = {HASH: {"complete": 1, "downloaded": 2, "incomplete": 3}}
    with HttpServer(replying(files=files)) as tracker:
        assert run(asked(scrape, f"{tracker.url}/announce", [HASH], trusted=False)) == {HASH: ScrapeReply(1, 2, 3)}
        assert fault_of(run, f"{tracker.url}/x/announce", scrape, [HASH], trusted=False).kind is FaultKind.FORBIDDEN
        assert len(tracker.heads) == 1


def test_a_tracker_in_our_own_network_sends_us_to_no_other_page(run: Run[Any]) -> None:
    """A redirect is judged as the URL itself was; one that stays under /announce is followed."""
    replies = {
        "/announce": http_reply(b"", "Location: /reboot?now", status="302 Found"),
        "/announce/old": http_reply(b"", "Location: /announce/new", status="302 Found"),
        "/announce/new": http_reply(encode({"complete": 2})),
    }
    with HttpServer(lambda target: replies[target.partition("?")[0]]) as tracker:
        assert run(asked(announce, f"{tracker.url}/announce/old", REQUEST, trusted=False)).seeders == 2
        fault = fault_of(run, f"{tracker.url}/announce", trusted=False)
        assert (fault.kind, "only /announce" in str(fault)) == (FaultKind.FORBIDDEN, True)
        assert [target.partition("?")[0] for target in tracker.targets] == [
            "/announce/old",
            "/announce/new",
            "/announce",
        ]


def test_the_rule_for_our_own_network_can_be_switched_off(run: Run[Any]) -> None:
    """For those whose private tracker is a neighbour; where a cloud keeps its keys stays shut."""

    async def work(url: str) -> int | None:
        http, udp = HttpClient("Test/1.0", mitigate=False), UdpTrackers()
        try:
            with pytest.raises(TrackerFault, match="no URL may lead to"):
                await announce("http://169.254.169.254/announce", REQUEST, http=http, udp=udp)
            return (await announce(url, REQUEST, http=http, udp=udp)).seeders
        finally:
            udp.close()
            await http.close()

    with HttpServer(replying(complete=2)) as tracker:
        assert run(work(f"{tracker.url}/{SECRET}/announce")) == 2


def test_of_a_trackers_addresses_those_are_asked_that_may_be(run: Run[Any]) -> None:
    """A forbidden one does not spoil the others."""
    with HttpServer(replying(complete=2)) as tracker:
        mixed = names("169.254.169.254", "127.0.0.1", "fe80::1")
        url = f"http://a.example:{tracker.port}/announce"
        assert run(asked(announce, url, REQUEST, trusted=False, resolve=mixed)).seeders == 2


def test_a_tracker_is_asked_through_the_proxy(run: Run[Any]) -> None:
    """Which looks its name up: nobody hears of it but the proxy. UDP has no proxy."""

    async def work(url: str, proxy: ProxyServer, datagrams: UdpServer, known: Resolve) -> list[int | None]:
        http, udp = HttpClient("Test/1.0", proxy=parse_url(proxy.url, ("http",))), UdpTrackers()
        try:
            replies = [
                await announce(url, REQUEST, http=http, udp=udp, resolve=names()),
                await announce(datagrams.url, REQUEST, http=http, udp=udp, resolve=known),
            ]
            with pytest.raises(TrackerFault) as caught:
                await announce(url.replace("a.example", "127.0.0.1"), REQUEST, http=http, udp=udp)
            assert caught.value.kind is FaultKind.FORBIDDEN
            return [reply.seeders for reply in replies]
        finally:
            udp.close()
            await http.close()

    with (
        HttpServer(replying(complete=2)) as tracker,
        UdpServer() as datagrams,
        ProxyServer({"a.example": "127.0.0.1"}, login=f"me:{SECRET}") as proxy,
    ):
        assert run(work(f"http://a.example:{tracker.port}/{SECRET}", proxy, datagrams, names("127.0.0.1"))) == [2, 2]
        assert len(proxy.heads) == len(tracker.heads) == 1
    fault = fault_of_proxy(run, proxy)
    assert (fault.kind, str(fault)) == (FaultKind.NETWORK, "http://a.example: the proxy: Connection refused")


def fault_of_proxy(run: Run[Any], proxy: ProxyServer) -> TrackerFault:
    async def work() -> None:
        http, udp = HttpClient("Test/1.0", proxy=parse_url(proxy.url, ("http",))), UdpTrackers()
        try:
            await announce(f"http://a.example/{SECRET}", REQUEST, http=http, udp=udp)
        finally:
            udp.close()
            await http.close()

    with pytest.raises(TrackerFault) as caught:
        run(work())
    return caught.value
