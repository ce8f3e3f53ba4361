"""Local discovery on networks of our own: who hears whom, from where, and what is left out."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from anabranch.discovery import LocalAnnounce, LocalDiscovery
from anabranch.discovery.lsd import GROUPS
from anabranch.model import Address
from discovery.local_networks import ip, on_local_networks, plug_in, unplug
from interop.own_network import in_own_network
from loops import Run

HASH, OTHER = b"h" * 20, b"o" * 20
IP_RECVTTL = 12  # Linux; Python 3.11 has no name for it


class Ear:
    """A client's local discovery, and what it hears."""

    def __init__(self, port: int, cookie: str, **options: Any) -> None:
        self.heard: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()
        self.local = LocalDiscovery(port, self._hear, cookie=cookie, clock=lambda: 7.0, **options)
        self.local.open()

    def _hear(self, info_hash: bytes, address: Address) -> None:
        self.heard.put_nowait((info_hash, address))

    async def next(self, count: int) -> set[tuple[bytes, Address]]:
        """The next things heard, however long it takes: the test is given up some time."""
        return {await self.heard.get() for _ in range(count)}


@contextmanager
def ears(*options: dict[str, Any]) -> Iterator[list[Ear]]:
    """One at port 1001 with the cookie 1, the next at 1002 with 2 ..., each with options of its own."""
    made = [Ear(1000 + number, f"{number}", **more) for number, more in enumerate(options, 1)]
    try:
        yield made
    finally:
        for ear in made:
            ear.local.close()
            ear.local.close()  # twice is harmless


@contextmanager
def speaker(source: str, network: str = "home") -> Iterator[Callable[[bytes], None]]:
    """Somebody else on that network, at that address of ours."""
    v6 = ":" in source
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        index = socket.if_nametoindex(network)
        if v6:
            sock.bind((source, 0, 0, index if source.startswith("fe80") else 0))
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        else:
            sock.bind((source, 0))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", b"", b"", index))

        def say(datagram: bytes) -> None:
            sock.sendto(datagram, GROUPS[v6])

        yield say


def said(port: int, info_hash: bytes = HASH, cookie: str = "") -> bytes:
    return LocalAnnounce(port, (info_hash,), cookie).datagram(v6=False)


Work = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture
def out(run: Run[Any]) -> Callable[[Work], None]:
    """Runs a coroutine on local networks."""
    return lambda work: on_local_networks(lambda: run(work()))


def test_clients_of_one_machine_hear_one_another_on_every_network_and_family(out: Callable[[Work], None]) -> None:
    """BEP 14 with IPv4 and IPv6; nobody hears itself."""

    async def work() -> None:
        with ears({}, {}, {}) as (first, second, third):
            assert first.local.stats.networks == 3
            first.local.announce([HASH, OTHER])
            expected = {
                (info_hash, Address(host, 1001))
                for info_hash in (HASH, OTHER)
                for host in ("10.61.0.1", "fd61::1", "10.62.0.1")
            }
            assert await second.next(6) == await third.next(6) == expected
            second.local.announce([HASH])
            assert {address.port for _, address in await first.next(3)} == {1002}
            stats = first.local.stats
            assert (stats.sent, stats.unsent, stats.heard, stats.own) == (6, 0, 3, 6)

    out(work)


def test_only_the_networks_of_bound_addresses_are_spoken_to(out: Callable[[Work], None]) -> None:
    """And from these addresses: whoever binds to one of them has a reason."""

    async def work() -> None:
        with ears({"bind": ["10.62.0.2", "127.0.0.1"]}, {}) as (bound, other):
            assert bound.local.stats.networks == 1
            bound.local.announce([HASH])
            assert await other.next(1) == {(HASH, Address("10.62.0.2", 1001))}
            other.local.announce([OTHER])
            assert await bound.next(1) == {(OTHER, Address("10.62.0.1", 1002))}
            assert bound.local.stats.sent == 1
        with ears({"bind": ["fd61::1"]}, {}) as (bound, other):
            bound.local.announce([HASH])
            assert await other.next(1) == {(HASH, Address("fd61::1", 1001))}

    out(work)


WISHES: tuple[tuple[dict[str, Any], int], ...] = (
    ({"bind": ["127.0.0.1", "::1"]}, 0),
    ({"bind": ["10.9.9.9"]}, 0),
    ({"bind": ["localhost"]}, 0),
    ({"bind": ["0.0.0.0"]}, 2),
    ({"bind": ["::"]}, 1),
    ({"bind": ["0.0.0.0", "::"]}, 3),
    ({"bind": ["10.61.0.1", "::"]}, 2),
    ({"v4": False}, 1),
    ({"v6": False}, 2),
    ({"v4": False, "v6": False}, 0),
)


