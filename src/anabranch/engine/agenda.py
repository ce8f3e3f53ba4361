"""When each of many is to be looked at, and who waits for room at a place where there was none.

Each has one appointment at most: at a time, or in the queue of a place. What it costs to find who is due does not grow
with how many are not, and who is forgotten is not kept in memory.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

_FEW = 64  # forgotten appointments that may lie in the heap, beyond as many as count


class Agenda(Generic[T]):
    """Appointments. Belongs to whoever has the turn, but for what says otherwise."""

    __slots__ = ("_drawn", "_heap", "_places", "_queues", "_tickets", "_who")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []  # times, and tickets; those in _who count
        self._who: dict[int, T] = {}
        self._tickets: dict[T, int] = {}
        self._queues: dict[str, dict[T, None]] = {}  # by place; none is empty
        self._places: dict[T, str] = {}
        self._drawn = 0

    def __len__(self) -> int:
        return len(self._who) + len(self._places)

    def __contains__(self, one: T) -> bool:
        return one in self._tickets or one in self._places

    def put(self, one: T, at: float) -> None:
        """Its appointment is at that time; infinity for none."""
        self.forget(one)
        if at < inf:
            self._drawn = ticket = self._drawn + 1
            self._tickets[one] = ticket
            self._who[ticket] = one
            heappush(self._heap, (at, ticket))

    def queue(self, one: T, place: str) -> None:
        """It waits for room at a place, as the last one there."""
        self.forget(one)
        self._places[one] = place
        self._queues.setdefault(place, {})[one] = None

    def forget(self, one: T) -> None:
        """It has no appointment any more."""
        ticket = self._tickets.pop(one, 0)
        if ticket:
            del self._who[ticket]
            if len(self._heap) > 2 * len(self._who) + _FEW:
                heap = [entry for entry in self._heap if entry[1] in self._who]
                heapify(heap)
                self._heap = heap
        place = self._places.pop(one, None)
        if place is not None:
            self._leave(one, place)

    def deadline(self) -> float:
        """When the first one may be due, never too late; those in queues do not count. Needs no turn."""
        heap = self._heap
        return heap[0][0] if heap else inf

    @property
    def queued(self) -> bool:
        """Whether anybody waits at a place. Needs no turn."""
        return bool(self._queues)

    def due(self, now: float) -> T | None:
        """Take the first one whose time has come."""
        while self._heap and self._heap[0][0] <= now:
            ticket = heappop(self._heap)[1]
            one = self._who.pop(ticket, None)
            if one is not None:
                del self._tickets[one]
                return one
        return None

    def places(self) -> list[str]:
        """Where somebody waits: who was served longest ago comes first."""
        return list(self._queues)

    def peek(self, place: str) -> T | None:
        """The first one who waits there, and goes on waiting."""
        return next(iter(self._queues.get(place, ())), None)

    def first(self, place: str) -> T | None:
        """Take the first one who waits there; the place is then the last to be served."""
        queue = self._queues.pop(place, None)
        if not queue:
            return None
        self._queues[place] = queue
        one = next(iter(queue))
        del self._places[one]
        self._leave(one, place)
        return one

    def _leave(self, one: T, place: str) -> None:
        queue = self._queues[place]
        del queue[one]
        if not queue:
            del self._queues[place]
