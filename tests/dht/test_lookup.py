"""The way to a target: who is asked, in which order, and when it ends. Without messages."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from anabranch.dht import Contact, node_id_for
from anabranch.dht.lookup import FRESH, MOST_INSECURE, WIDTH, Hop, Lookup
from anabranch.dht.table import NEAREST
from anabranch.model import Address
from dht.small_dht import address, contact, host

TARGET, OWN = bytes(20), b"\xff" * 20


def at(distance: int, number: int | None = None) -> Contact:
    """A node so far from the target, at an address of its own; its id does not fit it."""
    return Contact(distance.to_bytes(20, "big"), address(distance % 50_000 if number is None else number))


def looking(*contacts: Contact) -> Lookup:
    lookup = Lookup(TARGET, OWN)
    lookup.add(contacts)
    return lookup


def asked(lookup: Lookup) -> list[Hop]:
    """All who are to be asked now."""
    return list(iter(lookup.next, None))


def contacts(hops: Iterable[Hop]) -> list[Contact]:
    return [hop.contact for hop in hops]


def answer(lookup: Lookup, hop: Hop, *named: Contact) -> None:
    lookup.heard(hop, hop.contact, named)


def run(lookup: Lookup, named: Iterable[Contact] = ()) -> list[Contact]:
    """Have everybody answer, with the same nodes; who was asked."""
    every = []
    while hops := asked(lookup):
        for hop in hops:
            every.append(hop.contact)
            answer(lookup, hop, *named)
    return every


def test_the_nearest_are_asked_first_and_so_many_at_once() -> None:
    """More when one of them answers."""
    lookup = looking(*(at(distance) for distance in range(20, 0, -1)))
    first = asked(lookup)
    assert contacts(first) == [at(distance) for distance in range(1, WIDTH + 1)]
    answer(lookup, first[1])
    assert contacts(asked(lookup)) == [at(WIDTH + 1)]


def test_it_ends_when_the_eight_nearest_have_answered() -> None:
    """Those that are farther are not asked."""
    lookup = looking(*(at(distance) for distance in range(1, 21)))
    assert run(lookup) == [at(distance) for distance in range(1, NEAREST + 1)]
    assert lookup.done
    assert contacts(lookup.closest()) == [at(distance) for distance in range(1, NEAREST + 1)]
    assert (lookup.asked, lookup.answered) == (NEAREST, NEAREST)


def test_who_is_named_and_nearer_is_asked() -> None:
    """Step by step."""
    lookup = looking(at(1000))
    [hop] = asked(lookup)
    answer(lookup, hop, *(at(distance) for distance in range(100, 108)))
    assert not lookup.done
    assert contacts(asked(lookup)) == [at(distance) for distance in range(100, 104)]


def test_without_anybody_it_has_ended() -> None:
    """Nobody to ask, nobody to wait for."""
    assert looking().done
    assert looking().closest() == []


def test_somebody_else_is_asked_in_the_place_of_who_is_slow() -> None:
    """And when he answers after all, he counts."""
    lookup = looking(*(at(distance) for distance in range(1, 21)))
    first = asked(lookup)
    lookup.slow(first[0])
    assert contacts(asked(lookup)) == [at(5)]
    answer(lookup, first[0])
    run(lookup)
    for hop in first[1:]:
        answer(lookup, hop)
    run(lookup)
    assert at(1) in contacts(lookup.closest())


def test_the_slow_are_not_waited_for_where_eight_others_have_answered() -> None:
    """A look-up takes as long as most nodes do, not as long as the slowest."""
    lookup = looking(*(at(distance) for distance in range(1, 21)))
    slow = asked(lookup)[0]
    lookup.slow(slow)
    for hop in [hop for hop in lookup._hops if hop.stage == 1]:
        answer(lookup, hop)
    run(lookup)
    assert lookup.done
    assert contacts(lookup.closest()) == [at(distance) for distance in range(2, 10)]


def test_the_slow_are_waited_for_where_they_are_all_there_is() -> None:
    """A few slow nodes are better than none."""
    lookup = looking(at(1), at(2))
    hops = asked(lookup)
    for hop in hops:
        lookup.slow(hop)
    assert not lookup.done
    answer(lookup, hops[0])
    assert not lookup.done
    lookup.failed(hops[1])
    assert lookup.done
    assert contacts(lookup.closest()) == [at(1)]


def test_who_is_gone_is_not_asked_again() -> None:
    """Though others go on naming him."""
    lookup = looking(at(1), at(2))
    gone, other = asked(lookup)
    lookup.failed(gone)
    answer(lookup, other, at(1))
    assert asked(lookup) == []
    assert lookup.done


def test_one_network_is_asked_once() -> None:
    """A host with a thousand ports and ids, or a network full of them, does not fill the list."""
    sybils = [
        Contact(number.to_bytes(20, "big"), Address(f"99.1.1.{number % 250}", 1000 + number))
        for number in range(1, 500)
    ]
    lookup = looking(at(100_000, 1))
    [liar] = asked(lookup)
    answer(lookup, liar, *sybils, at(100_001, 2))
    assert contacts(asked(lookup)) == [sybils[0], at(100_001, 2)]


def test_a_network_whose_node_does_not_answer_may_send_another_one() -> None:
    """A liar's dead node next to a living one would hide it otherwise."""
    dead, living = (
        Contact(b"\0" * 19 + b"\1", Address("99.1.1.1", 1)),
        Contact(b"\0" * 19 + b"\2", Address("99.1.1.2", 2)),
    )
    for order in ((dead, living), (living, dead)):
        lookup = looking(*order)
        [hop] = asked(lookup)
        assert hop.contact == dead
        lookup.failed(hop)
        assert contacts(asked(lookup)) == [living]


