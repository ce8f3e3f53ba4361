"""A UDP socket on the loop, with real datagrams over loopback."""

from __future__ import annotations

import asyncio
import socket
import sys
from errno import ECONNREFUSED
from typing import Any

import pytest

from anabranch.model import Address, InputRefused
from anabranch.net import Datagrams, udp_socket
from loops import Run


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_datagrams_reach_whoever_waits_for_their_sender(run: Run[Any], host: str) -> None:
    """And nobody else: a stranger, or one that is not waited for any more."""

    async def work() -> None:
        heard: list[bytes] = []
        ours = Datagrams(udp_socket(host))
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as stranger:
            server.bind((host, 0))
            server.settimeout(10)
            address = Address(*server.getsockname()[:2])
            came = asyncio.Event()

            def take(datagram: bytes) -> None:
                heard.append(datagram)
                came.set()

            ours.expect(address, take)
            assert ours.send(b"question", address) is None
            datagram, caller = await asyncio.to_thread(server.recvfrom, 100)
            assert datagram == b"question"
            stranger.sendto(b"guess", caller)
            server.sendto(b"answer", caller)
            await came.wait()
            ours.forget(address)
            server.sendto(b"late", caller)
            ours.expect(Address(host, 9), take)
            await asyncio.sleep(0)
        ours.close()
        ours.close()
        assert heard == [b"answer"]

    run(work())


def test_a_fault_of_a_listener_ends_with_its_datagram(run: Run[Any], caplog: pytest.LogCaptureFixture) -> None:
    """The next one is heard; who reads the log learns of it."""

    async def work() -> None:
        ours = Datagrams(udp_socket("127.0.0.1"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(10)
            address = Address(*server.getsockname())
            came: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

            def take(datagram: bytes) -> None:
                if datagram == b"bad":
                    raise ZeroDivisionError
                came.set_result(datagram)

            ours.expect(address, take)
            ours.send(b"question", address)
            _, caller = await asyncio.to_thread(server.recvfrom, 100)
            server.sendto(b"bad", caller)
            server.sendto(b"good", caller)
            assert await came == b"good"
        ours.close()

    run(work())
    assert "ZeroDivisionError" in caplog.text


def test_what_the_system_will_not_do_is_said_in_its_words(run: Run[Any]) -> None:
    """An address of another machine; a datagram that is too long."""

    async def work() -> None:
        with pytest.raises(InputRefused, match="Cannot assign requested address"):
            udp_socket("192.0.2.1")
        ours = Datagrams(udp_socket("127.0.0.1"))
        refusal = ours.send(bytes(70000), Address("127.0.0.1", 9))
        assert refusal is not None
        assert refusal.strerror == "Message too long"
        ours.close()

    run(work())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_sends_to_a_port_where_nobody_listens_is_told(run: Run[Any], host: str) -> None:
    """With what of the datagram came back; and all others are heard and sent to as before, however often it happens."""

    async def work() -> None:
        ours = Datagrams(udp_socket(host))
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as gone:
            server.bind((host, 0))
            server.settimeout(10)
            gone.bind((host, 0))
            good, dead = Address(*server.getsockname()[:2]), Address(*gone.getsockname()[:2])
            gone.close()
            lost: asyncio.Queue[tuple[bytes, OSError]] = asyncio.Queue()
            heard: asyncio.Queue[bytes] = asyncio.Queue()
            ours.expect(good, heard.put_nowait, lambda *_: pytest.fail("nothing of this one was lost"))
            ours.expect(dead, heard.put_nowait, lambda datagram, why: lost.put_nowait((datagram, why)))
            for turn in range(3):
                assert ours.send(b"%d" % turn + bytes(200), dead) is None
                assert ours.send(b"question", good) is None, "the error was the other's"
                datagram, caller = await asyncio.to_thread(server.recvfrom, 100)
                assert datagram == b"question"
                beginning, why = await lost.get()
                assert (beginning, why.errno) == (b"%d" % turn + bytes(200), ECONNREFUSED)
                server.sendto(b"answer", caller)
                assert await heard.get() == b"answer"
            ours.forget(dead)
            ours.send(b"forgotten", dead)
            server.sendto(b"still there", caller)
            assert await heard.get() == b"still there"
            assert lost.empty()
        ours.close()

    run(work())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_who_hears_of_a_loss_may_close_the_socket(run: Run[Any], caplog: pytest.LogCaptureFixture) -> None:
    """And whoever fails at hearing it fails alone."""

    async def work() -> None:
        ours, other = Datagrams(udp_socket("127.0.0.1")), Datagrams(udp_socket("127.0.0.1"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            dead = Address(*gone.getsockname())
        closed = asyncio.Event()

        def close(datagram: bytes, why: OSError) -> None:
            ours.close()
            closed.set()

        def fail(datagram: bytes, why: OSError) -> None:
            other.expect(dead, print, close)
            raise ZeroDivisionError

        ours.expect(dead, print, close)
        other.expect(dead, print, fail)
        other.send(b"x", dead)
        ours.send(b"x", dead)
        ours.send(b"y", dead)
        await closed.wait()
        closed.clear()
        while not closed.is_set():
            other.send(b"z", dead)
            await asyncio.sleep(0)
        other.close()

    run(work())
    assert "ZeroDivisionError" in caplog.text
