"""WebSocket trackers that take their time, flood us, or are something else."""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64encode
from collections import Counter
from contextlib import suppress
from hashlib import sha1
from typing import Any

import pytest
from aiohttp import web

from anabranch.net import parse_url
from anabranch.tracker import (
    FaultKind,
    Offer,
    TrackerFault,
)
from anabranch.tracker.websocket_frames import WebSocket
from anabranch.tracker.websocket_io import _Connection, _Pace
from loops import Run
from tracker.websocket_server import (
    HASH,
    OTHER,
    PATIENCE,
    SECRET,
    Message,
    Tracker,
    bare,
    fault_of,
    honest,
    ours,
    request,
    until,
    url_of,
)

URL = parse_url("ws://a.example/", ("ws",))


def test_a_tracker_that_is_silent_for_one_torrent_serves_the_others(
    run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says nothing at all is not there any more: the connection is given up, and the next announce opens one."""
    monkeypatch.setattr("anabranch.tracker.websocket_io._SILENCE", 0.0)

    async def say(socket: web.WebSocketResponse, message: Message) -> None:
        if message["info_hash"] != HASH.decode("latin-1"):
            await honest(socket, message)

    async def work() -> None:
        async with Tracker(say) as tracker, ours() as trackers:
            place, addresses = tracker.url(), [tracker.address]
            mute = asyncio.ensure_future(trackers.announce(place, addresses, request(), 0.1))
            await until(lambda: tracker.messages)
            await trackers.announce(place, addresses, request(OTHER), PATIENCE)
            fault = await fault_of(mute)
            assert (fault.kind, str(fault)) == (FaultKind.TIMEOUT, "no answer within 0.1 s")
            await trackers.announce(place, addresses, request(OTHER), PATIENCE)
            assert len(tracker.requests) == 1
            assert (await fault_of(trackers.announce(place, addresses, request(), 0.05))).kind is FaultKind.TIMEOUT
            await trackers.announce(place, addresses, request(OTHER), PATIENCE)
            assert len(tracker.requests) == 2

    run(work())


def test_a_tracker_that_talks_of_something_else_is_told_of(run: Run[Any]) -> None:
    """It is there, and no answer comes of it: another thing than silence."""

    async def say(socket: web.WebSocketResponse, message: Message) -> None:
        await socket.send_str("[]")

    async def work() -> None:
        async with Tracker(say) as tracker, ours() as trackers:
            fault = await fault_of(trackers.announce(tracker.url(), [tracker.address], request(), 0.1))
            assert fault.kind is FaultKind.TIMEOUT
            assert str(fault) == "no answer within 0.1 s; what it sent answers nothing that was asked"

    run(work())


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (b"", FaultKind.NETWORK, "the server hung up without an answer"),
        (b"HTTP/1.1 101 Swit", FaultKind.REPLY, "the answer ends too early"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", FaultKind.REPLY, "not HTTP"),
        (b"HTTP/1.1 302 x\r\nLocation: http://169.254.169.254/\r\n\r\n", FaultKind.REPLY, "redirected"),
        (b"HTTP/1.1 404 " + SECRET.encode() + b"\r\n\r\n", FaultKind.STATUS, "answered 404 ***"),
    ],
)
def test_who_speaks_no_websocket_is_told_of(run: Run[Any], reply: bytes, kind: FaultKind, words: str) -> None:
    """And asked once."""
    calls: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply)

    async def work() -> None:
        async with bare(serve) as address, ours() as trackers:
            fault = await fault_of(trackers.announce(url_of(address, f"/{SECRET}"), [address], request(), PATIENCE))
            assert fault.kind is kind
            assert words in str(fault)
            assert SECRET not in str(fault)
            assert len(calls) == 1

    run(work())


def test_a_handshake_that_takes_for_ever_ends_with_our_patience(run: Run[Any]) -> None:
    """Byte by byte, so that there is always something new; nothing stays open."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nx: ")
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.005)
        ended.set()

    async def work() -> None:
        async with bare(serve) as address, ours() as trackers:
            fault = await fault_of(trackers.announce(url_of(address), [address], request(), 0.1))
            assert fault.kind is FaultKind.TIMEOUT
            await until(lambda: not trackers.connections)
            await ended.wait()

    run(work())


