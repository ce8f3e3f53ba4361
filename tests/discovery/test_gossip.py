"""Who tells whom of whom: each change once, few at a time, and in the end all know who is there."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.discovery import PexFeed, PexMessage, PexPeer, PexTalk
from anabranch.discovery.gossip import FEW, INTERVAL, MOST_CHANGES, MOST_EVENTS, MOST_HELD, RETRY
from anabranch.model import Address, PeerFault

LISTENER = Address("192.0.2.99", 99)


def peer(number: int, *, seed: bool = False) -> PexPeer:
    """The same one for the same number; some have IPv6."""
    high, low = number >> 8, number & 255
    host = f"10.0.{high}.{low}" if number % 3 else f"2001:db8::{number + 1:x}"
    return PexPeer(Address(host, 6881), seed=seed)


def where(*numbers: int) -> set[Address]:
    return {peer(number).address for number in numbers}


def feed_of(count: int) -> PexFeed:
    """A feed with peers 0 to *count* - 1."""
    feed = PexFeed()
    for number in range(count):
        feed.joined(peer(number))
    return feed


class Listener:
    """A peer that believes what it is told. Time goes on by a message's interval with each question."""

    def __init__(self, feed: PexFeed, address: Address = LISTENER) -> None:
        self.talk = PexTalk(feed, address, 0.0)
        self.believed: set[Address] = set()

    def told(self) -> tuple[set[Address], set[Address]]:
        """Who came and who left by the next message; nobody if none is due."""
        payload = self.talk.due(self.talk.deadline())
        message = PexMessage.parse(payload) if payload else PexMessage()
        came, left = {each.address for each in message.added}, set(message.dropped)
        assert len(message.added) + len(message.dropped) <= MOST_CHANGES
        assert len(came) + len(left) == len(message.added) + len(message.dropped)  # nobody twice
        assert not came & left
        assert left <= self.believed  # nobody is said to have left who was never said to be there
        self.believed = (self.believed - left) | came
        return came, left


def test_the_first_message_goes_at_once_the_next_after_a_minute() -> None:
    """60 seconds between two messages."""
    feed = feed_of(3)
    talk = PexTalk(feed, LISTENER, 1000.0)
    assert talk.deadline() == 1000.0
    assert talk.due(999.9) is None
    assert talk.due(1000.0)
    feed.joined(peer(3))
    assert talk.deadline() == 1000.0 + INTERVAL == 1060.0
    assert talk.due(1059.9) is None
    assert talk.due(1061.0)
    assert talk.deadline() == 1121.0


def test_where_there_is_nothing_to_tell_we_look_again_in_10_seconds() -> None:
    """No empty message is sent."""
    feed = PexFeed()
    talk = PexTalk(feed, LISTENER, 0.0)
    assert talk.due(0.0) is None
    assert talk.deadline() == RETRY == 10.0
    feed.joined(peer(1))
    assert talk.due(9.9) is None
    assert talk.due(10.0)


def test_the_first_message_tells_of_all_who_are_there() -> None:
    """With what is known of them, but not of the listener itself."""
    feed = feed_of(2)
    feed.joined(PexPeer(LISTENER))
    feed.joined(peer(2, seed=True))
    payload = PexTalk(feed, LISTENER, 0.0).due(0.0)
    assert payload
    message = PexMessage.parse(payload)
    assert {each.address for each in message.added} == where(0, 1, 2)
    assert [each.seed for each in message.added if each.address == peer(2).address] == [True]
    assert message.dropped == ()


def test_50_changes_go_into_a_message_and_the_rest_into_the_next() -> None:
    """Those who came and those who left counted together."""
    feed = feed_of(120)
    listener = Listener(feed)
    assert [len(listener.told()[0]) for _ in range(4)] == [50, 50, 20, 0]
    for number in range(30):
        feed.left(peer(number).address)
        feed.joined(peer(number + 200))
    assert [sum(map(len, listener.told())) for _ in range(3)] == [50, 10, 0]
    assert listener.believed == where(*range(30, 120), *range(200, 230))


