"""How many blocks to keep asked from one peer: enough that it never waits for us, not so many that a slow one hoards.

The window follows what arrives: twice as many after each full window, up to what the peer delivers in QUEUE_TIME. It
looks at arrivals and the time only, so that asking more often changes nothing. (The Go engine derives it from how much
the last update added, which collapses on every extra update.)
"""

from __future__ import annotations

FLOOR = 4  # blocks; the least that keeps a connection busy
START = 16  # blocks; what a peer is trusted with before it has delivered anything
QUEUE_TIME = 2.0  # seconds of delivery to keep asked; covers latency and the turns of a busy machine
_MEMORY = 1.0  # seconds; how fast the measured rate forgets


class RequestWindow:
    """The request window towards one peer, in blocks. O(1) per call; the time is handed in."""

    __slots__ = ("_landed", "_last", "_latest", "_rate", "_size")

    def __init__(self) -> None:
        self._size = START
        self._landed = 0
        self._rate = 0.0
        self._last = -1.0
        self._latest = -1.0

    def landed(self, blocks: int, now: float) -> None:
        """Count blocks that arrived."""
        self._latest = now
        if self._last < 0:
            self._last = now
            self._landed = blocks
            return
        self._landed += blocks
        elapsed = now - self._last
        if elapsed <= 0 or (self._landed < self._size // 2 and elapsed < _MEMORY):
            return
        rate = self._landed / elapsed
        weight = min(elapsed / _MEMORY, 1.0)
        self._rate = rate if rate > self._rate else self._rate + (rate - self._rate) * weight
        wish = int(self._rate * QUEUE_TIME)
        if wish > self._size:
            self._size = min(2 * self._size, wish)
        else:
            self._size = max(FLOOR, wish, self._size // 2)
        self._landed = 0
        self._last = now

    def pace(self, now: float) -> float:
        """Blocks a second that arrive, less after a silence; 0 where that was not measured yet."""
        elapsed = now - self._last
        if self._last < 0 or elapsed <= _MEMORY:
            return self._rate
        lately = (self._landed + 1) / elapsed
        return min(self._rate, lately) if self._rate else lately

    def idle(self, now: float) -> None:
        """The peer had nothing to deliver: the pause is not held against it, and what came before is not forgotten."""
        if self._last < 0:
            return
        elapsed = self._latest - self._last
        if self._landed and elapsed > 0:
            rate = self._landed / elapsed
            weight = min(elapsed / _MEMORY, 1.0) if self._rate else 1.0
            self._rate += (rate - self._rate) * weight
        self._last = now
        self._landed = 0

    def shrink(self) -> None:
        """The peer stopped answering: start small again."""
        self._size = FLOOR
        self._rate = 0.0
        self._landed = 0
        self._last = -1.0

    def size(self, most: int) -> int:
        """Blocks to keep asked, at most what the peer said it queues (reqq)."""
        return max(1, min(self._size, most))
