"""What a turn defers: in order, without doubles, whatever is raised; and notes for the next turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine.turn_io import MAX_FOLLOW_UPS, MAX_REPEATS, Turn
from anabranch.model import Misused
from engine.crowd import together
from engine.turns import BrokenError, breaks, usable

# Deferred actions


def test_deferred_actions_run_once_in_order_before_the_release() -> None:
    turn = Turn()
    ran: list[str] = []
    one, other = [0], [0]  # equal, not identical; not hashable either

    def note(text: str) -> None:
        assert turn.held_by_me
        ran.append(text)

    with turn:
        turn.defer("b", one, note, "b one")
        turn.defer("a", one, note, "a one")
        turn.defer("b", other, note, "b other")
        turn.defer("b", one, note, "b one, again")
        assert ran == []
    assert ran == ["b one", "a one", "b other"]


def test_an_action_may_defer_what_has_run_already_but_not_twice_what_is_pending() -> None:
    turn = Turn()
    ran: list[str] = []

    def first() -> None:
        ran.append("first")
        turn.defer("second", turn, ran.append, "not this one: it is pending")
        if len(ran) == 1:
            turn.defer("first", turn, first)

    with turn:
        turn.defer("first", turn, first)
        turn.defer("second", turn, ran.append, "second")
    assert ran == ["first", "second", "first", "not this one: it is pending"]


Script = dict[int, list[int]]  # what each action defers, by number


@given(
    asked=st.lists(st.integers(0, 5), max_size=12),
    then=st.dictionaries(st.integers(0, 5), st.lists(st.integers(0, 5), max_size=3)),
    budget=st.integers(0, 40),
)
def test_deferring_is_a_queue_without_doubles(asked: list[int], then: Script, budget: int) -> None:
    """Against a plain model: a list as the queue, and what is in it is not added again."""
    expected: list[int] = []
    queue: list[int] = []
    for number in asked:
        if number not in queue:
            queue.append(number)
    while queue:
        number = queue.pop(0)
        expected.append(number)
        if len(expected) <= budget:
            queue.extend(follow for follow in dict.fromkeys(then.get(number, [])) if follow not in queue)

    turn = Turn()
    targets = [[number] for number in range(6)]
    ran: list[int] = []

    def run(number: int) -> None:
        ran.append(number)
        if len(ran) <= budget:
            for follow in then.get(number, []):
                turn.defer("kind", targets[follow], run, follow)

    with turn:
        for number in asked:
            turn.defer("kind", targets[number], run, number)
    assert ran == expected


def test_a_deferred_action_that_raises_stops_neither_the_others_nor_the_release(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The holder gets the first error, with the action's kind; the others are logged."""
    turn = Turn()
    ran: list[int] = []

    def change() -> None:
        with turn:
            turn.defer("a", turn, breaks(BrokenError("first")))
            turn.defer("b", turn, breaks(BrokenError("second")))
            turn.defer("c", turn, ran.append, 1)
            turn.outbox("d", turn, ran.append, 2)

    with pytest.raises(BrokenError, match="first") as caught:
        change()
    assert ran == [1, 2]
    assert caught.value.__notes__ == ["raised by the deferred action 'a'"]
    assert [record.getMessage() for record in caplog.records] == ["deferred action failed reason=second"]
    assert usable(turn)


def test_an_error_of_the_body_wins_over_one_of_a_deferred_action(caplog: pytest.LogCaptureFixture) -> None:
    turn = Turn()

    def change() -> None:
        with turn:
            turn.defer("a", turn, breaks(BrokenError("deferred")))
            raise BrokenError("body")

    with pytest.raises(BrokenError, match="body"):
        change()
    assert [record.getMessage() for record in caplog.records] == ["deferred action failed reason=deferred"]
    assert usable(turn)


def test_actions_that_bring_each_other_back_for_ever_are_caught() -> None:
    turn = Turn()
    ran: list[str] = []

    def ping() -> None:
        ran.append("ping")
        turn.defer("pong", turn, pong)

    def pong() -> None:
        ran.append("pong")
        turn.defer("ping", turn, ping)

    with pytest.raises(Misused, match="pong:64 ping:64"), turn:
        turn.defer("ping", turn, ping)
    assert len(ran) == 2 * MAX_REPEATS + 1
    assert usable(turn)


def test_a_cycle_over_ever_new_targets_is_caught() -> None:
    turn = Turn()
    ran = [0]

    def breed() -> None:
        ran[0] += 1
        turn.defer("breed", object(), breed)

    with pytest.raises(Misused, match="breed:100000"), turn:
        turn.defer("breed", turn, breed)
    assert ran == [MAX_FOLLOW_UPS + 1]
    assert usable(turn)


def test_what_the_body_defers_is_not_bounded() -> None:
    """Only what actions defer can be a cycle."""
    turn = Turn()
    ran: list[int] = []
    targets = [object() for _ in range(MAX_FOLLOW_UPS + 10)]
    with turn:
        for target in targets:
            turn.defer("many", target, ran.append, 1)
    assert len(ran) == len(targets)


def test_nothing_is_deferred_or_sent_without_the_turn() -> None:
    turn = Turn()
    calls: list[Callable[[], None]] = [
        lambda: turn.defer("a", turn, print),
        lambda: turn.outbox("a", turn, print),
        lambda: turn.sliced("a", turn, [1], print),
        lambda: turn.stop_sliced("a", turn),
    ]
    for call in calls:
        with pytest.raises(Misused):
            call()
        with turn, pytest.raises(Misused):  # another thread's turn is none
            together(call)


def test_deferred_actions_keep_their_targets_apart_from_later_objects_at_the_same_address() -> None:
    """The key is an identity: the target must live as long as the key."""
    turn = Turn()
    ran: list[int] = []
    with turn:
        for number in range(100):
            turn.defer("kind", object(), ran.append, number)
            turn.outbox("kind", object(), ran.append, -number)
    assert ran == [*range(100), *range(0, -100, -1)]


# Notes


def test_a_note_runs_at_the_beginning_of_the_next_turn() -> None:
    turn = Turn()
    ran: list[str] = []
    with turn:
        turn.note(lambda: turn.defer("closed", turn, ran.append, "deferred by the note"))
        turn.note(ran.append, "note")
        assert ran == []
    assert ran == []
    with turn:
        assert ran == ["note"]
    assert ran == ["note", "deferred by the note"]


def test_a_note_that_raises_is_not_the_fault_of_who_takes_the_turn(caplog: pytest.LogCaptureFixture) -> None:
    turn = Turn()
    ran: list[int] = []
    turn.note(breaks(BrokenError()))
    turn.note(ran.append, 1)
    with turn:
        assert ran == [1]
    assert "note failed" in caplog.text
    assert usable(turn)


def test_a_note_that_is_interrupted_releases_the_turn() -> None:
    turn = Turn()
    turn.note(breaks(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt), turn:
        raise AssertionError
    turn.note(breaks(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt), turn.if_free():
        raise AssertionError
    assert usable(turn)


def test_a_finaliser_may_leave_a_note_while_its_thread_has_the_turn() -> None:
    turn = Turn()
    ran: list[int] = []

    class Forgotten:
        def __del__(self) -> None:
            turn.note(ran.append, 1)

    with turn:
        Forgotten()
    with turn:
        pass
    assert ran == [1]
