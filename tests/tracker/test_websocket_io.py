"""WebSocket trackers over loopback: what is asked over which connection, and how long that stays."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from aiohttp import web

from anabranch.tracker import (
    AnnounceReply,
    FaultKind,
    ScrapeReply,
)
from loops import Run
from tracker.websocket_server import (
    HASH,
    OTHER,
    PATIENCE,
    SECRET,
    STOP,
    Message,
    Tracker,
    bare,
    fault_of,
    honest,
    ours,
    request,
    silent,
    until,
    url_of,
)


def test_all_torrents_of_a_tracker_share_one_connection(run: Run[Any]) -> None:
    """Asked at once, they wait for the same one; its path is the URL's own."""

    async def work() -> None:
        async with Tracker() as tracker, ours() as trackers:
            place = tracker.url(f"/{SECRET}?x=%2f")
            hashes = [bytes([index]) * 20 for index in range(50)]
            async with asyncio.TaskGroup() as group:
                asking = [
                    group.create_task(trackers.announce(place, [tracker.address], request(one), PATIENCE))
                    for one in hashes
                ]
            assert {task.result() for task in asking} == {AnnounceReply(120, None, 3, 4)}
            numbers = await trackers.scrape(place, [tracker.address], hashes[:3], PATIENCE)
            assert numbers == dict.fromkeys(hashes[:3], ScrapeReply(3, 5, 4))
            [asked] = tracker.requests
            assert asked.path_qs == f"/{SECRET}?x=%2f"
            assert asked.headers["Host"] == f"localhost:{tracker.address.port}"
            assert asked.headers["User-Agent"] == "Test/1.0"

    run(work())


def test_a_stop_is_told_where_we_are_known_and_nowhere_else(run: Run[Any]) -> None:
    """A tracker for browsers forgets whose connection ends; and a close takes what was said before along."""

    async def work() -> None:
        async with Tracker(silent) as tracker, ours() as trackers:
            assert await trackers.announce(tracker.url(), [tracker.address], STOP, PATIENCE) == AnnounceReply()
            assert not tracker.requests
            waiting = asyncio.ensure_future(
                trackers.announce(tracker.url(), [tracker.address], request(OTHER), PATIENCE)
            )
            await until(lambda: tracker.messages)
            assert await trackers.announce(tracker.url(), [tracker.address], STOP, PATIENCE) == AnnounceReply()
            await trackers.close()
            assert (await fault_of(waiting)).kind is FaultKind.CLOSED
            await until(lambda: tracker.ends)
            assert [message["event"] for message in tracker.messages if "event" in message] == ["stopped"]
            assert tracker.ends == [1000]
            fault = await fault_of(trackers.announce(tracker.url(), [tracker.address], request(), PATIENCE))
            assert fault.kind is FaultKind.CLOSED

    run(work())


