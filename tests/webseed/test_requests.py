"""The book of web seed requests: every count agrees at every step, whatever is done in whatever order."""

from __future__ import annotations

from math import inf

import pytest

from anabranch.model import Misused, Priority
from anabranch.webseed.requests import (
    CONNECTIONS,
    FEW_CONNECTIONS,
    HOST_REQUESTS,
    LONGEST_REST,
    LOW_WATER,
    SPARE_CONNECTIONS,
    STARTERS,
    Key,
    Requests,
    State,
)
from anabranch.webseed.seeds import WebSeed
from webseed.book import key, reserved, seed, taken, torrent

# --- slots and keys ---


def test_a_request_has_its_slot_and_key_from_the_moment_it_is_queued() -> None:
    """The fork counted what had started only: while workers were held up, each tick queued the same slice again."""
    book, who = Requests(), seed()
    request = reserved(book, who, 3)
    assert (request.state, book.get(request.key), book.at_host("one.example")) == (State.RESERVED, request, 1)
    assert book.reserve(who, key(who, 3), 0, 1, Priority.NOW) is None
    assert list(book.of(who)) == [request]


def test_a_host_has_so_many_slots_whatever_its_requests_do() -> None:
    """Queued, starting, reading and resting ones count alike, over all web seeds of the host and all torrents."""
    book, who, other = Requests(), seed("http://one.example/a/"), seed("https://one.example:8443/b/")
    for number in range(HOST_REQUESTS):
        request = reserved(book, (who, other)[number % 2], number, of=number % 3)
        book.widen(who.host)
        if number < 6:
            assert book.take(request.seed) is request
            book.reading(request)
        if number < 3:
            book.rest(request, 5.0)
    assert book.reserve(who, key(who, 99), 0, 1, 1) is None
    assert book.reserve(seed("http://two.example/"), Key("http://two.example/", torrent(), 99), 0, 1, 1) is not None
    book.check()


def test_two_torrents_or_two_urls_may_ask_for_slices_of_one_number() -> None:
    """The key is URL, torrent and slice."""
    book, who, other = Requests(), seed("http://one.example/a/"), seed("http://one.example/b/")
    for request in (reserved(book, who, 0), reserved(book, who, 0, of=1), reserved(book, other, 0)):
        assert book.get(request.key) is request
    book.check()


def test_an_end_that_comes_late_does_not_touch_who_has_the_key_now() -> None:
    """W09: the fork's reader of a replaced request removed the new one from the book, and the client ended."""
    book, who = Requests(), seed()
    old = reserved(book, who, 0)
    assert book.take(who) is old
    new = book.replace(old, old.key, 10, 20, Priority.NOW)
    assert new is not None
    assert (old.state, old.reason) == (State.ENDED, "replaced by a more urgent one")
    assert not book.end(old, "late")
    book.reading(old)
    book.rest(old, 99.0)
    assert (old.state, old.reason, old.rest_until) == (State.ENDED, "replaced by a more urgent one", 0.0)
    assert (book.get(new.key), list(book.of(who)), book.at_host(who.host), book.next_due()) == (new, [new], 1, inf)
    book.check()


def test_what_is_replaced_leaves_every_count_in_the_step_in_which_the_new_one_comes() -> None:
    """W09: in the fork the old one stayed in the web seed's set for a while, and a tick in between was fatal."""
    book, who = Requests(), seed()
    for number in range(HOST_REQUESTS):
        reserved(book, who, number)
    old = book.get(key(who, 7))
    assert old is not None
    new = book.replace(old, key(who, 7), 5, 6, Priority.NOW)
    assert new is not None
    assert (old in book.of(who), new in book.of(who), book.at_host(who.host)) == (False, True, HOST_REQUESTS)
    book.check()


def test_a_replacement_does_not_take_a_key_that_is_anothers() -> None:
    """It is refused as a whole: the old one stays."""
    book, who = Requests(), seed()
    old, other = reserved(book, who, 0), reserved(book, who, 1)
    assert book.replace(old, other.key, 0, 1, Priority.NOW) is None
    assert old.state is other.state is State.RESERVED
    moved = book.replace(old, key(who, 2), 0, 1, Priority.NOW)
    assert moved is not None
    assert book.get(key(who, 0)) is None


def test_what_rests_or_has_ended_is_not_replaced() -> None:
    """The rest is what keeps us from a server that just failed."""
    book, who = Requests(), seed()
    old = reserved(book, who, 0)
    book.rest(old, 5.0)
    assert book.replace(old, old.key, 0, 1, Priority.NOW) is None
    assert book.get(old.key) is old
    book.end(old)
    assert book.replace(old, old.key, 0, 1, Priority.NOW) is None
    assert not book.live()


# --- the queue ---