def test_offers_are_heard_at_any_time_and_not_all_at_once(run: Run[Any]) -> None:
    """A flood of them must not keep the loop from the peers we have: in one turn some hundreds are read."""
    offers = 700
    heard: list[tuple[int, Offer]] = []
    turn = 0

    async def say(socket: web.WebSocketResponse, message: Message) -> None:
        await honest(socket, message)
        for number in range(offers):
            offer = {"action": "announce", "info_hash": message["info_hash"], "peer_id": f"{number:020}"}
            await socket.send_str(json.dumps(offer | {"offer_id": "o" * 20, "offer": {"type": "offer", "sdp": "v=0"}}))

    async def work() -> None:
        nonlocal turn
        heard.clear()
        async with Tracker(say) as tracker, ours(heard=lambda offer: heard.append((turn, offer))) as trackers:
            await trackers.announce(tracker.url(), [tracker.address], request(), PATIENCE)
            while len(heard) < offers:
                turn += 1
                await asyncio.sleep(0)
        assert [offer.peer_id for _, offer in heard] == [b"%020d" % number for number in range(offers)]
        assert max(Counter(at for at, _ in heard).values()) <= 257

    run(work())


def test_a_flood_of_empty_frames_is_read_slowly_and_answers_still_come(run: Run[Any]) -> None:
    """Each costs as much as 256 bytes would: a second's worth is a few thousand."""
    pings = b"\x89\x00" * 1000

    async def say(socket: web.WebSocketResponse, message: Message) -> None:
        assert socket._req is not None
        assert socket._req.transport is not None
        socket._req.transport.write(pings)
        await honest(socket, message)

    async def work() -> None:
        async with Tracker(say) as tracker, ours() as trackers:
            for _ in range(2):
                await trackers.announce(tracker.url(), [tracker.address], request(), PATIENCE)
            pongs = [message for message in tracker.messages if message["action"] == "PONG"]
            assert 0 < len(pongs) < 50  # the last of each turn, of 2000

    run(work())


