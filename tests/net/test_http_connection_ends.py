"""How a connection ends, or waits: replies that are wanted whole, greetings, memory, and who takes it over."""

from __future__ import annotations

import asyncio
import errno
import ssl

import pytest

from anabranch.net import NetworkFailed, Trouble
from anabranch.net.http_connection_io import IDLE_PATIENCE, HttpConnection
from net.connection_rig import ANSWER, BODY, Memory, Transport, asked, play
from net.virtual_loop import VirtualLoop, turns


@pytest.mark.parametrize(
    ("start", "broken", "enough", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", False, False, ""),
        (b"HTTP/1.1 200 OK\r\n\r\n", True, True, "Connection reset by peer"),
        (b"HTTP/1.1 200 OK\r\nX: ", False, True, "the reply ends too early"),
        (b"HTTP/1.1 200 OK\r\nX: ", True, True, "Connection reset by peer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", False, True, ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", False, False, "the reply ends too early"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", True, True, "Connection reset by peer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2ee\r\n", False, True, ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2ee\r\n", False, False, "the reply ends too early"),
    ],
)
def test_a_whole_reply_ends_with_its_connection_where_it_says_so_or_has_all(
    start: bytes, broken: bool, enough: bool, words: str
) -> None:
    """A reset is never the end of anything: libtorrent 2.1.1 and aria2 1.36 think so, too."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        sink = Memory(2000)
        task = asyncio.ensure_future(connection.ask(b"GET", lambda _: 0, sink, 2000, whole=lambda: enough))
        await turns(1)
        transport.bring(start + BODY, 100)
        transport.closed = True
        connection.connection_lost(ConnectionResetError(errno.ECONNRESET, "") if broken else None)
        if words:
            with pytest.raises(NetworkFailed, match=words):
                await task
        else:
            await task
            assert sink.memory[: sink.got] == BODY
        assert not connection.free

    play(scene)


def test_a_secure_connection_that_is_refused_late_is_told_in_openssls_words() -> None:
    """TLS 1.3: a server says that it wants a certificate of ours in the place of an answer; the number is no errno."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        task = asked(connection, Memory(750))
        await turns(1)
        transport.closed = True
        refusal = ssl.SSLError(1, "certificate required")
        refusal.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
        connection.connection_lost(refusal)
        with pytest.raises(NetworkFailed, match="CERTIFICATE_REQUIRED") as caught:
            await task
        assert caught.value.trouble is Trouble.TLS

    play(scene)


def test_a_connection_that_waits_holds_little_memory() -> None:
    """Hundreds of them are kept; a request gets more, for as long as it runs."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        for _ in range(2):
            assert len(connection.get_buffer(-1)) <= 4096
            task = asked(connection, Memory(750))
            await turns(1)
            assert len(connection.get_buffer(-1)) >= 64 * 1024
            transport.bring(ANSWER + BODY)
            await task
        assert len(connection.get_buffer(-1)) <= 4096

    play(scene)


def test_what_a_read_brings_that_began_before_the_request_is_not_lost() -> None:
    """Windows reads ahead into memory that was asked for while the connection waited."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        room = connection.get_buffer(-1)
        sink = Memory(750)
        task = asked(connection, sink)
        await turns(1)
        room[: len(ANSWER)] = ANSWER
        connection.buffer_updated(len(ANSWER))
        transport.bring(BODY)
        await task
        assert sink.memory == BODY

    play(scene)


@pytest.mark.parametrize("gone", [False, True])
def test_a_server_that_speaks_first_is_no_http_server(gone: bool) -> None:
    """Mail and others greet; whether the greeting or our request is there first, and whether they stay."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        transport.bring(b"220 mail.example\r\n")
        assert transport.closed
        if gone:
            await turns()
        with pytest.raises(NetworkFailed, match="no HTTP server") as caught:
            await asked(connection, Memory(750))
        assert caught.value.trouble is Trouble.PROTOCOL
        assert not connection.free

    play(scene)


def test_a_transport_that_is_given_away_is_another_protocols() -> None:
    """What ends or times out here does not close it."""

    async def scene(loop: VirtualLoop, connection: HttpConnection, transport: Transport) -> None:
        assert connection.given_away() is transport
        assert not connection.free
        loop.now += IDLE_PATIENCE
        await turns()
        assert not transport.closed
        with pytest.raises(NetworkFailed):
            connection.given_away()

    play(scene)
