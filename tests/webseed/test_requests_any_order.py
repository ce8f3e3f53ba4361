"""The book of requests, whatever is done with it in whatever order."""

from __future__ import annotations

from math import inf
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from anabranch.model import Priority
from anabranch.webseed.requests import (
    CONNECTIONS,
    FEW_CONNECTIONS,
    HOST_REQUESTS,
    LONGEST_REST,
    SPARE_CONNECTIONS,
    STARTERS,
    Request,
    Requests,
    State,
)
from webseed.book import key, seed, torrent


class AnythingInAnyOrder(RuleBasedStateMachine):
    """All that can be done to the book, late calls too, against a list of who should be in it."""

    @initialize(chance=st.integers(0, 2**32))
    def begin(self, chance: int) -> None:
        self.random = Random(chance)
        self.book = Requests()
        self.now = 0.0
        self.seeds = [seed(f"http://{host}.example/{number}/") for host in ("one", "two") for number in range(3)]
        self.ever: list[Request] = []
        self.live: list[Request] = []
        self.widths: dict[str, int] = {}

    def some(self) -> Request | None:
        """Any request there ever was, the late ones first."""
        return self.random.choice(self.ever[-60:]) if self.ever else None

    def gone(self, ended: list[Request]) -> None:
        assert all(request.state is State.ENDED for request in ended)
        self.live = [request for request in self.live if request not in ended]

    def added(self, request: Request | None) -> None:
        if request is not None:
            self.ever.append(request)
            self.live.append(request)

    @rule(who=st.integers(0, 5), slice_=st.integers(0, 30), of=st.integers(0, 2), priority=st.integers(1, 5))
    def reserve(self, who: int, slice_: int, of: int, priority: int) -> None:
        chosen = self.seeds[who]
        name = key(chosen, slice_, of)
        at_host = sum(request.seed.host == chosen.host for request in self.live)
        may = at_host < HOST_REQUESTS and all(request.key != name for request in self.live) and not chosen.closed
        request = self.book.reserve(chosen, name, 0, 1, priority)
        assert (request is not None) == may
        self.added(request)

    @rule(who=st.integers(0, 5), number=st.integers(1, 12), of=st.integers(0, 2))
    def reserve_several(self, who: int, number: int, of: int) -> None:
        for slice_ in range(number):
            self.reserve(who, slice_, of, 1 + slice_ % 5)

    @rule(who=st.integers(0, 5))
    def take(self, who: int) -> None:
        chosen = self.seeds[who]
        queued = [one for one in self.live if one.seed is chosen and one.state is State.RESERVED]
        starting = sum(one.seed is chosen and one.state is State.STARTING for one in self.live)
        there = sum(one.seed.host == chosen.host and one.state in (State.STARTING, State.READING) for one in self.live)
        most = max((one.priority for one in queued), default=0)
        limit = self.widths.get(chosen.host, FEW_CONNECTIONS) + (SPARE_CONNECTIONS if most >= Priority.READAHEAD else 0)
        best = next((one for one in queued if one.priority == most), None)
        due = best if starting < STARTERS and there < limit else None
        assert self.book.take(chosen) is due

    @rule(who=st.integers(0, 5))
    def widen(self, who: int) -> None:
        host = self.seeds[who].host
        self.book.widen(host)
        if any(one.seed.host == host for one in self.live):
            self.widths[host] = min(2 * self.widths.get(host, FEW_CONNECTIONS), CONNECTIONS)

    @invariant()
    def widths_are_of_hosts_that_are_asked(self) -> None:
        asked = {one.seed.host for one in self.live}
        self.widths = {host: width for host, width in self.widths.items() if host in asked}

    @rule()
    def heads_come(self) -> None:
        for request in self.live:
            if request.state is State.STARTING:
                self.book.reading(request)

    @rule()
    def end(self) -> None:
        request = self.some()
        if request is not None:
            assert self.book.end(request) == (request in self.live)
            self.gone([request])

    @rule()
    def rest(self) -> None:
        request = self.some()
        if request is not None:
            self.book.rest(request, self.now + self.random.uniform(0, LONGEST_REST))
            assert request.state is (State.RESTING if request in self.live else State.ENDED)

    @rule(slice_=st.integers(0, 30))
    def replace(self, slice_: int) -> None:
        request = self.some()
        if request is not None:
            name = key(request.seed, slice_, 1)
            before = request.state
            other = self.book.get(name)
            new = self.book.replace(request, name, 0, 1, Priority.NOW)
            refused = before in (State.RESTING, State.ENDED) or other not in (None, request)
            assert (new is None) == refused
            if not refused:
                self.gone([request])
            self.added(new)

    @rule(seconds=st.floats(0, 8))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        due = {request for request in self.live if request.state is State.RESTING and request.rest_until <= self.now}
        over = self.book.rested(self.now)
        assert set(over) == due
        self.gone(over)

    @rule(who=st.integers(0, 5))
    def close_and_add_again(self, who: int) -> None:
        old = self.seeds[who]
        ended = self.book.close(old)
        assert ended == [request for request in self.live if request.seed is old]
        self.gone(ended)
        assert self.book.reserve(old, key(old, 0), 0, 1, 1) is None
        self.seeds[who] = seed(old.source.url)

    @rule(who=st.integers(0, 5))
    def unqueue(self, who: int) -> None:
        due = [one for one in self.live if one.seed is self.seeds[who] and one.state is State.RESERVED]
        assert self.book.unqueue(self.seeds[who], "why") == due
        self.gone(due)

    @rule(of=st.integers(0, 2))
    def drop(self, of: int) -> None:
        due = [request for request in self.live if request.key.torrent == torrent(of)]
        assert self.book.drop(torrent(of)) == due
        self.gone(due)

    @invariant()
    def everything_agrees(self) -> None:
        if not hasattr(self, "book"):
            return
        self.book.check()
        assert list(self.book.live()) == self.live
        assert len(self.book) == len(self.live)
        rests = [request.rest_until for request in self.live if request.state is State.RESTING]
        assert self.book.next_due() == min(rests, default=inf)


AnythingInAnyOrder.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestAnythingInAnyOrder = AnythingInAnyOrder.TestCase
