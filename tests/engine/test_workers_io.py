"""Workers: jobs in, answers out in batches."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.engine.workers_io import SPARE, Workers
from anabranch.model import Closed
from engine.crowd import until


def ignore(_: object) -> None:
    pass


def with_thread(number: int) -> tuple[int, str]:
    return number, threading.current_thread().name


class Desk:
    """Where answers are posted to, in place of a loop."""

    def __init__(self) -> None:
        self.posted: list[Callable[[], None]] = []
        self.results: list[object] = []
        self.errors: list[BaseException] = []

    def deliver(self) -> None:
        while self.posted:
            self.posted.pop(0)()


def submit(workers: Workers, desk: Desk, job: Callable[[], object]) -> None:
    workers.submit(job, desk.results.append, desk.errors.append)


def test_jobs_are_answered_with_what_they_return_or_raise() -> None:
    desk = Desk()
    workers = Workers(2, "disk", desk.posted.append)
    submit(workers, desk, lambda: 42)
    submit(workers, desk, lambda: [][0])
    submit(workers, desk, lambda: __import__("sys").exit(3))
    assert workers.pending == 3
    assert workers.close()
    assert desk.results == desk.errors == []  # not before they are delivered
    desk.deliver()
    assert desk.results == [42]
    assert sorted(type(error).__name__ for error in desk.errors) == ["IndexError", "SystemExit"]
    assert workers.pending == 0


def test_one_worker_does_jobs_in_order_on_a_named_thread() -> None:
    desk = Desk()
    workers = Workers(1, "record", desk.posted.append)
    for number in range(50):
        submit(workers, desk, partial(with_thread, number))
    assert workers.close()
    desk.deliver()
    assert desk.results == [(number, "record-0") for number in range(50)]


def test_answers_that_gather_are_brought_by_one_post() -> None:
    """Waking a loop is what costs: a hundred answers wake it once if it was busy meanwhile."""
    desk = Desk()
    workers = Workers(3, "hash", desk.posted.append)
    for _ in range(100):
        submit(workers, desk, lambda: 1)
    assert workers.close()
    assert len(desk.posted) == 1
    desk.deliver()
    assert desk.results == [1] * 100


def test_no_answer_is_lost_between_two_deliveries() -> None:
    """Deliveries run while answers arrive, on a loop as in life."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        workers = Workers(2, "disk", loop.call_soon_threadsafe)
        everything = loop.create_future()
        seen: set[int] = set()

        def done(number: int) -> None:
            seen.add(number)
            if len(seen) == 2000:
                everything.set_result(None)

        for number in range(2000):
            workers.submit(partial(int, number), done, everything.set_exception)
        await asyncio.wait_for(everything, 20)
        assert workers.pending == 0
        assert workers.close()

    asyncio.run(main())


