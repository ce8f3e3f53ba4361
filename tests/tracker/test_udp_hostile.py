"""What a UDP tracker does wrong, what the network says, and what many torrents ask of one tracker."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from math import inf

import pytest

from anabranch.tracker import ErrorType, FaultKind, TrackerFault
from tracker.udp_talk import (
    REQUEST,
    action_of,
    announce_reply,
    connect_reply,
    connected,
    conversation,
    error_reply,
    number_of,
    the_fault,
    times_of,
)


def test_a_connection_id_that_is_refused_twice_is_a_fault_of_its_own() -> None:
    """Also where it was given for this very question; one refusal may be a tracker's restart."""
    tracker = conversation()
    number = tracker.announce(REQUEST, "/announce", 0.0)
    for _ in range(2):
        [connect] = tracker.outgoing()
        tracker.receive(connect_reply(connect), 0.1)
        [announce] = tracker.outgoing()
        answers = tracker.receive(error_reply(announce, b"bad CONNECTION_ID"), 0.2)
    [(answered, fault)] = answers
    assert isinstance(fault, TrackerFault)
    assert (answered, fault.kind, fault.error_type) == (
        number,
        FaultKind.UDP_CONNECTION,
        ErrorType.UDP_CONNECTION_ERROR,
    )
    tracker.announce(REQUEST, "/announce", 0.3)
    assert [action_of(datagram) for datagram in tracker.outgoing()] == [0], "the next one does not use it either"


def test_a_late_refusal_of_an_old_connection_id_does_not_spoil_the_new_one() -> None:
    """The network may hand it over after the new one has come."""
    tracker = connected(conversation(), now=0.0)
    tracker.announce(REQUEST, "/announce", 1.0)
    tracker.announce(REQUEST, "/announce", 1.0)
    first, second = tracker.outgoing()
    assert tracker.receive(error_reply(first, b"connection id unknown"), 1.1) == []
    [connect] = tracker.outgoing()
    tracker.receive(connect_reply(connect, b"NEWCONN!"), 1.2)
    [again] = tracker.outgoing()
    assert (number_of(again), again[:8]) == (number_of(first), b"NEWCONN!")
    assert tracker.receive(error_reply(second, b"connection id unknown"), 1.3) == []
    [again] = tracker.outgoing()
    assert (number_of(again), again[:8]) == (number_of(second), b"NEWCONN!")


@pytest.mark.parametrize(
    "odd",
    [
        lambda connect: struct.pack(">II", 0, number_of(connect)),
        lambda connect: struct.pack(">II", 0, number_of(connect)) + b"1234567",
        lambda connect: struct.pack(">II", 1, number_of(connect)) + bytes(20),
    ],
    ids=["empty", "short", "other action"],
)
def test_a_tracker_that_gives_no_connection_id_is_told_from_a_silent_one(odd: Callable[[bytes], bytes]) -> None:
    """When its time is over: the right answer may still come, and somebody may guess."""
    tracker = conversation()
    tracker.announce(REQUEST, "/announce", 0.0)
    [connect] = tracker.outgoing()
    assert tracker.receive(odd(connect), 0.1) == []
    _, answers = times_of(tracker, 100.0)
    fault = the_fault(answers)
    assert (fault.kind, str(fault)) == (FaultKind.UDP_CONNECTION, "it answers, but never gives a connection id")


@pytest.mark.parametrize(
    ("odd", "kind", "words"),
    [
        (None, FaultKind.TIMEOUT, "no answer within 15 s, though it knows us"),
        (lambda asked: struct.pack(">II", 1, number_of(asked)) + bytes(11), FaultKind.REPLY, "is cut off"),
        (lambda asked: struct.pack(">II", 2, number_of(asked)) + bytes(20), FaultKind.REPLY, "something else"),
        (lambda asked: struct.pack(">II", 1, 7) + bytes(20), FaultKind.TIMEOUT, "answers nothing that was asked"),
    ],
    ids=["silence", "short", "other action", "other number"],
)
def test_what_came_instead_of_an_answer_is_told(
    odd: Callable[[bytes], bytes] | None, kind: FaultKind, words: str
) -> None:
    """When the question's time is over: a broken tracker is no firewall."""
    tracker = conversation()
    tracker.announce(REQUEST, "/announce", 0.0)
    [connect] = tracker.outgoing()
    tracker.receive(connect_reply(connect), 0.0)
    [announce] = tracker.outgoing()
    if odd is not None:
        assert tracker.receive(odd(announce), 0.1) == []
    _, answers = times_of(tracker, 100.0)
    assert (the_fault(answers).kind, words in str(the_fault(answers))) == (kind, True)


def test_a_tracker_that_is_silent_from_the_start_may_be_behind_a_firewall() -> None:
    """That is what people can look for."""
    tracker = conversation()
    tracker.announce(REQUEST, "/announce", 0.0)
    _, answers = times_of(tracker, 100.0)
    assert (the_fault(answers).kind, "a firewall" in str(the_fault(answers))) == (FaultKind.TIMEOUT, True)