def test_many_trackers_that_flood_us_share_what_one_may_have_us_do(
    run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In all it is twice that of one; an honest one among them gets its turn."""
    reads: list[float] = []
    taking = WebSocket.take

    def counted(socket: WebSocket) -> str | None:
        reads.append(asyncio.get_running_loop().time())
        return taking(socket)

    monkeypatch.setattr(WebSocket, "take", counted)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = head.partition("Key: ")[2].partition("\r")[0] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = b64encode(sha1(key.encode()).digest()).decode()
        welcome = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}"
        writer.write(f"HTTP/1.1 101 x\r\n{welcome}\r\n\r\n".encode())
        while not writer.is_closing():
            writer.write(b"\x81\x00" * 1000)
            await writer.drain()

    async def work() -> None:
        clock = asyncio.get_running_loop().time
        async with bare(serve) as address, Tracker() as tracker, ours() as trackers:
            reads.clear()
            begun = clock()
            flooding = [
                asyncio.ensure_future(trackers.announce(url_of(address, f"/{number}"), [address], request(), 0.4))
                for number in range(8)
            ]
            await until(lambda: len(reads) > 1500)
            assert await trackers.announce(tracker.url(), [tracker.address], request(), PATIENCE)
            for one in flooding:
                assert (await fault_of(one)).kind is FaultKind.TIMEOUT
            allowed = (reads[-1] - begun + 9 / 32) * 4 * 1024 * 1024 / 256
            assert 1500 < len(reads) < allowed + 100

    run(work())


def test_connections_that_nobody_asks_over_are_not_collected(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A torrent may name thousands of trackers: the one not asked for the longest time is given up."""
    monkeypatch.setattr("anabranch.tracker.websocket_io.MOST_CONNECTIONS", 2)

    async def work() -> None:
        async with Tracker() as tracker, ours() as trackers:
            for path in ("/a", "/b", "/a", "/c", "/a", "/b"):
                await trackers.announce(tracker.url(path), [tracker.address], request(), PATIENCE)
            await until(lambda: trackers.connections == 2)
            assert [asked.path for asked in tracker.requests] == ["/a", "/b", "/c", "/b"]

    run(work())


def test_nothing_is_left_open(run: Run[Any]) -> None:
    """Of a hundred connections that ended in any way: answered, refused, given up, closed at once."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"GET /refuse" in head:
            writer.write(b"HTTP/1.1 404 x\r\n\r\n")
        elif b"GET /wait" in head:
            await reader.read()

    async def work() -> None:
        async with Tracker() as tracker, bare(serve) as address:
            open_now = len(os.listdir("/proc/self/fd"))
            async with ours() as trackers:
                for number in range(25):
                    await trackers.announce(tracker.url(f"/{number}"), [tracker.address], request(), PATIENCE)
                    for path in ("/refuse", "/wait", "/end"):
                        with suppress(TrackerFault):
                            await trackers.announce(url_of(address, f"{path}{number}"), [address], request(), 0.01)
                lost = [
                    asyncio.ensure_future(trackers.announce(tracker.url("/z"), [tracker.address], request(), PATIENCE))
                    for _ in range(3)
                ]
                await asyncio.sleep(0)
            for one in lost:
                assert (await fault_of(one)).kind is FaultKind.CLOSED
            await until(lambda: len(os.listdir("/proc/self/fd")) <= open_now)

    run(work())


class Wire(asyncio.Transport):
    """A transport that sends nothing and notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.told: list[str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def is_closing(self) -> bool:
        return "close" in self.told

    def close(self) -> None:
        self.told.append("close")

    def abort(self) -> None:
        self.told.append("abort")


def welcomed(wire: Wire) -> _Connection:
    """A connection over *wire* whose server has agreed."""
    connection = _Connection(URL, "Test/1.0", _Pace(1000), None)
    connection.connection_made(wire)
    key = wire.sent.pop().decode().partition("Key: ")[2].partition("\r")[0] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = b64encode(sha1(key.encode()).digest()).decode()
    head = f"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    connection.data_received(head.encode())
    return connection


def test_while_it_rests_nothing_is_read_that_still_comes(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops may have read some more before they pause."""
    reads: list[str | None] = []
    taking = WebSocket.take

    def counted(socket: WebSocket) -> str | None:
        reads.append(taking(socket))
        return reads[-1]

    monkeypatch.setattr(WebSocket, "take", counted)

    async def work() -> None:
        wire = Wire()
        connection = welcomed(wire)
        reads.clear()
        for _ in range(50):
            connection.data_received(b"\x81\x00" * 10)
        assert reads == [""]
        assert wire.told == ["pause"]
        connection.hang_up(TrackerFault(FaultKind.CLOSED, "end"))

    run(work())


def test_who_pings_and_does_not_read_is_owed_one_answer(run: Run[Any]) -> None:
    """What the system does not take is not piled up."""

    async def work() -> None:
        wire = Wire()
        connection = welcomed(wire)
        connection.pause_writing()
        for _ in range(9):
            connection._pace = _Pace(1 << 40)
            connection.data_received(b"\x89\x01x" * 5)
            await asyncio.sleep(0)
        assert not wire.sent
        connection.resume_writing()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [len(data) for data in wire.sent] == [2 + 4 + 1]
        connection.hang_up(TrackerFault(FaultKind.CLOSED, "end"))

    run(work())


def test_who_does_not_take_our_last_words_is_left_without(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while: a close would wait for ever."""
    monkeypatch.setattr("anabranch.tracker.websocket_io._LAST_PATIENCE", 0.0)

    async def work() -> None:
        wire = Wire()
        welcomed(wire).hang_up(TrackerFault(FaultKind.CLOSED, "end"))
        assert wire.told == ["close"]
        await until(lambda: wire.told == ["close", "abort"])

    run(work())


def test_whoever_waits_for_an_answer_keeps_the_connection(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """However long nothing was announced, and however many other trackers are asked meanwhile."""
    monkeypatch.setattr("anabranch.tracker.websocket_io.IDLE_PATIENCE", 0.02)
    monkeypatch.setattr("anabranch.tracker.websocket_io.MOST_CONNECTIONS", 1)

    async def work() -> None:
        others = asyncio.Event()

        async def late(socket: web.WebSocketResponse, message: Message) -> None:
            if message["action"] == "announce":
                await others.wait()
                await asyncio.sleep(0.05)
            await honest(socket, message)

        async with Tracker(late) as slow, Tracker() as other, ours() as trackers:
            await trackers.scrape(slow.url(), [slow.address], [HASH], PATIENCE)
            asking = asyncio.ensure_future(trackers.announce(slow.url(), [slow.address], request(), PATIENCE))
            await until(lambda: len(slow.messages) == 2)
            await trackers.announce(other.url(), [other.address], request(), PATIENCE)
            others.set()
            assert (await asking).interval == 120
            assert len(slow.requests) == 1

    run(work())
