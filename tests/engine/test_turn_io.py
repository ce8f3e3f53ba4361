"""The turn: taking and releasing it, fairness, what it tells, what it costs."""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
import time
import timeit
from functools import partial
from itertools import pairwise
from threading import get_ident
from types import FrameType

import pytest

from anabranch.engine.turn_io import SLOW_TURN, Turn
from anabranch.model import Misused
from engine.crowd import Crowd, often_switching, together, until
from engine.turns import BrokenError, usable

# Taking and releasing


def test_the_turn_excludes() -> None:
    """Between taking and releasing nobody else changes the state."""
    turn = Turn()
    state = {"count": 0}

    def count() -> None:
        for _ in range(300):
            with turn:
                before = state["count"]
                sum(range(20))
                state["count"] = before + 1

    with often_switching():
        together(*[count] * 8)
    assert state["count"] == turn.taken == 2400


def test_taking_the_turn_again_is_an_error_at_once() -> None:
    """Never a deadlock: the outer turn goes on, and is released."""
    turn = Turn()
    with turn as held:
        assert held is turn
        assert held.held_by_me
        with pytest.raises(Misused), turn:
            raise AssertionError
        with pytest.raises(Misused), turn.if_free():
            raise AssertionError
        assert held.held_by_me
    assert not turn.held_by_me
    assert usable(turn)


def test_a_deferred_action_that_takes_the_turn_is_told_off() -> None:
    """Deferred actions run within the turn; the error is the holder's, and the turn is released."""
    turn = Turn()
    with pytest.raises(Misused), turn:
        turn.defer("nested", turn, turn.__enter__)
    assert usable(turn)


def test_the_turn_is_released_whatever_the_body_raises() -> None:
    for error in (BrokenError(), KeyboardInterrupt(), SystemExit()):
        turn = Turn()
        with pytest.raises(type(error)), turn:
            raise error
        assert usable(turn)


def test_if_free_takes_a_free_turn_and_does_not_wait_for_another() -> None:
    turn = Turn()
    with turn.if_free() as taken:
        assert taken
        assert turn.held_by_me
    assert not turn.held_by_me
    seen: list[bool] = []

    def poll() -> None:
        with turn.if_free() as got:
            seen.append(got)

    with turn:
        together(poll)
        assert turn.held_by_me
    together(poll)
    assert seen == [False, True]


def test_if_free_settles_like_any_turn() -> None:
    turn = Turn()
    ran: list[int] = []
    with turn.if_free():
        turn.defer("due", turn, ran.append, 1)
    assert ran == [1]
    assert usable(turn)


def test_an_interrupted_waiter_leaves_the_line_in_order() -> None:
    """A signal handler that raises in a thread that waits: it raises there, and the turn goes to the next."""
    turn = Turn()
    holding, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def hold() -> None:
        with turn:
            holding.set()
            assert go_on.wait(20)

    def victim() -> None:
        try:
            with turn:
                seen.append("never")
        except KeyboardInterrupt:
            seen.append("interrupted")

    crowd = Crowd()
    crowd.start(hold)
    assert holding.wait(20)
    thread = crowd.start(victim)
    until(lambda: len(turn.waiting) == 1)
    crowd.start(lambda: turn.__enter__().__exit__(None, None, None))
    until(lambda: len(turn.waiting) == 2)
    # Raises in the victim as soon as it runs Python code, which is when the turn is handed to it.
    assert thread.ident is not None
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    assert raise_in(ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt)) == 1
    go_on.set()
    crowd.join()
    assert seen == ["interrupted"]
    assert usable(turn)


def test_a_thread_that_comes_in_the_instant_of_a_release_is_not_forgotten() -> None:
    """Between the holder's look at the empty line and its letting go, somebody may have come and not got it."""
    turn = Turn()
    crowd = Crowd()

    class Slot(dict[str, int]):
        def __delitem__(self, key: str) -> None:
            if not came:
                came.append(crowd.start(lambda: turn.__enter__().__exit__(None, None, None)))
                until(lambda: len(turn.waiting) == 1)
            super().__delitem__(key)

    came: list[threading.Thread] = []
    turn._slot = Slot()
    with turn:
        pass
    crowd.join()
    assert turn.taken == 2
    assert turn.owner is None


