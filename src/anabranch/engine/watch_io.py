"""The turn that tells who has it, for finding out who everybody waits for: TORRENT_LOCK_DEBUG.

It is a class of its own so that the plain turn pays nothing: not a call, not a comparison.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping

from .turn_io import LockDebug, Turn, Unfinished

OFF = frozenset({"", "0", "off", "false"})


class WatchedTurn(Turn):
    """A turn that can be asked, from any thread and without taking it, who has it.

    Args:
        clock: Seconds.
        with_stack: Keep where the turn was taken: some 10 us each time.
    """

    __slots__ = ("_stack", "_with_stack")

    def __init__(self, clock: Callable[[], float] = time.perf_counter, with_stack: bool = False) -> None:
        super().__init__(clock)
        self._with_stack = with_stack
        self._stack: traceback.StackSummary | None = None

    def __enter__(self) -> WatchedTurn:
        super().__enter__()
        self._remember()
        return self

    def take_if_free(self) -> bool:
        """As the plain turn does."""
        taken = super().take_if_free()
        if taken:
            self._remember()
        return taken

    def come_back(self, unfinished: Unfinished) -> None:
        """As the plain turn does."""
        try:
            super().come_back(unfinished)
        finally:
            self._remember()

    def lock_debug_snapshot(self) -> LockDebug:
        """Who holds the turn, since when, how many actions and threads wait, and where it was taken."""
        owner = self.owner
        if owner is None:
            return LockDebug(enabled=True)
        stack = self._stack
        return LockDebug(
            enabled=True,
            held=True,
            owner=next((thread.name for thread in threading.enumerate() if thread.ident == owner), "?"),
            owner_id=owner,
            held_for=max(self._clock() - self._since, 0.0),
            deferred=len(self._pending),
            waiting=len(self.waiting),
            stack="".join(stack.format()) if stack else "",
        )

    def lock_debug_info(self) -> str:
        """The snapshot in words."""
        now = self.lock_debug_snapshot()
        if not now.held:
            return "the turn is free"
        text = (
            f"the turn is held by {now.owner} ({now.owner_id}) for {now.held_for * 1000:.1f} ms, "
            f"deferred actions: {now.deferred}, threads waiting: {now.waiting}"
        )
        if not self._with_stack:
            return f"{text}; set TORRENT_LOCK_DEBUG=stack to see where it was taken"
        return f"{text}, taken at:\n{now.stack}"

    def _remember(self) -> None:
        if self._with_stack:
            walk = traceback.walk_stack(sys._getframe(2))
            self._stack = traceback.StackSummary.extract(walk, lookup_lines=False)
            self._stack.reverse()


def make_turn(environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.perf_counter) -> Turn:
    """The turn that TORRENT_LOCK_DEBUG asks for.

    Unset, empty, 0, off or false: the plain one. "stack": one that also tells where it was taken. Anything else: one
    that tells who has it.
    """
    wish = environ.get("TORRENT_LOCK_DEBUG", "").strip().lower()
    if wish in OFF:
        return Turn(clock)
    return WatchedTurn(clock, with_stack=wish == "stack")
