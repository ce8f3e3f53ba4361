"""What a node asks though nobody looks for anything."""

from __future__ import annotations

from math import inf

import pytest

from anabranch.dht import Contact, Query, read
from anabranch.dht.krpc import query_head
from anabranch.dht.stats import NodeStats
from anabranch.dht.table import FRESH, REFRESH, RETRY, Table
from anabranch.dht.transactions import Questions
from anabranch.dht.upkeep import (
    CANDIDATE_PAUSE,
    FAR_PAUSE,
    MOST_CANDIDATES,
    MOST_UNCALLED,
    OWN_PAUSES,
    STRANGER_PAUSE,
    Upkeep,
)
from anabranch.model import Address
from dht.small_dht import address, answered, contact, drawing

OWN = bytes(20)


class Keeping:
    """An upkeep, and what it asks."""

    def __init__(self) -> None:
        self.sent: list[tuple[Query, Address]] = []
        self.table = Table(OWN)
        self.questions = Questions(drawing(), self._send, NodeStats())
        self.upkeep = Upkeep(self.table, self.questions, draw=drawing(), v6=False, read_only=False)

    def run(self, start: float, end: float) -> list[float]:
        """Tick whenever it is due; when something was asked."""
        times = []
        now = start
        while now <= end:
            before = len(self.sent)
            self.upkeep.tick(now)
            times += [now] * (len(self.sent) - before)
            due = self.upkeep.deadline()
            assert due > now, "it would never rest"
            now = due
        return times

    def answer(self, node_id: bytes, *named: Contact, now: float) -> None:
        """The last who was asked answers."""
        query, source = self.sent[-1]
        nodes = b"".join(one.id + bytes(map(int, one.address.host.split("."))) + b"\x1a\xe1" for one in named)
        message = read(answered(query.transaction, node_id, nodes=nodes))
        assert not isinstance(message, Query)
        found = self.questions.receive(message, source, now)
        assert found is not None
        found[0].heard(found[1], now)

    def _send(self, datagram: bytes, where: Address) -> None:
        query = read(datagram)
        assert isinstance(query, Query)
        self.sent.append((query, where))


def test_strangers_who_ask_us_are_tried_some_per_second() -> None:
    """Who answers gets a place; a flood of queries does not make us flood anybody."""
    keeping = Keeping()
    for number in range(1000):
        keeping.upkeep.asked_us(contact(number).id, address(number), 0.0)
    assert keeping.upkeep.candidates == MOST_UNCALLED
    assert keeping.run(0.0, 1.0) == [step * CANDIDATE_PAUSE for step in range(5)]
    assert {query.method for query, _ in keeping.sent} == {"ping"}


def test_a_stranger_is_tried_once_in_a_while() -> None:
    """Somebody else may ask in his name, again and again, from ever new ports."""
    keeping = Keeping()
    one = contact(1)
    assert keeping.upkeep.asked_us(one.id, one.address, 0.0)
    keeping.run(0.0, 1.0)
    for port in range(1, 100):
        assert not keeping.upkeep.asked_us(one.id, address(1, port), STRANGER_PAUSE - 1)
    assert keeping.upkeep.asked_us(one.id, one.address, STRANGER_PAUSE)


def test_who_knows_enough_tries_few_strangers_that_are_far() -> None:
    """Others hear more of us that way: what is spent on a ping is left out of an answer."""
    keeping = Keeping()
    for number in range(60):
        keeping.table.answered(contact(number), 0.0)
    far, near = Contact(b"\xff" * 20, address(100)), Contact(b"\0\1" * 10, address(101))
    assert keeping.upkeep.asked_us(far.id, far.address, 1.0)
    assert not keeping.upkeep.asked_us(b"\xee" * 20, address(102), 1.1)
    assert keeping.upkeep.asked_us(near.id, near.address, 1.1)
    assert keeping.upkeep.asked_us(b"\xee" * 20, address(102), 1.0 + FAR_PAUSE)


