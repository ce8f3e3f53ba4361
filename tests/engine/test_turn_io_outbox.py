"""What a turn sends after its release: once, in the order of the turns, by whoever drains."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident

import pytest

from anabranch.engine.turn_io import Turn
from engine.crowd import often_switching, together
from engine.turns import BrokenError, breaks, usable


def test_the_outbox_runs_after_the_release_once_in_order() -> None:
    turn = Turn()
    ran: list[str] = []

    def send(text: str) -> None:
        assert not turn.held_by_me
        ran.append(text)

    with turn:
        turn.outbox("a", turn, send, "a")
        turn.defer("later", turn, lambda: turn.outbox("b", turn, send, "b"))
        turn.outbox("a", turn, send, "a again")
    with turn:
        turn.outbox("a", turn, send, "a of the next turn")
    assert ran == ["a", "b", "a of the next turn"]


def test_an_outbox_action_may_take_the_turn_and_its_effects_come_last() -> None:
    turn = Turn()
    ran: list[int] = []

    def nested() -> None:
        with turn:
            turn.outbox("n", turn, ran.append, 3)
        ran.append(1)

    with turn:
        turn.outbox("a", turn, nested)
        turn.outbox("b", turn, ran.append, 2)
    assert ran == [1, 2, 3]


def test_an_outbox_action_that_raises_is_logged_and_the_rest_go_on(caplog: pytest.LogCaptureFixture) -> None:
    turn = Turn()
    ran: list[int] = []
    with turn:
        turn.outbox("bad", turn, breaks(BrokenError()))
        turn.outbox("good", turn, ran.append, 1)
    assert ran == [1]
    assert [record.getMessage() for record in caplog.records] == ["outbox action failed kind=bad"]
    assert usable(turn)


def test_the_outbox_is_sent_though_the_body_raised() -> None:
    turn = Turn()
    ran: list[int] = []

    def change() -> None:
        with turn:
            turn.outbox("sent", turn, ran.append, 1)
            raise BrokenError

    with pytest.raises(BrokenError):
        change()
    assert ran == [1]


def test_an_interrupt_during_an_effect_loses_no_other() -> None:
    turn = Turn()
    ran: list[int] = []

    def change() -> None:
        with turn:
            turn.outbox("bad", turn, breaks(KeyboardInterrupt()))
            turn.outbox("good", turn, ran.append, 1)

    with pytest.raises(KeyboardInterrupt):
        change()
    with turn:
        pass
    assert ran == [1]
    assert usable(turn)


def test_effects_of_an_earlier_turn_come_before_those_of_a_later_one() -> None:
    """Whatever thread runs them: with 8 threads the effects have the order of the turns."""
    turn = Turn()
    ran: list[int] = []
    number = [0]

    def take() -> None:
        for _ in range(200):
            with turn:
                for name in ("a", "b"):
                    turn.outbox(name, turn, ran.append, number[0])
                    number[0] += 1

    with often_switching():
        together(*[take] * 8)
    assert ran == list(range(8 * 200 * 2))


def test_a_thread_that_finds_somebody_draining_leaves_its_effects_to_that_one() -> None:
    turn = Turn()
    ran: list[tuple[str, int]] = []

    def send(text: str) -> None:
        ran.append((text, get_ident()))

    def other() -> None:
        with turn:
            turn.outbox("other", turn, send, "other")
        assert ran == []  # it did not wait

    with turn:
        turn.outbox("slow", turn, lambda: together(other))
        turn.outbox("own", turn, send, "own")
    assert ran == [("own", get_ident()), ("other", get_ident())]


def test_a_user_thread_passes_on_effects_that_never_end() -> None:
    """Somebody's one short call must not become the errands of the whole engine."""
    turn = Turn()
    turn.network_thread_is(-1)
    posted: list[Callable[[], None]] = []
    turn.slices_run_by(posted.append)
    ran = [0]

    def again() -> None:
        ran[0] += 1
        if ran[0] < 1000:
            with turn:
                turn.outbox("again", turn, again)

    with turn:
        turn.outbox("again", turn, again)
    assert 0 < ran[0] < 1000
    posted.pop()()
    assert ran[0] == 1000
    assert posted == []


def test_effects_are_done_here_when_the_loop_is_closed() -> None:
    turn = Turn()
    turn.network_thread_is(-1)

    def closed(_: Callable[[], None]) -> None:
        raise RuntimeError("Event loop is closed")

    turn.slices_run_by(closed)
    ran: list[int] = []
    with turn:
        for number in range(1000):
            turn.outbox("many", object(), ran.append, number)
    assert ran == list(range(1000))