def test_an_answer_that_raises_is_logged_and_the_others_come(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    workers = Workers(1, "disk", desk.posted.append)
    workers.submit(lambda: 1, lambda _: [][0], desk.errors.append)
    submit(workers, desk, lambda: 2)
    assert workers.close()
    desk.deliver()
    assert desk.results == [2]
    assert desk.errors == []
    assert "answer failed workers=disk" in caplog.text


def test_closing_ends_after_what_is_queued() -> None:
    desk = Desk()
    workers = Workers(2, "disk", desk.posted.append)
    for number in range(20):
        submit(workers, desk, partial(int, number))
    assert workers.close()
    assert workers.close()
    desk.deliver()
    assert sorted(map(str, desk.results)) == sorted(map(str, range(20)))


def test_closing_can_drop_what_nobody_has_begun() -> None:
    """It is answered with Closed: who submitted it may hold memory that must go back."""
    desk = Desk()
    workers = Workers(1, "disk", desk.posted.append)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> bool:
        begun.set()
        return go_on.wait(20)

    submit(workers, desk, slow)
    for _ in range(5):
        submit(workers, desk, lambda: "never")
    assert begun.wait(20)
    assert not workers.close(drop=True, timeout=0)  # one is still at it
    go_on.set()
    assert workers.close()
    desk.deliver()
    assert desk.results == [True]
    assert [type(error) for error in desk.errors] == [Closed] * 5
    assert workers.pending == 0


def test_a_job_after_closing_is_answered_with_closed() -> None:
    desk = Desk()
    workers = Workers(1, "disk", desk.posted.append)
    assert workers.close()
    submit(workers, desk, lambda: "never")
    desk.deliver()
    assert [type(error) for error in desk.errors] == [Closed]


def test_no_thread_is_started_before_there_is_work() -> None:
    desk = Desk()
    before = threading.active_count()
    workers = Workers(4, "disk", desk.posted.append)
    assert threading.active_count() == before
    submit(workers, desk, lambda: 1)
    assert workers.close()


def test_a_system_without_threads_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    desk = Desk()
    workers = Workers(1, "disk", desk.posted.append)
    submit(workers, desk, lambda: "never")
    desk.deliver()
    assert [str(error) for error in desk.errors] == ["can't start new thread"]
    assert workers.close()


def test_a_closed_loop_is_not_posted_to() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    workers = Workers(1, "disk", loop.call_soon_threadsafe)
    workers.submit(lambda: 1, ignore, ignore)
    workers.submit(lambda: 2, ignore, ignore)
    assert workers.close()


def test_an_idle_thread_keeps_nothing_of_its_last_job() -> None:
    """Jobs hold piece buffers of many MiB."""

    class Buffer:
        pass

    desk = Desk()
    workers = Workers(1, "disk", desk.posted.append)
    buffer = Buffer()
    gone = weakref.ref(buffer)
    workers.submit(partial(ignore, buffer), ignore, ignore)
    del buffer
    until(lambda: bool(desk.posted))
    desk.deliver()

    def collected() -> bool:
        gc.collect()
        return gone() is None

    until(collected)
    assert workers.close()


def test_a_job_may_close_the_workers() -> None:
    """It does not wait for itself."""
    desk = Desk()
    workers = Workers(1, "disk", desk.posted.append)
    submit(workers, desk, workers.close)
    assert workers.close()
    desk.deliver()
    assert desk.results == [True]


class Slow:
    """Jobs that wait until they may go on, and know when they began."""

    def __init__(self) -> None:
        self.begun = 0
        self.go_on = threading.Event()

    def __call__(self) -> str:
        self.begun += 1  # one thread at a time gets here in these tests, or the number is not looked at
        assert self.go_on.wait(20)
        return "slow"


def test_an_owner_whose_jobs_take_for_ever_holds_up_nobody_else() -> None:
    """A disk that takes seconds for each write; its torrent has more jobs waiting than there are threads."""
    desk = Desk()
    workers = Workers(2, "disk", desk.posted.append)
    slow = Slow()
    for _ in range(50):
        workers.submit(slow, desk.results.append, desk.errors.append, ("slow", "disk"))
    for number in range(200):
        workers.submit(partial(int, number), desk.results.append, desk.errors.append, ("fast", "disk"))
    until(lambda: workers.pending == 250 and len(workers._answers) == 200)
    desk.deliver()
    assert set(desk.results) == set(range(200))  # two threads do them, in any order
    assert len(workers._threads) == 4
    slow.go_on.set()
    assert workers.close()
    desk.deliver()
    assert desk.results[200:] == ["slow"] * 50


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("owners", [2, 40])
def test_many_owners_at_one_slow_place_hold_up_nobody_elsewhere(count: int, owners: int) -> None:
    """Forty torrents on a network file system whose server is gone, and one beside it."""
    desk = Desk()
    workers = Workers(count, "disk", desk.posted.append)
    slow = Slow()
    for number in range(200):
        workers.submit(slow, desk.results.append, desk.errors.append, (number % owners, "gone"))
    for number in range(100):
        workers.submit(partial(int, number), desk.results.append, desk.errors.append, ("fast", "here"))
    until(lambda: len(workers._answers) == 100)
    assert len(workers._threads) <= 3 * count
    desk.deliver()
    assert set(desk.results) == set(range(100))
    assert not workers.close(drop=True, timeout=0)
    slow.go_on.set()
    assert workers.close()
    desk.deliver()
    assert len(desk.results) == 100 + 2 * count
    assert [type(error) for error in desk.errors] == [Closed] * (200 - 2 * count)
    assert workers.pending == 0
    assert not workers._lines
    assert not workers._places


def test_threads_are_bounded_however_many_owners_there_are() -> None:
    """A thousand torrents, each on a disk of its own that hangs."""
    desk = Desk()
    workers = Workers(2, "disk", desk.posted.append)
    slow = Slow()
    for number in range(1000):
        workers.submit(slow, desk.results.append, desk.errors.append, (number, number))
    assert len(workers._threads) == 2 + SPARE
    slow.go_on.set()
    assert workers.close()
    desk.deliver()
    assert desk.results == ["slow"] * 1000


def test_a_lone_owner_has_as_many_threads_as_there_are_cores_for() -> None:
    """And no more, however many jobs it has."""
    desk = Desk()
    workers = Workers(3, "disk", desk.posted.append)
    for number in range(500):
        workers.submit(partial(int, number), desk.results.append, desk.errors.append, ("one", "place"))
    assert workers.close()
    desk.deliver()
    assert len(workers._threads) == 3
    assert len(desk.results) == 500


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=60), st.integers(1, 3))
def test_jobs_of_one_owner_are_begun_in_order_and_all_are_done(jobs: list[tuple[int, int]], count: int) -> None:
    """With one thread for each owner also done in order: a record after its writes, the end of a torrent last."""
    desk = Desk()
    workers = Workers(count, "record", desk.posted.append)
    begun: dict[tuple[int, int], list[int]] = {}
    for number, owner in enumerate(jobs):
        mine = begun.setdefault(owner, [])
        workers.submit(partial(mine.append, number), desk.results.append, desk.errors.append, owner)
    assert workers.close()
    desk.deliver()
    assert len(desk.results) == len(jobs)
    for owner, numbers in begun.items():
        due = [number for number, one in enumerate(jobs) if one == owner]
        assert sorted(numbers) == due
        assert count > 1 or numbers == due
    assert not workers._lines
    assert not workers._places
