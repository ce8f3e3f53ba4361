"""Whole nodes: what they do with each other, and with whoever sends them something."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest

from anabranch.bencode import encode
from anabranch.dht import (
    Announcing,
    Contact,
    DhtFault,
    Item,
    Looked,
    Node,
    Pong,
    Reply,
    Samples,
    is_secure,
    sign,
)
from anabranch.dht.contacts import pack_address
from anabranch.dht.table import NEAREST, REFRESH, RETRY
from anabranch.dht.transactions import PATIENCE
from anabranch.model import Address
from dht.small_dht import LATENCY, SmallDht, address, alone, answered, asked, contact, drawing, queries, question

TARGET = b"h" * 20


def looked_up(dht: SmallDht, results: list[Looked]) -> Looked:
    dht.run(60.0, until=lambda: bool(results))
    [result] = results
    return result


def test_nodes_that_know_one_another_through_one_find_all() -> None:
    """Each knows most of the others, and all of those near to itself."""
    dht = SmallDht(20)
    assert all(len(node.table) >= 8 for node in dht.nodes.values())
    results: list[Looked] = []
    dht.nodes[address(7)].find_node(dht.nodes[address(3)].id, results.append, dht.now)
    closest = looked_up(dht, results).closest
    assert closest[0] == Contact(dht.nodes[address(3)].id, address(3))
    assert len(closest) == 8


def test_who_announces_itself_is_found_by_who_looks() -> None:
    """Peers are told as they come, and once more at the end."""
    dht = SmallDht(20)
    announced: list[Looked] = []
    announcing = Announcing(7000, implied=False, seed=True)
    dht.nodes[address(2)].get_peers(TARGET, lambda peers: None, announced.append, dht.now, announce=announcing)
    result = looked_up(dht, announced)
    assert (result.stored, result.refused, result.peers) == (8, (), ())
    heard: list[Address] = []
    found: list[Looked] = []
    dht.nodes[address(9)].get_peers(TARGET, heard.extend, found.append, dht.now, scrape=True)
    result = looked_up(dht, found)
    assert result.peers == tuple(heard) == (Address(address(2).host, 7000),)
    assert (result.seeds, result.leechers) == (1, 0)
    assert result.seconds >= LATENCY


def test_items_of_both_kinds_are_put_and_got() -> None:
    """BEP 44: the newer one replaces the older; the older is refused; only what is meant is replaced."""
    dht = SmallDht(20)
    first, second = sign(b"first", b"s" * 32, b"", 1), sign(b"second", b"s" * 32, b"", 2)
    for item in (Item([1, b"two"]), first, second):
        put: list[Looked] = []
        dht.nodes[address(2)].put(item, put.append, dht.now)
        assert looked_up(dht, put).stored == 8
        got: list[Looked] = []
        dht.nodes[address(11)].get(item.target, got.append, dht.now)
        assert looked_up(dht, got).item == item
    put = []
    dht.nodes[address(2)].put(first, put.append, dht.now)
    result = looked_up(dht, put)
    assert result.stored == 0
    assert len(result.refused) == 8
    assert "302" in result.refused[0]
    third = sign(b"third", b"s" * 32, b"", 3)
    for cas, stored in ((1, 0), (2, 8)):
        put = []
        dht.nodes[address(2)].put(third, put.append, dht.now, cas=cas)
        assert looked_up(dht, put).stored == stored


def test_what_our_own_node_keeps_is_found_too() -> None:
    """In a small DHT it may be the only one that does."""
    node = alone()
    node.peers.announce(TARGET, address(5), False, 0.0)
    item = sign(b"x", b"s" * 32, b"", 1)
    node.items.put(item, "1.2.3.4", 0.0)
    results: list[Looked] = []
    node.get_peers(TARGET, lambda peers: None, results.append, 0.0)
    node.get(item.target, results.append, 0.0)
    node.get(item.target, results.append, 0.0, sequence=1)
    assert results == []
    node.tick(0.0)
    assert [result.peers for result in results] == [(address(5),), (), ()]
    assert [result.item for result in results] == [None, item, None]


def test_one_node_is_asked_one_thing() -> None:
    """A ping, a sample, any query."""
    dht = SmallDht(3)
    dht.nodes[address(1)].peers.announce(TARGET, address(1), False, dht.now)
    heard: list[object] = []
    asker = dht.nodes[address(2)]
    asker.ping(address(1), heard.append, dht.now)
    asker.sample(address(1), TARGET, heard.append, dht.now)
    asker.query(address(1), "find_node", {b"target": TARGET}, heard.append, dht.now)
    asker.query(address(1), "vote", {}, heard.append, dht.now)
    dht.run(5.0)
    pong, samples, reply, refused = heard
    assert isinstance(pong, Pong)
    assert (pong.id, pong.address, pong.external) == (dht.nodes[address(1)].id, address(1), address(2).host)
    assert pong.seconds == pytest.approx(2 * LATENCY)
    assert isinstance(samples, Samples)
    assert (samples.hashes, samples.total) == ((TARGET,), 1)
    assert isinstance(reply, Reply)
    assert b"nodes" in reply.values
    assert isinstance(refused, DhtFault)
    assert refused.code == 204


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        (Address("1.2.3.4", 0), "no port: 0"),
        (Address("224.0.0.1", 5), "a multicast address"),
        (Address("2001:db8::1", 5), "it is of another family"),
    ],
)
def test_nobody_is_asked_where_nobody_can_be(where: Address, reason: str) -> None:
    """Not a datagram; the fault comes with the next tick, as all outcomes do."""
    node = alone()
    heard: list[Pong | DhtFault] = []
    node.ping(where, heard.append, 0.0)
    assert heard == []
    assert node.deadline() == -inf
    node.tick(0.0)
    assert str(heard[0]) == f"{where} cannot be asked: {reason}"
    node.add_node(where, 0.0)
    node.add_contacts([Contact(b"i" * 20, where)], 0.0)
    node.tick(100.0)
    assert node.outgoing() == []


def test_a_question_that_is_not_answered_has_an_end() -> None:
    """It says how long was waited for what."""
    node = alone()
    heard: list[Pong | DhtFault] = []
    node.ping(address(1), heard.append, 0.0)
    node.tick(PATIENCE - 0.1)
    assert heard == []
    node.tick(PATIENCE)
    assert str(heard[0]) == f"no answer from {address(1)} in 6 s"


def test_word_that_nobody_is_there_ends_a_question_at_once() -> None:
    """The system knows before the time is over."""
    node = alone()
    heard: list[Pong | DhtFault] = []
    node.ping(address(1), heard.append, 0.0)
    [(datagram, where)] = node.outgoing()
    node.lost(datagram, where, 0.1)
    node.lost(b"", where, 0.1)
    assert str(heard[0]) == f"nobody is at {address(1)}"


def test_what_is_cancelled_ends_at_once_and_once() -> None:
    """With what was found by then."""
    node = alone()
    faults: list[Pong | DhtFault] = []
    results: list[Looked] = []
    node.add_contacts([contact(1)], 0.0)
    for operation in (
        node.ping(address(1), faults.append, 0.0),
        node.ping(Address("1.2.3.4", 0), faults.append, 0.0),
        node.find_node(TARGET, results.append, 0.0),
    ):
        operation.cancel(1.0)
        operation.cancel(1.0)
    node.tick(100.0)
    assert [str(fault) for fault in faults] == ["cancelled", "cancelled"]
    assert [(result.asked, result.seconds) for result in results] == [(1, 1.0)]


def test_look_ups_beyond_a_number_wait_and_all_come_to_an_end() -> None:
    """However many torrents there are, few questions are open."""
    dht = SmallDht(12)
    results: list[Looked] = []
    node = dht.nodes[address(5)]
    for number in range(300):
        node.find_node(bytes([number % 256]) * 20, results.append, dht.now)
    waiting = [node.find_node(TARGET, results.append, dht.now) for _ in range(10)]
    assert len(queries(node)) <= 200
    for operation in waiting:
        operation.cancel(dht.now)
    assert len(results) == 10
    dht.run(600.0, until=lambda: len(results) == 310)
    assert len(results) == 310


def test_a_node_enters_the_table_when_it_has_answered() -> None:
    """Not because it asks, or is named: anybody can do that in anybody's name."""
    node = alone()
    asked(node, question("ping", id=b"a" * 20), address(1))
    node.add_contacts([contact(2)], 1.0)
    assert len(node.table) == 0
    node.tick(2.0)
    for query, where in queries(node):
        node.receive(answered(query.transaction, b"a" * 20), where, 2.0)
    assert address(1) in node.table


