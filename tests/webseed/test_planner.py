"""The planner: who gets a host's slots, what gives way to whom, and that a plan can be carried out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import InfoHash, Priority
from anabranch.webseed.planner import DEPRIORITIZED, NEAR, NOT_WANTED, SUSPENDED, Candidate, Plan, Standing, plan
from anabranch.webseed.requests import HOST_REQUESTS, Request, Requests, State
from anabranch.webseed.seeds import WebSeed
from webseed.book import MIB, key, reserved, seed, taken

SLICE = 64 * MIB
ONE, TWO = "http://one.example/", "http://two.example/"


def candidate(who: WebSeed, slice_: int, of: int = 0, **more: Any) -> Candidate:
    known: dict[str, Any] = {"start": slice_ * SLICE, "priority": Priority.NORMAL} | more
    return Candidate(key(who, slice_, of), who, **known)


def planned(book: Requests, *candidates: Candidate, now: float = 0.0, **more: Any) -> Plan:
    return plan(book, candidates, lambda request: request.priority, now=now, **more)


def carry_out(book: Requests, made: Plan) -> None:
    """Nothing of a plan is refused, if it is done in this order."""
    for request, reason in made.cancel:
        assert book.end(request, reason)
    for old, chosen in made.replace:
        assert book.replace(old, chosen.key, chosen.start, chosen.start + 1, chosen.priority)
    for chosen in made.start:
        assert book.reserve(chosen.seed, chosen.key, chosen.start, chosen.start + 1, chosen.priority)
    book.check()


def filled(book: Requests, who: WebSeed, number: int, **more: Any) -> list[Request]:
    return [reserved(book, who, 1000 + at, **more) for at in range(number)]


def reading(book: Requests, who: WebSeed) -> Request:
    request = taken(book, who)
    book.reading(request)
    return request


# --- which candidate of a key, and in which order ---


@pytest.mark.parametrize(
    "worse",
    [{"priority": Priority.NORMAL}, {"asked": True, "start": 0}, {"start": 6}],
    ids=lambda worse: next(iter(worse)),
)
def test_the_best_beginning_of_a_slice_is_chosen(worse: dict[str, Any]) -> None:
    """Worth most; then what no peer owes, so that both meet in the middle; then what comes first."""
    who = seed()
    best = candidate(who, 0, priority=Priority.HIGH, start=5)
    other = replace(best, **worse)
    for offered in ([best, other], [other, best]):
        assert planned(Requests(), *offered).start == [best]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"priority": Priority.HIGH, "peers": 9}, {"priority": Priority.NORMAL, "of": 3}),
        ({"peers": 1}, {"peers": 2, "partial": True, "of": 3}),
        ({"partial": True, "name": "b"}, {"name": "a", "of": 3}),
        ({"name": "a", "of": 4}, {"name": "b", "of": 3}),
        ({"of": 2, "slice_": 9}, {"of": 3}),
        ({"slice_": 1}, {"slice_": 2}),
    ],
    ids=["priority", "peers", "partial", "name", "info hash", "slice"],
)
def test_the_last_slot_goes_to_the_better(better: dict[str, Any], worse: dict[str, Any]) -> None:
    """Priority; torrents with fewer peers; files done in part; name; info hash; slice."""
    book, who = Requests(), seed()
    filled(book, who, HOST_REQUESTS - 1, priority=5)
    first, second = (candidate(who, **({"slice_": 5, "of": 1} | one)) for one in (better, worse))
    assert planned(book, second, first).start == [first]
    assert planned(Requests(), second, first).start == [first, second]


def test_what_is_equal_in_all_is_ordered_by_url() -> None:
    """The Go engine ends the program if the URLs are equal, too: a slice that the same URL is named twice for."""
    one, other = seed(ONE + "a/"), seed(ONE + "b/")
    again = seed(ONE + "a/")
    made = planned(Requests(), candidate(other, 0), candidate(again, 0), candidate(one, 0))
    assert [chosen.key.url for chosen in made.start] == [ONE + "a/"]


def test_a_host_is_given_so_many_and_the_others_as_many() -> None:
    """A host with much to give does not take another's slots."""
    book, one, two = Requests(), seed(ONE), seed(TWO)
    offered = [candidate(one, number) for number in range(60)]
    offered += [candidate(two, number, of=1) for number in range(60)]
    made = planned(book, *offered)
    carry_out(book, made)
    assert (book.at_host("one.example"), book.at_host("two.example")) == (HOST_REQUESTS, HOST_REQUESTS)
    assert {chosen.key.slice for chosen in made.start} == set(range(HOST_REQUESTS))


