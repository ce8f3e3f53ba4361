"""One connection's requests and bodies, with a loop whose time is ours and a transport that is told what comes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import TorrentError
from anabranch.net import NetworkFailed, Trouble
from anabranch.net.http_connection_io import (
    BODY_PATIENCE,
    DRAIN_PATIENCE,
    HEAD_PATIENCE,
    IDLE_PATIENCE,
    MAX_DRAIN,
    Dead,
    HttpConnection,
)
from anabranch.net.http_heads import Head
from net.connection_rig import ANSWER, BODY, Memory, Transport, asked, play
from net.virtual_loop import VirtualLoop, turns


def in_parts(body: bytes, step: int) -> bytes:
    parts = [body[begin : begin + step] for begin in range(0, len(body), step)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])


@given(
    st.sampled_from(["sized", "parted", "endless"]), st.integers(1, 300), st.integers(1, 300), st.lists(st.booleans())
)
def test_bytes_land_in_order_however_they_are_cut_and_whenever_memory_is_short(
    kind: str, step: int, window: int, droughts: list[bool]
) -> None:
    """By length, in parts, to the end of the connection; the first bytes left out, and none behind those wanted."""
    wanted = BODY[7:-9]
    head = {"sized": ANSWER, "parted": b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"}
    raw = head.get(kind, b"HTTP/1.1 200 OK\r\n\r\n") + (in_parts(BODY, window) if kind == "parted" else BODY)
    drought = iter(droughts)

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        sink = Memory(len(wanted), window, dry=lambda: next(drought, False))
        task = asked(connection, sink, leave_out=7)
        await turns(1)
        left = raw
        while not task.done():
            left = transport.bring(left, step)
            if not transport.reading:
                connection.resume()
            await turns(2)
        transport.bring(left, step)
        assert (await task).status in (200, 206)
        assert sink.memory == wanted
        assert connection.free is (kind != "endless")

    play(scene)


def test_the_sink_gets_its_memory_filled_without_a_copy() -> None:
    """Behind the head the loop reads into the sink's own memory, and never beyond this body."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        sink = Memory(10_000)
        task = asked(connection, sink)
        await turns(1)
        transport.bring(ANSWER + BODY[:50])
        room = connection.get_buffer(-1)
        assert room.obj is sink.memory
        assert len(room) == 700
        task.cancel()
        await turns()
        assert transport.closed
        assert connection.get_buffer(-1).obj is not sink.memory

    play(scene)


def test_what_comes_while_there_is_no_memory_is_little() -> None:
    """It has to be copied; the rest stays with the kernel, which tells the server to wait."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        task = asked(connection, Memory(750, dry=lambda: True))
        await turns(1)
        transport.bring(ANSWER)
        assert len(connection.get_buffer(-1)) <= 4096
        assert transport.reading  # to stop at this moment crashes libuv, which is about to read
        connection.buffer_updated(100)
        assert not transport.reading
        task.cancel()
        await turns()

    play(scene)


@pytest.mark.parametrize(
    ("brought", "patience", "words"),
    [
        (b"", HEAD_PATIENCE, "no answer within 30 s"),
        (ANSWER[:9], HEAD_PATIENCE, "no answer within 30 s"),
        (ANSWER + BODY[:50], BODY_PATIENCE, "nothing for 30 s after 50 of 750 bytes"),
    ],
)
def test_a_silent_server_is_given_up(brought: bytes, patience: float, words: str) -> None:
    """Its time starts anew with every byte of the body, not of the head."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        task = asked(connection, Memory(750))
        await turns(1)
        if brought.startswith(ANSWER):
            transport.bring(ANSWER)
            loop.now += patience - 1
            await turns()
            transport.bring(brought[len(ANSWER) :])
        else:
            transport.bring(brought)
        loop.now += patience - 1
        await turns()
        assert not task.done()
        loop.now += 1.1
        await turns()
        with pytest.raises(NetworkFailed, match=words) as caught:
            await task
        assert caught.value.trouble is Trouble.TIMEOUT
        assert transport.closed

    play(scene)


def test_a_server_is_not_blamed_for_our_want_of_memory() -> None:
    """A limit of ours may hold a body up for minutes."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        full = True
        sink = Memory(750, dry=lambda: full)
        task = asked(connection, sink)
        await turns(1)
        left = transport.bring(ANSWER + BODY)
        for _ in range(10):
            loop.now += BODY_PATIENCE
            await turns()
        assert not task.done()
        full = False
        connection.resume()
        await turns()
        transport.bring(left)
        await task
        assert sink.memory == BODY

    play(scene)


def test_a_connection_is_kept_if_little_of_the_body_is_left() -> None:
    """48 KiB are read for nothing, within 5 s; more cost more than a new connection."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        freed: list[HttpConnection] = []
        connection.freed = freed.append
        for _ in range(2):
            task = asked(connection, Memory(100))
            await turns(1)
            transport.bring(b"HTTP/1.1 206 OK\r\nContent-Length: %d\r\n\r\n" % (100 + MAX_DRAIN) + BODY[:100])
            await task
            assert not connection.free
            transport.bring(bytes(MAX_DRAIN))
            assert connection.free
        assert freed == [connection] * 2
        task = asked(connection, Memory(100))
        await turns(1)
        transport.bring(b"HTTP/1.1 206 OK\r\nContent-Length: %d\r\n\r\n" % (101 + MAX_DRAIN) + BODY[:100])
        await task
        assert transport.closed

    play(scene)


