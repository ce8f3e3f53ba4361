"""One UDP socket that trackers, the DHT and uTP share, with real datagrams over loopback."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import ExitStack
from errno import ECONNREFUSED
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Address, InputRefused, canonical_host
from anabranch.net import Datagrams, udp_socket
from anabranch.net import datagrams_io as tested
from loops import Run

GSO = (socket.IPPROTO_UDP, 103)  # Linux cuts what is sent into datagrams of that size
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
Heard = list[tuple[bytes, Address]]


class Others(ExitStack):
    """Sockets of other programs, closed in the end."""

    def bound(self, host: str = "127.0.0.1") -> tuple[socket.socket, Address]:
        """A socket and its address."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = self.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        sock.settimeout(10)
        sock.bind((host, 0))
        return sock, Address(*sock.getsockname()[:2])


def test_a_socket_is_bound_where_it_was_asked_to_be() -> None:
    """With a large buffer where the system gives one; a port that is taken is refused by name."""
    with udp_socket("127.0.0.1") as first, udp_socket("::1") as second:
        assert not first.getblocking()
        assert first.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > 65536
        assert second.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        port = first.getsockname()[1]
        with pytest.raises(InputRefused, match=f"cannot use UDP from 127.0.0.1:{port}: Address already in use"):
            udp_socket("127.0.0.1", port)
        with udp_socket("127.0.0.2", port) as third:
            assert third.getsockname() == ("127.0.0.2", port)


@HOSTS
def test_the_first_byte_tells_conversations_apart_that_one_address_has_with_us(run: Run[Any], host: str) -> None:
    """A machine may be a DHT node and a UDP tracker at one port: "d" is the DHT's, zeros are for who asked there."""

    async def work(others: Others) -> None:
        ours = Datagrams(udp_socket(host))
        node, address = others.bound(host)
        stranger, unknown = others.bound(host)
        dht: Heard = []
        utp: Heard = []
        tracker: list[bytes] = []
        done = asyncio.Event()

        def last(datagram: bytes, sender: Address) -> None:
            utp.append((datagram, sender))
            done.set()

        ours.take(b"d", lambda datagram, sender: dht.append((datagram, sender)))
        ours.take(b"\x01\x11!1A", last)
        ours.expect(address, tracker.append)
        for sock in (node, stranger):
            for datagram in (b"d1:y1:qe", b"\0\0\0\1answer", b"", b"x"):
                sock.sendto(datagram, ours.address)
        stranger.sendto(b"\x11utp", ours.address)
        await done.wait()
        ours.close()
        assert ours.address.host == host
        assert dht == [(b"d1:y1:qe", address), (b"d1:y1:qe", unknown)]
        assert tracker == [b"\0\0\0\1answer", b"", b"x"]
        assert utp == [(b"\x11utp", unknown)]

    with Others() as others:
        run(work(others))


def test_what_is_taken_no_more_goes_to_who_waits_for_its_sender(run: Run[Any]) -> None:
    """And who takes a kind last has it."""

    async def work(others: Others) -> None:
        ours = Datagrams(udp_socket("127.0.0.1"))
        node, address = others.bound()
        heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        ours.take(b"de", lambda datagram, _: heard.put_nowait(("first", datagram)))
        ours.take(b"d", lambda datagram, _: heard.put_nowait(("second", datagram)))
        ours.expect(address, lambda datagram: heard.put_nowait(("waiting", datagram)))
        for datagram in (b"d", b"e"):
            node.sendto(datagram, ours.address)
        assert [await heard.get(), await heard.get()] == [("second", b"d"), ("first", b"e")]
        ours.take(b"de", None)
        node.sendto(b"d", ours.address)
        assert await heard.get() == ("waiting", b"d")
        ours.close()

    with Others() as others:
        run(work(others))


