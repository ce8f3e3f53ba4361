"""Waiting for the engine's state with the turn in hand."""

from __future__ import annotations

import threading
from functools import partial
from threading import get_ident

import pytest

from anabranch.engine.condition_io import TurnCondition
from anabranch.engine.turn_io import Turn
from anabranch.model import Misused
from engine.crowd import Crowd, together, until


def test_a_wait_releases_the_turn_and_takes_it_back() -> None:
    turn = Turn()
    changed = TurnCondition(turn)
    state: list[str] = []

    def waits() -> None:
        with turn:
            while not state:
                assert changed.wait()
            assert turn.held_by_me
            state.append("seen")

    crowd = Crowd()
    crowd.start(waits)
    until(lambda: changed.waiting == 1)
    with turn:
        state.append("changed")
        changed.signal()
        assert state == ["changed"]
    crowd.join()
    assert state == ["changed", "seen"]
    assert turn.owner is None


def test_a_wait_that_times_out_says_so_and_has_the_turn() -> None:
    turn = Turn()
    changed = TurnCondition(turn)
    with turn:
        assert not changed.wait(0)
        assert not changed.wait(-1)
        assert turn.held_by_me
    assert changed.waiting == 0


def test_what_the_holder_deferred_stays_its_own_over_the_wait() -> None:
    """A wait runs nothing of it, and nor does who has the turn meanwhile: it runs when the holder's turn ends."""
    turn = Turn()
    changed = TurnCondition(turn)
    ran: list[tuple[str, int]] = []

    def note(text: str) -> None:
        ran.append((text, get_ident()))

    def waits() -> None:
        with turn:
            turn.defer("due", turn, note, "deferred")
            turn.outbox("send", turn, note, "sent")
            assert changed.wait(20)
            assert [text for text, _ in ran] == ["other deferred", "other sent"]
            turn.defer("due", turn, note, "a second time, while the first is pending")

    crowd = Crowd()
    waiter = crowd.start(waits)
    until(lambda: changed.waiting == 1 and turn.owner is None)
    with turn:
        turn.defer("due", turn, note, "other deferred")
        turn.outbox("send", turn, note, "other sent")
    changed.signal()
    crowd.join()
    assert [text for text, _ in ran] == ["other deferred", "other sent", "deferred", "sent"]
    assert [ident for _, ident in ran[2:]] == [waiter.ident] * 2


def test_a_signal_wakes_the_newest_waiter_and_a_broadcast_all() -> None:
    turn = Turn()
    changed = TurnCondition(turn)
    woken: list[int] = []

    def waits(number: int) -> None:
        with turn:
            changed.wait()
            woken.append(number)

    def are_waiting(count: int) -> bool:
        return changed.waiting == count

    crowd = Crowd()
    for number in range(5):
        crowd.start(partial(waits, number))
        until(partial(are_waiting, number + 1))
    changed.signal()
    until(lambda: len(woken) == 1)
    assert woken == [4]
    changed.broadcast()
    crowd.join()
    assert sorted(woken) == [0, 1, 2, 3, 4]
    changed.signal()  # nobody waits: nothing happens, and nothing is kept for later
    with turn:
        assert not changed.wait(0)


def test_no_wake_between_the_release_and_the_sleep_is_lost() -> None:
    """Two threads that hand a ball to and fro, each waiting for the other, without time limits."""
    turn = Turn()
    changed = TurnCondition(turn)
    ball = [0]

    def play(side: int) -> None:
        for _ in range(300):
            with turn:
                while ball[0] % 2 != side:
                    changed.wait()
                ball[0] += 1
                changed.broadcast()

    together(partial(play, 0), partial(play, 1))
    assert ball == [600]


def test_waiting_is_refused_where_it_would_hang_the_engine() -> None:
    """Without the turn, on the network thread, and in a deferred action; nothing is left behind."""
    turn = Turn()
    changed = TurnCondition(turn)
    with pytest.raises(Misused):
        changed.wait(0)
    with pytest.raises(Misused), turn:
        turn.defer("waits", turn, changed.wait, 0)
    turn.network_thread_is(get_ident())
    with turn, pytest.raises(Misused):
        changed.wait(0)
    assert changed.waiting == 0
    assert turn.owner is None


def test_notes_left_during_a_wait_wait_for_the_next_turn() -> None:
    turn = Turn()
    changed = TurnCondition(turn)
    ran: list[int] = []
    with turn:
        turn.note(ran.append, 1)
        changed.wait(0)
        assert ran == []
    with turn:
        assert ran == [1]


def test_time_asleep_does_not_count_as_a_slow_turn() -> None:
    now = [0.0]
    turn = Turn(clock=lambda: now[0])
    changed = TurnCondition(turn)

    def waits() -> None:
        with turn:
            now[0] += 0.04
            assert changed.wait(20)

    def passes() -> None:
        until(lambda: changed.waiting == 1 and turn.owner is None)
        now[0] += 60
        changed.signal()

    together(waits, passes)
    assert turn.slow == 0
    with turn:
        now[0] += 0.04
        changed.wait(0)
        now[0] += 0.04
    assert turn.slow == 1


def test_a_body_that_raises_after_a_wait_releases_the_turn() -> None:
    turn = Turn()
    changed = TurnCondition(turn)

    def waits() -> None:
        with turn:
            changed.wait(0)
            raise ValueError

    with pytest.raises(ValueError):
        waits()
    free = threading.Event()

    def take() -> None:
        with turn:
            free.set()

    together(take)
    assert free.is_set()
