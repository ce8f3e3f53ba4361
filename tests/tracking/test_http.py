"""Connections over HTTP: kept, answered in order, bounded, and ended when they are no good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from anabranch.tracking import Listeners, Rules, http_io
from loops import LOOPS, runs_in
from tracking.asking import get, target, until

HOST = "127.0.0.1"


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return runs_in(request.param)


def listening() -> Listeners:
    return Listeners(Rules(), bind=(HOST,), port=0, udp=False)


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]))


def test_a_connection_is_kept_and_answers_come_in_order(run: Callable[..., Any]) -> None:
    """Also to those who ask again before they were answered."""

    async def work() -> None:
        async with listening() as listeners:
            reader, writer = await asyncio.open_connection(HOST, listeners.port)
            writer.write(b"".join(get(target(port=port)) for port in range(1, 50)) + get("/stats"))
            for _ in range(1, 50):
                assert b"interval" in await answer(reader)
            assert b'"announces_http": 49' in await answer(reader)
            writer.write(get(target(), "Connection: close\r\n"))
            assert b"interval" in await reader.read()
            assert (listeners.connections.opened, listeners.connections.most_open) == (1, 1)
            writer.close()

    run(work())


@pytest.mark.parametrize(
    ("said", "status"),
    [(b"POST / HTTP/1.1\r\n\r\n", b"405"), (b"\x16\x03\x01\r\n\r\n", b"400"), (b"a" * 20_000, b"431")],
)
def test_what_is_no_request_is_answered_and_hung_up_on(run: Callable[..., Any], said: bytes, status: bytes) -> None:
    """TLS, other methods, heads without an end."""

    async def work() -> None:
        async with listening() as listeners:
            reader, writer = await asyncio.open_connection(HOST, listeners.port)
            writer.write(said)
            assert (await reader.read()).split()[1] == status
            writer.close()
            assert listeners.tracker.counts.bad == 1

    run(work())


def test_who_is_silent_for_too_long_is_hung_up_on(run: Callable[..., Any]) -> None:
    """Whether it said nothing or half a head; who asked since stays."""

    async def work() -> None:
        clock = asyncio.get_running_loop().time
        async with listening() as listeners:
            talks = [await asyncio.open_connection(HOST, listeners.port) for _ in range(3)]
            talks[1][1].write(b"GET /announce?")
            for _, writer in talks[2:]:
                writer.write(get("/stats"))
            await answer(talks[2][0])
            await until(lambda: listeners.connections.open == 3)
            listeners.connections.heard(next(reversed(listeners.connections._talks)), clock() + 5)
            listeners.connections.tick(clock() + http_io.IDLE)
            assert [await reader.read() for reader, _ in talks[:2]] == [b"", b""]
            assert listeners.connections.open == 1
            for _, writer in talks:
                writer.close()

    run(work())


def test_one_more_than_there_may_be_takes_the_place_of_the_longest_silent(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that only hold a place hold up nobody."""
    monkeypatch.setattr(http_io, "_MOST", 3)

    async def work() -> None:
        async with listening() as listeners:
            talks = []
            for number in range(5):
                reader, writer = await asyncio.open_connection(HOST, listeners.port)
                writer.write(get(target(port=number + 1)))
                assert b"interval" in await answer(reader)
                talks.append((reader, writer))
            assert [await reader.read() for reader, _ in talks[:2]] == [b"", b""]
            assert (listeners.connections.open, listeners.connections.most_open) == (3, 3)
            for _, writer in talks:
                writer.close()

    run(work())


def test_a_host_has_so_many_connections_and_no_more(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """But for our own machine, where tests are and proxies might be."""
    monkeypatch.setattr(http_io, "_MOST_OF_HOST", 2)

    async def work() -> None:
        async with listening() as listeners:
            talks = [await asyncio.open_connection(HOST, listeners.port) for _ in range(3)]
            for reader, writer in talks:
                writer.write(get("/stats"))
                await answer(reader)
            monkeypatch.setattr(http_io, "is_this_machine", lambda host: False)
            reader, writer = await asyncio.open_connection(HOST, listeners.port)
            assert await reader.read() == b""
            for _, open_one in (*talks, (reader, writer)):
                open_one.close()
            await until(lambda: not listeners.connections.open)
            reader, writer = await asyncio.open_connection(HOST, listeners.port)
            writer.write(get("/stats"))
            assert b"torrents" in await answer(reader)
            writer.close()

    run(work())


def test_who_does_not_take_its_answers_is_not_read_any_more(run: Callable[..., Any]) -> None:
    """Else a stranger could fill our memory with answers."""

    async def work() -> None:
        async with listening() as listeners:
            reader, writer = await asyncio.open_connection(HOST, listeners.port, limit=1024)
            writer.transport.set_write_buffer_limits(high=0)
            many = get("/stats") * 500
            for _ in range(2000):  # 100 MB of requests, far more than the system keeps
                writer.write(many)
                try:
                    await asyncio.wait_for(writer.drain(), 0.2)
                except TimeoutError:
                    break
            else:
                pytest.fail("it read on and on")
            [talk] = listeners.connections._talks
            assert talk._transport is not None
            assert talk._is_full
            assert talk._transport.get_write_buffer_size() < 512 * 1024
            for _ in range(500):
                await answer(reader)
            writer.transport.abort()

    run(work())
