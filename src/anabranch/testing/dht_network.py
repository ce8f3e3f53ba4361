"""A network of datagrams in virtual time: latency, loss, address translation, and a count of who sent what to whom.

What is under way waits in a heap of times, with the wishes of residents to be woken; nothing looks at a clock, and the
same seed gives the same life. Left out: rates of lines, reordering beyond what latency brings, fragments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random
from typing import Protocol

from anabranch.model import Address

MAPPING_TIME = 60.0  # seconds for which a router lets answers in after something went out; RFC 4787 asks for 120
_MEDIAN_LATENCY = 0.04  # seconds from somebody's line to the middle of the network
_SPREAD = 0.6  # of the logarithm of latencies: one in forty has more than three times the median
_SHORTEST_SLEEP = 0.001  # seconds; what a loop's timer can tell apart
LARGEST = 1472  # bytes; what is larger comes in fragments, which many routers drop


class Resident(Protocol):
    """Somebody at an address. A Node of the engine is one."""

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        """A datagram has come."""

    def tick(self, now: float) -> None:
        """Its deadline has come."""

    def deadline(self) -> float:
        """When tick() is next due."""

    def outgoing(self) -> list[tuple[bytes, Address]]:
        """Drain what it sends: each datagram and whom it is for."""


@dataclass(slots=True)
class Traffic:
    """What was sent to an address, in bytes: as answers, and as questions."""

    answers: int = 0
    questions: int = 0

    @property
    def size(self) -> int:
        """All of it."""
        return self.answers + self.questions

    def add(self, datagram: bytes) -> None:
        """One more."""
        if b"1:y1:q" in datagram:
            self.questions += len(datagram)
        else:
            self.answers += len(datagram)


class Place:
    """An address and who is there.

    Args:
        address: Where.
        resident: Who.
        latency: Seconds to the middle of the network.
        natted: Only those are heard to whom something was sent within MAPPING_TIME.
    """

    __slots__ = ("address", "latency", "mapped", "resident", "wakes_at")

    def __init__(self, address: Address, resident: Resident, latency: float, *, natted: bool) -> None:
        self.address = address
        self.resident = resident
        self.latency = latency
        self.mapped: dict[Address, float] | None = {} if natted else None
        self.wakes_at = inf


class DatagramNet:
    """The network.

    Args:
        draw: Chance.
        loss: The share of datagrams that are lost, 0 to 1.
        now: Seconds, to begin with.

    Attributes:
        now: Seconds.
        carried: Datagrams so far.
        spy: Sees every datagram that is sent, where it is set: what, from whom, to whom.
    """

    def __init__(self, draw: Random, *, loss: float = 0.0, now: float = 1000.0) -> None:
        self.now = now
        self.loss = loss
        self.carried = 0
        self.spy: Callable[[bytes, Address, Address], None] | None = None
        self._draw = draw
        self._places: dict[Address, Place] = {}
        self._due: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._tickets = count()

    @property
    def places(self) -> Mapping[Address, Place]:
        """Who is there."""
        return self._places

    def settle(self, address: Address, resident: Resident, *, natted: bool = False) -> None:
        """Somebody comes to live at an address."""
        latency = _MEDIAN_LATENCY * self._draw.lognormvariate(0.0, _SPREAD)
        place = self._places[address] = Place(address, resident, latency, natted=natted)
        self.attend(place)

    def leave(self, address: Address) -> None:
        """Nobody lives there any more; what is on its way there is lost."""
        self._places.pop(address, None)

    def at(self, when: float, act: Callable[..., None], *args: object) -> None:
        """Let something happen at a time; what is past happens now."""
        heappush(self._due, (max(when, self.now), next(self._tickets), act, args))

    def send(self, datagram: bytes, source: Address, target: Address, delay: float = 0.0) -> None:
        """Put a datagram on its way, whoever *source* is."""
        self.carried += 1
        if self.spy is not None:
            self.spy(datagram, source, target)
        if len(datagram) > LARGEST or (self.loss and self._draw.random() < self.loss):
            return
        sender = self._places.get(source)
        if sender is not None:
            delay += sender.latency
            if sender.mapped is not None:
                sender.mapped[target] = self.now + MAPPING_TIME
        place = self._places.get(target)
        if place is not None:  # nobody who comes later is meant
            heappush(
                self._due,
                (self.now + delay + place.latency, next(self._tickets), self._arrive, (place, datagram, source)),
            )

    def attend(self, place: Place) -> None:
        """Send what the resident wishes to send, and see when it is to be woken."""
        for datagram, target in place.resident.outgoing():
            self.send(datagram, place.address, target)
        deadline = place.resident.deadline()
        if deadline < place.wakes_at:
            place.wakes_at = deadline
            due = max(deadline, self.now + _SHORTEST_SLEEP)
            heappush(self._due, (due, next(self._tickets), self._wake, (place, deadline)))

    def attend_at(self, address: Address) -> None:
        """As attend(), for whoever lives there, if anybody does."""
        place = self._places.get(address)
        if place is not None:
            self.attend(place)

    def run(self, until: float) -> None:
        """Let time pass until then."""
        due = self._due
        while due and due[0][0] <= until:
            self.now, _, act, args = heappop(due)
            act(*args)
        self.now = until

    def _arrive(self, place: Place, datagram: bytes, source: Address) -> None:
        if self._places.get(place.address) is not place:
            return
        if place.mapped is not None and place.mapped.get(source, 0.0) < self.now:
            return
        place.resident.receive(datagram, source, self.now)
        self.attend(place)

    def _wake(self, place: Place, at: float) -> None:
        if place.wakes_at != at or self._places.get(place.address) is not place:
            return  # an earlier wish has taken its place
        place.wakes_at = inf
        if place.resident.deadline() <= self.now:
            place.resident.tick(self.now)
        self.attend(place)