# Fairness


def test_the_turn_goes_to_the_network_thread_and_else_to_who_waited_longest() -> None:
    """64 callers in a loop: whoever is first in line at a release gets the turn, and the network thread is first."""
    turn = Turn()
    turns: list[tuple[int, int | None]] = []  # who had it, who was to be the next
    crowded = [0]  # turns of the network thread in which users waited
    network_done = threading.Event()

    def take() -> bool:
        with turn:
            waiting = turn.waiting
            turns.append((get_ident(), waiting[0] if waiting else None))
            return bool(waiting)

    def network() -> None:
        turn.network_thread_is(get_ident())
        while crowded[0] < 200:
            crowded[0] += take()
        network_done.set()

    def user() -> None:
        while not network_done.is_set():
            take()

    crowd = Crowd()
    with often_switching():
        with turn:
            network_thread = crowd.start(network)
            for _ in range(64):
                crowd.start(user)
            until(lambda: len(turn.waiting) == 65)
        crowd.join()
    network_id = network_thread.ident
    for (who, due), (came, _) in pairwise(turns):
        assert due is None or came in (due, network_id)
        assert due != network_id or came == network_id  # the network thread waits for one user at most
        assert due is None or who != network_id or came == due  # a user waits for one batch at most, when first
    assert sum(1 for who, _ in turns if who == network_id) >= 200


def test_users_get_the_turn_in_the_order_in_which_they_came() -> None:
    turn = Turn()
    order: list[int] = []

    def user(number: int) -> None:
        with turn:
            order.append(number)

    def are_waiting(count: int) -> bool:
        return len(turn.waiting) == count

    crowd = Crowd()
    with turn:
        for number in range(10):
            crowd.start(partial(user, number))
            until(partial(are_waiting, number + 1))
    crowd.join()
    assert order == list(range(10))


def test_a_waiting_network_thread_comes_before_users_who_came_earlier() -> None:
    turn = Turn()
    order: list[str] = []

    def take(name: str) -> None:
        if name == "network":
            turn.network_thread_is(get_ident())
        with turn:
            order.append(name)

    crowd = Crowd()
    with turn:
        crowd.start(lambda: take("user"))
        until(lambda: len(turn.waiting) == 1)
        crowd.start(lambda: take("network"))
        until(lambda: len(turn.waiting) == 2)
    crowd.join()
    assert order == ["network", "user"]


# What it tells and what it costs


def test_a_slow_turn_is_logged_with_what_ran(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    turn = Turn(clock=lambda: now[0])

    def late() -> None:
        now[0] += SLOW_TURN * 1.2

    with turn:
        turn.defer("requests", turn, late)
        turn.defer("requests", now, len, ())
        turn.defer("complete", turn, len, ())
    with turn.if_free():
        late()
    with turn:
        pass
    assert [record.getMessage() for record in caplog.records] == [
        "slow turn milliseconds=60 by=test_a_slow_turn_is_logged_with_what_ran actions=requests:2 complete:1",
        "slow turn milliseconds=60 by=test_a_slow_turn_is_logged_with_what_ran actions=none",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert turn.slow == 2


def test_the_plain_turn_costs_four_calls_and_a_microsecond_or_so() -> None:
    """Taking and releasing is what every batch of the network pays."""
    turn = Turn()
    calls: list[str] = []

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    sys.setprofile(watch)
    with turn:
        pass
    sys.setprofile(None)
    assert calls == ["__enter__", "_begin", "__exit__", "_release"]

    def take() -> None:
        with turn:
            pass

    fastest = min(timeit.repeat(take, number=2000, repeat=20, timer=time.perf_counter)) / 2000
    assert fastest < 10e-6  # 0.7 us where it was written; the room is for slow machines
