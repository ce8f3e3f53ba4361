"""The conversation with a UDP tracker, in a time that the tests make."""

from __future__ import annotations

import struct
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Address
from anabranch.tracker import AnnounceReply, ErrorType, FaultKind, ScrapeReply
from anabranch.tracker.udp import MAX_SCRAPED, UdpTracker
from tracker.udp_talk import (
    CONNECTION,
    HASH,
    PEER_ID,
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


def test_an_announce_is_a_connect_and_then_the_announce() -> None:
    """BEP 15, byte for byte; the path and query go along (BEP 41), as libtorrent 2.1.1 sends them."""
    tracker = conversation()
    number = tracker.announce(REQUEST, "/announce?x=1", 0.0)
    [connect] = tracker.outgoing()
    assert connect == bytes.fromhex("00000417 27101980 00000000") + connect[12:]
    assert len(connect) == 16
    assert tracker.receive(connect_reply(connect), 0.1) == []
    [announce] = tracker.outgoing()
    assert announce == (
        CONNECTION
        + struct.pack(">II", 1, number)
        + HASH
        + PEER_ID
        + struct.pack(">QQQ", 4, 100000, 3)
        + struct.pack(">IIIiH", 2, 0, 0x968D4C4E, 200, 42111)
        + b"\x02\x0d/announce?x=1"
    )
    assert tracker.receive(announce_reply(announce), 0.2) == [
        (number, AnnounceReply(900, None, seeders=2, leechers=1, peers=(Address("192.0.2.1", 6881),)))
    ]
    assert tracker.outgoing() == []


def test_our_address_and_no_path_are_told_in_their_ways() -> None:
    """BEP 15 has a field for an IPv4 address; a URL without a path has nothing to add."""
    from dataclasses import replace

    tracker = connected(conversation())
    tracker.announce(replace(REQUEST, ipv4="192.0.2.7"), "/", 1.0)
    [announce] = tracker.outgoing()
    assert announce[84:88] == bytes([192, 0, 2, 7])
    assert len(announce) == 98


def test_a_long_path_goes_in_parts() -> None:
    """BEP 41: a part has at most 255 bytes."""
    tracker = connected(conversation())
    tracker.announce(REQUEST, "/" + "x" * 299, 1.0)
    [announce] = tracker.outgoing()
    assert announce[98:] == b"\x02\xff/" + b"x" * 254 + b"\x02\x2d" + b"x" * 45


def test_over_ipv6_peers_have_18_bytes() -> None:
    """BEP 15: the family of the packet decides."""
    tracker = connected(conversation(v6=True))
    number = tracker.announce(REQUEST, "/announce", 1.0)
    [announce] = tracker.outgoing()
    peer = bytes.fromhex("20010db8000000000000000000000001 1ae1")
    [(answered, reply)] = tracker.receive(announce_reply(announce, peer + b"cut"), 1.0)
    assert isinstance(reply, AnnounceReply)
    assert (answered, reply.peers) == (number, (Address("2001:db8::1", 6881),))


def test_a_scrape_tells_of_each_torrent() -> None:
    """A reply that is cut short tells of those it holds."""
    tracker = connected(conversation())
    for held in (2, 1):
        number = tracker.scrape([HASH, b"x" * 20], 1.0)
        [scrape] = tracker.outgoing()
        assert scrape == CONNECTION + struct.pack(">II", 2, number) + HASH + b"x" * 20
        numbers = struct.pack(">III", 1, 2, 3) + struct.pack(">III", 4, 5, 6)
        reply = struct.pack(">II", 2, number) + numbers[: 12 * held + 3]
        known = {HASH: ScrapeReply(1, 2, 3), b"x" * 20: ScrapeReply(4, 5, 6)}
        assert tracker.receive(reply, 1.0) == [(number, dict(list(known.items())[:held]))]


def test_a_scrape_is_of_so_many_torrents_at_most() -> None:
    """BEP 15: 74."""
    tracker = conversation()
    tracker.scrape([HASH] * MAX_SCRAPED, 0.0)
    for wrong in ([], [HASH] * (MAX_SCRAPED + 1), [b"short"]):
        with pytest.raises(ValueError):
            tracker.scrape(wrong, 0.0)


def test_a_connection_id_serves_all_for_a_minute() -> None:
    """BEP 15; then another is asked for."""
    tracker = connected(conversation(), now=0.0)
    tracker.announce(REQUEST, "/announce", 59.9)
    assert [action_of(datagram) for datagram in tracker.outgoing()] == [1]
    tracker.announce(REQUEST, "/announce", 60.0)
    assert [action_of(datagram) for datagram in tracker.outgoing()] == [0]


def test_several_questions_share_one_connect() -> None:
    """All go out when the connection id is there, oldest first."""
    tracker = conversation()
    numbers = [tracker.announce(REQUEST, "/announce", 0.0) for _ in range(3)]
    [connect] = tracker.outgoing()
    tracker.receive(connect_reply(connect), 1.0)
    assert [number_of(datagram) for datagram in tracker.outgoing()] == numbers


def test_a_silent_tracker_is_asked_three_times_and_given_up() -> None:
    """After 2.5 and 5 seconds more; 15 seconds are all there is."""
    tracker = conversation()
    number = tracker.announce(REQUEST, "/announce", 0.0)
    sent, answers = times_of(tracker, 100.0)
    assert sent == [0.0, 2.5, 7.5]
    assert [answered for answered, _ in answers] == [number]
    assert the_fault(answers).kind is FaultKind.TIMEOUT
    assert tracker.deadline() == inf
    assert tracker.idle_at(100.0)


def test_who_has_more_patience_asks_on_as_bep_15_says() -> None:
    """After 15, 30, 60 seconds more; for a connection id each 15, that who asks meanwhile is not kept waiting."""
    tracker = connected(conversation(), now=0.0)
    tracker.announce(REQUEST, "/announce", 0.0, patience=130.0)
    [announce] = tracker.outgoing()
    sent = [0.0]
    while (now := tracker.deadline()) < 130.0:
        tracker.tick(now)
        for datagram in tracker.outgoing():
            if action_of(datagram) == 0:
                tracker.receive(connect_reply(datagram), now)
            else:
                sent.append(now)
        sent += [now for datagram in tracker.outgoing() if datagram[8:] == announce[8:]]
    assert sent == [0.0, 2.5, 7.5, 17.5, 32.5, 62.5, 122.5]
    silent = conversation()
    silent.announce(REQUEST, "/announce", 0.0, patience=60.0)
    assert times_of(silent, 60.0)[0] == [0.0, 2.5, 7.5, 17.5, 32.5, 47.5]


def test_a_question_without_an_answer_is_repeated_as_it_was() -> None:
    """With the same number: an answer to the first is as good."""
    tracker = conversation()
    tracker.announce(REQUEST, "/announce", 0.0)
    [connect] = tracker.outgoing()
    tracker.receive(connect_reply(connect), 0.0)
    [announce] = tracker.outgoing()
    tracker.tick(2.5)
    assert tracker.outgoing() == [announce]
    [(_, reply)] = tracker.receive(announce_reply(announce), 2.6)
    assert isinstance(reply, AnnounceReply)
    assert tracker.receive(announce_reply(announce), 2.7) == []  # the other answer
    assert times_of(tracker, 100.0) == ([], [])


def test_an_old_connection_id_is_renewed_where_it_is_not_answered() -> None:
    """The tracker may have been started anew since."""
    tracker = connected(conversation(), now=0.0)
    number = tracker.announce(REQUEST, "/announce", 1.0)
    assert [action_of(datagram) for datagram in tracker.outgoing()] == [1]
    tracker.tick(3.5)
    [connect] = tracker.outgoing()
    assert action_of(connect) == 0
    tracker.receive(connect_reply(connect, b"NEWCONN!"), 3.6)
    [announce] = tracker.outgoing()
    assert announce[:8] == b"NEWCONN!"
    [(answered, _)] = tracker.receive(announce_reply(announce), 3.7)
    assert answered == number


def test_an_old_connection_id_is_renewed_where_it_is_refused_and_only_then() -> None:
    """opentracker writes "missmatch". The second refusal is a fault."""
    tracker = connected(conversation(), now=0.0)
    tracker.announce(REQUEST, "/announce", 1.0)
    [announce] = tracker.outgoing()
    words = b"Connection ID missmatch."
    assert tracker.receive(error_reply(announce, words), 1.1) == []
    [connect] = tracker.outgoing()
    tracker.receive(connect_reply(connect), 1.2)
    [announce] = tracker.outgoing()
    fault = the_fault(list(tracker.receive(error_reply(announce, words), 1.3)))
    assert (fault.kind, str(fault)) == (FaultKind.UDP_CONNECTION, "Connection ID missmatch.")


def test_a_refusal_is_told_in_the_trackers_words() -> None:
    """Of an announce, or of the connect: then everybody who waits has it."""
    tracker = connected(conversation())
    tracker.announce(REQUEST, "/announce", 1.0)
    [announce] = tracker.outgoing()
    assert (
        str(the_fault(list(tracker.receive(error_reply(announce, b"not\x00registered"), 1.1)))) == "not\ufffdregistered"
    )

    tracker = conversation()
    numbers = [tracker.announce(REQUEST, "/announce", 0.0) for _ in range(2)]
    [connect] = tracker.outgoing()
    answers = tracker.receive(error_reply(connect, b"full"), 0.1)
    assert [(number, str(fault)) for number, fault in answers] == [(number, "full") for number in numbers]
    assert tracker.idle_at(0.1)


def test_an_empty_answer_is_a_refusal() -> None:
    """opentracker so answers announces of torrents that are not on its list: then that is known."""
    tracker = connected(conversation())
    tracker.announce(REQUEST, "/announce", 1.0)
    [announce] = tracker.outgoing()
    fault = the_fault(list(tracker.receive(announce_reply(announce)[:8], 1.1)))
    assert (fault.kind, fault.error_type) == (FaultKind.UNLISTED, ErrorType.TORRENT_NOT_REGISTERED)
    assert str(fault).startswith("refused without a reason")


@pytest.mark.parametrize("length", [0, 7, 9, 15, 19])
def test_what_is_too_short_is_not_heard(length: int) -> None:
    """The question stays open: the right answer may still come."""
    tracker = conversation()
    tracker.announce(REQUEST, "/announce", 0.0)
    [connect] = tracker.outgoing()
    if length < 16:
        tracker.receive(connect_reply(connect)[:length], 0.1)
        assert tracker.outgoing() == []
    tracker.receive(connect_reply(connect), 0.2)
    [announce] = tracker.outgoing()
    assert tracker.receive(announce_reply(announce)[:length], 0.3) == []
    assert len(tracker.receive(announce_reply(announce), 0.4)) == 1


def test_what_answers_no_question_is_not_heard() -> None:
    """Another number, or another kind of answer: somebody guesses."""
    tracker = conversation()
    tracker.announce(REQUEST, "/announce", 0.0)
    [connect] = tracker.outgoing()
    stranger = struct.pack(">II", 0, 99) + b"STRANGER"
    tracker.receive(stranger, 0.1)
    tracker.receive(struct.pack(">II", 1, number_of(connect)) + bytes(20), 0.1)
    assert tracker.outgoing() == []
    tracker.receive(connect_reply(connect), 0.1)
    [announce] = tracker.outgoing()
    tracker.receive(connect_reply(connect, b"STRANGER"), 0.2)  # a second answer to the connect
    for action in (0, 2, 4):
        assert tracker.receive(struct.pack(">II", action, number_of(announce)) + bytes(20), 0.2) == []
    tracker.announce(REQUEST, "/announce", 0.3)
    assert [datagram[:8] for datagram in tracker.outgoing()] == [CONNECTION]


def test_what_is_forgotten_is_not_answered_nor_sent() -> None:
    """Whoever asked has gone: while it waits for a connection id, and afterwards."""
    tracker = conversation()
    tracker.forget(tracker.announce(REQUEST, "/announce", 0.0), 0.0)
    [connect] = tracker.outgoing()
    assert tracker.receive(connect_reply(connect), 0.1) == []
    assert times_of(tracker, 100.0) == ([], [])

    tracker = connected(conversation())
    number = tracker.announce(REQUEST, "/announce", 1.0)
    [announce] = tracker.outgoing()
    tracker.forget(number, 1.0)
    assert tracker.receive(announce_reply(announce), 1.1) == []
    assert times_of(tracker, 100.0) == ([], [])


def test_numbers_that_are_drawn_twice_are_used_once() -> None:
    """Chance may repeat itself."""
    tracker = UdpTracker(v6=False, draw=lambda: 2**32 - 1)
    numbers = {tracker.announce(REQUEST, "/announce", 0.0) for _ in range(3)}
    [connect] = tracker.outgoing()
    assert len({*numbers, number_of(connect)}) == 4


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("noise"), st.binary(max_size=60)),
            st.tuples(st.just("answer"), st.tuples(st.integers(0, 4), st.integers(98, 110), st.binary(max_size=60))),
            st.tuples(st.just("ask"), st.none()),
            st.tuples(st.just("wait"), st.none()),
            st.tuples(st.just("leave"), st.integers(98, 110)),
            st.tuples(st.just("lost"), st.integers(98, 110)),
        ),
        max_size=30,
    ),
    st.booleans(),
)
def test_whatever_comes_each_question_has_one_answer_at_most(steps: list[tuple[str, object]], v6: bool) -> None:
    """And every one that nobody left has had it when its time is over."""
    tracker, now = conversation(v6=v6), 0.0
    asked: set[int] = set()
    left: set[int] = set()
    answered: list[int] = []
    for kind, given_ in steps:
        now += 0.5
        if kind == "noise" and isinstance(given_, bytes):
            answered += [number for number, _ in tracker.receive(given_, now)]
        elif kind == "answer" and isinstance(given_, tuple):
            action, number, rest = given_
            answered += [number for number, _ in tracker.receive(struct.pack(">II", action, number) + rest, now)]
        elif kind == "ask":
            asked.add(tracker.announce(REQUEST, "/announce", now))
        elif kind == "leave" and isinstance(given_, int):
            tracker.forget(given_, now)
            left.add(given_)
        elif kind == "lost" and isinstance(given_, int):
            answered += [number for number, _ in tracker.undelivered(bytes(12) + struct.pack(">I", given_), "", now)]
        elif kind == "wait" and tracker.deadline() < inf:
            now = max(now, tracker.deadline())
            answered += [number for number, _ in tracker.tick(now)]
        tracker.outgoing()
    answered += [number for number, _ in tracker.tick(now + 15.0)]
    assert len(answered) == len(set(answered))
    assert asked - left <= set(answered) <= asked
