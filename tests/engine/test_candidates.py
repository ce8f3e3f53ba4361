"""Addresses to dial: which first, which again when, how many at a time."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.engine.candidates import MOST, Candidate, Candidates, half_open_limit
from anabranch.engine.ourselves import Ourselves
from anabranch.model import Address
from anabranch.net import peer_priority

NOWHERE = Ourselves()  # knows nothing of itself: every priority is the same


def address(number: int) -> Address:
    return Address(f"10.0.{number // 250}.{number % 250 + 1}", 6881)


def known(count: int) -> Candidates:
    candidates = Candidates()
    for number in range(count):
        candidates.add(address(number), "tracker")
    return candidates


def following(candidates: Candidates, now: float, *, seeds_too: bool = True, ours: Ourselves = NOWHERE) -> Candidate:
    found = candidates.next(now, seeds_too, ours)
    assert found is not None
    return found


def test_an_address_is_known_once() -> None:
    """However many tell of it."""
    candidates = Candidates()
    assert candidates.add(address(1), "tracker")
    assert not candidates.add(address(1), "pex")
    assert len(candidates) == 1


def test_all_who_told_of_an_address_are_remembered() -> None:
    """The best of them counts."""
    candidates = Candidates()
    for source in ("pex", "tracker", "pex"):
        candidates.add(address(1), source)
    one = candidates.get(address(1))
    assert one is not None
    assert one.sources == {"pex", "tracker"}
    assert not one.of_user
    candidates.add(address(1), "user")
    assert one.of_user


@pytest.mark.parametrize("nowhere", [Address("10.0.0.1", 0), Address("239.1.2.3", 1), Address("fe80::1", 1)])
def test_what_cannot_be_dialed_is_never_remembered(nowhere: Address) -> None:
    """Not even the user's word makes an address of it."""
    assert not Candidates().add(nowhere, "user")


def test_a_full_list_takes_only_what_the_user_gave() -> None:
    """500 are enough for any torrent; the user knows better."""
    candidates = known(MOST)
    assert not candidates.add(address(MOST), "tracker")
    assert candidates.add(address(MOST + 1), "user")
    assert len(candidates) == MOST + 1


def test_in_a_full_list_who_failed_most_makes_room() -> None:
    """Whoever tells of another; those that are dialed or connected stay."""
    candidates = known(4)
    candidates.most = 4
    once, twice, engaged = (candidates.get(address(number)) for number in (1, 2, 3))
    assert once is not None
    assert twice is not None
    assert engaged is not None
    for one in (once, twice, twice, engaged, engaged, engaged):
        candidates.lost(one, 0.0, served=False)
    candidates.engage(engaged, 100.0)
    assert candidates.add(address(10), "pex")
    assert candidates.get(address(2)) is None
    assert candidates.add(address(11), "pex")
    assert candidates.get(address(1)) is None
    assert not candidates.add(address(12), "pex")
    assert candidates.get(address(3)) is engaged


def test_in_a_full_list_a_bad_source_makes_room_for_a_better_one() -> None:
    """Any peer may tell any address; a tracker is believed more, and who spoke to us most. What the user gave stays."""
    candidates = Candidates(most=4)
    for number, source in enumerate(("user", "pex", "dht", "dht")):
        candidates.add(address(number), source)
    assert not candidates.add(address(4), "pex")
    for number in (4, 5, 6):
        assert candidates.add(address(number), "tracker")
        assert candidates.get(address(1)) is None
    assert [candidates.get(address(number)) for number in (2, 3)] == [None, None]
    assert not candidates.add(address(7), "tracker")
    assert candidates.add(address(7), "incoming")
    assert candidates.add(address(8), "incoming")
    assert not candidates.add(address(9), "incoming")
    assert [candidates.get(address(number)) is not None for number in (0, 7, 8)] == [True] * 3


@pytest.mark.parametrize(("source", "share"), [("pex", 10), ("dht", 15), ("lsd", 5), ("incoming", 10), ("magnet", 10)])
def test_no_source_fills_the_list_alone(source: str, share: int) -> None:
    """There is room for what others tell; trackers and the user, who are asked, have no bound but the list's own."""
    candidates = Candidates(most=20)
    assert sum(candidates.add(address(number), source) for number in range(100)) == share
    assert sum(candidates.add(address(number), "tracker") for number in range(100, 200)) >= 20 - share
    assert len(candidates) == 20


def test_what_failed_of_a_source_makes_room_for_what_else_it_tells() -> None:
    """A peer exchange that told of dead addresses first may tell of living ones later; none is forgotten twice over."""
    candidates = Candidates(most=20)
    for number in range(10):
        candidates.add(address(number), "pex")
    dead = candidates.get(address(3))
    assert dead is not None
    assert not candidates.add(address(10), "pex")
    candidates.engage(dead, 0.0)
    candidates.lost(dead, 0.0, served=False)
    assert candidates.add(address(10), "pex")
    assert candidates.get(address(3)) is None
    assert not candidates.add(address(11), "pex")


