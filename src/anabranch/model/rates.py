"""How fast bytes flow: a running average over the last seconds."""

from __future__ import annotations

_WINDOW = 5  # seconds of history that the average looks back on


class RateMeter:
    """Counts bytes and tells their rate. The time is handed in; O(1) per call.

    Attributes:
        total: All bytes that were counted.
        last: When the last ones moved; 0 before any did.
    """

    __slots__ = ("_second", "_slots", "_started", "last", "total")

    def __init__(self) -> None:
        self.total = 0
        self.last = 0.0
        self._slots = [0] * (_WINDOW + 1)
        self._second = 0
        self._started = -1.0

    def add(self, count: int, now: float) -> None:
        """Count bytes that moved at *now*."""
        second = int(now)
        if second != self._second:
            self._forget(second)
        if self._started < 0:
            self._started = now
        self._slots[second % (_WINDOW + 1)] += count
        self.total += count
        if count:
            self.last = now

    def rate(self, now: float) -> float:
        """Bytes per second over the last seconds, fewer where counting began later."""
        if self._started < 0:
            return 0.0
        second = int(now)
        if second != self._second:
            self._forget(second)
        span = min(max(now - self._started, 0.25), _WINDOW + now - second)
        return sum(self._slots) / span

    def _forget(self, second: int) -> None:
        stale = second - self._second
        if stale > _WINDOW:
            self._slots = [0] * (_WINDOW + 1)
            if stale > 2 * _WINDOW:
                self._started = -1.0  # after a pause the average starts anew
        else:
            for passed in range(self._second + 1, second + 1):
                self._slots[passed % (_WINDOW + 1)] = 0
        self._second = second
