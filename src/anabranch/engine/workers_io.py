"""Threads for what may block: hashing, disk, DNS. Jobs go in one by one, answers come back in batches.

A job costs some 9 us this way, against 67 for run_in_executor(): one wake-up of the loop brings all answers that have
gathered. Which jobs, and what follows from their answers, is the engine's affair.

A job may take very long: a disk that takes two seconds for each write, a network file system whose server is gone. So
that this slows nobody else, jobs have an owner (a torrent) and a place (what it shares with others, a directory), and
of each only so many are let in at a time. What is let in has a thread, up to a number that few places cannot exhaust.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from anabranch.model import Closed, TorrentError

T = TypeVar("T")
Owner = tuple[Hashable, Hashable]  # whose jobs they are; the place that the owner shares with others

SPARE = 16  # threads beyond those of one owner
_OF_PLACE = 2  # times what an owner may have at work: what all of a place may have together
_NOBODY: Owner = (None, None)

log = logging.getLogger(__name__)


class _Job(NamedTuple):
    work: Callable[[], Any]
    done: Callable[[Any], None]
    failed: Callable[[BaseException], None]


class _Place:
    """What several owners share. *ready*: those of them of whom a job may be let in next, in turn."""

    __slots__ = ("active", "ready")

    def __init__(self) -> None:
        self.active = 0
        self.ready: deque[_Line] = deque()


class _Line:
    """The jobs of one owner: so many let in, the others waiting in order."""

    __slots__ = ("active", "owner", "place", "waiting")

    def __init__(self, owner: Owner, place: _Place) -> None:
        self.owner = owner
        self.place = place
        self.active = 0
        self.waiting: deque[_Job] = deque()


class Workers:
    """Some threads, started when there is work. Every job is answered once, as long as the loop runs.

    Args:
        count: The most threads at work for one owner. With one, jobs of an owner are done in order.
        name: What they are called, with a number each.
        post: Runs a function where answers are wanted, for example loop.call_soon_threadsafe.
    """

    def __init__(self, count: int, name: str, post: Callable[[Callable[[], None]], object]) -> None:
        self._count = count
        self._name = name
        self._post = post
        self._jobs: SimpleQueue[tuple[_Line, _Job] | None] = SimpleQueue()  # let in
        self._answers: deque[Callable[[], None]] = deque()
        self._posted = threading.Lock()  # held while a delivery is on its way
        self._lock = threading.Lock()  # over what follows; never held for long
        self._threads: list[threading.Thread] = []
        self._lines: dict[Owner, _Line] = {}
        self._places: dict[Hashable, _Place] = {}
        self._waiting = 0  # jobs not let in
        self._active = 0  # let in and not done
        self._unanswered = 0
        self._closed = False

    @property
    def pending(self) -> int:
        """Jobs that were submitted and not answered yet."""
        return self._unanswered

    def submit(
        self,
        job: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[BaseException], None],
        owner: Owner = _NOBODY,
    ) -> None:
        """Have a thread run *job*, then *done* with what it returned or *failed* with what it raised, by way of post.

        Any thread may call. After close(), and for what close() drops, *failed* gets a Closed.
        """
        refusal: BaseException = Closed(f"{self._name} takes no more work")
        with self._lock:
            self._unanswered += 1
            if not self._closed:
                try:
                    if not self._threads:
                        self._start_one()
                except RuntimeError as error:  # the system has no thread for us
                    refusal = error
                else:
                    line = self._line_of(owner)
                    line.waiting.append(_Job(job, done, failed))
                    self._waiting += 1
                    if len(line.waiting) == 1 and line.active < self._count:
                        line.place.ready.append(line)
                        self._let_in(line.place)
                    return
        self._answer(partial(failed, refusal))

    def close(self, drop: bool = False, timeout: float = 10.0) -> bool:
        """End the threads after what is submitted, or, with *drop*, after what they are at.

        Args:
            drop: Do not do what no thread has begun.
            timeout: Seconds to wait for the threads. Not to be called by who has the turn.

        Returns:
            Whether all have ended.
        """
        with self._lock:
            self._closed = True
            threads = list(self._threads)
            dropped = self._withdrawn() if drop else []
            if not self._waiting:
                self._dismiss()
        for job in dropped:
            self._answer(partial(job.failed, Closed(f"{self._name} was closed")))
        return join_all(threads, timeout)

    def _line_of(self, owner: Owner) -> _Line:
        line = self._lines.get(owner)
        if line is None:
            place = self._places.setdefault(owner[1], _Place())
            line = self._lines[owner] = _Line(owner, place)
        return line

    def _let_in(self, place: _Place) -> None:
        """Let in what may be, an owner's job after another's, and see that a thread is there for it."""
        while place.ready and place.active < _OF_PLACE * self._count:
            line = place.ready.popleft()
            self._jobs.put((line, line.waiting.popleft()))
            line.active += 1
            place.active += 1
            self._active += 1
            self._waiting -= 1
            if line.waiting and line.active < self._count:
                place.ready.append(line)
            if len(self._threads) < min(self._active, self._count + SPARE):
                with suppress(RuntimeError):  # the system has no more: those there are will do it
                    self._start_one()

    def _ended(self, line: _Line) -> None:
        """A job of the line is through: let in another."""
        with self._lock:
            place = line.place
            waited = line.waiting and line.active == self._count  # else it is ready, or has nothing
            line.active -= 1
            place.active -= 1
            self._active -= 1
            if waited:
                place.ready.append(line)
            self._let_in(place)
            self._tidy(line)
            if self._closed and not self._waiting:
                self._dismiss()

    def _tidy(self, line: _Line) -> None:
        """Forget who has no jobs."""
        if not line.active and not line.waiting:
            self._lines.pop(line.owner, None)
            if not line.place.active and not line.place.ready:
                self._places.pop(line.owner[1], None)

    def _dismiss(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)

    def _start_one(self) -> None:
        name = f"{self._name}-{len(self._threads)}"
        # A daemon: a disk that hangs, or a client that nobody closed, must not keep the program from ending.
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _withdrawn(self) -> list[_Job]:
        """Take back what nobody has begun."""
        jobs: list[_Job] = []
        with suppress(Empty):
            while True:
                let_in = self._jobs.get_nowait()
                if let_in is not None:
                    line, job = let_in
                    line.active -= 1
                    line.place.active -= 1
                    self._active -= 1
                    jobs.append(job)
        for line in list(self._lines.values()):
            jobs += line.waiting
            self._waiting -= len(line.waiting)
            line.waiting.clear()
            line.place.ready.clear()
            self._tidy(line)
        return jobs

    def _work(self) -> None:
        while (let_in := self._jobs.get()) is not None:
            line, job = let_in
            try:
                answer = partial(job.done, job.work())
            except BaseException as error:  # all of it belongs to who submitted the job
                if not isinstance(error, TorrentError | OSError):  # our own mistake, whatever is made of it
                    log.exception("job failed workers=%s", self._name)
                answer = partial(job.failed, error)
            self._answer(answer)
            self._ended(line)
            del let_in, line, job, answer  # they hold buffers, which an idle thread must not keep

    def _answer(self, answer: Callable[[], None]) -> None:
        self._answers.append(answer)
        if self._posted.acquire(False):
            try:
                self._post(self._deliver)
            except RuntimeError:  # the loop is closed: nobody is there to be answered
                self._answers.clear()
                self._posted.release()
                log.debug("answers dropped workers=%s", self._name)

    def _deliver(self) -> None:
        self._posted.release()  # before looking: an answer that comes after this is posted anew
        for _ in range(len(self._answers)):
            answer = self._answers.popleft()
            with self._lock:
                self._unanswered -= 1
            try:
                answer()
            except Exception:  # bulkhead: the other answers are not to blame
                log.exception("answer failed workers=%s", self._name)


def join_all(threads: list[threading.Thread], timeout: float) -> bool:
    """Wait for threads to end, *timeout* seconds for all together. Says whether all have; the caller does not count."""
    deadline = time.monotonic() + timeout
    others = [thread for thread in threads if thread is not threading.current_thread()]
    for thread in others:
        thread.join(max(deadline - time.monotonic(), 0.0))
    return not any(thread.is_alive() for thread in others)