def test_where_nobody_listens_all_questions_have_their_answer_at_once() -> None:
    """A router or the other machine says so (ICMP), and shows what we sent."""
    tracker = conversation()
    numbers = [tracker.announce(REQUEST, "/announce", 0.0) for _ in range(3)]
    [connect] = tracker.outgoing()
    answers = tracker.undelivered(connect, "Connection refused", 0.1)
    assert [number for number, _ in answers] == numbers
    assert {(fault.kind, str(fault)) for _, fault in answers if isinstance(fault, TrackerFault)} == {
        (FaultKind.NETWORK, "Connection refused")
    }
    assert len({id(fault) for _, fault in answers}) == 3, "each is raised by somebody else"
    assert tracker.idle_at(0.1)

    tracker = connected(conversation())
    tracker.announce(REQUEST, "/announce", 1.0)
    [announce] = tracker.outgoing()
    assert len(tracker.undelivered(announce[:16], "Connection refused", 1.1)) == 1
    tracker.announce(REQUEST, "/announce", 1.2)
    assert [action_of(datagram) for datagram in tracker.outgoing()] == [0], "who comes back does not know us"


def test_who_does_not_know_what_we_sent_cannot_say_that_it_was_lost() -> None:
    """ICMP can be forged: it has to show one of our open numbers."""
    tracker = conversation()
    number = tracker.announce(REQUEST, "/announce", 0.0)
    [connect] = tracker.outgoing()
    for told in (b"", connect[:15], connect[:12] + b"else", bytes(16), bytes(12) + number.to_bytes(3, "big")):
        assert tracker.undelivered(told, "Connection refused", 0.1) == []
    tracker.receive(connect_reply(connect), 0.2)
    assert tracker.undelivered(connect, "Connection refused", 0.3) == [], "it has arrived: it was answered"


def test_a_tracker_that_does_not_answer_is_not_flooded_by_many_torrents() -> None:
    """10,000 torrents: one connect at a time; and 100 questions under way where it gives an id and says no more."""
    tracker = conversation()
    for _ in range(10_000):
        tracker.announce(REQUEST, "/announce", 0.0)
    sent, answers = times_of(tracker, 100.0)
    assert sent == [0.0, 2.5, 7.5]
    assert len(answers) == 10_000

    tracker = connected(conversation(), now=100.0)
    for _ in range(10_000):
        tracker.announce(REQUEST, "/announce", 100.0)
    assert len(tracker.outgoing()) == 100
    per_second: Counter[int] = Counter()
    answered, words = 0, set[str]()
    while (now := tracker.deadline()) < inf:
        given_up = tracker.tick(now)
        answered += len(given_up)
        words |= {str(fault).rpartition(" it is ")[2] for _, fault in given_up}
        for datagram in tracker.outgoing():
            per_second[int(now)] += 1
            if action_of(datagram) == 0:
                tracker.receive(connect_reply(datagram), now)
    assert answered == 10_000
    assert "too slow for all that is asked of it" in words
    assert max(per_second.values()) <= 2 * 100 + 1


def test_all_of_many_questions_are_asked_as_the_others_are_answered() -> None:
    """In the order in which they came, 100 under way; what is left open holds up only its place."""
    tracker = connected(conversation())
    numbers = [tracker.announce(REQUEST, "/announce", 1.0) for _ in range(1000)]
    ignored, asked, most = set(numbers[:99]), [], 0
    while sent := tracker.outgoing():
        asked += [number_of(datagram) for datagram in sent]
        most = max(most, len(sent))
        for datagram in sent:
            if number_of(datagram) not in ignored:
                assert len(tracker.receive(announce_reply(datagram), 1.1)) == 1
    assert (asked, most) == (numbers, 100)


def test_a_question_that_is_left_makes_room_for_the_next() -> None:
    """Whoever waits behind it does not wait for its time to pass."""
    tracker = connected(conversation())
    numbers = [tracker.announce(REQUEST, "/announce", 1.0) for _ in range(101)]
    assert len(tracker.outgoing()) == 100
    tracker.forget(numbers[0], 1.1)
    assert [number_of(datagram) for datagram in tracker.outgoing()] == [numbers[100]]


def test_what_is_kept_does_not_grow_with_what_was_answered() -> None:
    """A service announces to one tracker all day."""
    tracker = connected(conversation())
    for _ in range(5000):
        tracker.announce(REQUEST, "/announce", 1.0)
        [announce] = tracker.outgoing()
        tracker.receive(announce_reply(announce), 1.0)
        assert len(tracker._agenda) < 100


def test_what_is_still_open_keeps_its_times_among_many_that_were_answered() -> None:
    """Each is repeated and given up when it is due, in whatever order they were asked."""
    tracker = connected(conversation())
    first = tracker.announce(REQUEST, "/announce", 1.0)
    tracker.tick(3.5)
    tracker.receive(connect_reply(tracker.outgoing()[-1]), 3.5)
    tracker.outgoing()
    second = tracker.announce(REQUEST, "/announce", 4.0)
    tracker.outgoing()
    for _ in range(200):
        tracker.announce(REQUEST, "/announce", 5.0)
        [announce] = tracker.outgoing()
        tracker.receive(announce_reply(announce), 5.0)
    assert tracker.deadline() == 6.5
    sent, answers = times_of(tracker, 100.0)
    assert sent == [6.5, 9.0, 14.0], "for another connection id, first of all"
    assert [number for number, _ in answers] == [first, second]
