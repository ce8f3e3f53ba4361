"""Hooks: the user's callbacks on a thread of their own."""

from __future__ import annotations

import threading

import pytest

from anabranch.engine.hooks_io import Hooks


def test_hooks_run_in_order_on_a_thread_of_their_own() -> None:
    hooks = Hooks("hooks")
    ran: list[tuple[int, str]] = []
    for number in range(50):
        hooks.call(lambda number: ran.append((number, threading.current_thread().name)), number)
    assert hooks.close()
    assert ran == [(number, "hooks") for number in range(50)]


def test_a_hook_that_raises_is_logged_with_its_traceback_and_the_next_runs(caplog: pytest.LogCaptureFixture) -> None:
    hooks = Hooks("hooks")
    ran: list[int] = []

    def bad_hook(error: BaseException) -> None:
        raise error

    hooks.call(bad_hook, ValueError("bad"))
    hooks.call(bad_hook, SystemExit(1))
    hooks.call(ran.append, 1)
    assert hooks.close()
    assert ran == [1]
    assert caplog.text.count("Traceback") == 2
    assert "bad_hook" in caplog.text


def test_hooks_that_wait_are_counted_and_none_is_dropped() -> None:
    hooks = Hooks("hooks")
    begun, go_on = threading.Event(), threading.Event()
    ran: list[int] = []

    def slow() -> None:
        begun.set()
        assert go_on.wait(20)

    hooks.call(slow)
    assert begun.wait(20)
    for number in range(3000):
        hooks.call(ran.append, number)
    assert hooks.waiting == 3000
    assert not hooks.close(timeout=0)
    go_on.set()
    assert hooks.close()
    assert ran == list(range(3000))


def test_hooks_that_nobody_calls_cost_no_thread() -> None:
    before = threading.active_count()
    hooks = Hooks("hooks")
    assert threading.active_count() == before
    assert hooks.close()


def test_nothing_runs_after_closing() -> None:
    hooks = Hooks("hooks")
    ran: list[int] = []
    assert hooks.close()
    hooks.call(ran.append, 1)
    assert hooks.close()
    assert ran == []


def test_a_hook_may_close_the_hooks() -> None:
    """A user's callback may close the client: it must not wait for itself."""
    hooks = Hooks("hooks")
    ended: list[bool] = []
    hooks.call(lambda: ended.append(hooks.close()))
    hooks.call(ended.append, False)  # queued before or refused after: both are right
    assert hooks.close()
    assert ended[0]
