"""A clock that is moved by hand, and a turn whose slices are as thin as a test wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from anabranch.engine.turn_io import SLICE, Turn

T = TypeVar("T")


class ThinTurn(Turn):
    """A turn whose slices are as thin as a test wants them, so that small torrents take many.

    Attributes:
        items: How many each slice had so far.
    """

    __slots__ = ("items", "thickness")

    def __init__(self, clock: Callable[[], float], thickness: int) -> None:
        super().__init__(clock)
        self.thickness = thickness
        self.items: list[int] = []

    def sliced(
        self, kind: str, target: object, items: Iterable[T], action: Callable[[T], object], size: int = SLICE
    ) -> None:
        super().sliced(kind, target, self._counted(iter(items)), action, min(size, self.thickness))

    def _counted(self, items: Iterator[T]) -> Iterator[T]:
        turn = -1
        for item in items:
            if self.taken != turn:
                turn = self.taken
                self.items.append(0)
            self.items[-1] += 1
            yield item


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
