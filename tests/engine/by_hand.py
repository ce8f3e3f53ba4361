"""Workers without threads: a test decides when a job is done, and whose."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Job(NamedTuple):
    job: Callable[[], Any]
    done: Callable[[Any], None]
    failed: Callable[[BaseException], None]
    owner: tuple[Hashable, Hashable]


class Jobs:
    """A worker without a thread: jobs wait until they are run; *held* keeps them waiting, *held_of* those of some."""

    def __init__(self) -> None:
        self.waiting: deque[_Job] = deque()
        self.held = False
        self.held_of: set[Hashable] = set()  # owners whose jobs wait

    def submit(
        self,
        job: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[BaseException], None],
        owner: tuple[Hashable, Hashable] = (None, None),
    ) -> None:
        self.waiting.append(_Job(job, done, failed, owner))

    def run_one(self) -> bool:
        ready = (one for one in self.waiting if one.owner[0] not in self.held_of)
        first = None if self.held else next(ready, None)
        if first is None:
            return False
        self.waiting.remove(first)
        job, done, failed, _ = first
        try:
            result = job()
        except BaseException as error:  # noqa: BLE001 - belongs to who submitted it
            failed(error)
        else:
            done(result)
        return True
