"""Waiting for a change of the engine's state, from a user's thread that has the turn.

A wait lets go of the turn without running what its holder deferred: that would happen half-way through the holder's
change. It stays the holder's, and runs at the end of its turn as if there had been no wait. The predicate is the
caller's affair: look at it in a loop, since others get the turn between the wake and the return.
"""

from __future__ import annotations

import threading

from .turn_io import Turn


class TurnCondition:
    """A condition of *turn*. Who waits does so in wait(); wakes come from any thread, with or without the turn."""

    __slots__ = ("_turn", "_waiting")

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._waiting: list[threading.Lock] = []  # the newest last

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        return len(self._waiting)

    def wait(self, timeout: float | None = None) -> bool:
        """Release the turn, sleep until woken or for *timeout* seconds, take the turn back.

        Returns:
            Whether it was woken.

        Raises:
            Misused: the caller does not have the turn, is a deferred action, or is the network thread.
        """
        gate = threading.Lock()
        gate.acquire()
        self._waiting.append(gate)  # before the release: a wake right after it is not lost
        woken = False
        try:
            unfinished = self._turn.leave()
            try:
                woken = gate.acquire(timeout=-1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX))
            finally:
                self._turn.come_back(unfinished)
        except BaseException:
            if not self._withdraw(gate):
                self.signal()  # a wake was meant for us: somebody else gets it
            raise
        return woken or not self._withdraw(gate)

    def signal(self) -> None:
        """Wake the thread that waits since the shortest time."""
        try:
            gate = self._waiting.pop()
        except IndexError:
            return
        gate.release()

    def broadcast(self) -> None:
        """Wake all who wait now, the newest first."""
        for _ in range(len(self._waiting)):
            self.signal()

    def _withdraw(self, gate: threading.Lock) -> bool:
        try:
            self._waiting.remove(gate)
        except ValueError:
            return False
        return True