def knowing(number: int) -> Node:
    """A node that so many others have answered."""
    node = alone()
    for other in range(100, 100 + number):
        node.table.answered(contact(other), 0.0)
    return node


def test_who_answers_as_somebody_else_than_was_named_does_not_enter_the_table() -> None:
    """Liars name each other under ids that we would want, and would be asked first in every look-up."""
    node = knowing(NEAREST)
    node.find_node(TARGET, lambda looked: None, 0.0)
    near = Contact(TARGET[:19] + b"x", address(1))
    named = near.id + pack_address(near.address)
    ids = {one.address: one.id for one in node.table.contacts()}
    for query, where in queries(node):
        node.receive(answered(query.transaction, ids[where], nodes=named), where, 0.1)
    [transaction] = [query.transaction for query, where in queries(node) if where == near.address]
    node.receive(answered(transaction, b"l" * 20), near.address, 0.2)
    assert near.address not in node.table
    queries(node)
    node.ping(near.address, lambda pong: None, 0.3)
    [(query, _)] = queries(node)
    node.receive(answered(query.transaction, b"l" * 20), near.address, 0.4)
    assert near.address in node.table, "it was asked for its own sake"


def test_who_knows_few_takes_whoever_answers() -> None:
    """Of those of an earlier run some have other ids by now, and may be all there is."""
    node = alone()
    node.add_contacts([contact(1)], 0.0)
    node.bootstrap(None, 0.0)
    [(query, where), *_] = queries(node)
    node.receive(answered(query.transaction, b"o" * 20), where, 0.1)
    assert address(1) in node.table


