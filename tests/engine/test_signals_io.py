"""Signals: waited for in threads and in tasks of any loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from anabranch.engine.signals_io import Signal, wake
from anabranch.model import Closed, Misused, StorageFailed
from engine.crowd import Crowd, often_switching, together, until

Run = Callable[[Coroutine[Any, Any, object]], object]


def run_on_uvloop(main: Coroutine[Any, Any, object]) -> object:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


@pytest.fixture(params=[asyncio.run, run_on_uvloop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


def test_a_set_signal_makes_nobody_wait(run: Run) -> None:
    signal = Signal()
    assert not signal.is_set
    assert not signal.wait(0)
    signal.set()
    signal.set()
    assert signal.is_set
    assert signal.wait()
    assert signal.wait(0)

    async def main() -> None:
        await signal

    run(main())
    signal.clear()
    assert not signal.is_set
    assert not signal.wait(0)
    assert not signal.wait(-5)


def test_setting_lets_go_all_threads_and_tasks(run: Run) -> None:
    """Also where it is cleared at once: they waited when it was set."""
    signal = Signal()

    async def main() -> None:
        await asyncio.gather(*[signal.past(None) for _ in range(5)], asyncio.wait_for(signal, 20))

    crowd = Crowd()
    for _ in range(4):
        crowd.start(lambda: signal.wait() or pytest.fail("woken for nothing"))
    crowd.start(lambda: run(main()))
    crowd.start(lambda: run(main()))  # a second loop
    until(lambda: signal.waiting == 16)
    signal.set()
    signal.clear()
    crowd.join()
    assert signal.waiting == 0


def test_a_failed_signal_raises_until_it_is_cleared(run: Run) -> None:
    signal = Signal()
    error = StorageFailed("/data", "No space left on device", 28)
    caught: list[StorageFailed] = []

    def waits() -> None:
        try:
            signal.wait()
        except StorageFailed as failed:
            caught.append(failed)

    async def main() -> None:
        with contextlib.suppress(StorageFailed):
            await signal
            pytest.fail("did not raise")

    crowd = Crowd()
    crowd.start(waits)
    crowd.start(lambda: run(main()))
    until(lambda: signal.waiting == 2)
    signal.fail(error)
    crowd.join()
    assert caught == [error]
    signal.set()  # too late: a failure stays one
    assert not signal.is_set
    assert signal.error is error
    with pytest.raises(StorageFailed):
        signal.wait(0)
    run(main())
    signal.clear()
    assert signal.error is None
    assert not signal.wait(0)


def test_the_traceback_of_a_shared_error_does_not_grow() -> None:
    signal = Signal()
    signal.fail(Closed("gone"))
    depths = []
    for _ in range(3):
        with pytest.raises(Closed) as caught:
            signal.wait()
        depths.append(len(caught.traceback))
    assert len(set(depths)) == 1


def test_waiting_is_refused_where_it_is_forbidden(run: Run) -> None:
    """Even for a signal that is set: the mistake must show at once, not on a bad day."""
    signal = Signal(forbidden=lambda: True)
    signal.set()
    with pytest.raises(Misused):
        signal.wait(0)

    async def main() -> None:
        with pytest.raises(Misused):
            await signal

    run(main())


def test_a_cancelled_task_leaves_nothing_behind(run: Run) -> None:
    signal = Signal()
    complaints: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
        task = asyncio.ensure_future(signal.past(None))
        await asyncio.sleep(0)
        assert signal.waiting == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert signal.waiting == 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(signal, 0.001)
        assert signal.waiting == 0
        # Set and cancelled in one go: the late wake finds a future that is done already.
        task = asyncio.ensure_future(signal.past(None))
        await asyncio.sleep(0)
        assert signal.waiting == 1
        signal.pulse()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    run(main())
    signal.set()
    assert complaints == []


def test_a_loop_that_is_closed_is_not_woken(run: Run) -> None:
    signal = Signal()
    loops: list[asyncio.AbstractEventLoop] = []
    kept: list[Coroutine[Any, Any, None]] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        # Driven by hand, so that the end of the loop does not cancel it.
        kept.append(signal.past(None))
        kept[0].send(None)

    run(main())
    assert loops[0].is_closed()
    assert signal.waiting == 1
    signal.set()
    assert signal.waiting == 0
    wake(loops[0], print, "never")
    kept[0].close()


def test_a_mark_keeps_a_pulse_that_came_before_the_wait(run: Run) -> None:
    signal = Signal()
    mark = signal.mark
    assert not signal.wait(0, since=mark)
    signal.pulse()
    assert not signal.is_set
    assert signal.wait(0, since=mark)
    assert not signal.wait(0)

    async def main() -> None:
        await signal.past(mark)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(signal.past(signal.mark), 0.001)

    run(main())


def test_a_set_that_crosses_with_the_registration_is_not_lost(run: Run) -> None:
    """After the waiter's first look, before anybody can see that it waits: it looks again."""
    signal = Signal()

    class Waiters(dict[Any, bool]):
        def __setitem__(self, waiter: object, waits: bool) -> None:
            signal.set()
            super().__setitem__(waiter, waits)

    signal._waiters = Waiters()
    assert signal.wait(0)
    signal.clear()

    async def main() -> None:
        await asyncio.wait_for(signal, 5)

    run(main())
    assert signal.waiting == 0


def test_no_set_is_lost_between_threads() -> None:
    """Two threads that wake each other by turns, without time limits."""
    there, back = Signal(), Signal()

    def ping() -> None:
        for _ in range(300):
            there.set()
            back.wait()
            back.clear()

    def pong() -> None:
        for _ in range(300):
            there.wait()
            there.clear()
            back.set()

    with often_switching():
        together(ping, pong)


def test_no_pulse_is_lost_with_a_mark(run: Run) -> None:
    """Readers that look at a count and wait for more see the last of it, whatever crosses."""
    signal = Signal()
    count = [0]

    def pulses() -> None:
        for _ in range(500):
            count[0] += 1
            signal.pulse()

    def reads() -> None:
        while True:
            mark = signal.mark
            if count[0] == 500:
                return
            signal.wait(since=mark)

    async def reads_too() -> None:
        while True:
            mark = signal.mark
            if count[0] == 500:
                return
            await signal.past(mark)

    together(pulses, reads, reads, lambda: run(reads_too()))
    assert signal.waiting == 0


def test_a_wait_that_times_out_while_the_signal_is_set_tells_the_truth() -> None:
    """Time-outs and sets at once: each wait is answered, and none is left in the list."""
    signal = Signal()
    stop = threading.Event()
    answers: list[bool] = []

    def waits() -> None:
        answers.extend(signal.wait(1e-5) for _ in range(200))
        stop.set()

    def pulses() -> None:
        while not stop.is_set():
            signal.pulse()

    together(waits, partial(pulses))
    assert len(answers) == 200
    assert signal.waiting == 0
