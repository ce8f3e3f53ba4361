"""Memory for blocks on their way out: a bounded number of buffers, shared by all peers.

Network thread only. A peer that finds none is called back when one returns. Peers that take what they asked for too
slowly may hold all of them, so a peer to whom nothing is on its way gets a small one in any case.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

SEND_SIZE = 256 * 1024  # bytes; what is read from the disk and sent in one go
SMALL_SIZE = 128 * 1024  # bytes; the largest block that a peer may ask for
MOST_BUFFERS = 64
WATERMARK = 512 * 1024  # bytes queued to one peer, above which nothing more is read for it


class SendPool:
    """Buffers of SEND_SIZE, last in, first out; beyond their number, small ones that are not kept."""

    def __init__(self, most: int = MOST_BUFFERS) -> None:
        self._most = most
        self._made = 0
        self._idle: list[memoryview] = []
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, wake: Callable[[], None], *, idle: bool) -> memoryview | None:
        """A buffer, or None; then *wake* is called once when one is there. *idle*: the peer has nothing on its way."""
        if self._idle:
            return self._idle.pop()
        if self._made < self._most:
            self._made += 1
            return memoryview(bytearray(SEND_SIZE))
        if idle:
            return memoryview(bytearray(SMALL_SIZE))
        if wake not in self._waiting:
            self._waiting.append(wake)
        return None

    def give(self, buffer: memoryview) -> None:
        """Return a buffer."""
        if len(buffer) < SEND_SIZE:
            return
        self._idle.append(buffer)
        if self._waiting:
            self._waiting.popleft()()

    def trim(self) -> None:
        """Give idle memory back to the system."""
        self._made -= len(self._idle)
        self._idle.clear()
