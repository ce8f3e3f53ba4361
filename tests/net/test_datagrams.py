"""A UDP socket on the loop, with real datagrams over loopback."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from anabranch.model import Address, InputRefused
from anabranch.net import Datagrams
from loops import Run


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_datagrams_reach_whoever_waits_for_their_sender(run: Run[Any], host: str) -> None:
    """And nobody else: a stranger, or one that is not waited for any more."""

    async def work() -> None:
        heard: list[bytes] = []
        ours = Datagrams(host)
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
        ours = Datagrams("127.0.0.1")
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
            Datagrams("192.0.2.1")
        ours = Datagrams("127.0.0.1")
        refusal = ours.send(bytes(70000), Address("127.0.0.1", 9))
        assert refusal is not None
        assert refusal.strerror == "Message too long"
        ours.close()

    run(work())