def test_who_only_ever_refuses_leaves_the_table() -> None:
    """It is no use to anybody who would be sent there; a refusal now and then is nothing."""
    node = knowing(1)
    refusals = 0
    for now in (10.0, REFRESH, REFRESH + RETRY):
        assert address(100) in node.table
        node.ping(address(100), lambda pong: None, now)
        for query, where in queries(node):
            node.receive(encode({"e": [202, "no"], "t": query.transaction, "y": "e"}), where, now + 0.1)
            refusals += 1
    assert address(100) not in node.table
    assert refusals == 3


def test_a_node_that_answers_nobody_never_enters_the_table() -> None:
    """BEP 43: neither as one who asks, nor does it answer itself."""
    node = alone()
    asking = encode({"a": {"id": b"a" * 20}, "q": "ping", "ro": 1, "t": b"aa", "y": "q"})
    assert asked(node, asking, address(1)) is not None
    node.tick(10.0)
    assert queries(node) == []
    silent = alone(read_only=True)
    assert asked(silent, question(), address(1)) is None
    assert asked(silent, question(id=5), address(1)) is None
    silent.find_node(TARGET, lambda looked: None, 0.0)
    silent.ping(address(1), lambda pong: None, 0.0)
    assert all(query.read_only for query, _ in queries(silent))


def test_an_answer_counts_only_from_who_was_asked() -> None:
    """Another address, another transaction id, an answer to nothing: counted and passed over."""
    node = alone()
    heard: list[Pong | DhtFault] = []
    node.ping(address(1), heard.append, 0.0)
    [(query, _)] = queries(node)
    node.receive(answered(query.transaction, b"t" * 20), address(2), 0.1)
    node.receive(answered(query.transaction, b"t" * 20), address(1, 7), 0.1)
    node.receive(answered(b"zzzz", b"t" * 20), address(1), 0.1)
    assert (heard, len(node.table), node.stats.strays) == ([], 0, 3)
    node.receive(answered(query.transaction, b"t" * 20), address(1), 0.1)
    assert (len(heard), len(node.table)) == (1, 1)


def test_who_answers_with_our_id_is_nobody() -> None:
    """It is ourselves, by another way."""
    node = alone()
    heard: list[Pong | DhtFault] = []
    node.ping(address(1), heard.append, 0.0)
    [(query, _)] = queries(node)
    node.receive(answered(query.transaction, node.id), address(1), 0.1)
    assert isinstance(heard[0], DhtFault)
    assert len(node.table) == 0