def test_a_flood_of_addresses_costs_little() -> None:
    """A full list of good ones answers thousands of others without looking at each of its own."""
    candidates = known(MOST)
    looked = 0

    class Counted(dict[Address, Candidate]):
        def values(self) -> Any:
            nonlocal looked
            looked += 1
            return super().values()

    candidates._known = Counted(candidates._known)
    assert not any(candidates.add(address(1000 + number), "pex") for number in range(2000))
    assert looked == 1


def test_those_of_equal_failures_come_in_the_order_of_their_canonical_priority() -> None:
    """BEP 40: all of a swarm prefer the same connections; what changes our own address changes the order."""
    candidates = known(20)
    for host in ("198.51.100.7", "203.0.113.9"):
        ours = Ourselves()
        ours.listen([Address(host, 6881)])
        order = []
        for _ in range(20):
            order.append(following(candidates, 0.0, ours=ours))
            order[-1].engaged = True
        for one in order:
            candidates.again(one)
        priorities = [peer_priority(Address(host, 6881), one.address) for one in order]
        assert priorities == sorted(priorities, reverse=True)


def test_a_change_of_our_own_address_changes_the_order_of_those_who_wait_already() -> None:
    """It is learned when the first of them have been dialed."""
    candidates, ours = known(20), Ourselves()
    assert following(candidates, 0.0, ours=ours).address == address(0)
    ours.listen([Address("198.51.100.7", 6881)])
    best = max(range(20), key=lambda number: peer_priority(Address("198.51.100.7", 6881), address(number)))
    assert following(candidates, 0.0, ours=ours).address == address(best)


def test_who_the_user_gave_comes_first() -> None:
    """Before those that never failed, and at once when it is given again."""
    candidates = known(3)
    candidates.add(address(7), "user")
    one = following(candidates, 0.0)
    assert one.address == address(7)
    candidates.lost(one, 0.0, served=False)
    assert following(candidates, 0.0).address == address(0)
    candidates.add(address(7), "user")
    assert following(candidates, 0.0) is one
    candidates.add(address(2), "user")
    one.engaged = True
    assert following(candidates, 0.0).address == address(2)


def test_who_was_misunderstood_is_dialed_again_without_a_pause() -> None:
    """The other way to begin a connection may be the right one."""
    candidates = known(1)
    one = following(candidates, 0.0)
    candidates.engage(one, 5.0)
    assert candidates.taken_at == 5.0
    candidates.again(one)
    assert following(candidates, 5.0) is one
    assert one.failures == 0


def test_who_is_forgotten_is_dialed_no_more() -> None:
    """Wherever it stood in the order; known again, it is a new one."""
    candidates = known(2)
    one = following(candidates, 0.0)
    candidates.forget(one)
    assert following(candidates, 0.0).address == address(1)
    assert candidates.add(address(0), "tracker")
    candidates.lost(one, 0.0, served=True)  # the connection of the old one ends
    assert candidates.get(address(0)) is not one
    assert len(candidates) == 2


def test_who_never_failed_comes_first_in_the_order_they_became_known() -> None:
    """And nobody who is engaged."""
    candidates = known(3)
    first = following(candidates, 0.0)
    assert first.address == address(0)
    candidates.lost(first, 0.0, served=False)
    second = following(candidates, 100.0)
    assert second.address == address(1)
    second.engaged = True
    assert following(candidates, 100.0).address == address(2)
    assert candidates.waiting() == 2


def test_failures_double_the_pause_up_to_five_minutes() -> None:
    """A peer that is gone is not hammered."""
    candidates = Candidates()
    candidates.add(address(0), "user")
    one = following(candidates, 0.0)
    pauses = []
    for _ in range(10):
        candidates.lost(one, 1000.0, served=False)
        pauses.append(one.not_before - 1000.0)
        assert candidates.next(one.not_before - 0.1, True, NOWHERE) is None
        assert not candidates.due(one.not_before - 0.1, True)
        assert candidates.due(one.not_before, True)
        assert candidates.next(one.not_before, True, NOWHERE) is one
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_who_served_us_may_come_back_soon() -> None:
    """The failures before do not count."""
    candidates = known(1)
    one = following(candidates, 0.0)
    for _ in range(5):
        candidates.lost(one, 0.0, served=False)
    candidates.lost(one, 50.0, served=True)
    assert one.failures == 0
    assert one.not_before == 52.0


def test_who_fails_again_and_again_is_forgotten_unless_the_user_gave_it() -> None:
    """After eight failures."""
    candidates = Candidates()
    candidates.add(address(0), "tracker")
    candidates.add(address(1), "user")
    both = [candidates.get(address(number)) for number in (0, 1)]
    for one in both:
        assert one is not None
        for _ in range(9):
            candidates.lost(one, 0.0, served=False)
    assert candidates.get(address(0)) is None
    assert candidates.get(address(1)) is both[1]


