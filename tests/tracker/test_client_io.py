"""Asking trackers by URL, against servers on loopback: HTTP and UDP, one family and both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from anabranch.bencode import encode
from anabranch.model import Address
from anabranch.net import NetworkFailed, Trouble, Url, parse_url
from anabranch.tracker import (
    AnnounceReply,
    AnnounceRequest,
    ErrorType,
    FaultKind,
    ScrapeReply,
    TrackerClient,
    TrackerFault,
)
from loops import Run
from small_servers import HttpServer, ProxyServer, UdpServer, http_reply
from tracker.asking import (
    HASH,
    OTHER,
    REQUEST,
    SECRET,
    V4,
    V4_PEER,
    V6,
    V6_PEER,
    Resolve,
    announce,
    asked,
    fault_of,
    made,
    names,
    replying,
    scrape,
)


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


def test_what_is_asked_when_the_client_closes_ends_with_a_fault(run: Run[Any]) -> None:
    """At whatever step it is: a name, HTTP, UDP; and so does what is asked later."""

    async def never(host: str, port: int) -> list[Address]:
        await asyncio.Event().wait()
        raise AssertionError

    async def fault(client: TrackerClient, url: str) -> TrackerFault:
        with pytest.raises(TrackerFault) as caught:
            await client.announce(url, REQUEST, trusted=True)
        return caught.value

    async def work(urls: list[str]) -> None:
        for url, resolve in [
            (urls[0], names("127.0.0.1")),
            (urls[1], names("127.0.0.1")),
            ("http://b.example/", never),
        ]:
            client = TrackerClient("Test/1.0", resolve=resolve)
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(fault(client, url))
                await asyncio.sleep(0.02)
                await client.close()
            later = await fault(client, url)
            await client.close()
            for one in (asking.result(), later):
                assert (one.kind, one.error_type) == (FaultKind.CLOSED, ErrorType.CLIENT_CLOSED)

    with HttpServer(lambda _: None) as web, UdpServer(deaf=99) as datagrams:
        run(work([f"http://a.example:{web.port}/announce", f"udp://a.example:{datagrams.port}"]))


def test_our_own_mistake_is_told_as_such(
    run: Run[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is blamed for it, the log has it, and no passkey is there."""

    def mistaken(target: str, request: AnnounceRequest) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("anabranch.tracker.http.announce_target", mistaken)
    fault = fault_of(run, f"http://127.0.0.1:9/{SECRET}/announce")
    assert (fault.kind, fault.error_type) == (FaultKind.INTERNAL, ErrorType.UNKNOWN_ERROR)
    assert "ZeroDivisionError" in caplog.text
    assert SECRET not in caplog.text + str(fault)

    async def confused(host: str, port: int) -> list[Address]:
        raise KeyError(host)

    assert fault_of(run, f"http://a.example/{SECRET}", resolve=confused).kind is FaultKind.INTERNAL


