"""WebSocket trackers for tests: aiohttp's server, bare ones for what that would not do; and who asks them."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import pytest
from aiohttp import WSMsgType, web

from anabranch.model import Address
from anabranch.net import NetworkFailed, Url, parse_url
from anabranch.tracker import AnnounceRequest, Event, TrackerFault
from anabranch.tracker.websocket_io import WebSocketTrackers

HASH, OTHER = b"\xff\x80" * 10, b"o" * 20
PEER = b"-DE211s-dWygz4Kq\x00\x7f\xe9\xff"
SECRET = "0123456789abcdefs3cret"
PATIENCE = 10.0  # seconds; no rule
HERE = Address("127.0.0.1", 0)

Message = dict[str, Any]
Say = Callable[[web.WebSocketResponse, Message], Awaitable[None]]


def request(info_hash: bytes = HASH, event: Event = Event.NONE) -> AnnounceRequest:
    return AnnounceRequest(info_hash, PEER, 6881, left=5, event=event)


STOP = request(event=Event.STOPPED)


def right(message: Message) -> Message:
    """What an honest tracker says."""
    if message["action"] == "scrape":
        numbers = {"complete": 3, "incomplete": 4, "downloaded": 5}
        return {"action": "scrape", "files": dict.fromkeys(message["info_hash"], numbers)}
    return {"action": "announce", "info_hash": message["info_hash"], "interval": 120, "complete": 3, "incomplete": 4}


async def honest(socket: web.WebSocketResponse, message: Message) -> None:
    await socket.send_str(json.dumps(right(message)))


async def silent(socket: web.WebSocketResponse, message: Message) -> None:
    pass


class Tracker:
    """A server by aiohttp that does to each message what *say* says; a coroutine's own loop runs it."""

    def __init__(self, say: Say = honest, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.messages: list[Message] = []
        self.requests: list[web.BaseRequest] = []
        self.ends: list[int | None] = []  # close codes
        self._say = say
        self._tls = tls
        self._host = host
        self._runner = web.ServerRunner(web.Server(self._serve))
        self.address = Address(host, 0)

    def url(self, path: str = "/", host: str = "localhost") -> Url:
        scheme = "wss" if self._tls else "ws"
        return parse_url(f"{scheme}://{host}:{self.address.port}{path}", (scheme,))

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, 0, ssl_context=self._tls).start()
        self.address = Address(self._host, self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, asked: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(asked)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(asked)
        async for one in socket:
            if one.type in (WSMsgType.PONG, WSMsgType.PING):
                self.messages.append({"action": one.type.name, "data": bytes(one.data)})
                continue
            message = json.loads(one.data)
            self.messages.append(message)
            await self._say(socket, message)
        self.ends.append(socket.close_code)
        return socket


@asynccontextmanager
async def bare(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> Any:
    """A server of whatever bytes; its address."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


def url_of(address: Address, path: str = "/") -> Url:
    return parse_url(f"ws://{address}{path}", ("ws",))


@asynccontextmanager
async def ours(**given: Any) -> Any:
    """Trackers that are closed in the end, with nothing left open."""
    trackers = WebSocketTrackers("Test/1.0", **given)
    try:
        yield trackers
    finally:
        await trackers.close()
        assert trackers.connections == 0


async def until(happened: Callable[[], object]) -> None:
    while not happened():  # noqa: ASYNC110 # the other side is in the same loop
        await asyncio.sleep(0)


async def fault_of(work: Awaitable[object]) -> TrackerFault:
    with pytest.raises(TrackerFault) as caught:
        await work
    return caught.value


async def failure_of(work: Awaitable[object]) -> NetworkFailed:
    with pytest.raises(NetworkFailed) as caught:
        await work
    return caught.value
