"""Nodes and strangers: however much they send, and whatever it is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.dht import (
    DhtFault,
    Pong,
    Refusal,
    Samples,
)
from anabranch.dht.krpc import MAX_DATAGRAM
from anabranch.dht.node import MOST_OUTGOING
from anabranch.dht.transactions import MOST_OPEN
from anabranch.model import Address
from dht.small_dht import SmallDht, address, alone, answered, asked, queries, question

TARGET = b"h" * 20


def test_what_waits_to_be_sent_is_bounded() -> None:
    """Nobody drains it; memory stays what it is."""
    node = alone()
    for number in range(MOST_OUTGOING + 500):
        node.receive(question(id=b"a" * 20), Address(f"127.0.{number % 256}.1", 1 + number), 1.0)
    assert len(node.outgoing()) == MOST_OUTGOING
    assert node.stats.dropped["not sent"] == 500


def test_open_questions_are_bounded() -> None:
    """Whoever asks more is told so."""
    node = alone()
    heard: list[Pong | DhtFault] = []
    for number in range(MOST_OPEN + 5):
        node.ping(address(number), heard.append, 0.0)
    node.tick(0.0)
    assert [str(fault) for fault in heard] == ["too many questions are open"] * 5


def test_floods_are_not_looked_at() -> None:
    """Of one host, so many a second; others are answered meanwhile, and answers to our own questions are heard."""
    node = alone()
    for _ in range(1000):
        node.receive(question(), address(1), 1.0)
        node.receive(question(x=b"unusual")[:-1] + b"1:zi0ee", address(1), 1.0)
    assert node.stats.dropped["flood"] > 1800
    assert asked(node, question(), address(2)) is not None
    heard: list[Pong | DhtFault] = []
    node.ping(address(1), heard.append, 1.0)
    [query] = [query for query, where in queries(node) if where == address(1)]
    node.receive(answered(query.transaction, b"t" * 20), address(1), 1.1)
    assert isinstance(heard[0], Pong)


def test_who_was_asked_something_asks_no_more_than_others() -> None:
    """What comes from there is read, it may be the answer; as a query, however it is written, it counts."""
    node = alone()
    node.ping(address(1), lambda pong: None, 1.0)
    for _ in range(1000):
        node.receive(question(x=b"unusual")[:-1] + b"1:zi0ee", address(1), 1.0)
    assert node.stats.dropped["flood"] > 900


def test_what_cannot_be_an_answer_is_counted_before_it_is_read() -> None:
    """To read the largest message takes longer than to answer most; who was asked nothing has nothing to answer."""
    node = alone()
    noise = b"d1:rd2:id20:%b1:xl%bee1:t4:abcd1:y1:re" % (b"t" * 20, b"le" * 500)
    for _ in range(1000):
        node.receive(noise, address(1), 1.0)
    assert node.stats.dropped["flood"] > 950
    assert node.stats.strays == 1000 - node.stats.dropped["flood"]


def test_what_is_no_query_is_told_so_within_the_same_limits() -> None:
    """Nobody is made to shout."""
    node = alone()
    replies = [asked(node, question(id=5), address(1)) for _ in range(200)]
    assert isinstance(replies[0], Refusal)
    assert replies[-1] is None
    assert asked(node, b"x" * (MAX_DATAGRAM + 1), address(2)) is None
    assert node.stats.dropped["malformed"] > 0


def test_a_sample_that_is_none_is_a_fault() -> None:
    """Many nodes do not know BEP 51, and some answer nevertheless."""
    node = alone()
    heard: list[Samples | DhtFault] = []
    for values in ({}, {"samples": b"short"}, {"samples": 5}, {"samples": TARGET, "num": b"", "interval": -5}):
        node.sample(address(1), TARGET, heard.append, 0.0)
        [(query, where)] = queries(node)
        node.receive(answered(query.transaction, b"t" * 20, **values), where, 0.1)
    assert [isinstance(one, DhtFault) for one in heard] == [True, True, True, False]
    assert heard[3] == Samples((TARGET,), 1, 0.0, ())


@settings(max_examples=60)
@given(st.lists(st.tuples(st.binary(max_size=120), st.integers(0, 300), st.integers(0, 255)), max_size=20))
def test_a_node_survives_whatever_is_sent_to_it(changes: list[tuple[bytes, int, int]]) -> None:
    """Noise, and messages of nodes with some bytes changed: nothing is raised, and others are answered."""
    dht = SmallDht(3)
    node = dht.nodes[address(1)]
    said = [datagram for _, to, datagram in dht.sent if to == address(1)][-20:]
    for number, (noise, place, byte) in enumerate(changes):
        node.receive(noise, address(100 + number), dht.now)
        mutated = bytearray(said[number % len(said)])
        mutated[place % len(mutated)] = byte
        node.receive(bytes(mutated), address(number % 4), dht.now)
        node.tick(dht.now)
    assert asked(node, question(), address(5000), dht.now) is not None
