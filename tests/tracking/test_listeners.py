"""A tracker on real sockets, asked by our own client: its addresses and ports, HTTP and UDP."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from anabranch.model import InputRefused
from anabranch.net import parse_url
from anabranch.tracker import AnnounceRequest, TrackerClient
from anabranch.tracking import Announce, Listeners, Rules
from anabranch.tracking.listeners_io import ANY
from loops import LOOPS, runs_in
from tracking.asking import announce, connect, get, target, until
from tracking.peers import HASH

HOST = "127.0.0.1"


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return runs_in(request.param)


def request(number: int, left: int = 5) -> AnnounceRequest:
    return AnnounceRequest(HASH, b"-AB0001-%012d" % number, 6880 + number, left=left, key=number)


def test_our_own_client_is_served_over_everything(run: Callable[..., Any]) -> None:
    """HTTP and UDP, IPv4 and IPv6, announce and scrape; a peer of both families is one."""

    async def work() -> None:
        async with Listeners(Rules(), bind=(HOST, "::1"), port=0) as listeners:
            client = TrackerClient("test")
            try:
                for number, url in enumerate(listeners.urls):
                    reply = (await client.announce(url, request(number, left=number % 2))).reply
                    assert (reply.interval, reply.seeders) == (1800, number // 2 + 1)
                both = f"http://localhost:{listeners.port}/announce"
                for url in (*listeners.urls, both):
                    [numbers] = (await client.scrape(url, [HASH])).values()
                    assert (numbers.seeders, numbers.leechers) == (2, 2)
                reply = (await client.announce(listeners.urls[0], request(9))).reply
                assert sorted(map(str, reply.peers)) == [
                    "127.0.0.1:6880",
                    "127.0.0.1:6882",
                    "[::1]:6881",
                    "[::1]:6883",
                ]
            finally:
                await client.close()
            assert listeners.tracker.counts.bad == 0

    run(work())


def test_one_port_serves_all_addresses_by_both() -> None:
    """A user opens one port in a firewall."""

    async def work() -> None:
        async with Listeners(Rules(), port=0) as listeners:
            assert {parse_url(url, ("http", "udp")).port for url in listeners.urls} == {listeners.port}
            assert not any(one in url for url in listeners.urls for one in ("//0.0.0.0:", "//[::]:"))

    runs_in("asyncio")(work())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_is_taken_is_told_and_leaves_nothing_open(kind: int) -> None:
    """By the system's words; what was opened before it is closed."""

    async def work() -> None:
        host = "127.0.14.98"  # nobody else's: its port stays free
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind((host, 0))
            if kind == socket.SOCK_STREAM:
                taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(InputRefused, match=rf"cannot (listen on|use UDP from) {host}:{port}.*in use"):
                async with Listeners(Rules(), bind=(host,), port=port):
                    pass
        async with Listeners(Rules(), bind=(host,), port=port):
            pass

    runs_in("asyncio")(work())


def test_an_address_that_is_not_ours_is_told() -> None:
    """Also beside one that is."""

    async def work() -> None:
        with pytest.raises(InputRefused, match=r"cannot listen on 192\.0\.2\.99"):
            async with Listeners(Rules(), bind=(HOST, "192.0.2.99"), port=0):
                pass

    runs_in("asyncio")(work())


def test_a_machine_without_ipv6_is_served_by_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the user asks for an IPv6 address."""
    usual = socket.socket

    def without(family: int = -1, *more: int, **named: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return usual(family, *more, **named)

    async def work() -> None:
        monkeypatch.setattr(socket, "socket", without)
        async with Listeners(Rules(), port=0) as listeners:
            assert len(listeners.urls) == 2
        with pytest.raises((InputRefused, OSError)):
            async with Listeners(Rules(), bind=("::1",), port=0):
                pass
        monkeypatch.undo()

    runs_in("asyncio")(work())


def test_one_of_both_has_to_be_served() -> None:
    """And one alone may be."""
    with pytest.raises(InputRefused, match="by HTTP or by UDP"):
        Listeners(Rules(), http=False, udp=False)

    async def work() -> None:
        for http in (True, False):
            async with Listeners(Rules(), bind=(HOST,), port=0, http=http, udp=not http) as listeners:
                assert len(listeners.urls) == 1

    runs_in("asyncio")(work())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address")
def test_udp_is_answered_from_the_address_that_was_asked(run: Callable[..., Any]) -> None:
    """Who asked 127.0.0.2 takes nothing from 127.0.0.1, which the system would choose."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with Listeners(Rules(), bind=ANY[:1], port=0) as listeners:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.setblocking(False)
                asking.connect(("127.0.0.2", listeners.port))
                asking.send(connect())
                assert len(await loop.sock_recv(asking, 100)) == 16

    run(work())


async def udp(port: int) -> tuple[socket.socket, bytes]:
    """A socket with a connection id."""
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asking.setblocking(False)
    asking.connect((HOST, port))
    asking.send(connect())
    return asking, (await asyncio.get_running_loop().sock_recv(asking, 100))[8:]


def test_announces_are_held_back_and_refused_as_somebody_decides(run: Callable[..., Any]) -> None:
    """Over both; what is held back holds nobody else up."""
    verdicts: dict[int, float | str] = {1: 0.05, 2: "gone", 3: inf}

    def decide(one: Announce) -> float | str | None:
        return verdicts.get(one.port)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with Listeners(Rules(), bind=(HOST,), port=0, decide=decide) as listeners:
            asking, mine = await udp(listeners.port)
            with asking:
                for port in (1, 3, 2, 4):
                    asking.send(announce(mine, number=port, port=port))
                answers = [await loop.sock_recv(asking, 2000) for _ in range(3)]
            assert [struct.unpack(">II", answer[:8]) for answer in answers] == [(3, 2), (1, 4), (1, 1)]
            assert (listeners.holding.busy, listeners.holding.most_busy) == (0, 2)
            reader, writer = await asyncio.open_connection(HOST, listeners.port)
            for port in (1, 2, 4, 3):
                writer.write(get(target(port=port)))
            heads = []
            for _ in range(3):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                heads.append(await reader.readexactly(length))
            assert [b"interval" in one for one in heads] == [True, False, True]
            await until(lambda: listeners.holding.busy)  # the last one has been read, and waits
            writer.close()
            await until(lambda: not listeners.holding.busy)

    run(work())


def test_nothing_is_left_when_it_is_closed(run: Callable[..., Any]) -> None:
    """Who is connected is hung up on; answers that were held back are not sent; closing again is harmless."""

    async def work() -> None:
        async with Listeners(Rules(), bind=(HOST,), port=0, decide=lambda _: 30.0) as listeners:
            asking, mine = await udp(listeners.port)
            reader, writer = await asyncio.open_connection(HOST, listeners.port)
            with asking:
                asking.send(announce(mine))
                writer.write(get(target()))
                await until(lambda: listeners.holding.busy == 2)
                listeners.close()
                assert await reader.read() == b""
            writer.close()
        assert listeners.connections.open == 0
        await asyncio.sleep(0)
        assert listeners.holding.busy == 0

    run(work())