def test_a_taker_that_fails_hurts_nobody_else(run: Run[Any], caplog: pytest.LogCaptureFixture) -> None:
    """The datagrams that came with it are heard; who reads the log learns of it."""

    async def work(others: Others) -> None:
        ours = Datagrams(udp_socket("127.0.0.1"))
        node, _ = others.bound()
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        def fail(datagram: bytes, sender: Address) -> None:
            raise ZeroDivisionError

        ours.take(b"d", fail)
        ours.take(b"A", lambda datagram, _: heard.put_nowait(datagram))
        for datagram in (b"A1", b"d", b"d", b"A2"):
            node.sendto(datagram, ours.address)
        assert [await heard.get(), await heard.get()] == [b"A1", b"A2"]
        ours.close()

    with Others() as others:
        run(work(others))
    assert caplog.text.count("internal error in a UDP conversation") == 2
    assert "ZeroDivisionError" in caplog.text


def test_a_taker_may_close_the_socket(run: Run[Any], caplog: pytest.LogCaptureFixture) -> None:
    """What waits there is heard by nobody."""

    async def work(others: Others) -> None:
        ours = Datagrams(udp_socket("127.0.0.1"))
        node, _ = others.bound()
        heard, done = [], asyncio.Event()

        def close(datagram: bytes, sender: Address) -> None:
            heard.append(datagram)
            ours.close()
            done.set()

        ours.take(b"d", close)
        for _ in range(3):
            node.sendto(b"d", ours.address)
        await done.wait()
        await asyncio.sleep(0)
        assert heard == [b"d"]
        refusal = ours.send(b"d", Address("127.0.0.1", 9))
        assert refusal is not None, "nothing is sent by a closed socket"

    with Others() as others:
        run(work(others))
    assert not caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
@HOSTS
def test_of_what_was_lost_everybody_learns_whose_it_may_be(run: Run[Any], host: str) -> None:
    """By the datagram's beginning who takes its kind, by its address who waits there; each knows its own."""

    async def work(others: Others) -> None:
        ours = Datagrams(udp_socket(host))
        gone, dead = others.bound(host)
        gone.close()
        told: asyncio.Queue[tuple[str, bytes, Address, int | None]] = asyncio.Queue()
        ours.take(b"d", print, lambda begun, to, why: told.put_nowait(("dht", begun, to, why.errno)))
        ours.take(b"\x01", print)
        ours.expect(dead, print, lambda begun, why: told.put_nowait(("tracker", begun, dead, why.errno)))
        ours.send(b"d query", dead)
        assert await told.get() == ("dht", b"d query", dead, ECONNREFUSED)
        assert await told.get() == ("tracker", b"d query", dead, ECONNREFUSED)
        ours.send(b"\x01 utp", dead)
        assert await told.get() == ("tracker", b"\x01 utp", dead, ECONNREFUSED)
        ours.forget(dead)
        ours.send(b"\x01 utp", dead)
        ours.send(b"d again", dead)
        assert await told.get() == ("dht", b"d again", dead, ECONNREFUSED)
        ours.close()

    with Others() as others:
        run(work(others))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
@HOSTS
def test_however_many_were_lost_all_others_are_heard(run: Run[Any], host: str) -> None:
    """Half of the DHT's nodes are gone when they are asked, and the system says so while others answer."""

    async def work(others: Others) -> None:
        ours = Datagrams(udp_socket(host))
        gone, dead = others.bound(host)
        gone.close()
        node, address = others.bound(host)
        lost: list[bytes] = []
        heard: list[bytes] = []
        ours.take(b"d", lambda datagram, _: heard.append(datagram), lambda begun, *_: lost.append(begun))
        for number in range(300):
            assert ours.send(b"d%d" % number, dead) is None
            assert ours.send(b"d?", address) is None, "that was another's loss"
            assert node.recv(9) == b"d?"
            node.sendto(b"d%d" % number, ours.address)
        due = [b"d%d" % number for number in range(300)]
        while len(heard) < 300 or len(lost) < 300:  # noqa: ASYNC110 # nobody is told of it
            await asyncio.sleep(0)
        ours.close()
        assert (heard, lost) == (due, due)

    with Others() as others:
        run(work(others))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux joins datagrams")