def test_our_id_fits_our_address_when_enough_nodes_have_said_which_it_is() -> None:
    """BEP 42; one liar, or many of one network, do not make us move."""
    node = alone()
    ours = "203.0.113.9"
    for number in range(20):
        if number == 4:
            assert node.host == ""
            assert node.id == b"n" * 20
        node.ping(address(number), lambda pong: None, 0.0)
        for query, where in queries(node):
            told = pack_address(Address(ours, 5))
            node.receive(answered(query.transaction, contact(int(where.host.split(".")[1])).id, told), where, 0.1)
    assert node.host == ours
    assert is_secure(node.id, ours)
    assert len(node.table) == 20
    assert node.saved() == (node.id, tuple(node.table.contacts()))
    before = node.id
    for number in range(40):
        node.external("198.51.100.1", f"99.1.1.{number}", 1.0)
        node.external("2001:db8::1", address(number).host, 1.0)
    assert node.id == before


def test_nodes_of_the_other_family_are_for_the_node_of_that_family() -> None:
    """BEP 32: one family's DHT leads into the other's, as long as that knows too few."""
    four, six = alone(), alone(v6=True)
    four.siblings.append(six)
    six.siblings.append(four)
    four.add_contacts([contact(1)], 0.0)
    four.find_node(TARGET, lambda looked: None, 0.0)
    [(query, where)] = queries(four)
    assert query.arguments[b"want"] == [b"n4", b"n6"]
    there = Contact(b"6" * 20, Address("2001:db8::6", 6881))
    nodes6 = there.id + pack_address(there.address)
    four.receive(answered(query.transaction, contact(1).id, nodes6=nodes6), where, 0.1)
    six.tick(30.0)
    assert {where for _, where in queries(six)} == {there.address}


def test_banned_hosts_are_neither_asked_nor_answered() -> None:
    """Nor is anybody at port 0."""
    node = Node(v6=False, draw=drawing(), now=0.0, banned=lambda host: host == address(1).host)
    assert asked(node, question(), address(1)) is None
    assert asked(node, question(), address(2, 0)) is None
    heard: list[Pong | DhtFault] = []
    node.ping(address(1), heard.append, 0.0)
    node.add_contacts([contact(1)], 0.0)
    node.find_node(TARGET, lambda looked: None, 0.0)
    node.tick(30.0)
    assert queries(node) == []
    assert "banned" in str(heard[0])


def test_a_lonely_node_asks_those_it_started_from_again() -> None:
    """Its line may have been broken; with growing pauses, and for good."""
    node = alone()
    node.add_contacts([Contact(b"", address(1))], 0.0)
    now, times = 0.0, []
    while now < 3600.0:
        now = max(now, node.deadline())
        node.tick(now)
        times += [now for _ in queries(node)]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert 5 <= len(times) <= 20
    assert pauses[-1] > pauses[0]


def test_who_was_lost_with_everybody_else_is_not_forgotten() -> None:
    """When the line comes back the table is empty, and those who were in it are asked; nobody asks us first."""
    dht = SmallDht(4)
    node = dht.nodes[address(3)]
    others = {where: dht.nodes.pop(where) for where in (address(0), address(1), address(2))}
    dht.run(7200.0)
    assert len(node.table) == 0
    for where, former in others.items():
        dht.nodes[where] = Node(v6=False, draw=dht.draw, now=dht.now, node_id=former.id)
    dht.run(2000.0)
    assert len(node.table) == 3


def test_whoever_comes_back_after_a_month_finds_the_way_in() -> None:
    """Hundreds who were known are gone; one host that has an address only is there."""
    dht = SmallDht(10)
    gone = [contact(1000 + number) for number in range(400)]
    node = dht.nodes[address(500)] = Node(v6=False, draw=dht.draw, now=dht.now, contacts=gone)
    node.add_contacts([Contact(b"", address(0))], dht.now)
    node.bootstrap(None, dht.now)
    dht.run(60.0)
    assert len(node.table) >= 8


def test_a_quiet_node_sends_little_and_rests() -> None:
    """What it knows is kept true, by some questions a minute."""
    dht = SmallDht(30)
    dht.run(1800.0)
    before = len(dht.sent)
    dht.run(3600.0)
    per_minute = (len(dht.sent) - before) / 30 / 60
    assert per_minute < 2 * 2 * 30 / 13  # 30 nodes, each asked every 13 minutes and answering, and room for as much
    assert all(node.table.good(dht.now) == len(node.table) for node in dht.nodes.values())
