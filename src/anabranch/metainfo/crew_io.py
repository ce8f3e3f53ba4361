"""Threads that read and hash, one for each core; hashlib lets go of the interpreter meanwhile.

Each has one buffer that fits into its core's own cache, reads into it and hashes what it has read while that is warm.
Work is handed out in stretches of some megabytes, one to a thread as it gets free, so that a disk that turns has few
places to be at. What the work is, and what is made of its results, the caller knows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from types import TracebackType
from typing import Generic, TypeVar

from .hashing import WARM_SIZE

Stretch = TypeVar("Stretch")
Found = TypeVar("Found")

STRETCH_SIZE = 8 * 1024 * 1024  # bytes; handing it out costs nothing beside hashing it, and it is one seek of a disk
LOOK_EVERY = 0.1  # seconds, also how soon a cancellation is noticed

_MOST_THREADS = 16  # they hash 25 GB/s, faster than any disk
_PATIENCE = 1.0  # seconds that threads get to end in; a disk that hangs holds up nobody
_READ_AHEAD = 1024 * 1024  # bytes; of a shorter file the system reads enough by itself


class Hand:
    """What one thread has for itself.

    Attributes:
        buffer: Its memory, WARM_SIZE bytes.
        through: Bytes that it is through with.
    """

    __slots__ = ("_crew", "buffer", "through")

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self.buffer = memoryview(bytearray(WARM_SIZE))
        self.through = 0

    @property
    def stopped(self) -> bool:
        """Nobody wants the result any more: to be asked before each read."""
        return self._crew.stopped


class Crew:
    """The threads, for the length of a `with` block; whatever ends it, they stop after the read that they are at.

    Args:
        name: What they are called.
    """

    def __init__(self, name: str) -> None:
        self.stopped = False
        self._name = name
        self._hands: list[Hand] = []
        self._threads: list[Thread] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stopped = True
        deadline = monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(max(deadline - monotonic(), 0.0))

    @property
    def through(self) -> int:
        """Bytes that all of them are through with."""
        return sum(hand.through for hand in self._hands)

    def over(
        self, stretches: Iterable[Stretch], work: Callable[[Stretch, Hand], Found]
    ) -> Iterator[tuple[Stretch, Found] | None]:
        """Do *work* to all stretches, each in some thread, and give the results as they come.

        A None comes between them when LOOK_EVERY has passed without any. Raises what *work* raises. Only once.
        """
        shift = _Shift(iter(stretches), work)
        for number in range(min(cores(), _MOST_THREADS)):
            hand = Hand(self)
            thread = Thread(target=shift.run, args=(hand,), name=f"{self._name}-{number}", daemon=True)
            thread.start()
            self._hands.append(hand)
            self._threads.append(thread)
        at_work = len(self._threads)
        while at_work:
            try:
                come = shift.results.get(timeout=LOOK_EVERY)
            except Empty:
                yield None
                continue
            if come is None:
                at_work -= 1
            elif isinstance(come, BaseException):
                raise come
            else:
                yield come


class _Shift(Generic[Stretch, Found]):
    """What the threads have in common while they are at it."""

    def __init__(self, stretches: Iterator[Stretch], work: Callable[[Stretch, Hand], Found]) -> None:
        self._stretches = stretches
        self._work = work
        self._lock = Lock()  # while the next stretch is worked out
        self.results: SimpleQueue[tuple[Stretch, Found] | BaseException | None] = SimpleQueue()  # None: one has ended

    def run(self, hand: Hand) -> None:
        """What a thread does."""
        try:
            while not hand.stopped:
                with self._lock:
                    stretch = next(self._stretches, None)
                if stretch is None:
                    break
                self.results.put((stretch, self._work(stretch, hand)))
        except BaseException as error:  # noqa: BLE001 - raised where the results are wanted
            self.results.put(error)
        self.results.put(None)


def cores() -> int:
    """How many threads can run at a time."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_to_read(path: str, length: int) -> int:
    """A descriptor of a file of which *length* bytes will be read from front to back. Raises OSError."""
    # Without waiting: a pipe that was put in the place of a file would have us wait for somebody to write.
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    if length > _READ_AHEAD and hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)  # the disk shall read while we hash
    return fd


def read_at(fd: int, view: memoryview, place: int) -> int:
    """Fill the view from *place* in a file that no other thread has; the number of bytes, fewer only at its end.

    Raises OSError.
    """
    got = 0
    while got < len(view):
        if hasattr(os, "preadv"):
            more = os.preadv(fd, [view[got:]], place + got)
        else:
            os.lseek(fd, place + got, os.SEEK_SET)
            found = os.read(fd, len(view) - got)
            more = len(found)
            view[got : got + more] = found
        if not more:
            break
        got += more
    return got
