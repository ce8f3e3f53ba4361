"""The memory that unfinished pieces rest in: a bounded pool, which is also the limit of unverified bytes.

A piece of up to an eighth of the pool has one buffer; a larger one is received in stretches, each written as soon as
it is full. Who finds the pool empty has to wait, and that is the back-pressure: a slow disk or hasher slows the
asking, never the memory. Buffers are handed out last in, first out, while they are warm in the cache.

The pool is shared, and a torrent on a slow disk keeps what it has for long. So none holds more than _SHARE times what
is left: one alone has three quarters, two have three sevenths each, and some is left for whoever comes. Nor do all at
one place together hold more than _PLACE_SHARE times that.

Each buffer keeps the views of its blocks, so that the block path never slices.
"""

from __future__ import annotations

from collections.abc import Hashable

from anabranch.model import BLOCK_SIZE, Geometry

from .memory_io import memory

Holder = tuple[Hashable, Hashable]  # a torrent, and the place that it shares with others

POOL_SIZE = 64 * 1024 * 1024  # bytes; the Go engine's MaxUnverifiedBytes
STRETCH_SIZE = 1024 * 1024  # bytes; what a large piece is received in
_LARGE = 8  # a piece above 1/8 of the pool is received in stretches
_SHARE = 3  # times what is left, that one torrent may hold
_PLACE_SHARE = 7  # the same of all that share a place
_NOBODY: Holder = (None, None)


class Buffer:
    """Memory for a piece, or for one stretch of a large piece.

    Attributes:
        lease: How often it was handed out: who knew it before knows by that whether it is the same memory still.
    """

    __slots__ = ("blocks", "data", "holder", "lease", "view")

    def __init__(self, size: int) -> None:
        self.holder = _NOBODY
        self.lease = 0
        self.data = memory(size)
        self.view = memoryview(self.data)
        self.blocks = [self.view[start : start + BLOCK_SIZE] for start in range(0, size, BLOCK_SIZE)]


class BufferPool:
    """Buffers up to *limit* bytes in all. Used by whoever holds the turn."""

    def __init__(self, limit: int = POOL_SIZE) -> None:
        self.limit = limit
        self.lent = 0
        self._held: dict[Hashable, int] = {}  # bytes lent, by torrent
        self._held_at: dict[Hashable, int] = {}  # and by place
        self._idle: dict[int, list[Buffer]] = {}
        self._idle_size = 0

    def stretch_size(self, geometry: Geometry) -> int:
        """Size of the buffers this torrent's pieces rest in: a piece, or whole blocks up to STRETCH_SIZE."""
        length = geometry.piece_length
        if length > self.limit // _LARGE:
            largest = max(self.limit // _LARGE, BLOCK_SIZE)
            return min(STRETCH_SIZE, largest // BLOCK_SIZE * BLOCK_SIZE, length)
        return length

    def take(self, size: int, holder: Holder = _NOBODY) -> Buffer | None:
        """A buffer of that size with anything in it, or None where the pool, or the holder's share of it, is spent."""
        torrent, place = holder
        held, held_there = self._held.get(torrent, 0), self._held_at.get(place, 0)
        left = self.limit - self.lent
        if self.lent and (size > left or held > _SHARE * left or held_there > _PLACE_SHARE * left):
            return None  # but the first is given: a tiny pool must not starve
        self.lent += size
        self._held[torrent] = held + size
        self._held_at[place] = held_there + size
        idle = self._idle.get(size)
        if idle:
            self._idle_size -= size
            buffer = idle.pop()
        else:
            self._make_room(size)
            buffer = Buffer(size)
        buffer.holder = holder
        buffer.lease += 1
        return buffer

    def give(self, buffer: Buffer) -> None:
        """Return a buffer that nobody will write to any more."""
        size = len(buffer.data)
        self.lent -= size
        for held, key in zip((self._held, self._held_at), buffer.holder, strict=True):
            held[key] -= size
            if not held[key]:
                del held[key]
        buffer.holder = _NOBODY
        self._idle.setdefault(size, []).append(buffer)
        self._idle_size += size

    @property
    def short(self) -> bool:
        """Whether less than a quarter is left."""
        return self.lent > self.limit - self.limit // 4

    def trim(self) -> None:
        """Give the memory of idle buffers back to the system: called when nothing was lent for a while."""
        self._idle.clear()
        self._idle_size = 0

    def _make_room(self, size: int) -> None:
        """Idle buffers of other sizes go, so that lent and idle together stay within the limit."""
        for other in list(self._idle):
            stack = self._idle[other]
            while stack and self.lent + self._idle_size > self.limit:
                stack.pop(0)
                self._idle_size -= other
            if not stack:
                del self._idle[other]
