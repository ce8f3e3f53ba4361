"""A web server that answers as a test says, honestly or not, on an address of its own: HTTP/1.1, plain or TLS.

It has a thread with an event loop for all its connections, so that it serves tests of any kind: with threads, with
asyncio, or beside another program altogether. What is honest goes out in large writes from mapped files.
"""

from __future__ import annotations

import asyncio
import mmap
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self, cast

from .life_io import Life
from .scene import Pause, Reset
from .web_kinds import WebAnswers, script_for
from .web_request import ELSEWHERE, HangUp, WebRequest, WebStep, path_of
from .web_scripts import honest

_MOST_HEAD = 64 * 1024  # bytes of a request's head; what has more is hung up on
_WRITE_SIZE = 1024 * 1024  # bytes handed to the transport at once


class WebServer:
    """A web server from `with` to the end of the block.

    Args:
        content: The folder whose files it serves, or what is at each path ("folder/ü.bin": nothing escaped).
        answers: A kind of WEB_KINDS by its name, or who chooses one, or a script, for each request.
        host: The address to listen on.
        port: 0 for any.
        tls: Speaks TLS with this.
        seed: Chooses what is drawn.

    Attributes:
        answers: As given; may be changed at any time, for the requests after that.
        requests: All that came, in order; what was asked for below /elsewhere too.
        connections: How many there have been.
        open, most_open: How many there are now, and the most at once.
        busy, most_busy: How many requests are being answered, and the most at once.
        sent: Bytes of heads and bodies.
        statuses: How often it answered with which status, as far as what it said was HTTP.
    """

    def __init__(
        self,
        content: str | Path | Mapping[str, bytes],
        answers: WebAnswers = "honest",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        seed: int = 0,
    ) -> None:
        self.answers = answers
        self.requests: list[WebRequest] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.busy = 0
        self.most_busy = 0
        self.sent = 0
        self.statuses: Counter[int] = Counter()
        self._shelf = _Shelf(content)
        self._before: Counter[str] = Counter()
        self._where = (host, port, tls)
        self._seed = seed
        self._life = Life()

    @property
    def host(self) -> str:
        """Where it listens."""
        return self._where[0]

    @property
    def port(self) -> int:
        """Where it listens; 0 before it does."""
        return self._where[1]

    @property
    def url(self) -> str:
        """Scheme, host and port, without a "/" at its end."""
        host, port, tls = self._where
        return f"http{'s' if tls is not None else ''}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def targets(self) -> list[str]:
        """What was asked for, path and query as they came."""
        return [request.target for request in self.requests]

    def __enter__(self) -> Self:
        host, port, tls = self._where
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=128)
        self._where = (host, listener.getsockname()[1], tls)
        self._life.begin(lambda: self._live(listener), f"web server {host}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failure = self._life.end()
        self._shelf.close()
        if failure is not None and error is None:
            raise failure

    # Its own thread.

    async def _live(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        talks: set[_Talk] = set()
        async with asyncio.TaskGroup() as group:
            server = await loop.create_server(lambda: _Talk(self, group, talks), sock=listener, ssl=self._where[2])
            try:
                await self._life.over()
            finally:
                server.close()
                for talk in list(talks):
                    talk.drop()

    def welcome(self) -> int:
        """A connection is there. Answers its number."""
        number = self.connections
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        return number

    def part(self) -> None:
        """A connection has ended."""
        self.open -= 1

    def read(self, head: bytes, connection: int) -> WebRequest | None:
        """What a head asks for; None where it is no request."""
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3:
            return None
        method, target, version = words
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        number, before = len(self.requests), self._before[target]
        self._before[target] += 1
        request = WebRequest(
            method=method,
            target=target,
            version=version,
            headers=headers,
            number=number,
            before=before,
            connection=connection,
            server=self.url,
            content=self._shelf.find(path_of(target)),
            draw=Random(f"{self._seed} {number}"),
        )
        self.requests.append(request)
        return request

    async def answer(self, request: WebRequest, talk: _Talk) -> bool:
        """Play the script. Says whether the connection goes on."""
        elsewhere = request.target.startswith(ELSEWHERE + "/")
        script = honest if elsewhere else script_for(self.answers, request)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        is_first = True
        try:
            for step in script(request):
                if is_first:
                    self._note_status(step)
                    is_first = False
                match step:
                    case Pause(seconds):
                        await talk.pause(seconds)
                    case Reset():
                        talk.reset()
                        return False
                    case HangUp():
                        return False
                    case data:
                        await talk.send(data)
        finally:
            self.busy -= 1
        return request.goes_on

    def _note_status(self, step: WebStep) -> None:
        if isinstance(step, bytes) and step.startswith(b"HTTP/1.") and step[9:12].isdigit():
            self.statuses[int(step[9:12])] += 1


class _Gone(Exception):
    """The client closed the connection, or the server ends."""


class _Talk(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: WebServer, group: asyncio.TaskGroup, talks: set[_Talk]) -> None:
        self._number = 0
        self._server = server
        self._group = group
        self._talks = talks
        self._heard = bytearray()
        self._news = asyncio.Event()  # bytes came, or the end
        self._gone = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._transport: asyncio.Transport | None = None

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are so by what they can, not by their class
        self._number = self._server.welcome()
        self._talks.add(self)
        self._transport.set_write_buffer_limits(high=_WRITE_SIZE // 4, low=0)
        self._group.create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._heard += data
        self._news.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._server.part()
        self._talks.discard(self)
        self._gone.set()
        self._news.set()
        self._may_write.set()

    # Used by the server.

    def drop(self) -> None:
        """End it now."""
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """End it with RST, and without what was not sent."""
        assert self._transport is not None
        sock = self._transport.get_extra_info("socket")
        with suppress(OSError):  # gone already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def pause(self, seconds: float) -> None:
        """Let time pass; raises _Gone when the client goes meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._gone.wait()
                raise _Gone

    async def send(self, data: bytes | memoryview) -> None:
        """Hand it to the system, as fast as the client takes it."""
        assert self._transport is not None
        for begin in range(0, len(data), _WRITE_SIZE):
            if self._gone.is_set():
                raise _Gone
            part = data[begin : begin + _WRITE_SIZE]
            self._transport.write(part)
            self._server.sent += len(part)
            await asyncio.sleep(0)  # others have their turn; and a client that has gone is noticed
            await self._may_write.wait()

    async def _serve(self) -> None:
        with suppress(_Gone):
            while (head := await self._head()) is not None:
                request = self._server.read(head, self._number)
                if request is None or not await self._server.answer(request, self):
                    break
        if self._transport is not None:
            self._transport.close()

    async def _head(self) -> bytes | None:
        """The next request without the empty line behind it; None where it is too long."""
        while (end := self._heard.find(b"\r\n\r\n")) < 0:
            if len(self._heard) > _MOST_HEAD:
                return None
            if self._gone.is_set():
                raise _Gone
            self._news.clear()
            await self._news.wait()
        head = bytes(self._heard[:end])
        del self._heard[: end + 4]
        return head


class _Shelf:
    """What is served: files mapped when they are first asked for, or bytes that are given."""

    def __init__(self, content: str | Path | Mapping[str, bytes]) -> None:
        self._folder = None if isinstance(content, Mapping) else Path(content).resolve()
        self._views = {path: memoryview(data) for path, data in content.items()} if isinstance(content, Mapping) else {}
        self._maps: list[mmap.mmap] = []

    def find(self, path: str) -> memoryview | None:
        """What is at that path."""
        if path not in self._views and self._folder is not None:
            file = (self._folder / path).resolve()
            if not file.is_relative_to(self._folder) or not file.is_file():
                return None
            self._views[path] = self._map(file)
        return self._views.get(path)

    def close(self) -> None:
        """Forget the files; who still holds a view of one keeps its map."""
        self._views.clear()
        for mapped in self._maps:
            with suppress(BufferError):
                mapped.close()

    def _map(self, file: Path) -> memoryview:
        if not file.stat().st_size:  # there is no map of nothing
            return memoryview(b"")
        with file.open("rb") as opened:
            mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        self._maps.append(mapped)
        return memoryview(mapped)