# --- what is booked already ---


def test_a_plan_that_was_carried_out_has_nothing_to_follow() -> None:
    """W09: what is queued is known. The fork queued the same slices again with every tick that workers were held up."""
    book, who = Requests(), seed()
    offered = [candidate(who, number) for number in range(40)]
    carry_out(book, planned(book, *offered))
    for _ in range(3):
        assert planned(book, *offered) == Plan([], [], [])
        book.take(who)


def test_what_runs_goes_on_when_others_are_worth_as_much() -> None:
    """Existing before new: nothing is given up for its equal, though the newcomer had all else for it."""
    book, who = Requests(), seed()
    filled(book, who, HOST_REQUESTS)
    assert planned(book, candidate(who, 0, partial=True), standing_of=lambda _: Standing(9, name="z")) == Plan(
        [], [], []
    )


def test_what_is_worth_less_gives_way() -> None:
    """The worst of a host end, as many as there are better ones, also those that read."""
    book, who = Requests(), seed()
    requests = filled(book, who, HOST_REQUESTS)
    assert reading(book, who) is requests[0]
    offered = [candidate(who, number, priority=Priority.HIGH) for number in range(HOST_REQUESTS - 1)]
    made = planned(book, *offered)
    assert made == Plan([(request, DEPRIORITIZED) for request in requests[1:]], offered, [])
    carry_out(book, made)


def test_of_what_is_worth_the_same_that_with_others_to_ask_gives_way() -> None:
    """A torrent with peers can do without its web seed rather than one without."""
    book, who = Requests(), seed()
    requests = [reserved(book, who, number, of=number % 2) for number in range(HOST_REQUESTS)]
    with_peers = requests[1]
    made = planned(
        book,
        candidate(who, 99, priority=Priority.HIGH),
        standing_of=lambda request: Standing(peers=int(request is with_peers)),
    )
    assert made.cancel == [(with_peers, DEPRIORITIZED)]


def test_what_rests_takes_a_slot_and_is_not_cancelled() -> None:
    """Whatever comes: a server that failed 25 times is left alone until these have rested."""
    book, who = Requests(), seed()
    requests = filled(book, who, HOST_REQUESTS)
    for request in requests[:-1]:
        book.rest(request, 5.0)
    offered = [candidate(who, number, priority=Priority.NOW) for number in range(3)]
    offered.append(candidate(who, 1000, priority=Priority.NOW))
    made = planned(book, *offered)
    assert made == Plan([(requests[-1], DEPRIORITIZED)], offered[:1], [])
    carry_out(book, made)


def test_what_nothing_is_wanted_of_ends_and_its_key_is_free_at_once() -> None:
    """Files were deselected, the torrent was paused, peers were faster; what rests is not asked."""
    book, who = Requests(), seed()
    gone, resting = reserved(book, who, 0), reserved(book, who, 1)
    book.rest(resting, 5.0)
    anew = candidate(who, 0)
    made = plan(book, [anew], lambda _: None, now=0.0)
    assert made == Plan([(gone, NOT_WANTED)], [anew], [])
    carry_out(book, made)


def test_what_requests_are_worth_is_kept_for_the_queue() -> None:
    """A reader comes to a slice that is queued already: it starts before the others."""
    book, who = Requests(), seed()
    requests = filled(book, who, 3)
    plan(book, [], lambda request: Priority.NOW if request is requests[2] else Priority.NORMAL, now=0.0)
    assert book.take(who) is requests[2]