def test_a_change_is_told_once_to_each_listener() -> None:
    """However many there are, and whenever they came."""
    feed = feed_of(30)
    early = Listener(feed)
    early.told()
    late = Listener(feed)
    feed.joined(peer(40))
    assert early.told() == (where(40), set())
    assert late.told() == (where(*range(30), 40), set())
    assert early.told() == late.told() == (set(), set())


def test_who_came_and_left_between_two_messages_is_not_told_of() -> None:
    """Nor who left and came back; also while there is more than one message can take."""
    feed = feed_of(30)
    listener = Listener(feed)
    listener.told()
    feed.joined(peer(40))
    feed.left(peer(40).address)
    feed.left(peer(1).address)
    feed.joined(peer(1))
    assert listener.told() == (set(), set())
    for number in range(100, 180):
        feed.joined(peer(number))
    assert len(listener.told()[0]) == 50
    feed.left(peer(179).address)
    assert listener.told() == (where(*range(150, 179)), set())


def test_in_a_small_swarm_those_who_left_are_still_told_of() -> None:
    """Below 25 live connections nobody is said to have left; new listeners are told of them as well."""
    feed = feed_of(FEW)
    listener = Listener(feed)
    listener.told()
    feed.left(peer(0).address)
    assert len(feed) == FEW - 1 == 24
    assert listener.told() == (set(), set())
    assert Listener(feed).told() == (where(*range(FEW)), set())


def test_those_held_back_are_told_once_there_are_25_again() -> None:
    """They left, after all."""
    feed = feed_of(FEW)
    listener = Listener(feed)
    listener.told()
    feed.left(peer(0).address)
    feed.left(peer(1).address)
    feed.joined(peer(50))
    assert listener.told() == (where(50), set())
    feed.joined(peer(51))
    assert listener.told() == (where(51), where(0, 1))
    assert Listener(feed).told() == (where(*range(2, FEW), 50, 51), set())


def test_at_most_25_are_held_back_those_who_left_last() -> None:
    """Who left long ago will hardly be there."""
    feed = PexFeed()
    listener = Listener(feed)
    for number in range(40):  # one after the other
        feed.joined(peer(number))
        listener.told()
        feed.left(peer(number).address)
    listener.told()
    assert listener.believed == where(*range(40 - MOST_HELD, 40))
    assert len(feed) == 0
    assert Listener(feed).told() == (where(*range(15, 40)), set())


def test_who_comes_back_while_held_never_left() -> None:
    """And counts as live again."""
    feed = feed_of(3)
    listener = Listener(feed)
    listener.told()
    feed.left(peer(0).address)
    feed.joined(peer(0))
    assert len(feed) == 3
    for number in range(3, 40):
        feed.joined(peer(number))
    assert listener.told() == (where(*range(3, 40)), set())


def test_what_is_learnt_of_a_live_one_reaches_new_listeners_alone() -> None:
    """Nobody is told of the same peer again because it became a seed."""
    feed = feed_of(1)
    listener = Listener(feed)
    listener.told()
    feed.joined(peer(0, seed=True))
    assert len(feed) == 1
    assert listener.told() == (set(), set())
    payload = PexTalk(feed, LISTENER, 0.0).due(0.0)
    assert payload
    assert PexMessage.parse(payload).added[0].seed


def test_who_leaves_without_having_come_is_passed_over() -> None:
    """Also twice."""
    feed = feed_of(1)
    feed.left(peer(5).address)
    feed.left(peer(0).address)
    feed.left(peer(0).address)
    assert len(feed) == 0
    assert Listener(feed).told() == (where(0), set())