def test_what_a_source_said_may_be_taken_back() -> None:
    """Who is known from nowhere else is forgotten; the others are not believed for it any more."""
    candidates = Candidates()
    addresses = [Address("10.0.0.1", 1 + number) for number in range(4)]
    for address, sources in zip(addresses, (["dht"], ["pex", "tracker"], ["lsd", "pex"], ["user"]), strict=True):
        for source in sources:
            candidates.add(address, source)
    engaged = candidates.get(addresses[0])
    assert engaged is not None
    candidates.engage(engaged, 0.0)
    candidates.drop_sources({"dht", "pex", "lsd"})
    kept = [candidates.get(address) for address in addresses]
    assert [one.sources if one is not None else None for one in kept] == [None, {"tracker"}, None, {"user"}]
    candidates.lost(engaged, 1.0, served=True)
    assert len(candidates) == 2


def test_seeds_are_not_dialed_by_seeds() -> None:
    """Neither would have anything from it."""
    candidates = known(2)
    first = candidates.get(address(0))
    assert first is not None
    first.seed = True
    other = following(candidates, 0.0, seeds_too=False)
    assert other.address == address(1)
    other.engaged = True
    assert candidates.next(0.0, False, NOWHERE) is None
    assert not candidates.due(0.0, seeds_too=False)
    assert candidates.due(0.0, seeds_too=True)
    assert following(candidates, 0.0, seeds_too=True) is first


def test_who_gives_the_same_addresses_again_and_again_fills_no_memory() -> None:
    """Services do so every few seconds, for years; where nobody dials, nothing would clear what piles up."""
    candidates = Candidates()
    for seeds_too in (True, False):
        for number in range(100):
            candidates.add(address(number % 5), "user")
            if number == 50:
                following(candidates, 0.0).seed = True
                candidates.next(0.0, seeds_too, NOWHERE)
        kept = len(candidates._fresh) + len(candidates._ready) + len(candidates._resting) + len(candidates._seeds)
        assert kept <= 15


def test_nobody_is_dialed_where_nobody_waits() -> None:
    """An empty list, or all engaged."""
    candidates = known(1)
    following(candidates, 0.0).engaged = True
    assert candidates.next(1000.0, True, NOWHERE) is None
    assert Candidates().next(1000.0, True, NOWHERE) is None
    assert not Candidates().due(1000.0, True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.sampled_from("nneeelfaaus!"), max_size=120))
def test_the_heaps_give_what_a_look_at_all_would_give(seed: int, acts: list[str]) -> None:
    """Whatever happens in whatever order: the plain rule is a search through all candidates."""
    draw, now = Random(seed), 0.0
    candidates, ours = Candidates(most=12), Ourselves()

    def plain(seeds_too: bool) -> list[tuple[bool, int, int]]:
        return sorted(
            (not one.of_user, one.failures, -ours.priority(one.address))
            for one in candidates._known.values()
            if not one.engaged and one.not_before <= now and (seeds_too or not one.seed)
        )

    for act in acts:
        every = list(candidates._known.values())
        one = draw.choice(every) if every else None
        if act == "a":
            candidates.add(address(draw.randrange(30)), draw.choice(["tracker", "pex", "dht"]))
        elif act == "u":
            candidates.add(address(draw.randrange(30)), "user")
        elif act == "!":
            ours.listen([Address(f"198.51.100.{draw.randrange(9)}", 6881)])
        elif act == "n":
            now += draw.choice([0.5, 2.0, 50.0])
        elif act == "s" and one is not None:
            one.seed = True
        elif act == "f" and one is not None:
            candidates.forget(one)
        elif act == "l" and one is not None and one.engaged:
            candidates.lost(one, now, served=draw.random() < 0.5)
        elif act == "e":
            seeds_too = draw.random() < 0.7
            expected = plain(seeds_too)
            found = candidates.next(now, seeds_too, ours)
            assert bool(expected) == (found is not None)
            if found is not None:
                assert (not found.of_user, found.failures, -ours.priority(found.address)) == expected[0]
                if draw.random() < 0.7:
                    candidates.engage(found, now)


@pytest.mark.parametrize(
    ("most", "connected", "reserve", "limit"),
    [
        (50, 0, 0, 25),
        (50, 45, 0, 17),
        (50, 50, 0, 12),
        (50, 50, 50, 25),
        (50, 55, 0, 7),
        (50, 63, 0, -1),
        (10, 0, 0, 5),
        (4, 0, 0, 2),
        (4, 4, 0, 1),
        (1, 0, 0, 2),
        (1, 1, 0, 1),
        (0, 0, 0, 0),
        (0, 3, 200, 0),
        (-1, 0, 0, 0),
    ],
)
def test_the_dials_under_way_follow_the_fork_s_table(most: int, connected: int, reserve: int, limit: int) -> None:
    """W37: torrents with few connections leave the client's budget to the others; paused ones dial nobody."""
    assert half_open_limit(most, connected, reserve) == limit
