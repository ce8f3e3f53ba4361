"""Who is unchoked, as a choice among values."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine.choking import SLOTS, Contender, choose

CONTENDERS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.sampled_from([0.0, 10.0, 500.0]), st.floats(0, 100)), max_size=40
).map(lambda rows: [Contender(number, *row) for number, row in enumerate(rows)])


@given(CONTENDERS, st.integers(1, 20), st.none() | st.integers(0, 39), st.integers(0, 1000))
def test_the_slots_go_to_the_interested_and_one_more_is_optimistic(
    contenders: list[Contender], slots: int, holder: int | None, seed: int
) -> None:
    """No slot is wasted on a peer that wants nothing; the best are among the chosen; one more, if there are more."""
    chosen, optimistic = choose(contenders, holder, Random(seed).randrange, slots)
    wanting = [one for one in contenders if one.interested]
    assert chosen <= {one.peer for one in wanting}
    assert len(chosen) == min(len(wanting), slots + 1)
    if len(wanting) <= slots:
        assert optimistic is None
        return
    assert optimistic in chosen
    left_out = [one for one in wanting if one.peer not in chosen]
    regular = [one for one in wanting if one.peer in chosen and one.peer != optimistic]
    assert all(
        (one.snubbed, -one.gain, one.unchoked_at) <= (other.snubbed, -other.gain, other.unchoked_at)
        for one in regular
        for other in left_out
    )


def test_who_holds_the_optimistic_slot_keeps_it_until_it_is_due() -> None:
    """Unless it has won a regular one: then the slot is given anew."""
    contenders = [Contender(number, True, False, 100.0 - number, 0.0) for number in range(6)]
    assert choose(contenders, 4, Random(0).randrange, slots=2) == ({0, 1, 4}, 4)
    chosen, optimistic = choose(contenders, 0, Random(0).randrange, slots=2)
    assert optimistic in {2, 3, 4, 5}
    assert chosen == {0, 1, optimistic}


def test_the_optimistic_slot_falls_on_each_alike() -> None:
    """W30: uniformly among those without a regular slot."""
    contenders = [Contender(number, True, False, float(-number), 0.0) for number in range(SLOTS + 5)]
    draws = Random(1)
    falls = Counter(choose(contenders, None, draws.randrange)[1] for _ in range(1000))
    assert set(falls) == set(range(SLOTS, SLOTS + 5))
    assert min(falls.values()) > 140


def test_who_keeps_us_waiting_comes_after_all_others() -> None:
    """However fast it once was."""
    contenders = [Contender("snubbing", True, True, 9e9, 0.0), Contender("slow", True, False, 1.0, 0.0)]
    assert choose([*contenders, Contender("third", True, False, 0.5, 0.0)], "third", Random(0).randrange, slots=1)[
        0
    ] == {"slow", "third"}


def test_of_those_that_gave_nothing_yet_the_one_that_waited_longest_is_first() -> None:
    """While seeding all newcomers get their turn."""
    contenders = [Contender(number, True, False, 0.0, float(-number)) for number in range(4)]
    chosen, _ = choose(contenders, 0, Random(0).randrange, slots=1)
    assert chosen == {3, 0}