def test_what_is_not_wished_is_not_joined(out: Callable[[Work], None]) -> None:
    """A family without a bound address is left out, and so is whoever is bound to loopback addresses alone."""

    async def work() -> None:
        for options, networks in WISHES:
            with ears(options) as (ear,):
                ear.local.announce([HASH])
                assert ear.local.stats.networks == ear.local.stats.sent == networks, options

    out(work)


def test_nobody_announces_on_a_loopback_interface(run: Run[Any]) -> None:
    """Also where it has an address that is not of 127.0.0.0/8."""

    async def work() -> None:
        with ears({}) as (ear,):
            ear.local.announce([HASH])
            assert ear.local.stats.networks == ear.local.stats.sent == 0

    in_own_network(lambda: run(work()))


def test_networks_come_and_go(out: Callable[[Work], None]) -> None:
    """open() is what the minute's alarm calls."""

    async def work() -> None:
        with ears({}, {}) as (first, second):
            unplug("home")
            first.local.announce([HASH])  # to a network that is gone
            assert await second.next(1) == {(HASH, Address("10.62.0.1", 1001))}
            assert first.local.stats.unsent == 2
            plug_in("cellar", "10.63.0.1/24")
            first.local.open()
            second.local.open()
            assert first.local.stats.networks == 2
            first.local.announce([OTHER])
            expected = {(OTHER, Address(host, 1001)) for host in ("10.62.0.1", "10.63.0.1")}
            assert await second.next(2) == expected
            assert first.local.stats.unsent == 2

    out(work)


