"""A way between two programs on which every byte takes a while: `python relay.py HOST TARGET_HOST TARGET_PORT SECONDS`.

It listens at HOST, tells its port, dials the target for everybody who comes, and passes the bytes on after SECONDS,
each way, at any rate. It stands in for the kernel's netem, which not every machine has. A delay may be 1 ms longer than
asked for, as the loop's clock goes, and is never shorter (uvloop, which counts from the begin of its round, may make it
so, and is not used). It is a third program on the cores that the two others share: its CPU time is told apart.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import cast

MOST_UNSENT = 4 * 1024 * 1024  # bytes that nobody takes; then no more are read until somebody does


class End(asyncio.Protocol):
    """One of the two sockets of a way: what comes in here goes out at the other, later."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.other = self
        self._on_the_way: deque[bytes] = deque()  # empty bytes: the end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Reads only when both sockets are there."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(MOST_UNSENT)
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Send it off."""
        self._on_the_way.append(data)
        asyncio.get_running_loop().call_later(self.delay, self._arrive)

    def eof_received(self) -> bool:
        """An end takes as long as the rest. True: what comes the other way is still passed on."""
        self.data_received(b"")
        return True

    def connection_lost(self, reason: Exception | None) -> None:
        """A reset, or both ends have ended."""
        self.data_received(b"")

    def pause_writing(self) -> None:
        """Nobody takes what arrives here: take no more in at the other end."""
        if not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """It goes on."""
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def _arrive(self) -> None:
        data = self._on_the_way.popleft()
        if self.other.transport.is_closing():
            return
        if data:
            self.other.transport.write(data)
        elif self.transport.is_closing():
            self.other.transport.close()
        else:
            self.other.transport.write_eof()


class Way(End):
    """The end that somebody has dialed: it makes the other one."""

    def __init__(self, delay: float, host: str, target: tuple[str, int]) -> None:
        super().__init__(delay)
        self.host = host
        self.target = target

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Dial the target."""
        super().connection_made(transport)
        self._dialing = asyncio.ensure_future(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, other = await loop.create_connection(lambda: End(self.delay), *self.target, local_addr=(self.host, 0))
        except OSError:
            self.transport.abort()
            return
        self.other, other.other = other, self
        self.transport.resume_reading()
        other.transport.resume_reading()


async def main(host: str, target: tuple[str, int], delay: float) -> None:
    """Relay until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Way(delay, host, target), host, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], (sys.argv[2], int(sys.argv[3])), float(sys.argv[4])))