# --- who may not be asked ---


@pytest.mark.parametrize("why", ["penance", "pause", "unusable"])
def test_who_may_not_be_asked_has_no_candidates_and_nothing_queued(why: str) -> None:
    """W11: what was queued gives its slots to other web seeds of the host; what runs may end."""
    book, who, other = Requests(), seed(ONE + "a/"), seed(ONE + "b/")
    requests = filled(book, who, HOST_REQUESTS)
    assert reading(book, who) is requests[0]
    match why:
        case "penance":
            who.convict(100.0, "it lied")
        case "pause":
            who.pause(160.0)
        case _:
            who.unusable = "no HTTP"
    offered = [candidate(other, number) for number in range(30)]
    made = planned(book, candidate(who, 0, priority=Priority.HIGH), *offered, now=110.0)
    assert made == Plan([(request, SUSPENDED) for request in requests[1:]], offered[: HOST_REQUESTS - 1], [])
    carry_out(book, made)
    assert [request.state for request in book.of(who)] == [State.READING]


def test_after_its_penance_a_web_seed_is_asked_again() -> None:
    """Sixty seconds; one that was closed is not."""
    who = seed()
    who.convict(100.0, "it lied")
    assert planned(Requests(), candidate(who, 0), now=159.9).start == []
    assert planned(Requests(), candidate(who, 0), now=160.0).start == [candidate(who, 0)]
    Requests().close(who)
    assert planned(Requests(), candidate(who, 0), now=160.0).start == []


# --- readers ---


def test_what_a_reader_waits_for_takes_the_place_of_what_is_worth_less() -> None:
    """In one step, with the slot: in the Go engine it waits until the request for the same slice is through."""
    book, who = Requests(), seed()
    requests = filled(book, who, HOST_REQUESTS)
    assert reading(book, who) is requests[0]
    urgent = candidate(who, 1000, start=1000 * SLICE + 2 * NEAR, priority=Priority.READAHEAD)
    made = planned(book, urgent)
    assert made == Plan([], [], [(requests[0], urgent)])
    carry_out(book, made)


@pytest.mark.parametrize(
    ("had", "wish", "ahead"),
    [
        (Priority.NORMAL, Priority.HIGH, 2 * NEAR),
        (Priority.NOW, Priority.NOW, 2 * NEAR),
        (Priority.NOW, Priority.READAHEAD, 2 * NEAR),
        (Priority.NORMAL, Priority.NOW, NEAR - 1),
    ],
    ids=["no reader waits", "as urgent", "more urgent", "almost there"],
)
def test_what_runs_is_not_replaced_without_need(had: Priority, wish: Priority, ahead: int) -> None:
    """A new request costs a round trip, and bytes that are on their way."""
    book, who = Requests(), seed()
    reserved(book, who, 0, priority=had)
    reading(book, who)
    assert planned(book, candidate(who, 0, start=ahead, priority=wish)) == Plan([], [], [])


def test_what_is_queued_is_replaced_however_near_it_would_begin() -> None:
    """It would wait behind others that are worth more than it."""
    book, who = Requests(), seed()
    old = reserved(book, who, 0)
    urgent = candidate(who, 0, start=1, priority=Priority.NOW)
    assert planned(book, urgent).replace == [(old, urgent)]


