"""The user's callbacks: one thread that runs them in order, so that none of them can hold up the engine.

Nothing is dropped; a callback that never ends makes the others wait, and `waiting` grow.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from .workers_io import join_all

log = logging.getLogger(__name__)


class Hooks:
    """Callbacks and their thread, which starts with the first.

    Args:
        name: What the thread is called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]] | None] = SimpleQueue()
        self._lock = threading.Lock()  # over what follows; never held for long
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many callbacks have not begun."""
        return self._calls.qsize()

    def call(self, hook: Callable[..., object], *args: Any) -> None:
        """Run *hook(\\*args)* after all that were asked for before. What it raises is logged. Nothing after close()."""
        with self._lock:
            if self._closed:
                return
            self._calls.put((hook, args))
            if self._thread is None:
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                thread.start()
                self._thread = thread

    def close(self, timeout: float = 10.0) -> bool:
        """Take no more, and wait *timeout* seconds for what is queued; a hook that calls this does not wait for itself.

        Returns:
            Whether the thread has ended.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._calls.put(None)
            thread = self._thread
        return join_all([thread] if thread else [], timeout)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            hook, args = call
            try:
                hook(*args)
            except BaseException:  # a hook that exits (SystemExit) ends only itself
                log.exception("hook failed hook=%s", getattr(hook, "__qualname__", hook))
            del call, hook, args  # what they hold is not kept while waiting
