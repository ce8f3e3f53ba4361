"""Who is unchoked, as a choice among values."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine.choking import SLOTS, TURNS, Choice, Contender, choose

CONTENDERS = st.lists(
    st.tuples(
        st.booleans(),
        st.booleans(),
        st.sampled_from([0.0, 10.0, 500.0]),
        st.floats(0, 100),
        st.booleans(),
        st.booleans(),
    ),
    max_size=40,
).map(lambda rows: [Contender(number, *row) for number, row in enumerate(rows)])
HOLDERS = st.none() | st.integers(0, 39)


def rank(one: Contender) -> tuple[bool, bool, float, float]:
    return one.greedy, one.snubbed, -one.gain, one.waits_since


@given(CONTENDERS, st.integers(1, 20), HOLDERS, st.integers(0, 1000), st.booleans())
def test_the_slots_go_to_the_interested_and_one_more_is_optimistic(
    contenders: list[Contender], slots: int, holder: int | None, seed: int, due: bool
) -> None:
    """No slot is wasted on a peer that wants nothing; the best have them; one more, if anybody waits."""
    choice = choose(contenders, holder, Random(seed).randrange, due=due, slots=slots)
    wanting = [one for one in contenders if one.interested]
    assert choice.slots <= {one.peer for one in wanting}
    assert len(choice.slots) == min(len(wanting), slots)
    left = [one for one in wanting if one.peer not in choice.slots]
    assert all(rank(one) <= rank(other) for one in wanting if one.peer in choice.slots for other in left)
    assert choice.optimistic is None or choice.optimistic in {one.peer for one in left}
    assert choice.credit == {one.peer for one in left if one.credit and one.peer != choice.optimistic}
    if any(not one.credit for one in left):
        assert choice.optimistic is not None


@given(CONTENDERS, st.integers(5, 20), st.integers(0, 1000))
def test_the_turns_go_to_whoever_waited_longest(contenders: list[Contender], slots: int, seed: int) -> None:
    """The others to the best; who took too much comes after all others in both."""
    choice = choose(contenders, None, Random(seed).randrange, slots=slots, turns=TURNS)
    wanting = sorted((one for one in contenders if one.interested), key=rank)
    if len(wanting) <= slots:
        return
    best, rest = wanting[: slots - TURNS], wanting[slots - TURNS :]
    assert choice.slots >= {one.peer for one in best}
    by_turn = [one for one in rest if one.peer in choice.slots]
    assert len(by_turn) == TURNS
    waits = [(one.greedy, one.snubbed, one.waits_since) for one in rest]
    assert sorted((one.greedy, one.snubbed, one.waits_since) for one in by_turn) == sorted(waits)[:TURNS]


def test_who_holds_the_optimistic_slot_keeps_it_until_it_is_due() -> None:
    """Unless it has won a regular one, or left: then the slot is given anew."""
    contenders = [Contender(number, True, False, 100.0 - number, 0.0) for number in range(6)]
    assert choose(contenders, 4, Random(0).randrange, slots=2) == Choice(frozenset({0, 1}), 4)
    assert choose(contenders, 0, Random(0).randrange, slots=2).optimistic in {2, 3, 4, 5}
    assert choose(contenders, 99, Random(0).randrange, slots=2).optimistic in {2, 3, 4, 5}


def test_when_it_is_due_somebody_else_gets_it_if_anybody_waits() -> None:
    """W30: the one before is choked again."""
    contenders = [Contender(number, True, False, 100.0 - number, 0.0) for number in range(5)]
    draws = Random(0)
    falls = {choose(contenders, 4, draws.randrange, due=True, slots=2).optimistic for _ in range(50)}
    assert falls == {2, 3}
    assert choose(contenders[:3], 2, draws.randrange, due=True, slots=2).optimistic == 2


def test_the_optimistic_slot_falls_on_each_alike() -> None:
    """W30: uniformly among those that are choked; newcomers are no likelier than others."""
    contenders = [Contender(number, True, False, float(-number), float(number)) for number in range(SLOTS + 5)]
    draws = Random(1)
    falls = Counter(choose(contenders, None, draws.randrange, due=True).optimistic for _ in range(1000))
    assert set(falls) == set(range(SLOTS, SLOTS + 5))
    assert min(falls.values()) > 140


def test_who_keeps_us_waiting_comes_after_all_others() -> None:
    """However fast it once was."""
    contenders = [
        Contender("snubbing", True, True, 9e9, 0.0),
        Contender("slow", True, False, 1.0, 0.0),
        Contender("third", True, False, 0.5, 0.0),
    ]
    assert choose(contenders, "third", Random(0).randrange, slots=1) == Choice(frozenset({"slow"}), "third")


def test_who_took_too_much_gets_a_slot_only_that_nobody_else_wants() -> None:
    """Neither a regular one, nor a turn, nor the optimistic one."""
    greedy = [Contender(f"greedy {n}", True, False, 1e9, 0.0, greedy=True) for n in range(3)]
    others = [Contender(n, True, False, 1.0, 5.0) for n in range(4)]
    choice = choose([*greedy, *others], None, Random(0).randrange, due=True, slots=3, turns=1)
    assert not (choice.slots | {choice.optimistic}) & {one.peer for one in greedy}
    assert len(choose([*greedy, *others], None, Random(0).randrange, slots=5).slots) == 5
    assert choose([*greedy, *others], None, Random(0).randrange, slots=4).optimistic in {one.peer for one in greedy}


def test_of_those_that_gave_nothing_yet_the_one_that_waited_longest_is_first() -> None:
    """All newcomers get their turn."""
    contenders = [Contender(number, True, False, 0.0, float(-number)) for number in range(4)]
    assert choose(contenders, 0, Random(0).randrange, slots=1) == Choice(frozenset({3}), 0)


def test_who_has_credit_needs_no_optimistic_slot() -> None:
    """It is served anyhow: the slot is for one that is choked."""
    contenders = [Contender(number, True, False, 5.0 - number, 0.0, credit=number == 2) for number in range(4)]
    assert choose(contenders, None, Random(0).randrange, slots=2) == Choice(frozenset({0, 1}), 3, frozenset({2}))