def test_messages_closer_than_45_seconds_are_blamed_on_the_peer() -> None:
    """From the last one that it sent, read or not; the first may come at any time."""
    talk = PexTalk(PexFeed(), LISTENER, 100.0)
    payload = PexMessage((peer(1),)).payload()
    assert talk.heard(payload, 100.0).added == (peer(1),)
    with pytest.raises(PeerFault, match="again after 45 s"):
        talk.heard(payload, 144.9)
    assert talk.heard(payload, 145.0).added == (peer(1),)
    with pytest.raises(PeerFault, match="ut_pex"):
        talk.heard(b"?", 200.0)
    with pytest.raises(PeerFault, match="again"):
        talk.heard(payload, 210.0)


def test_a_closed_talk_says_nothing_and_costs_nothing() -> None:
    """Twice is harmless."""
    feed = feed_of(3)
    talk = PexTalk(feed, LISTENER, 0.0)
    talk.due(0.0)
    feed.joined(peer(3))
    assert kept(feed) == 1
    talk.close()
    talk.close()
    assert kept(feed) == 0
    assert talk.deadline() == inf
    assert talk.due(1e9) is None


def kept(feed: PexFeed) -> int:
    """How many events the feed keeps."""
    return len(feed._log)


def test_what_all_have_read_is_forgotten() -> None:
    """Nothing is kept for nobody, and no more than the slowest has not read."""
    feed = PexFeed()
    for number in range(100):
        feed.joined(peer(number))
    assert kept(feed) == 0
    first, second = Listener(feed), Listener(feed)
    first.told()
    second.told()
    for number in range(100, 130):
        feed.joined(peer(number))
    assert kept(feed) == 30
    first.told()
    assert kept(feed) == 30
    second.told()
    assert kept(feed) == 0


def test_a_listener_that_never_asks_costs_no_more_than_a_bound() -> None:
    """And it starts anew when it asks again: the live ones are told of, also those told before."""
    feed = feed_of(30)
    slow, quick = Listener(feed), Listener(feed)
    slow.told()
    quick.told()
    for number in range(100, 100 + MOST_EVENTS):
        feed.joined(peer(number))
        feed.left(peer(number).address)
        quick.told()
    assert kept(feed) == MOST_EVENTS
    feed.left(peer(0).address)
    assert slow.told() == (where(*range(1, 30)), set())
    assert quick.told() == (set(), where(0))
    assert kept(feed) == 0


def test_an_event_costs_the_same_however_many_listen() -> None:
    """Nothing is touched for each listener: what is kept is one event."""
    feed = feed_of(30)
    listeners = [Listener(feed) for _ in range(500)]
    for listener in listeners:
        listener.told()
    feed.joined(peer(100))
    assert kept(feed) == 1
    assert all(listener.told() == (where(100), set()) for listener in listeners)
    assert kept(feed) == 0


STEPS = st.lists(st.tuples(st.sampled_from("+++-->>e"), st.integers(0, 60), st.integers(0, 3)), max_size=150)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_in_the_end_every_listener_believes_in_those_who_are_there(steps: list[tuple[str, int, int]]) -> None:
    """Whatever comes and goes, whoever listens since when; itself excepted. In any order of asking."""
    feed = PexFeed()
    mine = peer(7).address
    listeners = [Listener(feed, mine), Listener(feed)]
    live: set[int] = set()
    for what, number, who in steps:
        if what == "+":
            feed.joined(peer(number))
            live.add(number)
        elif what == "-":
            feed.left(peer(number).address)
            live.discard(number)
        elif what == ">":
            listeners[who % len(listeners)].told()
        elif len(listeners) < 4:
            listeners.append(Listener(feed))
    for number in range(100, 100 + FEW):
        feed.joined(peer(number))
        live.add(number)
    assert len(feed) == len(live)
    for listener in listeners:
        for _ in range(5):
            listener.told()
        assert listener.believed == where(*live) - ({mine} if listener is listeners[0] else set())
        assert listener.told() == (set(), set())
    assert kept(feed) == 0
