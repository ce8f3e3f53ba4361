"""Rate limits: token buckets that nest and that grant a part of what is asked for.

A torrent's bucket hangs under the client's, a peer's under the torrent's: a grant is taken from every level or from
none. No clock inside; whoever asks brings the time. Who asks first is not decided here: askers that wait in a queue,
longest waiting first, share a bucket evenly, because each grant leaves the queue's head for its tail.
"""

from __future__ import annotations

from math import inf

_LEAST_BURST = 16 * 1024  # bytes; one block passes in one go, whatever the rate
_BURST_SECONDS = 0.25  # how much of its rate a bucket saves up: peers that all pause do not flood the line afterwards
_GRAIN_SECONDS = 0.02  # what an asker should wait for: fewer bytes cost more system calls than they are worth
_SLACK = 1e-6  # seconds; covers what floats lose on a clock that has run for years


class Bucket:
    """A limit of *rate* bytes per second, within the limits of *parent*.

    Over any stretch of t seconds no more than `rate * t + burst` bytes are granted. Not thread-safe.

    Args:
        rate: Bytes per second; None for no limit of its own, 0 for nothing at all.
        burst: Bytes that may go at once after a pause; None for a quarter of a second's worth, 16 KiB at least.
        parent: The bucket that is asked as well.
    """

    __slots__ = ("_burst", "_filled", "_level", "_parent", "_rate")

    def __init__(self, rate: float | None = None, burst: float | None = None, parent: Bucket | None = None) -> None:
        self._rate: float | None = None
        self._burst = self._level = self._filled = 0.0
        self._parent = parent
        self._limit(rate, burst)
        self._level = self._burst

    @property
    def rate(self) -> float | None:
        """Bytes per second, None for no limit. The parents' limits hold besides."""
        return self._rate

    @property
    def limited(self) -> bool:
        """Whether a limit stands here or further up."""
        return self._rate is not None or (self._parent is not None and self._parent.limited)

    def grant(self, wanted: int, now: float) -> int:
        """Take up to *wanted* bytes from here and from every parent; 0 means: ask ready_at()."""
        bucket: Bucket | None = self
        granted = wanted
        while bucket is not None:
            if bucket._rate is not None and bucket._fill(now) < granted:
                granted = int(bucket._level)
            bucket = bucket._parent
        if granted > 0:
            self._take(granted)
        return granted

    def give_back(self, unused: int, now: float) -> None:
        """Return what was granted and not used, here and to every parent."""
        bucket: Bucket | None = self
        while bucket is not None:
            if bucket._rate is not None:
                bucket._level = min(bucket._burst, bucket._fill(now) + unused)
            bucket = bucket._parent

    def ready_at(self, now: float, wanted: int = 1) -> float:
        """When grant() will give *wanted* bytes, or as many as a burst holds, if nobody else asks before.

        Never for so few bytes that they are not worth a system call; infinity where a rate is 0.
        """
        bucket: Bucket | None = self
        ready = now
        while bucket is not None:
            if bucket._rate is not None:
                due = min(max(wanted, bucket._rate * _GRAIN_SECONDS), bucket._burst)
                missing = due - bucket._fill(now)
                if bucket._rate == 0:
                    return inf
                if missing > 0:
                    ready = max(ready, now + missing / bucket._rate + _SLACK)
            bucket = bucket._parent
        return ready

    def set_rate(self, rate: float | None, now: float, burst: float | None = None) -> None:
        """Change the limit from *now* on. A bucket that had no limit starts empty. Arguments as for the class.

        Raises:
            ValueError: a negative rate, or a burst under one byte.
        """
        if self._rate is None:
            self._level = 0.0
            self._filled = now
        else:
            self._fill(now)
        self._limit(rate, burst)
        self._level = min(self._level, self._burst)

    def _limit(self, rate: float | None, burst: float | None) -> None:
        if rate is not None and not 0 <= rate < inf:
            raise ValueError(f"no rate: {rate} bytes per second")
        if burst is None:
            burst = max(_LEAST_BURST, rate * _BURST_SECONDS) if rate else 0.0
        elif rate and not 1 <= burst < inf:
            raise ValueError(f"nothing would pass in bursts of {burst} bytes")
        self._rate = rate
        self._burst = burst

    def _fill(self, now: float) -> float:
        # Threads read the clock before they take their turn, so that time may seem to step back a little.
        if now > self._filled and self._rate is not None:
            self._level = min(self._burst, self._level + (now - self._filled) * self._rate)
            self._filled = now
        return self._level

    def _take(self, granted: int) -> None:
        bucket: Bucket | None = self
        while bucket is not None:
            if bucket._rate is not None:
                bucket._level -= granted
            bucket = bucket._parent
