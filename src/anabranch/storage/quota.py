"""A limited space that pieces of several torrents share, and which of them go first: those used longest ago.

Source: the cache storages of the Go engine, which share one capacity and evict by last use. Only what is complete may
be given up: an unfinished piece is in somebody's hands. A machine without I/O and without a lock; who keeps the bytes
has one.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Quota(Generic[K]):
    """Sizes of what is kept, in the order of last use.

    Args:
        limit: Bytes of the space; None for no limit.

    Attributes:
        limit: As above; may be changed.
        used: Bytes that are kept.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.used = 0
        self._sizes: dict[K, int] = {}
        self._idle: dict[K, None] = {}  # what may be given up, used longest ago first

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, key: K) -> bool:
        return key in self._sizes

    def keep(self, key: K, size: int) -> None:
        """It takes *size* bytes from now on, and is in somebody's hands."""
        self.used += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        self._idle.pop(key, None)

    def settle(self, key: K) -> None:
        """It is complete, and used now: from here on it may be given up. What is not kept stays so."""
        if key in self._sizes:
            self._idle.pop(key, None)
            self._idle[key] = None

    def use(self, key: K) -> None:
        """It is used now. What may not be given up, or is not kept, is not concerned."""
        if key in self._idle:
            del self._idle[key]
            self._idle[key] = None

    def remove(self, key: K) -> None:
        """It is not kept any more. Again is harmless."""
        self.used -= self._sizes.pop(key, 0)
        self._idle.pop(key, None)

    def excess(self, more: int = 0) -> list[K]:
        """What to give up for *more* bytes to fit, best first; all that may be where that is not enough.

        Nothing is given up by asking: remove() it when it is gone.
        """
        if self.limit is None:
            return []
        over = self.used + more - self.limit
        victims: list[K] = []
        for key in self._idle:
            if over <= 0:
                break
            victims.append(key)
            over -= self._sizes[key]
        return victims

    def idle(self) -> list[K]:
        """What may be given up, used longest ago first."""
        return list(self._idle)
