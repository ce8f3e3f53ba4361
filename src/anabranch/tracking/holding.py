"""Announces that are not answered at once: whoever tests a client says which, and how long they wait."""

from __future__ import annotations

from collections.abc import Callable

from .announces import Announce

Decide = Callable[[Announce], float | str | None]


class Holding:
    """How many announces are between their question and their answer.

    Args:
        decide: Says of each announce for how many seconds it is held back (0 or None: not at all; infinity: it is never
            answered), or in words why it is refused. None where all are answered at once.

    Attributes:
        busy: How many are held back now.
        most_busy: The most that were there at once, those answered at once included.
    """

    def __init__(self, decide: Decide | None = None) -> None:
        self.decide = decide
        self.busy = 0
        self.most_busy = 0

    def begin(self, announce: Announce) -> float | str:
        """An announce is there: seconds to hold it back, or words to refuse it with."""
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        verdict = self.decide(announce) if self.decide is not None else None
        return verdict if isinstance(verdict, str) else float(verdict or 0)

    def end(self) -> None:
        """It was answered, or will not be."""
        self.busy -= 1