def test_the_queue_is_by_priority_and_then_first_in_first_out() -> None:
    """Also where what a request is worth changes while it waits."""
    book, who = Requests(), seed()
    slow, first, second, late = (reserved(book, who, number, priority=1) for number in range(4))
    book.widen(who.host)
    first.priority = second.priority = 2
    late.priority = 5
    order = []
    for _ in range(4):
        order.append(taken(book, who))
        book.reading(order[-1])
    assert order == [late, first, second, slow]
    assert book.take(who) is None


def test_so_many_of_a_web_seed_start_at_once() -> None:
    """The next one starts when the head of an answer has come, or one is over."""
    book, who, other = Requests(), seed("http://one.example/a/"), seed("http://one.example/b/")
    requests = [reserved(book, who, number) for number in range(STARTERS + 3)]
    elsewhere = reserved(book, other, 0)
    book.widen(who.host)
    started = [book.take(who) for _ in range(STARTERS + 1)]
    assert started == [*requests[:STARTERS], None]
    assert book.take(other) is elsewhere
    book.reading(requests[0])
    assert taken(book, who) is requests[STARTERS]
    book.rest(requests[1], 3.0)
    assert taken(book, who) is requests[STARTERS + 1]
    book.end(requests[STARTERS])
    assert taken(book, who) is requests[STARTERS + 2]


def test_a_host_has_so_many_connections_and_a_few_more_for_readers() -> None:
    """Few at first. What a reader waits for does not queue behind a slow server's other answers."""
    book = Requests()
    seeds = [seed(f"http://one.example/{number}/") for number in range(2)]
    for number in range(CONNECTIONS + 2):
        reserved(book, seeds[0], number)
    for _ in range(FEW_CONNECTIONS):
        assert not book.used_up("one.example")
        book.reading(taken(book, seeds[0]))
    assert book.take(seeds[0]) is None
    assert book.used_up("one.example") == FEW_CONNECTIONS
    for _ in range(4):
        book.widen("one.example")
    for _ in range(CONNECTIONS - FEW_CONNECTIONS):
        book.reading(taken(book, seeds[0]))
    assert book.take(seeds[0]) is None
    urgent = [reserved(book, seeds[1], number, priority=Priority.READAHEAD) for number in range(SPARE_CONNECTIONS + 1)]
    for request in urgent[:SPARE_CONNECTIONS]:
        assert book.take(seeds[1]) is request
        book.reading(request)
    assert book.take(seeds[1]) is None
    book.rest(urgent[0], 1.0)
    assert book.take(seeds[0]) is None
    assert taken(book, seeds[1]) is urgent[SPARE_CONNECTIONS]
    book.check()


def test_the_web_seeds_of_a_host_take_turns_by_what_they_have_queued() -> None:
    """Several torrents share a host's connections: the most urgent first, then who was first."""
    book = Requests()
    one, two, three = (seed(f"http://one.example/{number}/") for number in range(3))
    reserved(book, one, 0)
    reserved(book, two, 0, priority=Priority.HIGH)
    reserved(book, one, 1)
    reserved(book, three, 0)
    reserved(book, three, 1, priority=Priority.NOW)
    assert book.waiting("one.example") == [three, two, one]
    assert book.waiting("two.example") == []


def test_what_waits_out_a_penance_holds_nothing() -> None:
    """W11: a worker of the fork slept with a request in hand, and all behind it waited with it."""
    book, convict, other = Requests(), seed("http://one.example/a/"), seed("http://one.example/b/")
    reading = reserved(book, convict, 0)
    assert book.take(convict) is reading
    book.reading(reading)
    for number in range(1, HOST_REQUESTS):
        reserved(book, convict, number)
    assert book.reserve(other, key(other, 0), 0, 1, 1) is None
    convict.convict(100.0, "it lied")
    ended = book.unqueue(convict, "it is left alone for a minute")
    assert len(ended) == HOST_REQUESTS - 1
    assert {request.reason for request in ended} == {"it is left alone for a minute"}
    assert (list(book.of(convict)), book.take(convict), book.waiting("one.example")) == ([reading], None, [])
    assert reserved(book, other, 0) is book.take(other)
    book.check()


# --- rests ---


def test_a_failed_request_keeps_slot_and_key_while_it_rests() -> None:
    """The pause is what keeps a failing server from being asked 25 times a second."""
    book, who = Requests(), seed()
    first, second, third = (reserved(book, who, number) for number in range(3))
    book.rest(first, 7.0)
    book.rest(second, 3.0)
    book.rest(second, 9.0)
    assert (list(book.resting()), book.next_due(), book.at_host(who.host)) == ([first, second], 3.0, 3)
    assert book.reserve(who, first.key, 0, 1, 1) is None
    assert book.rested(2.9) == []
    assert book.rested(3.0) == [second]
    assert (second.state, second.reason, book.next_due()) == (State.ENDED, "", 7.0)
    assert book.rested(100.0) == [first]
    assert (book.next_due(), list(book.live())) == (inf, [third])
    book.check()