def test_what_the_request_will_not_come_to_is_not_near() -> None:
    """It ends before, since the next blocks were asked of peers, who gave them back."""
    book, who = Requests(), seed()
    reserved(book, who, 0)
    old = reading(book, who)
    old.end = NEAR // 2
    urgent = candidate(who, 0, start=NEAR // 2, priority=Priority.NOW)
    assert planned(book, urgent).replace == [(old, urgent)]


def test_a_place_before_what_is_read_is_not_near() -> None:
    """A request goes forward only: a reader that went back needs another one."""
    book, who = Requests(), seed()
    reserved(book, who, 0)
    old = reading(book, who)
    old.next = 10 * NEAR
    urgent = candidate(who, 0, start=10 * NEAR - 1, priority=Priority.NOW)
    assert planned(book, urgent).replace == [(old, urgent)]


def test_a_request_is_not_replaced_by_another_web_seeds_of_the_same_url() -> None:
    """A URL may be in both lists of a torrent (BEP 17 and 19), and they have their keys in common."""
    book, who, namesake = Requests(), seed(), seed()
    reserved(book, who, 0)
    assert planned(book, candidate(namesake, 0, start=2 * NEAR, priority=Priority.NOW)) == Plan([], [], [])


def test_a_web_seed_that_is_free_is_asked_before_one_has_to_stop() -> None:
    """Of two that could bring what a reader waits for."""
    book, busy, free = Requests(), seed(ONE), seed(TWO)
    old = reserved(book, busy, 0)
    filled(book, free, 5)
    offered = [candidate(who, 0, start=2 * NEAR, priority=Priority.NOW) for who in (busy, free)]
    assert planned(book, *offered) == Plan([], offered[1:], [])
    filled(book, free, HOST_REQUESTS - 5, of=1, priority=Priority.NOW)
    book.end(next(iter(book.of(free))))
    filled(book, free, 1, of=2, priority=Priority.NOW)
    for request in book.of(free):
        request.priority = Priority.NOW
    assert planned(book, *offered) == Plan([], [], [(old, offered[0])])


# --- several web seeds of one torrent ---


def test_a_slice_is_begun_at_one_web_seed() -> None:
    """Both would fetch the same pieces. They share the work: each time the host is asked at which less is going on."""
    book, one, two = Requests(), seed(ONE), seed(TWO)
    made = planned(book, *(candidate(who, number) for number in range(10) for who in (one, two)))
    carry_out(book, made)
    assert [chosen.key.slice for chosen in made.start] == list(range(10))
    assert Counter(chosen.seed.host for chosen in made.start) == {"one.example": 5, "two.example": 5}


def test_of_equally_busy_hosts_the_faster_is_asked() -> None:
    """And of equally fast ones the first URL; but where less is going on before either."""
    book, one, two = Requests(), seed(ONE), seed(TWO)
    offered = [candidate(two, 0), candidate(one, 0)]
    assert planned(book, *offered, now=5.0).start == offered[1:]
    two.down.add(MIB, 4.0)
    assert planned(book, *offered, now=5.0).start == offered[:1]
    filled(book, two, 1, of=1)
    assert planned(book, *offered, now=5.0).start == offered[1:]


def test_where_one_host_is_full_the_other_is_asked() -> None:
    """Its slots may all be another torrent's."""
    book, one, two = Requests(), seed(ONE), seed(TWO)
    filled(book, one, HOST_REQUESTS, of=1)
    offered = [candidate(one, 0), candidate(two, 0)]
    assert planned(book, *offered).start == offered[1:]


def test_a_slice_is_not_begun_twice_for_pieces_of_different_worth() -> None:
    """One web seed lacks the piece that is worth most: the other one brings it, and goes on from there."""
    book, one, two = Requests(), seed(ONE), seed(TWO)
    best = candidate(one, 0, start=9, priority=Priority.NOW)
    assert planned(book, candidate(two, 0), best).start == [best]


# --- against a plain twin ---


def naive(
    book: Requests, offered: Iterable[Candidate], worth: Mapping[Request, int | None], peers: Mapping[InfoHash, int]
) -> Plan:
    """Sort all of it, and walk along."""
    made = Plan([], [], [])
    slots = Counter(request.seed.host for request in book.resting())
    held: dict[Any, Request | None] = {request.key: None for request in book.resting()}
    rows: list[tuple[Any, Request | Candidate]] = []
    for request in book.live():
        if request.state is State.RESTING:
            continue
        value = worth[request]
        if value is None or (request.state is State.RESERVED and request.seed.suspended(50.0)):
            made.cancel.append((request, NOT_WANTED if value is None else SUSPENDED))
        else:
            held[request.key] = request
            place = (-value, False, peers[request.key.torrent], True, "", *request.key[1:])
            rows.append(((place, request.key.url), request))
    seen = set()
    for one in sorted(offered, key=lambda one: (-one.priority, one.asked, one.start)):
        if one.seed.suspended(50.0) or one.key in seen:
            continue
        seen.add(one.key)
        if one.key in held:
            old = held[one.key]
            value = worth[old] if old is not None else None
            if old is None or value is None or not Priority.READAHEAD <= one.priority > value:
                continue
            if old.state is not State.RESERVED and one.start in range(old.next, min(old.end, old.next + NEAR)):
                continue
        place = (-one.priority, True, one.peers, not one.partial, one.name, *one.key[1:])
        rows.append(((place, one.key.url), one))
    rows.sort(key=lambda row: row[0])
    begun, replaced = set(), set()
    asked = Counter(request.seed.host for request in book.live())
    while rows:
        place = rows[0][0][0]
        same = [what for (its, _), what in rows if its == place]
        rows = rows[len(same) :]
        for what in same:
            host = what.seed.host
            if not isinstance(what, Request) or what in replaced:
                continue
            if slots[host] == HOST_REQUESTS:
                made.cancel.append((what, DEPRIORITIZED))
            else:
                slots[host] += 1
        choices = [one for one in same if isinstance(one, Candidate) and slots[one.seed.host] < HOST_REQUESTS]
        choices.sort(key=lambda one: (one.key in held, asked[one.seed.host], one.key.url))
        if not choices or choices[0].key[1:] in begun:
            continue
        chosen = choices[0]
        begun.add(chosen.key[1:])
        slots[chosen.seed.host] += 1
        old = held.get(chosen.key)
        if old is None:
            asked[chosen.seed.host] += 1
            made.start.append(chosen)
        else:
            replaced.add(old)
            made.replace.append((old, chosen))
    return made


@given(st.data())
def test_plans_are_those_of_a_plain_twin_and_can_be_carried_out(data: st.DataObject) -> None:
    """Requests in all stages, candidates at full and empty hosts, suspended web seeds, whatever they are worth."""
    draw = data.draw
    seeds = [seed(f"http://{host}.example/{number}/") for host in ("one", "two") for number in range(3)]
    for who in draw(st.lists(st.sampled_from(seeds), max_size=1)):
        who.convict(10.0, "it lied")
    book = Requests()
    worths = st.sampled_from([1, 1, 2, 3, 5])
    some_seed, slice_ = st.sampled_from(seeds), st.integers(0, 9)
    for who, number, of, priority in draw(
        st.lists(st.tuples(some_seed, slice_, st.integers(0, 1), worths), max_size=60)
    ):
        book.reserve(who, key(who, number, of), number * SLICE, (number + 1) * SLICE, priority)
    for request in list(book.live()):
        match draw(st.integers(0, 4)):
            case 0:
                book.rest(request, 99.0)
            case 1 if book.take(request.seed) is request:
                book.reading(request)
                request.next += draw(st.sampled_from([0, 3 * MIB]))
    rows = draw(st.lists(st.tuples(some_seed, slice_, st.integers(0, 1), worths, st.integers(0, 7)), max_size=90))
    peers = {key(seeds[0], 0, of).torrent: draw(st.integers(0, 1)) for of in range(2)}
    offered = [
        candidate(
            who,
            number,
            of,
            priority=priority,
            start=number * SLICE + extra // 2 * MIB,
            asked=extra == 3,
            partial=number % 3 == 0,
            peers=peers[key(who, number, of).torrent],
        )
        for who, number, of, priority, extra in rows
    ]
    worth = {request: draw(st.none() | worths) for request in book.live()}
    made = plan(book, offered, worth.__getitem__, now=50.0, standing_of=lambda one: Standing(peers[one.key.torrent]))
    due = naive(book, offered, worth, peers)
    assert (made.start, made.replace) == (due.start, due.replace)
    assert Counter(made.cancel) == Counter(due.cancel)
    carry_out(book, made)
    assert len({one.key[1:] for one in [*made.start, *(new for _, new in made.replace)]}) == len(
        made.start + made.replace
    )
