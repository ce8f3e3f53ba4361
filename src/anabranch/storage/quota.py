"""A limited space that pieces of several torrents share, and which of them go first: those used longest ago.

Source: the cache storages of the Go engine, which share one capacity and evict by last use. Only what is complete may
be given up: an unfinished piece is in somebody's hands. A machine without I/O and without a lock; who keeps the bytes
has one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import chain, islice
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_FRONT = 1024  # keys


class Quota(Generic[K]):
    """Sizes of what is kept, in the order of last use. Each key is in one of three dictionaries, 90 bytes.

    Those at the front have one of their own: a dictionary keeps the places of what is taken from its front, and who
    looks for its first key steps over all of them, 100 us each time with 350,000 pieces that come and go.

    Args:
        limit: Bytes of the space; None for no limit.

    Attributes:
        limit: As above; may be changed.
        used: Bytes that are kept.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.used = 0
        self._held: dict[K, int] = {}
        self._front: dict[K, int] = {}  # what may be given up, used longest ago first
        self._idle: dict[K, int] = {}  # the rest of it, used after those

    def __len__(self) -> int:
        return len(self._held) + len(self._front) + len(self._idle)

    def __contains__(self, key: K) -> bool:
        return key in self._held or self.may_go(key)

    def size(self, key: K) -> int:
        """Bytes that it takes; 0 for what is not kept."""
        return self._held.get(key) or self._idle.get(key) or self._front.get(key, 0)

    def may_go(self, key: K) -> bool:
        """Whether it may be given up."""
        return key in self._idle or key in self._front

    def keep(self, key: K, size: int) -> None:
        """It takes *size* bytes from now on, and is in somebody's hands."""
        self.remove(key)
        self.used += size
        self._held[key] = size

    def settle(self, key: K) -> None:
        """It is complete, and used now: from here on it may be given up. What is not kept stays so."""
        if key in self._held:
            self._idle[key] = self._held.pop(key)
        else:
            self.use(key)

    def use(self, key: K) -> None:
        """It is used now. What may not be given up, or is not kept, is not concerned."""
        if key in self._idle:
            self._idle[key] = self._idle.pop(key)
        elif key in self._front:
            self._idle[key] = self._front.pop(key)

    def remove(self, key: K) -> None:
        """It is not kept any more. Again is harmless."""
        for kept in (self._held, self._idle, self._front):
            self.used -= kept.pop(key, 0)

    def excess(self, more: int = 0) -> list[K]:
        """What to give up for *more* bytes to fit, best first; all that may be where that is not enough.

        Nothing is given up by asking: remove() it when it is gone.
        """
        return self.surplus(more, lambda key: False)

    def surplus(self, more: int, spared: Callable[[K], bool]) -> list[K]:
        """The same, but of what is not spared. What is met that is spared counts as used now: so it is met once."""
        if self.limit is None:
            return []
        over = self.used + more - self.limit
        victims: list[K] = []
        met: list[K] = []
        for key in self.idle() if over > 0 else ():
            if spared(key):
                met.append(key)
                continue
            victims.append(key)
            over -= self.size(key)
            if over <= 0:
                break
        for key in met:
            self.use(key)
        return victims

    def idle(self) -> Iterator[K]:
        """What may be given up, used longest ago first. To be read before anything changes."""
        if not self._front:
            for key in list(islice(self._idle, _FRONT)):
                self._front[key] = self._idle.pop(key)
        return chain(self._front, self._idle)