def test_who_is_named_is_tried_if_the_table_has_a_place_for_it() -> None:
    """Not who is there, nor our own id, nor another family's."""
    keeping = Keeping()
    keeping.table.answered(contact(1), 0.0)
    keeping.upkeep.named([contact(1), Contact(OWN, address(2)), contact(3)], 0.0)
    keeping.upkeep.named([Contact(b"", address(1, 7)), Contact(b"", Address("2001:db8::1", 1))], 0.0)
    keeping.upkeep.named([contact(number) for number in range(10, 1000)], 0.0)
    assert keeping.upkeep.candidates <= MOST_CANDIDATES
    keeping.run(0.0, 0.3)
    assert [where for _, where in keeping.sent] == [address(3), address(10)]


def test_who_was_silent_for_long_is_asked_for_nodes_of_its_own_bucket() -> None:
    """What shows that it is there finds others as well; they are tried in their turn."""
    keeping = Keeping()
    one = contact(1)
    keeping.table.answered(one, 0.0)
    assert keeping.run(0.0, REFRESH - 1) == []
    assert keeping.run(REFRESH, REFRESH + 5) == [REFRESH]
    query, where = keeping.sent[-1]
    assert where == one.address
    target = query.arguments[b"target"]
    assert isinstance(target, bytes)
    shared = 160 - int.from_bytes(one.id, "big").bit_length()
    assert 160 - int.from_bytes(target, "big").bit_length() == shared
    keeping.answer(one.id, contact(2), contact(3), now=REFRESH + 1)
    assert keeping.upkeep.candidates == 2


def test_who_answers_as_somebody_else_than_was_named_is_not_listened_to() -> None:
    """Liars name each other under ids near to ours: each answer would lead to eight more of them, without end."""
    keeping = Keeping()
    keeping.upkeep.named([contact(1)], 0.0)
    keeping.run(0.0, 0.0)
    keeping.answer(b"l" * 20, contact(2), contact(3), now=0.1)
    assert keeping.upkeep.candidates == 0


def test_a_table_of_many_is_asked_bit_by_bit_and_all_of_it_stays_good() -> None:
    """Nobody has been silent for so long that others would not be sent to it."""
    keeping = Keeping()
    for number in range(400):
        keeping.table.answered(contact(number), 0.0)
    times = keeping.run(0.0, FRESH)
    assert len(times) >= min(len(keeping.table), FRESH - REFRESH - 1)
    assert len(times) == len(set(times))


def test_who_failed_once_is_asked_again_before_long() -> None:
    """The datagram may have been lost, or the node."""
    keeping = Keeping()
    keeping.table.answered(contact(1), 0.0)
    keeping.run(0.0, 0.0)
    keeping.table.failed(address(1), 10.0)
    keeping.upkeep.changed(10.0)
    [asked] = keeping.run(11.0, 10.0 + RETRY + 2)
    assert asked == pytest.approx(10.0 + RETRY, abs=1.5)


def test_we_look_for_ourselves_sooner_while_few_are_known() -> None:
    """With growing pauses; not at all where there is nobody to ask."""
    keeping = Keeping()
    keeping.upkeep.tick(0.0)
    assert keeping.upkeep.deadline() == inf
    keeping.upkeep.poor(0.0)
    now, pauses = 0.0, []
    for _ in range(12):
        assert not keeping.upkeep.own_lookup(keeping.upkeep.deadline() - 0.1)
        pauses.append(keeping.upkeep.deadline() - now)
        now = keeping.upkeep.deadline()
        assert keeping.upkeep.own_lookup(now)
    assert pauses[:4] == [OWN_PAUSES[0], 2 * OWN_PAUSES[0], 4 * OWN_PAUSES[0], 8 * OWN_PAUSES[0]]
    assert pauses[-1] == OWN_PAUSES[1]
    for number in range(8):
        keeping.table.answered(contact(number), now)
    keeping.upkeep.own_looked(now)
    keeping.upkeep.poor(now)
    assert not keeping.upkeep.own_lookup(now + OWN_PAUSES[1] - 1)
    assert keeping.upkeep.own_lookup(now + OWN_PAUSES[1])


def test_where_too_many_questions_are_open_the_upkeep_waits() -> None:
    """It has time."""
    keeping = Keeping()
    head = query_head("ping", {b"id": OWN})
    for _ in range(48):
        keeping.questions.ask(address(1), head, lambda outcome, now: None, 0.0)
    keeping.sent.clear()
    keeping.upkeep.named([Contact(b"", address(1))], 0.0)
    assert keeping.run(0.0, 1.0) == []
