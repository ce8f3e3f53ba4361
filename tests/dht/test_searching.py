"""Look-ups with their questions: what hostile answers do to them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from anabranch.bencode import Value
from anabranch.dht import Announcing, Contact, Looked, Node, Query, read
from anabranch.dht.contacts import pack_address
from anabranch.model import Address
from dht.small_dht import SmallDht, address, answered, contact, drawing

TARGET = b"h" * 20


def packed(*contacts: Contact) -> bytes:
    return b"".join(one.id + pack_address(one.address) for one in contacts)


def searched(answer: Callable[[Query, Address], dict[str, Value] | None], *, announce: bool = False) -> Looked:
    """A look-up whose questions are all answered by *answer*, or not; it begins with two nodes."""
    node = Node(v6=False, draw=drawing(), now=0.0, node_id=b"n" * 20)
    node.add_contacts([contact(1), contact(2)], 0.0)
    results: list[Looked] = []
    node.get_peers(
        TARGET, lambda peers: None, results.append, 0.0, announce=Announcing(7000) if announce else None, scrape=True
    )
    now = 0.0
    while not results:
        for datagram, where in node.outgoing():
            query = read(datagram)
            assert isinstance(query, Query)
            values = answer(query, where)
            if values is not None:
                number = int(where.host.split(".")[0]) % 20 * 256 + int(where.host.split(".")[1])
                node.receive(answered(query.transaction, contact(number).id, **values), where, now)
        now = max(now + 0.01, node.deadline()) if not results else now
        node.tick(now)
        assert now < 1000, "it never ends"
    assert len(results) == 1
    return results[0]


@pytest.mark.parametrize(
    "values",
    [
        {"nodes": 5},
        {"nodes": b"broken"},
        {"nodes": []},
        {"values": b"x", "token": 5},
        {"values": [b"x" * 6] * 100, "nodes": bytes(26 * 30)},
        {"nodes": packed(*(Contact(b"i" * 20, Address("224.0.0.1", 5)) for _ in range(8)))},
        {"token": bytes(500), "nodes": packed(contact(1), contact(2))},
        {"nodes": packed(Contact(b"n" * 20, address(9)))},
    ],
)
def test_answers_that_lead_nowhere_end_a_look_up(values: dict[str, Value]) -> None:
    """Those that answered are what there is; nobody else was asked."""
    result = searched(lambda query, where: values, announce=True)
    assert (result.asked, result.answered, len(result.closest), result.stored) == (2, 2, 2, 0)


def test_no_more_than_eight_of_an_answer_are_heard() -> None:
    """Whoever names many has no more say than others."""
    named = packed(*(contact(number) for number in range(10, 60)))
    asked: list[Address] = []

    def answer(query: Query, where: Address) -> dict[str, Value]:
        asked.append(where)
        return {"nodes": named} if where == address(1) else {}

    searched(answer)
    assert set(asked) <= {address(number) for number in (1, 2, *range(10, 18))}


def test_silence_everywhere_ends_a_look_up() -> None:
    """After the patience of a few questions."""
    result = searched(lambda query, where: None)
    assert (result.asked, result.answered, result.closest) == (2, 0, ())
    assert result.seconds < 20


def test_who_takes_no_announce_is_told_about() -> None:
    """A token that is good for nothing, an answer that never comes."""

    def answer(query: Query, where: Address) -> dict[str, Value] | None:
        if query.method == "announce_peer":
            assert query.arguments[b"token"] == b"tok"
            return {} if where == address(1) else None
        return {"token": b"tok"}

    result = searched(answer, announce=True)
    assert (result.asked, result.answered, result.stored, result.refused) == (4, 3, 1, ())


def test_a_victim_that_liars_name_is_asked_once() -> None:
    """However many ids and ports they make up for it: a look-up is no weapon."""
    dht = SmallDht(12)
    victim = "99.9.9.9"
    lies = packed(*(Contact(drawing(number)(20), Address(victim, 1000 + number)) for number in range(8)))
    result: list[Looked] = []
    seeker = dht.add(100)
    dht.run(30.0)
    seeker.get_peers(TARGET, lambda peers: None, result.append, dht.now)
    sent = []
    for _ in range(200):
        for datagram, where in seeker.outgoing():
            query = read(datagram)
            if isinstance(query, Query) and query.method == "get_peers":
                sent.append(where)
                seeker.receive(answered(query.transaction, dht.nodes[where].id, nodes=lies), where, dht.now) if (
                    where in dht.nodes
                ) else None
        dht.now += 0.1
        seeker.tick(dht.now)
    assert result
    assert sum(where.host == victim for where in sent) <= 8


def test_a_host_that_everybody_knows_is_asked_where_those_of_an_earlier_run_are_all_gone() -> None:
    """However many they are, and however near to us their ids."""
    node = Node(v6=False, draw=drawing(), now=0.0, node_id=b"n" * 20)
    gone = [Contact(b"n" * 18 + number.to_bytes(2, "big"), address(number)) for number in range(300)]
    node.add_contacts(gone, 0.0)
    host = address(1000)
    node.add_contacts([Contact(b"", host)], 0.0)
    node.bootstrap(None, 0.0)
    now, where = 0.0, set[Address]()
    while host not in where:
        where |= {there for _, there in node.outgoing()}
        now = max(now + 0.01, node.deadline())
        node.tick(now)
        assert now < 10
