"""The routing table: who gets a place, who keeps it, who is told to others."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.dht import Contact, Table, node_id_for
from anabranch.dht.table import FRESH, NEAREST, REFRESH, RETRY
from anabranch.model import Address
from dht.small_dht import address, contact, host

OWN = bytes(20)


def near(shared: int, number: int) -> Contact:
    """A node whose id shares so many first bits with ours, and does not fit its address."""
    bits = 1 << 159 - shared | Random(number).getrandbits(159 - shared)
    return Contact(bits.to_bytes(20, "big"), address(number))


def far(number: int) -> Contact:
    """A node of the first bucket whose id fits its address."""
    random = Random(number)
    while True:
        node_id = node_id_for(host(number), random.randbytes(20))
        if node_id[0] >= 128:
            return Contact(node_id, address(number))


def filled(shared: int, count: int, now: float = 0.0) -> Table:
    table = Table(OWN)
    for number in range(count):
        table.answered(near(shared, number), now)
    return table


@pytest.mark.parametrize(("shared", "width"), [(0, 128), (1, 64), (2, 32), (3, 16), (4, 8), (30, 8)])
def test_the_first_buckets_are_wider_than_those_near_to_us(shared: int, width: int) -> None:
    """Eight of each are needed; more that are far away shorten the way to them."""
    assert len(filled(shared, 200)) == width


def test_a_good_node_does_not_give_way_to_a_newer_one() -> None:
    """Nodes that have been there for long stay for long, and an attacker's are all new."""
    table = filled(4, 8)
    table.answered(near(4, 100), 100.0)
    assert [entry.contact for entry in table.entries()] == [near(4, number) for number in range(8)]


def test_a_node_whose_id_fits_takes_the_place_of_one_whose_does_not() -> None:
    """BEP 42: such an id cannot be chosen."""
    table = filled(0, 128)
    table.answered(far(500), 1.0)
    assert len(table) == 128
    assert far(500).address in table
    for number in range(1000, 1200):
        table.answered(near(0, number), 2.0)
    assert far(500).address in table


def test_a_node_that_does_not_answer_twice_gives_way_to_who_waits() -> None:
    """The one that waits answered lately."""
    table = filled(4, 9)
    assert near(4, 8).address not in table
    assert table.failed(address(0), 10.0) is None
    assert address(0) in table
    assert table.failed(address(0), 80.0) == near(4, 0)
    assert address(0) not in table
    assert near(4, 8).address in table
    assert len(table) == 8


def test_who_waited_for_too_long_is_not_believed_to_be_there() -> None:
    """He may be gone as well."""
    table = filled(4, 9)
    for now in (FRESH + 1, FRESH + 2):
        table.failed(address(0), now)
    assert len(table) == 7


def test_a_node_that_failed_once_is_told_to_nobody_until_it_answers() -> None:
    """Nobody shall be sent to the dead."""
    table = filled(4, 8)
    table.failed(address(3), 1.0)
    assert len(table.nearest(OWN)) == 7
    assert len(table.contacts()) == 7
    table.answered(near(4, 3), 2.0)
    assert len(table.nearest(OWN)) == 8


def test_a_new_node_takes_the_place_of_one_that_failed() -> None:
    """Who is there is worth more than who may be gone."""
    table = filled(4, 8)
    table.failed(address(3), 1.0)
    table.answered(near(4, 100), 2.0)
    assert address(3) not in table
    assert near(4, 100).address in table


def test_one_network_has_one_place() -> None:
    """A /24 costs little; all its addresses are one voice."""
    table = Table(OWN)
    for last in range(1, 200):
        table.answered(Contact(Random(last).randbytes(20), Address(f"1.2.3.{last}", 6881)), 0.0)
    assert len(table) == 1


def test_at_home_each_address_has_a_place() -> None:
    """Programs of one machine, and of one house, are nodes of their own."""
    table = Table(OWN)
    for port in range(1, 50):
        table.answered(Contact(Random(port).randbytes(20), Address("127.0.0.1", port)), 0.0)
    assert len(table) > 40


