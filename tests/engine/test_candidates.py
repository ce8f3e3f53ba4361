"""Addresses to dial: which first, which again when, how many at a time."""

from __future__ import annotations

import pytest

from anabranch.engine.candidates import MOST, Candidate, Candidates, half_open_limit
from anabranch.model import Address


def address(number: int) -> Address:
    return Address(f"10.0.{number // 250}.{number % 250 + 1}", 6881)


def known(count: int) -> Candidates:
    candidates = Candidates()
    for number in range(count):
        candidates.add(address(number), "tracker")
    return candidates


def following(candidates: Candidates, now: float, *, seeds_too: bool = True) -> Candidate:
    found = candidates.next(now, seeds_too)
    assert found is not None
    return found


def test_an_address_is_known_once() -> None:
    """However many tell of it."""
    candidates = Candidates()
    assert candidates.add(address(1), "tracker")
    assert not candidates.add(address(1), "pex")
    assert len(candidates) == 1


def test_a_full_list_takes_only_what_the_user_gave() -> None:
    """500 are enough for any torrent; the user knows better."""
    candidates = known(MOST)
    assert not candidates.add(address(MOST), "tracker")
    assert candidates.add(address(MOST + 1), "user")


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
        assert candidates.next(one.not_before - 0.1, True) is None
        assert candidates.next(one.not_before, True) is one
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


def test_seeds_are_not_dialed_by_seeds() -> None:
    """Neither would have anything from it."""
    candidates = known(2)
    first = candidates.get(address(0))
    assert first is not None
    first.seed = True
    assert following(candidates, 0.0, seeds_too=False).address == address(1)
    assert following(candidates, 0.0, seeds_too=True) is first


def test_nobody_is_dialed_where_nobody_waits() -> None:
    """An empty list, or all engaged."""
    candidates = known(1)
    following(candidates, 0.0).engaged = True
    assert candidates.next(1000.0, True) is None
    assert Candidates().next(1000.0, True) is None


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
