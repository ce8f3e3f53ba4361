"""What one waits for, in a thread or in a task of any event loop: `signal.wait(timeout)` or `await signal`.

Nothing here takes a lock, so that set() may be called from wherever: each step that two threads could contend for is
one operation of a dict, which is atomic. Who waits registers first and looks at the state afterwards; who sets changes
the state first and looks at the waiters afterwards: no wake is lost between them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any

from anabranch.model import Misused, TorrentError


def wake(loop: asyncio.AbstractEventLoop, action: Callable[..., object], *args: Any) -> None:
    """Have a loop, perhaps of another thread, run *action*. A loop that is closed has nobody left to wake."""
    with suppress(RuntimeError):  # what both asyncio and uvloop raise for a closed loop
        loop.call_soon_threadsafe(action, *args)


def nowhere() -> bool:
    """Forbid waiting nowhere."""
    return False


class _Waiter:
    """Somebody who waits. Whoever takes it out of Signal._waiters wakes it, with or without an error."""

    __slots__ = ("error", "wake")

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self.error: TorrentError | None = None


class Signal:
    """A flag that one can wait for. While it is set no wait waits; set() also lets go all who wait at that moment.

    What comes again and again is pulsed, and a mark keeps a pulse between looking and waiting from being lost:

        mark = signal.mark
        if not there_yet():
            signal.wait(since=mark)  # or: await signal.past(mark)

    Args:
        forbidden: Says whether the caller must not wait, because it is the engine's own thread or has the turn.

    Attributes:
        mark: Another object after each set() and pulse().
    """

    __slots__ = ("_error", "_forbidden", "_set", "_waiters", "mark")

    def __init__(self, forbidden: Callable[[], bool] = nowhere) -> None:
        self._forbidden = forbidden
        self._set = False
        self._error: TorrentError | None = None
        self._waiters: dict[_Waiter, bool] = {}
        self.mark = object()

    @property
    def is_set(self) -> bool:
        """Whether it is set, and did not fail."""
        return self._set and self._error is None

    @property
    def error(self) -> TorrentError | None:
        """What fail() was called with, unless cleared since."""
        return self._error

    @property
    def waiting(self) -> int:
        """How many threads and tasks wait."""
        return len(self._waiters)

    def set(self) -> None:
        """Let go all who wait, and let nobody wait until clear(). Never blocks, never raises. A failure stays one."""
        self._set = True
        self.pulse()

    def pulse(self) -> None:
        """Let go all who wait now, and those who wait since a mark of before. Never blocks, never raises."""
        self.mark = object()
        self._let_go(None)

    def clear(self) -> None:
        """Have those wait who come from now on. Takes back a failure, too."""
        self._set = False
        self._error = None

    def fail(self, error: TorrentError) -> None:
        """Raise *error* to all who wait, now and until clear(). Never blocks, never raises."""
        self._error = error
        self.mark = object()
        self._let_go(error)

    def wait(self, timeout: float | None = None, since: object = None) -> bool:
        """Wait in a thread.

        Args:
            timeout: Seconds; None waits for ever.
            since: A mark: what came after it counts.

        Returns:
            Whether it came before the time was up.

        Raises:
            Misused: on the engine's own thread, or holding the turn.
            TorrentError: what the signal failed with.
        """
        self._check()
        if self._over(since):
            return True
        gate = threading.Lock()
        gate.acquire()
        waiter = _Waiter(gate.release)
        self._waiters[waiter] = True
        try:
            if self._over(since):
                return True
            if not gate.acquire(timeout=-1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)):
                if self._waiters.pop(waiter, False):
                    return False
                gate.acquire()  # it came in the last moment; whoever brings it is about to say so
        finally:
            self._waiters.pop(waiter, None)
        if waiter.error is not None:
            raise waiter.error.with_traceback(None)
        return True

    def __await__(self) -> Generator[Any, None, None]:
        return self.past(None).__await__()

    async def past(self, since: object) -> None:
        """Wait in a task: as `await signal`, except that what came after the mark *since* counts.

        Raises:
            Misused: in the engine's own loop, or holding the turn.
            TorrentError: what the signal failed with.
        """
        self._check()
        if self._over(since):
            return
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[None] = loop.create_future()
        waiter = _Waiter(partial(wake, loop, _resolve, arrived))
        self._waiters[waiter] = True
        try:
            if self._over(since):
                return
            await arrived
        finally:
            self._waiters.pop(waiter, None)
        if waiter.error is not None:
            raise waiter.error.with_traceback(None)

    def _check(self) -> None:
        if self._forbidden():
            raise Misused("waiting here would make the engine wait for itself: wait in a thread or loop of your own")

    def _over(self, since: object) -> bool:
        if self._error is not None:
            raise self._error.with_traceback(None)  # many raise the one error: its traceback must not grow
        return self._set or (since is not None and since is not self.mark)

    def _let_go(self, error: TorrentError | None) -> None:
        for waiter in list(self._waiters):
            if self._waiters.pop(waiter, False):
                waiter.error = error
                waiter.wake()


def _resolve(arrived: asyncio.Future[None]) -> None:
    if not arrived.done():  # its task may have been cancelled meanwhile
        arrived.set_result(None)