def test_websocket_trackers_are_asked_unless_they_are_switched_off(
    run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their addresses are looked up and judged here, as for all others; what they answer is told alike."""
    asked_of: list[tuple[str, tuple[Address, ...]]] = []

    class Answering:
        def __init__(self, user_agent: str, **given: object) -> None:
            assert given["heard"] is print

        async def announce(self, place: Url, addresses: Sequence[Address], *_: object) -> AnnounceReply:
            asked_of.append((place.whole, tuple(addresses)))
            if place.scheme == "ws":
                raise NetworkFailed(Trouble.CONNECTION, f"no {SECRET}")
            return AnnounceReply(seeders=4)

        async def scrape(self, place: Url, addresses: Sequence[Address], hashes: list[bytes], _: float) -> object:
            return dict.fromkeys(hashes, ScrapeReply(4, 5, 6))

        async def close(self) -> None:
            asked_of.append(("closed", ()))

    monkeypatch.setattr("anabranch.tracker.client_io.WebSocketTrackers", Answering)

    async def work() -> None:
        async with made(resolve=names("192.0.2.1", "169.254.169.254"), heard=print) as client:
            told = await client.announce("wss://a.example/x", REQUEST, trusted=True)
            assert (told.reply.seeders, told.endpoints[0].address) == (4, Address("192.0.2.1", 443))
            assert await client.scrape("wss://a.example", [HASH], trusted=True) == {HASH: ScrapeReply(4, 5, 6)}
            with pytest.raises(TrackerFault) as caught:
                await client.announce(f"ws://a.example/{SECRET}", REQUEST, trusted=True)
            assert (caught.value.kind, str(caught.value)) == (FaultKind.NETWORK, "ws://a.example: no ***")
        assert [what for what, _ in asked_of] == ["wss://a.example/x", f"ws://a.example/{SECRET}", "closed"]
        assert asked_of[0][1] == (Address("192.0.2.1", 443),)
        async with made(websockets=False, heard=print) as client:
            with pytest.raises(TrackerFault, match="'wss' are not supported") as caught:
                await client.announce("wss://a.example/x", REQUEST)
            assert caught.value.kind is FaultKind.URL

    run(work())


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (http_reply(f"<html>{SECRET}".encode()), FaultKind.PAGE, "the reply is a page for people"),
        (http_reply(f"{SECRET}".encode()), FaultKind.REPLY, "not bencoded: it begins with no word"),
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
    ids=["page", "text", "not found", "status", "refused", "redirect", "hung up", "silent"],
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


def test_the_trackers_own_words_are_told_apart_from_ours(run: Run[Any]) -> None:
    """W35: they alone decide the category, whatever the host is called; and they hide the passkey too."""
    with HttpServer(replying(**{"failure reason": f"{SECRET} is busy"})) as tracker:
        url = f"http://unregistered.banned.example:{tracker.port}/{SECRET}/announce"
        fault = fault_of(run, url, resolve=names("127.0.0.1"))
    assert (fault.reason, fault.error_type) == ("*** is busy", ErrorType.TRACKER_FAILURE)
    assert "problem of its own" in fault.remedy


def test_a_server_that_says_when_to_come_again_is_heard(run: Run[Any]) -> None:
    """Many say 503 and Retry-After where BEP 31 is not known."""
    with HttpServer(lambda _: http_reply(b"", "Retry-After: 600", status="503 Busy")) as tracker:
        fault = fault_of(run, f"{tracker.url}/announce")
    assert (fault.error_type, fault.retry_in) == (ErrorType.TRACKER_UNAVAILABLE, 600.0)


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_through_a_proxy_too_our_own_network_is_judged_where_the_url_names_it(run: Run[Any], scheme: str) -> None:
    """The proxy would carry us there; what a name leads to only it knows."""

    async def work(proxy: ProxyServer) -> None:
        async with made(proxy=parse_url(proxy.url, ("http",))) as client:
            for trusted, host in [(False, "127.0.0.1"), (True, "169.254.169.254")]:
                with pytest.raises(TrackerFault, match="may not be asked") as caught:
                    await client.announce(f"{scheme}://{host}:9/reboot", REQUEST, trusted=trusted)
                assert caught.value.kind is FaultKind.FORBIDDEN

    with ProxyServer() as proxy:
        run(work(proxy))
        assert proxy.heads == []


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
        silent = "no answer within 0.05 s: it, or a firewall on the way, is silent over UDP"
        assert (fault.kind, str(fault)) == (FaultKind.TIMEOUT, f"{tracker.url}: {silent}")


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        (f"ftp://a.example/{SECRET}", FaultKind.URL, "'ftp' are not supported"),
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
    """Its time is part of the whole. It is the DNS that does not answer, not the tracker."""

    async def slow(host: str, port: int) -> list[Address]:
        await asyncio.Event().wait()
        raise AssertionError

    fault = fault_of(run, "http://a.example/announce", patience=0.05, resolve=slow)
    assert (fault.kind, fault.error_type, "in time" in str(fault)) == (FaultKind.NAME, ErrorType.DNS_ERROR, True)


def test_who_stops_waiting_may(run: Run[Any]) -> None:
    """A cancelled announce leaves the client as it was."""

    async def work(web: HttpServer, silent: UdpServer, udp_tracker: UdpServer) -> None:
        async with made() as client:
            for url in (f"{web.url}/silent/announce", silent.url):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await announce(client, url, REQUEST, trusted=True)
            for url in (f"{web.url}/announce", udp_tracker.url):
                assert (await announce(client, url, REQUEST, trusted=True)).seeders == 2

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
        async with made(mitigate=False) as client:
            with pytest.raises(TrackerFault, match="no URL may lead to"):
                await announce(client, "http://169.254.169.254/announce", REQUEST)
            return (await announce(client, url, REQUEST)).seeders

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
        async with made(proxy=parse_url(proxy.url, ("http",)), resolve=known) as client:
            told = await client.announce(url, REQUEST)
            assert [(one.family, one.address) for one in told.endpoints] == [("proxy", None)]
            replies = [told.reply, await announce(client, datagrams.url, REQUEST)]
            with pytest.raises(TrackerFault) as caught:
                await announce(client, url.replace("a.example", "127.0.0.1"), REQUEST)
            assert caught.value.kind is FaultKind.FORBIDDEN
            return [reply.seeders for reply in replies]

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
        async with made(proxy=parse_url(proxy.url, ("http",))) as client:
            await announce(client, f"http://a.example/{SECRET}", REQUEST)

    with pytest.raises(TrackerFault) as caught:
        run(work())
    return caught.value
