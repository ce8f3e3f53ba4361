"""A client's web seeds without the client: book, planner and slices on virtual time, servers that do as they like.

What the engine does around them is done here as plainly as can be: a piece has one owner, a request brings its pieces
one after the other, peers bring some too. After every step the book is checked, and what must hold of all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random

from anabranch.model import Geometry, Priority, all_pieces, no_pieces
from anabranch.webseed.planner import Candidate, Plan, Standing, plan
from anabranch.webseed.requests import HOST_REQUESTS, LONGEST_REST, PLAN_EVERY, Key, Request, Requests, State
from anabranch.webseed.seeds import WebSeed
from anabranch.webseed.slices import first_of_slices, pieces_per_slice, run_from, slice_of, slice_range, spread
from webseed.book import MIB, seed, torrent

TICK = 0.001  # seconds between two looks of the planner, where there is anything to look at
PIECE = 16 * MIB
HOSTS = ("one", "two", "three")


class Content:
    """A torrent and its web seeds."""

    def __init__(self, number: int, pieces: int, seeds: list[WebSeed], peers: int) -> None:
        self.number = number
        self.geometry = Geometry(pieces * PIECE - 5, PIECE)
        self.seeds = seeds
        self.peers = peers
        self.askable = all_pieces(pieces)  # nobody has been asked for them
        self.had = no_pieces(pieces)
        self.owner: dict[int, Request] = {}
        self.awaited = -1  # the piece that a reader waits for
        self.paused = False

    def worth(self, piece: int) -> int:
        return Priority.NOW if piece == self.awaited else Priority.HIGH if self.number % 5 == 0 else Priority.NORMAL


class World:
    """Some torrents at some hosts, for as long as run() is called.

    Args:
        chance: All that is random follows from it.
        pace: Seconds that a server needs for a piece, about.
        trouble: Seconds between two things that go wrong, about.
        period: Seconds after which the planner looks though nothing happened.
    """

    def __init__(self, chance: int, pace: float, trouble: float, period: float = PLAN_EVERY) -> None:
        self.random = Random(chance)
        self.pace = pace
        self.trouble = trouble
        self.period = period
        self.now = 0.0
        self.book = Requests()
        self.contents: dict[int, Content] = {}
        self.done: Counter[str] = Counter()
        self._numbers = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()
        self._plan_at = 0.0
        for _ in range(3):
            self.add_torrent()
        self.later(self.random.expovariate(1 / trouble), self.something_goes_wrong)

    def run(self, until: float) -> None:
        """Let time pass. It jumps to the next millisecond in which something is due."""
        while (due := min(self._events[0][0], self.book.next_due(), self._plan_at)) < until:
            self.now = max(self.now + TICK, due)
            self.done["ticks"] += 1
            self.book.rested(self.now)
            while self._events and self._events[0][0] <= self.now:
                heappop(self._events)[2]()
                self.check()
            self.look()
            self._plan_at = self.now + self.period
            self.check()

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        heappush(self._events, (self.now + seconds, next(self._serial), what))

    # --- what the engine does ---

    def look(self) -> None:
        """Plan, carry it out, and start what may start."""
        made = self.planned()
        for old, reason in made.cancel:
            assert self.book.end(old, reason)
            self.give_back(old)
            self.done["cancelled"] += 1
        for old, chosen in made.replace:
            self.give_back(old)
            new = self.book.replace(old, chosen.key, chosen.start, self.end_of(chosen), chosen.priority)
            assert new is not None
            self.own(new)
            self.done["replaced"] += 1
        for chosen in made.start:
            new = self.book.reserve(chosen.seed, chosen.key, chosen.start, self.end_of(chosen), chosen.priority)
            assert new is not None
            self.own(new)
        for host in HOSTS:
            for who in self.book.waiting(f"{host}.example"):
                while (request := self.book.take(who)) is not None:
                    assert not who.suspended(self.now)
                    self.done["started"] += 1
                    self.later(self.random.expovariate(4 / self.pace), partial(self.answer, request))

    def planned(self) -> Plan:
        return plan(
            self.book,
            [candidate for content in self.contents.values() for candidate in self.candidates(content)],
            self.worth_of,
            now=self.now,
            standing_of=lambda request: Standing(self.content_of(request).peers),
        )

    def candidates(self, content: Content) -> Iterator[Candidate]:
        per_slice = pieces_per_slice(content.geometry)
        if content.paused:
            return
        firsts = first_of_slices(content.askable, per_slice, (), HOST_REQUESTS * len(content.seeds))
        for who, pieces in zip(content.seeds, spread(firsts, len(content.seeds)), strict=True):
            chosen = pieces[:HOST_REQUESTS]
            if content.awaited >= 0 and not content.had[content.awaited]:
                chosen.append(content.awaited)
            for piece in chosen:
                key = Key(who.source.url, torrent(content.number), slice_of(content.geometry, piece))
                owner = content.owner.get(piece)
                if owner is None or owner.key == key:
                    yield Candidate(key, who, piece * PIECE, content.worth(piece), peers=content.peers)

    def worth_of(self, request: Request) -> int | None:
        content = self.content_of(request)
        piece = request.next // PIECE
        return None if content.paused or content.owner.get(piece) is not request else content.worth(piece)

    def end_of(self, chosen: Candidate) -> int:
        content = self.contents[int.from_bytes(chosen.key.torrent, "big")]
        geometry, piece = content.geometry, chosen.start // PIECE
        stop = run_from(content.askable, piece, slice_range(geometry, chosen.key.slice).stop)
        assert stop > piece
        return geometry.offset_of(stop - 1) + geometry.length_of(stop - 1)

    def own(self, request: Request) -> None:
        content = self.content_of(request)
        for piece in content.geometry.pieces_of(request.begin, request.end - request.begin):
            assert content.askable[piece]
            content.askable[piece] = False
            content.owner[piece] = request

    def give_back(self, request: Request) -> None:
        content = self.contents.get(int.from_bytes(request.key.torrent, "big"))
        if content is None:
            return
        for piece in content.geometry.pieces_of(request.begin, request.end - request.begin):
            if content.owner.get(piece) is request:
                del content.owner[piece]
                content.askable[piece] = True

    def content_of(self, request: Request) -> Content:
        return self.contents[int.from_bytes(request.key.torrent, "big")]

    # --- what servers do; also to requests that nobody waits for any more ---

    def answer(self, request: Request) -> None:
        before = request.state
        self.book.reading(request)
        assert request.state is (State.READING if before is State.STARTING else before)
        self.later(self.random.expovariate(1 / self.pace), partial(self.bring, request))

    def bring(self, request: Request) -> None:
        """The next piece comes, or it does not."""
        if request.state in (State.RESTING, State.ENDED):
            self.done["late"] += 1
            self.book.rest(request, inf)
            assert request.rest_until < inf
            return
        if self.random.random() < 0.05:
            self.fail(request)
            return
        content, piece = self.content_of(request), request.next // PIECE
        assert content.owner.pop(piece) is request
        assert not content.had[piece]
        content.had[piece] = True
        request.seed.down.add(PIECE, self.now)
        request.next = min((piece + 1) * PIECE, request.end)
        self.done["pieces"] += 1
        if request.next < request.end and content.owner.get(piece + 1) is request:
            self.later(self.random.expovariate(1 / self.pace), partial(self.bring, request))
        else:
            self.give_back(request)
            assert self.book.end(request)
            self.done["finished"] += 1
        if content.had.all():
            self.done["torrents"] += 1
            self.drop(content.number)
            self.add_torrent()

    def fail(self, request: Request) -> None:
        self.done["failed"] += 1
        self.give_back(request)
        self.book.rest(request, self.now + self.random.uniform(0, LONGEST_REST))
        if self.random.random() < 0.2:
            request.seed.convict(self.now, "it lied")
            for one in self.book.unqueue(request.seed, "it is left alone"):
                self.give_back(one)

    # --- what people do ---

    def something_goes_wrong(self) -> None:
        self.later(self.random.expovariate(1 / self.trouble), self.something_goes_wrong)
        content = self.random.choice([*self.contents.values()])
        number = self.random.randrange(content.geometry.piece_count)
        match self.random.randrange(6):
            case 0:
                self.drop(content.number)
                self.add_torrent()
            case 1:
                at = self.random.randrange(len(content.seeds))
                for request in self.book.close(content.seeds[at]):
                    self.give_back(request)
                content.seeds[at] = seed(content.seeds[at].source.url)
                self.done["closed"] += 1
            case 2:
                content.paused = not content.paused
            case 3:
                content.awaited = number
            case 4:
                self.fails_everywhere(self.random.choice(content.seeds))
            case _ if content.askable[number]:
                content.askable[number] = False  # a peer brings it
                content.had[number] = True

    def fails_everywhere(self, who: WebSeed) -> None:
        for request in list(self.book.of(who)):
            if request.state in (State.STARTING, State.READING):
                self.fail(request)

    def drop(self, number: int) -> None:
        """Its requests go at once; what they would have brought comes late."""
        for who in self.contents.pop(number).seeds:
            self.book.close(who)
        assert self.book.drop(torrent(number)) == []
        self.done["dropped"] += 1

    def add_torrent(self) -> None:
        number = next(self._numbers)
        hosts = self.random.sample(HOSTS, self.random.randint(1, 3))
        seeds = [seed(f"http://{host}.example/{number}/") for host in hosts]
        self.contents[number] = Content(number, self.random.randint(1, 400), seeds, self.random.randint(0, 3))

    # --- what must hold ---

    def check(self) -> None:
        self.book.check()
        for request in self.book.live():
            assert request.state is not State.RESERVED or not request.seed.suspended(self.now)
        owners = Counter(owner for content in self.contents.values() for owner in content.owner.values())
        assert all(owner.state not in (State.ENDED, State.RESTING) for owner in owners)
        for content in self.contents.values():
            assert all(not content.askable[piece] and not content.had[piece] for piece in content.owner)
