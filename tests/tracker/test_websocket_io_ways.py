"""The ways to WebSocket trackers: addresses, families, TLS, proxies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anabranch.model import Address
from anabranch.net import NotResolved, Trouble, parse_url
from loops import Run
from net.certificates import contexts
from small_servers import ProxyServer
from tracker.websocket_server import (
    PATIENCE,
    SECRET,
    STOP,
    Tracker,
    failure_of,
    ours,
    request,
    until,
    url_of,
)


def test_the_next_address_is_tried_where_nobody_listens(run: Run[Any]) -> None:
    """Of a name with several; where none does, the system's words are told."""

    async def work() -> None:
        async with Tracker() as tracker, ours() as trackers:
            nobody = Address("127.0.9.9", tracker.address.port)
            assert await trackers.announce(tracker.url(), [nobody, tracker.address], request(), PATIENCE)
            failure = await failure_of(trackers.announce(tracker.url("/x"), [nobody], request(), PATIENCE))
            assert (failure.trouble, str(failure)) == (Trouble.CONNECTION, "Connection refused")

    run(work())


def test_nobody_is_asked_from_where_we_are_not_bound(run: Run[Any]) -> None:
    """A VPN's user would be seen."""

    async def work() -> None:
        async with Tracker() as tracker, ours(bind=("127.0.0.3",)) as trackers:
            six = Address("::1", tracker.address.port)
            failure = await failure_of(trackers.announce(tracker.url(), [six], request(), PATIENCE))
            assert "bound to no IPv6" in str(failure)
            await trackers.announce(tracker.url(), [tracker.address], request(), PATIENCE)
            assert tracker.requests[0].remote == "127.0.0.3"

    run(work())


def test_both_families_of_a_tracker_have_a_connection_of_their_own(run: Run[Any]) -> None:
    """They may be two servers."""

    async def work() -> None:
        async with Tracker() as four, Tracker(host="::1") as six, ours() as trackers:
            place = four.url()
            for _ in range(2):
                await trackers.announce(place, [four.address], request(), PATIENCE)
                await trackers.announce(place, [six.address], request(), PATIENCE)
            assert (len(four.requests), len(six.requests)) == (1, 1)
            await trackers.announce(place, [six.address], STOP, PATIENCE)
            await until(lambda: len(six.messages) == 3)
            assert len(four.messages) == 2

    run(work())


def test_a_secure_tracker_proves_who_it_is(run: Run[Any], tmp_path: Path) -> None:
    """By the name of its URL, wherever that leads."""
    shown, trusted = contexts(tmp_path)

    async def work() -> None:
        async with Tracker(tls=shown) as tracker, ours(tls=trusted) as trackers:
            await trackers.announce(tracker.url(), [tracker.address], request(), PATIENCE)
            assert tracker.requests[0].scheme == "https"
            other = tracker.url(host="other.example")
            failure = await failure_of(trackers.announce(other, [tracker.address], request(), PATIENCE))
            assert failure.trouble is Trouble.TLS
            async with ours() as wary:
                failure = await failure_of(wary.announce(tracker.url(), [tracker.address], request(), PATIENCE))
                assert failure.trouble is Trouble.TLS

    run(work())


@pytest.mark.parametrize("secure", [False, True])
def test_a_proxy_makes_the_way(run: Run[Any], tmp_path: Path, secure: bool) -> None:
    """RFC 6455, 4.1: by CONNECT, secure or not; it alone knows the name. Nothing goes by it."""
    shown, trusted = contexts(tmp_path)

    async def work(proxy: ProxyServer) -> None:
        given = {"proxy": parse_url(proxy.url, ("http",)), "tls": trusted}
        async with Tracker(tls=shown if secure else None) as tracker, ours(**given) as trackers:
            await trackers.announce(tracker.url(f"/{SECRET}"), [], request(), PATIENCE)
            assert [head.split("\r\n")[0] for head in proxy.heads] == [
                f"CONNECT localhost:{tracker.address.port} HTTP/1.1"
            ]
            await trackers.announce(tracker.url(f"/{SECRET}"), [], STOP, PATIENCE)
            await until(lambda: len(tracker.messages) == 2)

    with ProxyServer({"localhost": "127.0.0.1"}, login="me:pw") as proxy:
        run(work(proxy))


def test_a_proxy_that_is_not_there_is_told_of(run: Run[Any]) -> None:
    """It is not the tracker's fault."""

    async def nobody(host: str, port: int) -> list[Address]:
        raise NotResolved(host, "Name or service not known")

    async def work() -> None:
        place, proxy = url_of(Address("127.0.0.1", 9)), parse_url("http://p.example:1", ("http",))
        async with ours(proxy=proxy, resolve=nobody) as trackers:
            failure = await failure_of(trackers.announce(place, [], request(), PATIENCE))
            assert str(failure) == "the proxy: p.example: Name or service not known"

    run(work())
