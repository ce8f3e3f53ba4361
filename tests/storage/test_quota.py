"""A limited space: what is kept, and what goes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.storage import quota as quota_module
from anabranch.storage.quota import Quota


def full() -> Quota[str]:
    quota: Quota[str] = Quota(100)
    for name in "abcd":
        quota.keep(name, 25)
        quota.settle(name)
    return quota


def test_nothing_is_given_up_while_all_fits() -> None:
    """The limit itself still fits."""
    quota = full()
    assert quota.used == 100
    assert quota.excess() == []
    assert Quota[str](None).excess(1 << 60) == []


def test_what_was_used_longest_ago_goes_first_and_no_more_than_needed() -> None:
    """To use something puts it last."""
    quota = full()
    quota.use("a")
    assert quota.excess(1) == ["b"]
    assert quota.excess(26) == ["b", "c"]
    assert list(quota.idle()) == ["b", "c", "d", "a"]


def test_what_is_in_somebodys_hands_is_never_given_up() -> None:
    """Neither what is not settled yet, nor what is written anew; where all is held nothing can be given up."""
    quota = full()
    quota.keep("b", 25)
    assert quota.excess(1000) == ["a", "c", "d"]
    quota.use("b")
    assert quota.excess(1000) == ["a", "c", "d"]
    quota.settle("b")
    assert quota.excess(1000) == ["a", "c", "d", "b"]


def test_what_is_removed_takes_no_space() -> None:
    """Twice is harmless, and what is not kept can be neither used nor settled."""
    quota = full()
    quota.remove("a")
    quota.remove("a")
    quota.use("a")
    quota.settle("a")
    assert (quota.used, len(quota), "a" in quota) == (75, 3, False)
    assert quota.excess(25) == []


def test_a_limit_that_shrinks_makes_victims() -> None:
    """Who looks next is told of them."""
    quota = full()
    quota.limit = 50
    assert quota.excess() == ["a", "b"]


def test_what_is_spared_is_met_once() -> None:
    """It counts as used then; what goes instead was used longest ago of the rest, and there may not be enough of it."""
    quota = full()
    before = list(quota.idle())
    spared = set(before[:1])
    victims = quota.surplus(1000, spared.__contains__)
    assert victims == before[1:]
    assert list(quota.idle()) == [*before[1:], *before[:1]]
    quota.limit = None
    assert quota.surplus(1000, spared.__contains__) == []


@given(st.lists(st.tuples(st.sampled_from(["keep", "settle", "use", "remove"]), st.integers(0, 5), st.integers(0, 60))))
def test_the_sum_is_always_that_of_the_parts(steps: list[tuple[str, int, int]]) -> None:
    """And giving up what excess() names makes room, as far as anything may go."""
    quota: Quota[int] = Quota(100)
    held: dict[int, int] = {}
    for step, key, size in steps:
        if step == "keep":
            quota.keep(key, size)
            held[key] = size
        elif step == "remove":
            quota.remove(key)
            held.pop(key, None)
        else:
            getattr(quota, step)(key)
    assert quota.used == sum(held.values())
    for victim in quota.excess():
        quota.remove(victim)
    assert quota.used <= 100 or not list(quota.idle())


@given(
    st.lists(st.tuples(st.sampled_from(["keep", "settle", "use", "remove", "look"]), st.integers(0, 7)), max_size=60)
)
def test_the_order_is_that_of_a_plain_list(steps: list[tuple[str, int]]) -> None:
    """Wherever what is at the front of it is kept."""
    quota: Quota[int] = Quota(0)
    held: set[int] = set()
    idle: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quota_module, "_FRONT", 2)
        for step, key in steps:
            if step == "look":
                assert list(quota.idle()) == idle
                continue
            quota.keep(key, 10 + key) if step == "keep" else getattr(quota, step)(key)
            known = key in held or key in idle
            if step in ("keep", "remove") or (step == "use" and key in idle) or (step == "settle" and known):
                held.discard(key)
                if key in idle:
                    idle.remove(key)
                held.update({key} if step == "keep" else ())
                idle += [key] if step in ("use", "settle") else []
            assert [one for one in range(8) if quota.may_go(one)] == sorted(idle)
            assert [one for one in range(8) if one in quota] == sorted({*held, *idle})
            assert quota.used == sum(10 + one for one in (*held, *idle)) == sum(map(quota.size, range(8)))
        assert quota.excess() == idle
