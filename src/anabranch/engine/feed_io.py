"""What subscribers read: bounded queues that never push back.

Events of one key replace each other while unread, so that a late reader finds the present state; beyond the bound the
oldest is dropped and counted. What the events are, and their keys, is the publisher's affair.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from anabranch.model import Closed

from .signals_io import Signal, nowhere

T = TypeVar("T")

LIMIT = 1000  # unread events


class Feed(Generic[T]):
    """Events for one subscriber: `for event in feed`, `async for event in feed`, or feed.get().

    Several threads and tasks may read; each event goes to one of them.

    Args:
        limit: The most unread events that are kept, at least 1.
        forbidden: As for Signal: where reading must not wait.
        kinds: The types of events that it takes; all of them if none is named.
    """

    def __init__(
        self, limit: int = LIMIT, forbidden: Callable[[], bool] = nowhere, kinds: tuple[type[T], ...] = ()
    ) -> None:
        if limit < 1:
            raise ValueError(f"a feed of {limit} events")
        self.kinds = kinds
        self.dropped = 0  # events that were pushed out unread; those replaced by their successor are not counted
        self._limit = limit
        # Over what follows; never held for long. A finaliser that closes the feed may come while it is held.
        self._lock = threading.RLock()
        self._events: OrderedDict[Hashable, T] = OrderedDict()
        self._some = Signal(forbidden)  # set while there are events, and when closed
        self._closed = False

    def __len__(self) -> int:
        return len(self._events)

    def __bool__(self) -> bool:
        return True  # an empty feed is a feed

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._closed

    def publish(self, key: Hashable | None, event: T) -> None:
        """Add an event, in place of an unread one of the same *key* (None: of none). Never blocks."""
        if self.kinds and not isinstance(event, self.kinds):
            return
        with self._lock:
            if self._closed:
                return
            self._events[object() if key is None else key] = event
            if len(self._events) > self._limit:
                self._events.popitem(last=False)
                self.dropped += 1
            if not self._some.is_set:
                self._some.set()

    def wait(self, timeout: float) -> bool:
        """Whether there is something to read, an event or the end, within so many seconds.

        Raises:
            Misused: on the engine's own thread, or holding the turn.
        """
        return self._some.wait(timeout)

    def get(self, timeout: float | None = None) -> T:
        """The next event.

        Args:
            timeout: Seconds to wait for it; None waits for ever.

        Raises:
            TimeoutError: there was none.
            Closed: there will be none.
            Misused: on the engine's own thread, or holding the turn.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (found := self._taken()):
            if not self._some.wait(None if deadline is None else deadline - time.monotonic()):
                raise TimeoutError(f"no event within {timeout} s")
        return found[0]

    def close(self) -> None:
        """Take no more. Readers get what is queued, then the end."""
        with self._lock:
            self._closed = True
            self._some.set()

    def __iter__(self) -> Feed[T]:
        return self

    def __next__(self) -> T:
        try:
            return self.get()
        except Closed:
            raise StopIteration from None

    def __aiter__(self) -> Feed[T]:
        return self

    async def __anext__(self) -> T:
        try:
            while not (found := self._taken()):
                await self._some
        except Closed:
            raise StopAsyncIteration from None
        return found[0]

    def _taken(self) -> tuple[T] | None:
        """The oldest event, in a tuple, or None. Raises Closed when no other will come."""
        with self._lock:
            if not self._events:
                if self._closed:
                    raise Closed("the feed is closed")
                return None
            _key, event = self._events.popitem(last=False)
            if not self._events and not self._closed:
                self._some.clear()
            return (event,)


class Feeds(Generic[T]):
    """One publisher, any number of subscribers. A feed that its subscriber forgets goes away.

    True when somebody listens, so that events that nobody wants need not be made.

    Args:
        forbidden: As for Signal: where reading must not wait.
    """

    def __init__(self, forbidden: Callable[[], bool] = nowhere) -> None:
        self._forbidden = forbidden
        self._lock = threading.Lock()  # over changes of what follows; never held for long
        self._feeds: tuple[weakref.ref[Feed[T]], ...] = ()
        self._closed = False

    def __bool__(self) -> bool:
        return bool(self._feeds)

    def wants(self, kind: type[T]) -> bool:
        """Whether anybody takes events of this type: others need not be made."""
        for reference in self._feeds:
            feed = reference()
            if feed is not None and not feed.closed and (not feed.kinds or issubclass(kind, feed.kinds)):
                return True
        return False

    def subscribe(self, limit: int = LIMIT, kinds: tuple[type[T], ...] = ()) -> Feed[T]:
        """A new feed of what is published from now on; one that has ended if the publisher has."""
        feed: Feed[T] = Feed(limit, self._forbidden, kinds)
        with self._lock:
            if self._closed:
                feed.close()
            else:
                self._feeds = (*self._feeds, weakref.ref(feed))
        return feed

    def publish(self, key: Hashable | None, event: T) -> None:
        """Give an event to all who listen. Never blocks."""
        gone = False
        for reference in self._feeds:
            feed = reference()
            if feed is None or feed.closed:
                gone = True
            else:
                feed.publish(key, event)
        if gone:
            self._forget()

    def close(self) -> None:
        """End all feeds, also those to come."""
        with self._lock:
            self._closed = True
            feeds, self._feeds = self._feeds, ()
        for reference in feeds:
            feed = reference()
            if feed is not None:
                feed.close()

    def _forget(self) -> None:
        with self._lock:
            self._feeds = tuple(kept for kept in self._feeds if (feed := kept()) is not None and not feed.closed)
