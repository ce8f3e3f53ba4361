"""Trackers of every kind on one address, each at a URL of its own: HTTP, TLS, UDP, WebSocket, or no tracker at all.

They live in a thread of their own (HTTP in another), so that they serve tests of any kind, or
another program altogether. What listens begins when its URL is first asked for.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from anabranch.bencode import encode
from anabranch.model import Address

from .bad_tls_io import Certificates, behind_tls
from .http_tracker_scripts import GOOD, honest, whole
from .life_io import Life
from .scene import Hear, Pause, Reset
from .tracker_kinds import TRACKER_KINDS
from .tracker_talk import (
    Elsewhere,
    Line,
    LineScript,
    Nowhere,
    OverHttp,
    OverTcp,
    OverTls,
    OverUdp,
    Shut,
    TrackerKind,
    UdpQuestion,
    UdpScript,
)
from .web_request import WebRequest, WebScript
from .web_server_io import WebServer

_BACKLOG = 128
_RECEIVE_SIZE = 256 * 1024  # bytes


class BadTrackers:
    """Trackers of many kinds, from `with` to the end of the block.

    Args:
        host: The IP address to listen on.
        kinds: What there is.
        seed: Chooses what is drawn.

    Attributes:
        asked: How often each kind was asked: requests, datagrams, or connections.
        open: Connections that are open, but for those of HTTP.
    """

    def __init__(
        self, host: str = "127.0.0.1", *, kinds: Mapping[str, TrackerKind] = TRACKER_KINDS, seed: int = 0
    ) -> None:
        self.host = host
        self.asked: Counter[str] = Counter()
        self.open = 0
        self._kinds = kinds
        self._seed = seed
        self._urls: dict[str, str] = {}
        self._stack = ExitStack()
        self._stage = _Stage()
        self._web = WebServer({}, self._choose, host=host, seed=seed)
        self._certificates: Certificates | None = None

    @property
    def authority(self) -> Path:
        """A file with the certificate that clients are to trust."""
        return self._known.authority

    @property
    def _known(self) -> Certificates:
        if self._certificates is None:
            place = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="anabranch-"))
            self._certificates = Certificates(Path(place), self.host)
        return self._certificates

    def url(self, kind: str) -> str:
        """Where the tracker of that kind is announced to; it listens from then on.

        Raises:
            KeyError: there is no such kind.
            OSError: the address is not this machine's.
        """
        if kind not in self._urls:
            self._urls[kind] = self._serve(kind)
        return self._urls[kind]

    def __enter__(self) -> Self:
        self._stack.enter_context(self._web)
        self._stack.enter_context(self._stage)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _serve(self, kind: str) -> str:
        match self._kinds[kind].serves:
            case Nowhere(url):
                return url
            case OverHttp():
                return f"{self._web.url}/announce-{kind}"
            case OverTls(flaw):
                return self._listen(kind, behind_tls(self._known.server(flaw), whole(encode(GOOD))), "https")
            case OverTcp(script, scheme):
                return self._listen(kind, script, scheme)
            case OverUdp(replies):
                post = self._bound(socket.SOCK_DGRAM)
                self._stage.play(partial(self._receive, kind, replies, post))
                return self._url_of(post, "udp")
            case Shut(scheme, full):
                return self._url_of(self._shut(scheme, full), scheme)

    # HTTP.

    def _choose(self, request: WebRequest) -> WebScript:
        kind = request.path.partition("/")[0].partition("-")[2]
        serves = self._kinds[kind].serves if kind in self._kinds else None
        self.asked[kind] += 1
        return serves.script if isinstance(serves, OverHttp) else honest

    # Ports.

    def _listen(self, kind: str, script: LineScript, scheme: str) -> str:
        listener = self._bound(socket.SOCK_STREAM)
        listener.listen(_BACKLOG)
        self._stage.play(partial(self._accept, kind, script, listener))
        return self._url_of(listener, scheme)

    def _bound(self, kind: socket.SocketKind) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, kind)
        self._stack.callback(sock.close)
        sock.bind((self.host, 0))
        sock.setblocking(False)
        return sock

    def _url_of(self, sock: socket.socket, scheme: str) -> str:
        return f"{scheme}://{Address(self.host, sock.getsockname()[1])}/announce"

    def _shut(self, scheme: str, full: bool) -> socket.socket:
        if scheme == "udp":
            post = self._bound(socket.SOCK_DGRAM)
            post.connect((self.host, 9))  # from there alone it hears; others are told that nobody does
            return post
        listener = self._bound(socket.SOCK_STREAM)
        if full:
            listener.listen(0)
            for _ in range(2):
                waiting = self._bound(socket.SOCK_STREAM)
                with suppress(BlockingIOError):
                    waiting.connect(listener.getsockname())
        return listener

    # UDP.

    async def _receive(self, kind: str, script: UdpScript, post: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        number = 0
        while True:
            datagram, caller = await loop.sock_recvfrom(post, _RECEIVE_SIZE)
            self.asked[kind] += 1
            question = UdpQuestion(datagram, number, Random(f"{self._seed} {kind} {number}"))
            number += 1
            self._stage.start(self._reply(script(question), post, caller))

    async def _reply(self, steps: Iterator[bytes | Pause | Elsewhere], post: socket.socket, caller: object) -> None:
        loop = asyncio.get_running_loop()
        for step in steps:
            match step:
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Elsewhere(data, abroad):
                    place = (str(ip_address(self.host) + 1), post.getsockname()[1]) if abroad else (self.host, 0)
                    with socket.socket(post.family, socket.SOCK_DGRAM) as other, suppress(OSError):
                        other.bind(place)
                        other.setblocking(False)
                        await loop.sock_sendto(other, data, caller)  # type: ignore[arg-type]  # typeshed has no v6
                case data:
                    with suppress(OSError):  # whoever asked has gone
                        await loop.sock_sendto(post, data, caller)  # type: ignore[arg-type]  # typeshed has no v6

    # TCP.

    async def _accept(self, kind: str, script: LineScript, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError:  # the stage is being taken down, and somebody has just come
                if listener.fileno() < 0:
                    return
                raise
            line = Line(Random(f"{self._seed} {kind} {self.asked[kind]}"))
            self.asked[kind] += 1
            self._stage.start(self._talk(sock, script, line))

    async def _talk(self, sock: socket.socket, script: LineScript, line: Line) -> None:
        """One connection, from its first byte to its last."""
        self.open += 1
        try:
            sock.setblocking(False)
            await _act(sock, script, line)
        except* (OSError, _HungUp):
            pass
        finally:
            sock.close()
            self.open -= 1


class _HungUp(Exception):
    """The client ended the connection."""


async def _act(sock: socket.socket, script: LineScript, line: Line) -> None:
    loop = asyncio.get_running_loop()
    news = asyncio.Event()

    async def read() -> None:
        while data := await loop.sock_recv(sock, _RECEIVE_SIZE):
            line.heard += data
            news.set()
        raise _HungUp

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read())
        for step in script(line):
            match step:
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Hear(seconds):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(seconds):
                            await news.wait()
                    news.clear()
                case Reset():
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                case data:
                    await loop.sock_sendall(sock, data)
                    await asyncio.sleep(0)  # a socket that takes everything would keep the others waiting
        reading.cancel()


class _Stage:
    """Tasks in a thread of their own, which end with the block."""

    def __init__(self) -> None:
        self._life = Life()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._group: asyncio.TaskGroup | None = None

    def play(self, task: Callable[[], Coroutine[object, object, None]]) -> None:
        """Begin a task, from any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(lambda: self.start(task()))

    def start(self, task: Coroutine[object, object, None]) -> None:
        """Begin a task, from within one."""
        assert self._group is not None
        started = self._group.create_task(task)
        self._tasks.add(started)
        started.add_done_callback(self._tasks.discard)

    def __enter__(self) -> Self:
        self._life.begin(self._live, "bad trackers")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failure = self._life.end()
        if failure is not None and error is None:
            raise failure

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as self._group:
            try:
                await self._life.over()
            finally:
                for task in list(self._tasks):
                    task.cancel()
