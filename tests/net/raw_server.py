"""A server on loopback that does to each connection what a test says, byte for byte; and who reads ranges from it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from anabranch.model import Address
from anabranch.net import Answer, BodyFlow, RangeClient, Url, parse_url, resolve_soon

PATIENCE = 10  # seconds until a connection is given up; no rule
Script = Callable[["Caller"], None]
Resolve = Callable[[str, int], Awaitable[list[Address]]]
BODY = bytes(range(256)) * 4
SECRET = "0123456789abcdefs3cret"  # of URLs; in no error


class Caller:
    """A connection, as the script of its server has it.

    Args:
        sock: The connection.
        number: How many there were before it.
    """

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number

    def head(self) -> str:
        """The next request, with the empty line behind it; empty where they hung up."""
        got = b""
        while not got.endswith(b"\r\n\r\n"):
            one = self.sock.recv(1)
            if not one:
                return ""
            got += one
        return got.decode("latin-1")

    def say(self, told: bytes) -> None:
        self.sock.sendall(told)

    def until_gone(self) -> bool:
        """Wait until they hang up; whether they sent more before."""
        more = False
        try:
            while self.sock.recv(1 << 16):
                more = True
        except ConnectionError:
            pass
        return more

    def reset(self) -> None:
        """Hang up by RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


class RawServer:
    """Runs *script* for each connection, in a thread of its own, and then hangs up.

    Args:
        script: What to do.
        host: Loopback address.
        port: 0 for any.
        tls: Speaks TLS with this.
    """

    def __init__(
        self, script: Script, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self._script = script
        self._tls = tls
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=100
        )
        self.port: int = self._listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http{'s' if tls else ''}://{shown}:{self.port}"
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(PATIENCE)
        self._listener.close()
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            caller = Caller(sock, self.connections)
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(caller,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, caller: Caller) -> None:
        caller.sock.settimeout(PATIENCE)
        try:
            if self._tls is not None:
                caller.sock = self._tls.wrap_socket(caller.sock, server_side=True)
            self._script(caller)
        except OSError:
            pass
        finally:
            caller.sock.close()


def answering(reply: bytes) -> Script:
    """The same to every request, until they hang up."""

    def script(caller: Caller) -> None:
        while caller.head():
            caller.say(reply)

    return script


class Memory:
    """A sink that keeps what comes.

    Args:
        length: Bytes that are wanted.
        window: Most bytes that are offered at once.
    """

    def __init__(self, length: int, window: int = 1 << 16) -> None:
        self.answers: list[Answer] = []
        self.flow: BodyFlow | None = None
        self.got = 0
        self.full = False  # no memory now
        self.waiting = False  # was told so
        self._window = window
        self._memory = bytearray(length)

    @property
    def body(self) -> bytes:
        return bytes(self._memory[: self.got])

    def begun(self, answer: Answer, flow: BodyFlow) -> int:
        self.answers.append(answer)
        self.flow = flow
        return 0

    def landing(self) -> memoryview | None:
        if self.full:
            self.waiting = True
            return None
        assert self.got < len(self._memory)
        return memoryview(self._memory)[self.got :][: self._window]

    def landed(self, count: int) -> bool:
        assert 0 < count <= min(self._window, len(self._memory) - self.got)
        self.got += count
        return True


def descriptors() -> int:
    """How many this program has open."""
    return len(os.listdir("/proc/self/fd"))


def reply(body: bytes = BODY, *headers: str, status: str = "206 Partial Content") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


EVIL = reply(b"\xee" * len(BODY))  # another body of the same length


def url_of(text: str) -> Url:
    return parse_url(text, ("http", "https"))


def names(**hosts: str) -> Resolve:
    """A resolver that knows these: a_example="127.0.0.1 ::1"; addresses are their own answers."""

    async def resolve(host: str, port: int) -> list[Address]:
        known = hosts.get(host.replace(".", "_"))
        return [Address(one, port) for one in known.split()] if known else await resolve_soon(host, port)

    return resolve


async def got(
    url: str | Url,
    sink: Memory | None = None,
    *,
    client: RangeClient | None = None,
    resolve: Resolve = resolve_soon,
    proxy: Url | None = None,
    tls: ssl.SSLContext | None = None,
    mitigate: bool = True,
    **given: Any,
) -> bytes:
    """What a range of BODY's length is there; of a client of its own where none is given."""
    sink = sink or Memory(len(BODY))
    ours = client or RangeClient("Test/1.0", resolve=resolve, proxy=proxy, tls=tls, mitigate=mitigate)
    try:
        await ours.get(url if isinstance(url, Url) else url_of(url), sink, length=len(BODY), **given)
    finally:
        if client is None:
            await ours.close()
    return sink.body


async def until(happened: Callable[[], bool]) -> None:
    while not happened():  # noqa: ASYNC110 # other threads make it happen
        await asyncio.sleep(0)


def moved(location: str, *headers: str) -> bytes:
    return reply(b"", f"Location: {location}", *headers, status="302 Found")