@pytest.mark.parametrize("length", [1, 99, 100, 101, 1000, 1001])
@HOSTS
def test_datagrams_that_the_system_joins_are_heard_one_by_one(run: Run[Any], host: str, length: int) -> None:
    """UDP_GRO: datagrams of one sender in one receive, all of one length but the last."""

    async def work(others: Others) -> None:
        ours = Datagrams(udp_socket(host))
        node, _ = others.bound(host)
        heard: list[bytes] = []
        done = asyncio.Event()
        ours.take(bytes(range(256)), lambda datagram, _: done.set() if datagram == b"end" else heard.append(datagram))
        content = bytes(place % 251 for place in range(length))
        node.sendmsg([content], [(*GSO, struct.pack("=H", 100))], 0, ours.address)
        node.sendto(b"end", ours.address)
        await done.wait()
        ours.close()
        assert heard == [content[begin : begin + 100] for begin in range(0, length, 100)]

    with Others() as others:
        run(work(others))


def test_where_the_system_joins_nothing_all_is_heard_as_well(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS, Windows, sandboxes: there is no UDP_GRO, and no queue of errors."""
    monkeypatch.setattr(tested, "_GRO", (socket.IPPROTO_UDP, 9999))
    monkeypatch.setattr(tested, "_ERRORS", {socket.AF_INET: (socket.IPPROTO_IP, 9999)})

    async def work(others: Others) -> None:
        ours = Datagrams(udp_socket("127.0.0.1"))
        node, address = others.bound()
        gone, dead = others.bound()
        gone.close()
        heard: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()
        ours.take(b"d", lambda datagram, sender: heard.put_nowait((datagram, sender)))
        ours.send(b"d", dead)
        ours.send(b"question", address)
        for datagram in (b"d" * 65507, b"d2"):
            node.sendto(datagram, ours.address)
        assert [await heard.get(), await heard.get()] == [(b"d" * 65507, address), (b"d2", address)]
        ours.close()

    with Others() as others:
        run(work(others))


def test_a_flood_does_not_keep_the_loop_from_everything_else(run: Run[Any]) -> None:
    """Only so many datagrams are heard between two turns of the loop; none is lost by that."""

    async def work(others: Others) -> None:
        ours = Datagrams(udp_socket("127.0.0.1"))
        node, _ = others.bound()
        turns: list[int] = []
        heard = 0

        def count(datagram: bytes, sender: Address) -> None:
            nonlocal heard
            heard += 1

        ours.take(b"d", count)
        for _ in range(150):
            node.sendto(b"d", ours.address)
        if sys.platform == "linux":
            for _ in range(16):
                node.sendmsg([b"d" * 640], [(*GSO, struct.pack("=H", 10))], 0, ours.address)
        due = 150 + (16 * 64 if sys.platform == "linux" else 0)
        while heard < due:
            before = heard
            await asyncio.sleep(0)
            turns.append(heard - before)
        ours.close()
        assert heard == due
        assert max(turns) <= 64 + 256

    with Others() as others:
        run(work(others))


@given(st.one_of(st.binary(min_size=16, max_size=16), st.binary(max_size=8).map(lambda end: end.rjust(16, b"\0"))))
def test_addresses_are_spelt_as_everywhere_else(packed: bytes) -> None:
    """The system's spelling is taken as it is only where it is ours."""
    host = socket.inet_ntop(socket.AF_INET6, packed)
    assert tested._v6_named((host, 6881, 0, 0)) == (canonical_host(host), 6881)


@pytest.mark.parametrize(
    ("named", "host"), [("fe80::1%lo", "fe80::1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1")]
)
def test_links_and_ipv4_in_ipv6_clothes_are_taken_off(named: str, host: str) -> None:
    """As canonical_host() does."""
    assert tested._v6_named((named, 9, 0, 1)) == Address(host, 9)
