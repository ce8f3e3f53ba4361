"""One HTTP connection, with a loop whose time is ours and a transport that is told what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from anabranch.net.http_connection_io import HttpConnection
from anabranch.net.http_heads import Head
from net.virtual_loop import VirtualLoop

BODY = bytes(range(250)) * 3
ANSWER = b"HTTP/1.1 206 OK\r\nContent-Length: 750\r\n\r\n"


class Transport(asyncio.Transport):
    """Brings what the test says, as a loop does: not while reading is paused."""

    def __init__(self, protocol: HttpConnection) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False
        self.reading = True
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def bring(self, data: bytes, step: int = 1 << 20) -> bytes:
        """Let this come, *step* bytes at most at a time; answers what was not read."""
        while data and self.reading and not self.closed:
            room = self._protocol.get_buffer(-1)
            count = min(len(room), len(data), step)
            room[:count] = data[:count]
            self._protocol.buffer_updated(count)
            data = data[count:]
        return data


@dataclass
class Memory:
    """A sink with a window; where *dry* says so it has no memory at that question."""

    length: int
    window: int = 1 << 20
    dry: Callable[[], bool] = lambda: False
    enough: int = 1 << 40  # bytes after which it wants no more
    memory: bytearray = field(default_factory=bytearray)
    got: int = 0

    def __post_init__(self) -> None:
        self.memory = bytearray(self.length)

    def landing(self) -> memoryview | None:
        return None if self.dry() else memoryview(self.memory)[self.got :][: self.window]

    def landed(self, count: int) -> bool:
        self.got += count
        return self.got < self.enough


Scene = Callable[[VirtualLoop, HttpConnection, Transport], Coroutine[Any, Any, None]]


def play(scene: Scene) -> None:
    """Run a scene with a connection just made."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        connection = HttpConnection()
        transport = Transport(connection)
        connection.connection_made(transport)
        await scene(loop, connection, transport)
        connection.hang_up()
        await connection.gone

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work())


def asked(connection: HttpConnection, sink: Memory, leave_out: int | None = 0) -> asyncio.Task[Head]:
    """Ask for all that the sink has room for."""
    return asyncio.ensure_future(connection.ask(b"GET", lambda _: leave_out, sink, sink.length))
