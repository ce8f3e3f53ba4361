"""What turns want done in the world, after their release: one queue for all threads, in the order of the turns.

A turn appends while it is held; whoever releases it drains. One thread drains at a time, and one that finds somebody
draining leaves its effects to that one, so an earlier turn's effects come before a later turn's. Which effects a turn
has, and that each comes once, is turn_io's affair.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

Action: TypeAlias = Callable[..., object]
Effect: TypeAlias = tuple[str, object, Action, tuple[Any, ...]]  # kind, target (kept alive), action, its arguments
Post: TypeAlias = Callable[[Callable[[], None]], object]  # for example loop.call_soon_threadsafe

PATIENCE = 256  # effects a visiting thread does before it asks the network thread to go on

log = logging.getLogger(__name__)


class Effects:
    """The queue and who drains it. An effect may take the turn; one that raises is logged and the rest go on."""

    __slots__ = ("_draining", "post", "queue")

    def __init__(self) -> None:
        self.queue: deque[Effect] = deque()
        self.post: Post | None = None
        self._draining = threading.Lock()

    def drain(self, at_home: bool) -> None:
        """Run what is queued, unless somebody does. *at_home*: this is the network thread, which does not tire.

        Another thread came with one call of its own: after PATIENCE effects it posts the rest to the network thread.
        """
        while self.queue and self._draining.acquire(False):
            try:
                self._run_some()
            finally:
                self._draining.release()
            # Only now, not draining any more: else the network thread might look, find us at it, and leave.
            if self.queue and not at_home and self._handed_on():
                return

    def _run_some(self) -> None:
        queue = self.queue
        for _ in range(PATIENCE):
            if not queue:
                return
            kind, _target, action, args = queue.popleft()
            try:
                action(*args)
            except Exception:  # bulkhead: the other effects are not to blame
                log.exception("outbox action failed kind=%s", kind)

    def _handed_on(self) -> bool:
        if self.post is None:
            return False
        try:
            self.post(partial(self.drain, at_home=True))
        except RuntimeError:  # the loop is closed
            return False
        return True