def test_looks_again_each_minute(out: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of itself; the minute is shortened here."""
    monkeypatch.setattr("anabranch.discovery.lsd_io.LOOK_INTERVAL", 0.01)

    async def work() -> None:
        with ears({}) as (ear,):
            plug_in("cellar", "10.63.0.1/24")
            while ear.local.stats.networks != 4:  # noqa: ASYNC110 # nobody is told of it
                await asyncio.sleep(0.005)

    out(work)


def test_a_flood_is_listened_to_within_bounds(out: Callable[[Work], None]) -> None:
    """50 datagrams of one host in a second; the clock stands still here."""

    async def work() -> None:
        with ears({}) as (ear,), speaker("10.61.0.1") as say, speaker("fd61::1") as other:
            for _ in range(200):
                say(said(5))
            assert await ear.next(50) == {(HASH, Address("10.61.0.1", 5))}
            other(said(6))
            assert await ear.next(1) == {(HASH, Address("fd61::1", 6))}
            while ear.local.stats.too_many < 150:  # noqa: ASYNC110 # nobody is told of it
                await asyncio.sleep(0)
            assert ear.heard.empty()

    out(work)


def test_what_cannot_be_understood_or_reached_is_passed_over(
    out: Callable[[Work], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Noise, no port, and link-local IPv6 senders, whose link an address does not tell."""

    async def work() -> None:
        with (
            ears({}) as (ear,),
            speaker("10.61.0.1") as say,
            speaker("fd61::1") as six,
            speaker("fe80::61") as unknown_link,
        ):
            for datagram in (b"", b"\xff" * 3000, said(5).replace(b"Port: 5", b"Port: 0"), b"x" * 8000):
                say(datagram)
            unknown_link(said(5))
            say(said(7))
            six(said(8))
            assert await ear.next(2) == {(HASH, Address("10.61.0.1", 7)), (HASH, Address("fd61::1", 8))}
            assert ear.local.stats.unreadable == 5

    out(work)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_what_is_sent_to_us_alone_is_not_for_the_group(out: Callable[[Work], None]) -> None:
    """Somebody beyond the local network could have sent it."""

    async def work() -> None:
        with ears({}) as (ear,), speaker("10.61.0.1") as say:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.sendto(said(5), ("10.61.0.1", 6771))
            say(said(6))
            assert await ear.next(1) == {(HASH, Address("10.61.0.1", 6))}

    out(work)


def test_what_is_sent_does_not_leave_the_local_network(out: Callable[[Work], None]) -> None:
    """A TTL of 1. Another program that has the port hears it as well."""

    async def work() -> None:
        index = socket.if_nametoindex("home")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
            other.bind(("", 6771))
            group = struct.pack("4s4si", socket.inet_aton(GROUPS[False].host), b"", index)
            other.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            other.settimeout(10)
            with ears({}) as (ear,):
                ear.local.announce([HASH])
                datagram, [(_, _, ttl)], _, _ = other.recvmsg(2000, 100)
                assert datagram == said(1001, cookie="1")
                assert struct.unpack("=i", ttl) == (1,)

    out(work)


def test_a_port_that_another_program_keeps_to_itself_is_waited_for(
    out: Callable[[Work], None], caplog: pytest.LogCaptureFixture
) -> None:
    """That family is left out and logged, once; the other one goes on."""
    caplog.set_level(logging.INFO)

    async def work() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as selfish:
            selfish.bind(("0.0.0.0", 6771))
            with ears({}) as (ear,):
                assert ear.local.stats.networks == 1
                ear.local.open()
                selfish.close()
                ear.local.open()
                assert ear.local.stats.networks == 3

    out(work)
    told = [record.getMessage() for record in caplog.records]
    assert told == ["local discovery left out family=IPv4 network=all reason=Address already in use"]


def test_a_listener_that_fails_does_not_end_local_discovery(
    out: Callable[[Work], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The next datagram is read."""

    async def work() -> None:
        heard: asyncio.Queue[int] = asyncio.Queue()

        def fail_first(info_hash: bytes, address: Address) -> None:
            heard.put_nowait(address.port)
            if address.port == 5:
                raise RuntimeError("the listener's own mistake")

        local = LocalDiscovery(1, fail_first, cookie="1", clock=lambda: 0.0)
        local.open()
        with speaker("10.61.0.1") as say:
            say(said(5))
            say(said(6))
            assert [await heard.get(), await heard.get()] == [5, 6]
        local.close()

    out(work)
    assert "the listener's own mistake" in caplog.text


def test_a_listener_may_close_it(out: Callable[[Work], None]) -> None:
    """In the middle of what waits to be read."""

    async def work() -> None:
        heard: asyncio.Queue[int] = asyncio.Queue()

        def close_at_once(info_hash: bytes, address: Address) -> None:
            local.close()
            heard.put_nowait(address.port)

        local = LocalDiscovery(1, close_at_once, cookie="1", clock=lambda: 0.0)
        local.open()
        with speaker("10.61.0.1") as say:
            say(said(5))
            say(said(6))
            assert await heard.get() == 5
            await asyncio.sleep(0)
            assert heard.empty()
        local.announce([HASH])
        assert local.stats.networks == local.stats.sent == 0

    out(work)


@pytest.mark.parametrize(
    ("bind", "host"), [([], "10.61.0.1"), (["10.61.0.1"], "10.61.0.1"), (["10.62.0.2"], "10.62.0.2")]
)
def test_where_interfaces_are_not_told_the_system_chooses_one(
    out: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch, bind: list[str], host: str
) -> None:
    """Or the bound address does. Elsewhere than on Linux; here it is only not asked."""
    monkeypatch.setattr("anabranch.discovery.lsd_io._LINUX", False)

    async def work() -> None:
        ip("route add default dev home")
        with ears({"bind": bind, "v6": False}, {"bind": bind, "v6": False}) as (first, second):
            assert first.local.stats.networks == 1
            first.local.announce([HASH])
            assert await second.next(1) == {(HASH, Address(host, 1001))}
            assert first.local.stats.unsent == 0

    out(work)


def test_networks_that_are_known_are_kept_when_the_system_tells_nothing(
    out: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have no memory for an answer, once."""

    async def work() -> None:
        with ears({}) as (ear,):
            with monkeypatch.context() as silent:
                silent.setattr("anabranch.discovery.lsd_io.LINKS_WANTED", b"")
                ear.local.open()
            assert ear.local.stats.networks == 3

    out(work)


def test_more_networks_than_the_system_lets_us_join_are_left_out(
    out: Callable[[Work], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Linux: 20 by default, for IPv4; machines full of containers have more. It is logged once."""
    caplog.set_level(logging.INFO)

    async def work() -> None:
        for number in range(20):
            plug_in(f"room{number}", f"10.70.{number}.1/24")
        with ears({"v6": False}) as (ear,):
            ear.local.open()
            assert ear.local.stats.networks == 20

    out(work)
    assert len([record for record in caplog.records if "No buffer space" in record.getMessage()]) == 1


def test_a_cookie_must_be_one(run: Run[Any]) -> None:
    """A mistake of ours, found at once."""

    async def work() -> None:
        with pytest.raises(ValueError, match="no cookie"):
            LocalDiscovery(1, lambda info_hash, address: None, cookie="client", clock=lambda: 0.0)

    run(work())