def test_a_connection_stays_while_a_torrent_is_announced(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """And some time longer: the next one may come. Who is refused is not announced."""
    monkeypatch.setattr("anabranch.tracker.websocket_io.IDLE_PATIENCE", 0.0)

    async def work() -> None:
        async with Tracker() as tracker, ours() as trackers:
            await trackers.announce(tracker.url(), [tracker.address], request(), PATIENCE)
            await trackers.scrape(tracker.url(), [tracker.address], [HASH], PATIENCE)
            await asyncio.sleep(0.01)
            assert trackers.connections == 1
            await trackers.announce(tracker.url(), [tracker.address], STOP, PATIENCE)
            await until(lambda: not trackers.connections)
            await trackers.scrape(tracker.url(), [tracker.address], [HASH], PATIENCE)
            await until(lambda: not trackers.connections)
            assert len(tracker.requests) == 2

    run(work())


def test_a_tracker_that_hangs_up_is_told_to_all_who_wait_and_asked_anew_later(run: Run[Any]) -> None:
    """In its own words. It is the next announce that opens another connection."""

    async def work() -> None:
        async def say(socket: web.WebSocketResponse, message: Message) -> None:
            if len(tracker.messages) == 2:
                await socket.close(code=1008, message=b"too many from you")
            elif len(tracker.messages) > 2:
                await honest(socket, message)

        async with Tracker(say) as tracker, ours() as trackers:
            asking = [
                asyncio.ensure_future(trackers.announce(tracker.url(), [tracker.address], request(one), PATIENCE))
                for one in (HASH, OTHER)
            ]
            for one in asking:
                fault = await fault_of(one)
                words = "the tracker hung up: too many from you (code 1008)"
                assert (fault.kind, str(fault)) == (FaultKind.NETWORK, words)
            assert len(tracker.requests) == 1
            assert await trackers.announce(tracker.url(), [tracker.address], request(), PATIENCE)
            assert len(tracker.requests) == 2

    run(work())


def test_a_kept_connection_that_was_dead_costs_nobody_an_announce(run: Run[Any]) -> None:
    """It is asked once more over a new one; but not for ever, and not where the tracker said something."""

    async def work() -> None:
        seen: Counter[int] = Counter()

        async def say(socket: web.WebSocketResponse, message: Message) -> None:
            connection = len(tracker.requests)
            seen[connection] += 1
            if seen[connection] == 2 or connection > 2:
                assert socket._req is not None
                assert socket._req.transport is not None
                socket._req.transport.abort()
            else:
                await honest(socket, message)

        async with Tracker(say) as tracker, ours() as trackers:
            for _ in range(2):
                await trackers.announce(tracker.url(), [tracker.address], request(), PATIENCE)
            assert len(tracker.requests) == 2
            fault = await fault_of(trackers.announce(tracker.url(), [tracker.address], request(), PATIENCE))
            assert fault.kind is FaultKind.NETWORK
            assert len(tracker.requests) == 3

    run(work())


def test_who_gives_up_while_a_connection_is_opened_takes_nobody_along(run: Run[Any]) -> None:
    """Another who waits opens one; what was half open is closed."""
    calls: list[bool] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(True)
        await reader.readuntil(b"\r\n\r\n")
        if len(calls) > 1:
            writer.write(b"HTTP/1.1 503 Full\r\n\r\n")
        await reader.read()
        calls.append(False)

    async def work() -> None:
        async with bare(serve) as address, ours() as trackers:
            first, second = (
                asyncio.ensure_future(trackers.announce(url_of(address), [address], request(), PATIENCE))
                for _ in range(2)
            )
            await until(lambda: calls)
            first.cancel()
            fault = await fault_of(second)
            assert (fault.kind, fault.status) == (FaultKind.STATUS, 503)
            await until(lambda: calls.count(False) == 2)
            assert calls.count(True) == 2
            assert first.cancelled()

    run(work())


def test_who_waits_for_a_connection_is_told_why_there_is_none(run: Run[Any]) -> None:
    """All of them, by one attempt."""
    calls: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 403 Who are you\r\nConnection: close\r\n\r\n")

    async def work() -> None:
        async with bare(serve) as address, ours() as trackers:
            asking = [
                asyncio.ensure_future(trackers.announce(url_of(address), [address], request(), PATIENCE))
                for _ in range(20)
            ]
            for one in asking:
                fault = await fault_of(one)
                assert (fault.kind, fault.status) == (FaultKind.STATUS, 403)
            assert len(calls) == 1

    run(work())


def test_pings_are_answered_while_nobody_asks(run: Run[Any]) -> None:
    """Servers hang up on who does not."""

    async def say(socket: web.WebSocketResponse, message: Message) -> None:
        await honest(socket, message)
        await socket.ping(b"there?")

    async def work() -> None:
        async with Tracker(say) as tracker, ours() as trackers:
            await trackers.announce(tracker.url(), [tracker.address], request(), PATIENCE)
            await until(lambda: len(tracker.messages) == 2)
            assert tracker.messages[1] == {"action": "PONG", "data": b"there?"}

    run(work())


def test_a_listener_that_fails_is_our_own_mistake(run: Run[Any], caplog: pytest.LogCaptureFixture) -> None:
    """It ends one connection, and the traceback is in the log."""

    async def say(socket: web.WebSocketResponse, message: Message) -> None:
        offer = {"action": "announce", "info_hash": message["info_hash"], "peer_id": "p" * 20}
        await socket.send_str(json.dumps(offer | {"offer_id": "o" * 20, "offer": {"type": "offer", "sdp": "v=0"}}))

    async def work() -> None:
        async with Tracker(say) as tracker, ours(heard=lambda _: 1 // 0) as trackers:
            fault = await fault_of(trackers.announce(tracker.url(), [tracker.address], request(), PATIENCE))
            assert fault.kind is FaultKind.INTERNAL

    run(work())
    assert "ZeroDivisionError" in caplog.text