def test_an_address_with_another_id_loses_its_place() -> None:
    """Somebody plays several nodes; or he began anew, and may come back with the next answer."""
    table = Table(OWN)
    assert table.answered(contact(1), 0.0)
    assert not table.answered(contact(1, b"x" * 20), 1.0)
    assert len(table) == 0
    assert table.answered(contact(1, b"x" * 20), 2.0)
    assert len(table) == 1


def test_nobody_gets_a_place_with_our_id_or_with_another_nodes() -> None:
    """The first has it."""
    table = Table(OWN)
    table.answered(Contact(OWN, address(1)), 0.0)
    assert len(table) == 0
    table.answered(contact(2, b"x" * 20), 0.0)
    table.answered(contact(3, b"x" * 20), 0.0)
    assert [entry.contact.address for entry in table.entries()] == [address(2)]


def test_only_who_would_get_a_place_is_wanted() -> None:
    """Nobody else is worth a question."""
    table = filled(4, 8)
    assert not table.wants(near(4, 100), 1.0)
    assert table.wants(near(5, 100), 1.0)
    assert not table.wants(Contact(near(5, 7).id, Address(host(1), 1)), 1.0), "its network has a place"
    assert not table.wants(near(4, 1), 1.0), "it is there"
    assert not table.wants(Contact(OWN, address(100)), 1.0)
    assert table.wants(near(4, 100), FRESH + 1), "somebody may be gone"
    assert not table.room_for(address(1))
    assert table.room_for(address(100))


def test_the_silent_are_due_after_a_while_and_who_failed_sooner() -> None:
    """Who answers need not be asked."""
    table = filled(4, 3)
    table.answered(near(4, 0), 50.0)
    stalest = table.stalest()
    assert stalest is not None
    assert stalest.due() == REFRESH
    assert stalest.contact != near(4, 0)
    table.failed(address(0), 60.0)
    failed = table.stalest()
    assert failed is not None
    assert (failed.contact, failed.due()) == (near(4, 0), 60.0 + RETRY)


def test_with_another_id_all_get_their_places_anew() -> None:
    """What was near is far, and there are fewer places for it."""
    table = filled(0, 128)
    table.move(b"\xff" * 20)
    assert table.own_id == b"\xff" * 20
    assert 8 < len(table) < 128
    assert len(table.nearest(OWN)) == 8


def test_the_place_of_who_has_another_id_now_goes_to_who_waits_for_it() -> None:
    """He may come back with it, and wait."""
    table = filled(4, 9)
    assert near(4, 8).address not in table
    assert not table.answered(Contact(b"\x0f" * 20, near(4, 0).address), 1.0)
    assert near(4, 0).address not in table
    assert near(4, 8).address in table


def test_who_has_not_answered_for_long_is_silent() -> None:
    """Only who is there can be."""
    table = filled(4, 1)
    assert not table.silent(address(0), REFRESH - 1)
    assert table.silent(address(0), REFRESH)
    assert not table.silent(address(1), REFRESH)


@given(st.lists(st.integers(0, 3), max_size=400), st.binary(min_size=20, max_size=20), st.integers(0, 2**32))
def test_the_nearest_are_those_of_a_sorted_list(ops: list[int], target: bytes, seed: int) -> None:
    """Found by a short way; the long one is the oracle. Whatever came before, the table agrees with itself."""
    table = Table(OWN)
    random = Random(seed)
    known: list[Contact] = []
    for step, op in enumerate(ops):
        one = random.choice(known) if op == 3 and known else contact(step)
        if op:
            table.answered(one, float(step))
            known.append(one)
        elif known:
            table.failed(random.choice(known).address, float(step))
    told = table.contacts()
    wanted = int.from_bytes(target, "big")
    told.sort(key=lambda one: int.from_bytes(one.id, "big") ^ wanted)
    assert [packed[:20] for packed in table.nearest(target)] == [one.id for one in told[:NEAREST]]
    assert len(list(table.entries())) == len(table)
    for entry in list(table.entries()):
        table.failed(entry.contact.address, inf)
        table.failed(entry.contact.address, inf)
    assert len(table) == 0
    assert table.nearest(target) == []
    assert table.stalest() is None
