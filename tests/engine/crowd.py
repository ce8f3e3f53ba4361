"""Several threads at once, for tests: each must end in time, and what it raises fails the test."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 20.0  # seconds; a test that comes near it has found a deadlock


class Crowd:
    """Threads that are started one by one and joined together."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def start(self, job: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - raised by join()
                self._errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a thread is stuck"
        if self._errors:
            raise self._errors[0]


def together(*jobs: Callable[[], object]) -> None:
    """Run each job in a thread of its own, all at once."""
    crowd = Crowd()
    gate = threading.Barrier(len(jobs))

    def at_the_gate(job: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            gate.wait(PATIENCE)
            return job()

        return run

    for job in jobs:
        crowd.start(at_the_gate(job))
    crowd.join()


def until(true: Callable[[], bool]) -> None:
    """Let the other threads run until something is true: a spin on the state itself, with no pause to be too short."""
    limit = threading.Event()
    alarm = threading.Timer(PATIENCE, limit.set)
    alarm.daemon = True
    alarm.start()
    try:
        while not true():
            assert not limit.is_set(), "it never came about"
    finally:
        alarm.cancel()


@contextmanager
def often_switching() -> Iterator[None]:
    """Threads change places every few microseconds, not every 5 ms: races that are rare in life are common here."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
