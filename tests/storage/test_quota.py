"""A limited space: what is kept, and what goes first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

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
    assert quota.idle() == ["b", "c", "d", "a"]


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
    assert quota.used <= 100 or not quota.idle()