def test_a_rest_that_is_cut_short_is_not_waited_for() -> None:
    """A web seed that is closed while its requests rest."""
    book, who = Requests(), seed()
    book.rest(reserved(book, who, 0), 1.0)
    book.close(who)
    assert (book.next_due(), book.rested(5.0)) == (inf, [])


# --- close and drop ---


def test_close_is_at_once_and_for_good() -> None:
    """In the fork, a request that was queued after the close made the pool anew."""
    book, who, other = Requests(), seed("http://one.example/a/"), seed("http://one.example/b/")
    requests = [reserved(book, who, number) for number in range(4)]
    assert book.take(who) is requests[0]
    book.rest(requests[1], 4.0)
    kept = reserved(book, other, 0)
    assert book.close(who, "the user removed it") == requests
    assert {(request.state, request.reason) for request in requests} == {(State.ENDED, "the user removed it")}
    assert (book.reserve(who, key(who, 9), 0, 1, 1), book.take(who), book.close(who)) == (None, None, [])
    assert (list(book.live()), book.at_host("one.example")) == ([kept], 1)
    book.check()


def test_a_closed_web_seed_that_comes_again_is_another() -> None:
    """The same URL may be added again at once: no key of the old one is left, and what is late does no harm."""
    book, who = Requests(), seed()
    old = reserved(book, who, 0)
    book.close(who)
    again = seed()
    new = reserved(book, again, 0)
    assert not book.end(old)
    assert book.get(key(again, 0)) is new
    book.check()


def test_a_dropped_torrent_leaves_nothing_in_the_book() -> None:
    """W10: in the fork its requests stayed until their readers noticed, and a tick before that was fatal."""
    book = Requests()
    seeds = [seed(f"http://{host}.example/{number}/") for host in ("one", "two") for number in range(2)]
    for number in range(16):
        reserved(book, seeds[number % 4], number, of=number % 2)
    for who in seeds:
        taken(book, who)
    for request in list(book.of(seeds[0]))[:2]:
        book.rest(request, 3.0)
    dropped = book.drop(torrent(1))
    book.check()
    assert len(dropped) == 8
    assert {request.key.torrent for request in book.live()} == {torrent(0)}
    assert sum(map(book.at_host, ("one.example", "two.example"))) == 8
    for request in dropped:
        book.reading(request)
        book.rest(request, 1.0)
        assert not book.end(request)
    book.drop(torrent(0))
    book.check()
    assert [book.at_host("one.example"), book.at_host("two.example"), book.next_due(), len(book)] == [0, 0, inf, 0]


# --- when to look again, and what is wrong ---


def test_more_is_planned_when_a_host_runs_dry() -> None:
    """Half of the slots left after a success, none after anything; a failure alone asks for no more."""
    book, who = Requests(), seed()
    requests = [reserved(book, who, number) for number in range(LOW_WATER + 2)]
    book.end(requests.pop())
    assert not book.low_water(who.host, succeeded=True)
    book.end(requests.pop())
    assert book.low_water(who.host, succeeded=True)
    assert not book.low_water(who.host, succeeded=False)
    for request in requests:
        book.end(request)
    assert book.low_water(who.host, succeeded=False)


def test_what_has_not_been_taken_cannot_read() -> None:
    """That is a mistake of ours, not a late call: it would use a connection that nobody counted."""
    book, who = Requests(), seed()
    request = reserved(book, who, 0)
    with pytest.raises(Misused, match="from reserved to reading"):
        book.reading(request)
    book.check()


def test_an_answer_that_begins_after_the_failure_changes_nothing() -> None:
    """A time-out and the head of an answer may fall into one turn of the loop."""
    book, who = Requests(), seed()
    request = reserved(book, who, 0)
    book.rest(taken(book, who), 1.0)
    book.reading(request)
    assert request.state is State.RESTING
    assert book.rested(1.0) == [request]


def test_the_check_tells_what_does_not_fit() -> None:
    """It is for who looks for our mistakes: a state that was changed past the book."""
    book, who = Requests(), seed()
    request = reserved(book, who, 0)
    book.check()
    request.state = State.READING
    with pytest.raises(RuntimeError, match="connections"):
        book.check()
    request.state = State.RESERVED
    who.closed = True
    with pytest.raises(RuntimeError, match="closed web seeds have requests"):
        book.check()


# --- anything in any order ---


def test_nothing_is_kept_of_what_has_ended() -> None:
    """Many thousand requests come and go: a book that grows is a leak."""
    book = Requests()
    for number in range(5_000):
        who: WebSeed = seed(f"http://host{number}.example/")
        request = reserved(book, who, 0, of=number)
        book.take(who)
        book.rest(request, number + LONGEST_REST)
        if number % 2:
            book.end(request)
        book.rested(float(number))
    book.rested(inf)
    book.check()
    sizes = [len(kept) for kept in vars(book).values() if hasattr(kept, "__len__")]
    assert sizes == [0] * len(sizes)