def test_a_node_that_is_named_with_two_ids_has_the_nearer_one_until_it_is_asked() -> None:
    """A liar who names it far away would hide it otherwise; what it says itself is what counts."""
    far, near = at(1 << 150, 1), at(5, 1)
    for order in ((far, near), (near, far)):
        lookup = looking(*order)
        [hop] = asked(lookup)
        assert hop.contact == near
        lookup.heard(hop, at(9, 1), ())
        assert contacts(lookup.closest()) == [at(9, 1)]


def test_who_answers_with_another_id_is_where_that_id_is() -> None:
    """Whoever was said to be near and is not does not keep others from being asked."""
    lookup = looking(*(at(distance) for distance in range(1, 9)), at(50))
    [first, *rest] = asked(lookup)
    lookup.heard(first, Contact(at(1000).id, first.contact.address), ())
    for hop in rest:
        answer(lookup, hop)
    run(lookup)
    assert lookup.done
    assert contacts(lookup.closest()) == [at(distance) for distance in (2, 3, 4, 5, 6, 7, 8, 50)]


def test_ids_that_do_not_fit_their_addresses_do_not_hide_those_that_do() -> None:
    """BEP 42: anybody can make up ids next to a target; few of them are asked, and fewer believed."""
    honest = sorted((contact(number) for number in range(100, 130)), key=lambda one: one.id)
    made_up = [at(distance) for distance in range(1, 30)]
    lookup = looking(*made_up, *honest)
    assert run(lookup) == made_up[:MOST_INSECURE] + honest[:NEAREST]
    assert contacts(lookup.closest()) == made_up[:MOST_INSECURE] + honest[: NEAREST - MOST_INSECURE]


def test_where_few_ids_fit_their_addresses_the_others_are_as_good() -> None:
    """Many clients know nothing of BEP 42."""
    honest = sorted((contact(number) for number in range(100, 102)), key=lambda one: one.id)
    others = [at(distance) for distance in range(1, 30)]
    lookup = looking(*others, *honest)
    assert run(lookup) == others[:6] + honest
    assert contacts(lookup.closest()) == others[:6] + honest


def test_eight_of_those_that_were_known_are_asked_though_liars_are_nearer() -> None:
    """Liars who name only each other have the last word only where all of these are liars."""
    known = sorted((contact(number) for number in range(100, 112)), key=lambda one: one.id, reverse=True)
    lookup = Lookup(b"\xff" * 20, OWN[:19])
    lookup.add(known)
    # half of the ids of these are nearer than those that were known; they are as many as an answer can name
    near = [contact(number, node_id_for(host(number), bytes(20))) for number in range(200, 5000)]
    liars = sorted(near, key=lambda one: one.id, reverse=True)[:NEAREST]
    assert liars[-1].id > known[0].id
    every = run(lookup, liars)
    assert set(every) == {*known[:NEAREST], *liars}
    assert contacts(lookup.closest()) == liars


