"""Open files, as few as possible: a bounded cache of descriptors that all torrents of a client share.

The one that was not used for longest is closed first. A descriptor in use is never closed: dropping it only means that
its last user closes it. A rename leaves descriptors as they are, since they follow the file.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from types import TracebackType

LIMIT = 64  # open files of a client; 1,024 descriptors are a usual limit, and peers need most of them


class Handle:
    """A descriptor on loan, given back at the end of the `with` block.

    Args:
        fd: The descriptor.
        writable: Whether it was opened for writing.
        device: The device that the file is on (st_dev).
    """

    __slots__ = ("_owner", "cached", "device", "fd", "seeking", "users", "writable")

    def __init__(self, fd: int, writable: bool, owner: Handles) -> None:
        self.fd = fd
        self.writable = writable
        self.device = os.fstat(fd).st_dev
        self.seeking = threading.Lock()  # for systems where reading at a place takes a seek and a read
        self.users = 0
        self.cached = True
        self._owner = owner

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._owner.give_back(self)


class Handles:
    """The cache. Keys are tuples (owner, file). Safe from any thread."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._cached: OrderedDict[tuple[Hashable, int], Handle] = OrderedDict()  # least recently used first
        self._lock = threading.Lock()

    def borrow(self, key: tuple[Hashable, int], writable: bool, opener: Callable[[bool], int]) -> Handle:
        """A handle for the file of that key, opened by *opener(writable)* if there is none that will do."""
        held = self.borrow_cached(key, writable)
        if held is not None:
            return held
        opened = Handle(opener(writable), writable, self)  # outside the lock: a slow disk holds nobody else up
        with self._lock:
            held = self._cached.get(key)
            if held is not None and (held.writable or not writable):  # another thread was faster
                surplus = [opened.fd]
                opened = held
            else:
                surplus = self._drop([key])
                self._cached[key] = opened
            self._cached.move_to_end(key)
            opened.users += 1
            surplus += self._overdue()
        _close(surplus)
        return opened

    def borrow_cached(self, key: tuple[Hashable, int], writable: bool = False) -> Handle | None:
        """The handle for that key if one is open; takes no disk access."""
        with self._lock:
            held = self._cached.get(key)
            if held is None or (writable and not held.writable):
                return None
            self._cached.move_to_end(key)
            held.users += 1
            return held

    def give_back(self, handle: Handle) -> None:
        """End a loan; called by the handle itself."""
        with self._lock:
            handle.users -= 1
            surplus = [] if handle.cached or handle.users else [handle.fd]
            surplus += self._overdue()
        _close(surplus)

    def drop(self, key: tuple[Hashable, int]) -> None:
        """Forget the handle for that key: whoever borrows next opens anew."""
        with self._lock:
            surplus = self._drop([key])
        _close(surplus)

    def drop_all(self, owner: Hashable) -> None:
        """Forget all handles of one owner."""
        with self._lock:
            surplus = self._drop([key for key in self._cached if key[0] == owner])
        _close(surplus)

    def __len__(self) -> int:
        return len(self._cached)

    def _drop(self, keys: list[tuple[Hashable, int]]) -> list[int]:
        idle = []
        for key in keys:
            handle = self._cached.pop(key, None)
            if handle is not None:
                handle.cached = False
                if not handle.users:
                    idle.append(handle.fd)
        return idle

    def _overdue(self) -> list[int]:
        excess = len(self._cached) - self._limit
        if excess <= 0:
            return []
        idle = [key for key, handle in self._cached.items() if not handle.users]
        return self._drop(idle[:excess])


def lone_handle(fd: int) -> Handle:
    """A handle for a descriptor that nobody else will use, in no cache: closed at the end of its `with` block."""
    handle = Handle(fd, True, Handles(limit=0))
    handle.users, handle.cached = 1, False
    return handle


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)