@pytest.mark.parametrize("rest", ["slow", "parts without end"])
def test_a_rest_that_takes_long_is_not_waited_for(rest: str) -> None:
    """Nobody wants it."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        task = asked(connection, Memory(10))
        await turns(1)
        transport.bring(b"HTTP/1.1 206 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n")
        await task
        if rest == "slow":
            loop.now += DRAIN_PATIENCE
            await turns()
        else:
            transport.bring(in_parts(bytes(2 * MAX_DRAIN), 1000))
        assert transport.closed

    play(scene)


def test_an_idle_connection_is_given_up_after_a_while_or_at_a_word_that_nobody_asked_for() -> None:
    """The word would be taken for the next answer."""

    async def once(transport: Transport, connection: HttpConnection) -> None:
        task = asked(connection, Memory(750))
        await turns(1)
        transport.bring(ANSWER + BODY)
        await task
        assert connection.free

    async def waiting(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        await once(transport, connection)
        loop.now += IDLE_PATIENCE
        await turns()
        assert transport.closed

    async def talking(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        connection.freed = lambda _: None
        await once(transport, connection)
        transport.bring(b"H")
        assert transport.closed
        with pytest.raises(Dead):
            await asked(connection, Memory(750))

    play(waiting)
    play(talking)


@pytest.mark.parametrize("fault", [OSError("a sink of ours is broken"), b""])
def test_a_sink_that_fails_is_told_of_after_the_read(fault: OSError | bytes) -> None:
    """To close while libuv asks for memory crashes it."""

    def landing() -> memoryview:
        if isinstance(fault, OSError):
            raise fault
        return memoryview(fault)

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        sink = Memory(750)
        task = asked(connection, sink)
        await turns(1)
        transport.bring(ANSWER)
        sink.landing = landing  # type: ignore[method-assign] # of this one alone
        assert connection.get_buffer(-1)
        assert not transport.closed
        connection.buffer_updated(1)
        assert transport.closed
        with pytest.raises((OSError, ValueError), match="a sink"):
            await task

    play(scene)


def test_a_refusal_of_the_head_reaches_who_asked_and_keeps_the_connection() -> None:
    """404 for one file is no reason to dial again for the next."""

    def refuse(_: Head) -> int:
        raise TorrentError("not this one")

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        sink = Memory(750)
        task = asyncio.ensure_future(connection.ask(b"GET", refuse, sink, 750))
        await turns(1)
        transport.bring(ANSWER + BODY)
        with pytest.raises(TorrentError, match="not this one"):
            await task
        assert sink.got == 0
        assert connection.free

    play(scene)


def test_who_wants_no_more_says_so() -> None:
    """The request is done, well; and there is no next byte."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        sink = Memory(750, window=100, enough=200)
        task = asked(connection, sink)
        await turns(1)
        transport.bring(ANSWER + BODY)
        await task
        assert sink.got == 200

    play(scene)


@pytest.mark.parametrize(
    ("brought", "words"),
    [
        (ANSWER + BODY[:50], "the connection ended after 50 of 750 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + BODY[:50], "the connection ended after 50 of 750 bytes"),
        (b"HTTP/1.1 206 OK\r\nContent-Length: 50\r\n\r\n" + BODY[:50], "the body ends after 50 of 750 bytes"),
        (b"HTTP/1.1 204 OK\r\n\r\n", "the body ends after 0 of 750 bytes"),
        (
            b"HTTP/1.1 206 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + in_parts(BODY[:50], 9),
            "body ends after 50 of 750",
        ),
        (ANSWER[:9], "hung up without an answer"),
    ],
)
def test_a_body_that_ends_too_early_is_told_so(brought: bytes, words: str) -> None:
    """With how much of how much there was."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        task = asked(connection, Memory(750))
        await turns(1)
        transport.bring(brought)
        transport.abort()
        with pytest.raises(NetworkFailed, match=words) as caught:
            await task
        assert not isinstance(caught.value, Dead)

    play(scene)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_second_answer_is_seen_before_the_loop_has_read_it(pair: tuple[socket.socket, socket.socket]) -> None:
    """A body of which the last byte was asked for leaves it with the system; the next request must not get it."""
    ours, theirs = pair

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        transport.get_extra_info = lambda name, default=None: ours  # type: ignore[method-assign] # of this one alone
        assert not connection.stale()
        theirs.send(b"H")
        assert connection.stale()

    play(scene)


@given(
    st.sampled_from([b"", ANSWER, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 200 OK\n\n"]),
    st.lists(st.binary(max_size=40) | st.sampled_from([b"9\r\n", b"\r\n", b"0\r\n\r\n", BODY, ANSWER]), max_size=8),
    st.integers(1, 900),
    st.sampled_from([None, lambda: True, lambda: False]),
)
def test_any_bytes_are_an_answer_or_blamed(
    start: bytes, noise: list[bytes], step: int, whole: Callable[[], bool] | None
) -> None:
    """In one kind of error; and what was not asked for ends the connection."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        sink = Memory(100_000 if whole else 750)
        task = asyncio.ensure_future(connection.ask(b"GET", lambda _: 0, sink, sink.length, whole=whole))
        await turns(1)
        transport.bring(start + b"".join(noise), step)
        transport.abort()
        await turns()
        with suppress(NetworkFailed):
            await task

    play(scene)
