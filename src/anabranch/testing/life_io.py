"""A thread with an event loop for servers of tests, and its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress

_PATIENCE = 10.0  # seconds that the thread may take to begin or end


class Life:
    """The thread with the loop, and its end."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], None] | None = None

    def begin(self, live: Callable[[], Coroutine[object, object, None]], name: str) -> None:
        """Run it in a thread of its own; comes back when it says that it has begun."""

        def work() -> None:
            try:
                asyncio.run(live())
            except BaseException as failure:  # noqa: BLE001 - a mistake in a script is raised where the block ends
                self._failure = failure
            finally:
                self.begun.set()

        self._thread = threading.Thread(target=work, name=name, daemon=True)
        self._thread.start()
        self.begun.wait(_PATIENCE)

    async def over(self) -> None:
        """Wait until it is to end."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def stop() -> None:
            loop.call_soon_threadsafe(ended.set)

        self._stop = stop
        self.begun.set()
        await ended.wait()

    def end(self) -> BaseException | None:
        """End it. What went wrong in it, if anything did."""
        if self._stop is not None:
            with suppress(RuntimeError):  # the loop is closed: it has ended
                self._stop()
        if self._thread is not None:
            self._thread.join(_PATIENCE)
        return self._failure