def test_those_that_were_known_are_kept_however_many_are_named() -> None:
    """A flood of names does not make us forget them."""
    known = sorted((contact(number) for number in range(100, 112)), key=lambda one: one.id)
    lookup = looking(*known)
    for hop in asked(lookup):
        answer(lookup, hop)
    for number in range(40):
        lookup.add((at(8 * number + step, 1000 + 8 * number + step) for step in range(1, 9)), hop)
    assert set(known[WIDTH:NEAREST]) <= set(run(lookup))


def test_who_names_nobody_three_times_is_not_believed() -> None:
    """What else he named is not asked, unless somebody else named it too."""
    lookup = looking(at(1000, 1), at(2000, 2))
    liar, other = asked(lookup)
    answer(lookup, liar, *(at(distance) for distance in range(11, 19)))
    answer(lookup, other, at(18))
    for hop in asked(lookup)[:3]:
        lookup.failed(hop)
    assert contacts(hop for hop in lookup._hops if hop.stage == FRESH) == [at(18)]


def test_who_named_somebody_is_believed_though_others_are_gone() -> None:
    """Nodes come and go; nobody knows at once."""
    lookup = looking(at(1000, 1))
    [honest] = asked(lookup)
    answer(lookup, honest, *(at(distance) for distance in range(11, 19)))
    first, *rest = asked(lookup)
    answer(lookup, first)
    for hop in rest:
        lookup.slow(hop)
        lookup.failed(hop)
    assert contacts(asked(lookup)) == [at(distance) for distance in range(15, 19)]


def test_a_node_whose_id_is_not_known_is_asked_where_too_few_others_are() -> None:
    """Bootstrap hosts have addresses only; who knows enough leaves them in peace."""
    host = Contact(b"", address(1))
    lookup = looking(host)
    [hop] = asked(lookup)
    lookup.heard(hop, at(77, 1), [at(distance) for distance in range(2, 10)])
    assert len(run(lookup)) == 8
    assert host not in run(looking(host, *(at(distance) for distance in range(2, 10))))


def test_where_whoever_was_known_is_silent_those_without_an_id_come_next() -> None:
    """A program that was not run for a month knows hundreds that are gone, and a few hosts that everybody knows."""
    hosts = [Contact(b"", address(number)) for number in (1, 2)]
    lookup = looking(*hosts, *(at(distance) for distance in range(10, 400)))
    first: list[Contact] = []
    while len(first) < NEAREST:
        for hop in asked(lookup):
            first.append(hop.contact)
            lookup.failed(hop)
    assert not set(first) & set(hosts)
    assert contacts(asked(lookup))[:2] == hosts


def test_who_claims_our_own_id_is_not_asked() -> None:
    """We know what we know."""
    assert asked(looking(Contact(OWN, address(1)))) == []


def test_a_way_without_end_is_left() -> None:
    """A liar can always name somebody who is still a little nearer and does not answer."""
    random = Random(1)
    lookup = looking(at(1 << 159, 1))
    questions = 0
    distance = 1 << 158
    while not lookup.done:
        for hop in asked(lookup):
            questions += 1
            distance -= random.getrandbits(100)
            answer(lookup, hop, *(at(distance - step, 10 + 8 * questions + step) for step in range(8)))
    assert questions == 150


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 60), st.integers(0, 60)), max_size=200))
def test_whatever_happens_it_comes_to_an_end(steps: list[tuple[int, int, int]]) -> None:
    """Each question is answered once, or not; then nothing is waited for."""
    lookup = looking(*(at(distance) for distance in range(40, 50)))
    open_hops: list[Hop] = []
    for what, number, distance in steps:
        open_hops += asked(lookup)
        if what == 4:
            lookup.add([at(distance + 1, number), Contact(b"", address(number))])
        elif open_hops:
            hop = open_hops[number % len(open_hops)]
            if what == 0:
                lookup.slow(hop)
                continue
            open_hops.remove(hop)
            if what == 1:
                lookup.failed(hop)
            else:
                claimed = at(distance + 1, number).id if what == 2 else hop.contact.id or at(number).id
                lookup.heard(hop, Contact(claimed, hop.contact.address), [at(distance + 1, number)])
    while open_hops or not lookup.done:
        open_hops += asked(lookup)
        lookup.failed(open_hops.pop())
    assert asked(lookup) == []
    distances = [hop.distance for hop in lookup.closest()]
    assert distances == sorted(distances)
