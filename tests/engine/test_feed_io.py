"""Feeds: bounded, coalescing, never in the publisher's way."""

from __future__ import annotations

import asyncio
import gc
import threading
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine.feed_io import LIMIT, Feed, Feeds
from anabranch.model import Closed, Misused
from engine.crowd import Crowd, together, until


def drained(feed: Feed[int]) -> list[int]:
    feed.close()
    return list(feed)


def test_events_come_in_order() -> None:
    feed: Feed[int] = Feed()
    for number in range(5):
        feed.publish(None, number)
    assert len(feed) == 5
    assert feed.get() == 0
    assert drained(feed) == [1, 2, 3, 4]


def test_an_unread_event_of_the_same_key_is_replaced_in_its_place() -> None:
    feed: Feed[int] = Feed()
    feed.publish("a", 1)
    feed.publish("b", 2)
    feed.publish("a", 3)
    assert feed.get() == 3
    feed.publish("a", 4)
    assert drained(feed) == [2, 4]
    assert feed.dropped == 0


def test_the_oldest_is_dropped_and_counted_when_nobody_reads() -> None:
    feed: Feed[int] = Feed()
    for number in range(LIMIT + 10):
        feed.publish(None, number)
    assert feed.dropped == 10
    assert drained(feed) == list(range(10, LIMIT + 10))


@given(
    limit=st.integers(1, 5),
    steps=st.lists(st.one_of(st.none(), st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.integers()))),
)
def test_a_feed_is_a_list_that_replaces_and_forgets(limit: int, steps: list[tuple[int | None, int] | None]) -> None:
    """Against a plain model; a step is an event to publish, or None for reading one."""
    feed: Feed[int] = Feed(limit)
    model: list[tuple[int | None, int]] = []
    dropped = 0
    for step in steps:
        if step is None:
            if model:
                assert feed.get(0) == model.pop(0)[1]
            else:
                with pytest.raises(TimeoutError):
                    feed.get(0)
            continue
        feed.publish(*step)
        keys = [key for key, _ in model]
        if step[0] is not None and step[0] in keys:
            model[keys.index(step[0])] = step
        else:
            model.append(step)
        if len(model) > limit:
            model.pop(0)
            dropped += 1
    assert feed.dropped == dropped
    assert drained(feed) == [event for _, event in model]


def test_closing_ends_iteration_after_what_is_queued() -> None:
    feed: Feed[int] = Feed()
    feed.publish(None, 1)
    feed.close()
    feed.close()
    feed.publish(None, 2)
    assert feed.closed
    assert feed.get() == 1
    with pytest.raises(Closed):
        feed.get()
    assert list(feed) == []


def test_a_reader_waits_for_the_next_event_and_for_the_end() -> None:
    feed: Feed[int] = Feed()
    read: list[int] = []
    crowd = Crowd()
    crowd.start(lambda: read.extend(feed))
    for number in range(100):
        feed.publish(None, number)
    feed.close()
    crowd.join()
    assert read == list(range(100))


def test_a_task_reads_a_feed_that_a_thread_fills() -> None:
    feed: Feed[int] = Feed(10_000)

    async def read() -> list[int]:
        return [event async for event in feed]

    def fill() -> None:
        for number in range(2000):
            feed.publish(None, number)
        feed.close()

    crowd = Crowd()
    crowd.start(fill)
    assert asyncio.run(read()) == list(range(2000))
    crowd.join()


def test_a_cancelled_reader_loses_no_event() -> None:
    feed: Feed[int] = Feed()

    async def main() -> None:
        task = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0)
        task.cancel()
        feed.publish(None, 1)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await anext(feed) == 1

    asyncio.run(main())


def test_several_readers_share_the_events() -> None:
    """Each event goes to one of them, and all readers see the end."""
    feed: Feed[int] = Feed(10_000)
    read: list[int] = []

    def fill() -> None:
        for number in range(1000):
            feed.publish(None, number)
        until(lambda: len(feed) == 0)
        feed.close()

    async def collect() -> None:
        async for event in feed:
            read.append(event)  # noqa: PERF401 - several fill the one list

    together(fill, *[lambda: read.extend(feed)] * 3, lambda: asyncio.run(collect()))
    assert sorted(read) == list(range(1000))


def test_the_end_is_not_missed_by_a_reader_that_was_about_to_wait() -> None:
    """Between its look at the empty feed and its wait, others may publish, close and read the last event."""

    def meanwhile() -> bool:
        feed.publish(None, 1)
        feed.close()
        assert feed.get() == 1
        return False

    feed: Feed[int] = Feed(forbidden=meanwhile)
    with pytest.raises(Closed):
        feed.get(5)


def test_reading_is_refused_where_it_would_wait_for_itself() -> None:
    feed: Feed[int] = Feed(forbidden=lambda: True)
    with pytest.raises(Misused):
        feed.get(0)


def test_a_feed_has_room_for_something() -> None:
    with pytest.raises(ValueError, match="0 events"):
        Feed(0)


# Feeds


def test_every_subscriber_gets_what_is_published_after_it_came() -> None:
    feeds: Feeds[int] = Feeds()
    feeds.publish(None, 1)
    first = feeds.subscribe()
    feeds.publish(None, 2)
    second = feeds.subscribe(limit=1)
    feeds.publish(None, 3)
    feeds.publish(None, 4)
    feeds.close()
    assert list(first) == [2, 3, 4]
    assert list(second) == [4]
    assert second.dropped == 1
    assert list(feeds.subscribe()) == []


def test_a_feed_of_some_kinds_takes_no_others() -> None:
    """Who wants to know of completed torrents need not be woken for each piece; what nobody wants need not be made."""
    feeds: Feeds[object] = Feeds()
    assert not feeds.wants(int)
    numbers = feeds.subscribe(kinds=(int, float))
    assert feeds.wants(int)
    assert not feeds.wants(str)
    feeds.publish(None, "word")
    assert not numbers.wait(0)
    feeds.publish(None, 1)
    assert numbers.wait(0)
    every = feeds.subscribe()
    assert feeds.wants(str)
    every.close()
    assert not feeds.wants(str)
    feeds.close()
    assert list(numbers) == [1]
    assert numbers.wait(0)


def test_a_forgotten_or_closed_feed_goes_away() -> None:
    feeds: Feeds[int] = Feeds()
    kept, closed, forgotten = feeds.subscribe(), feeds.subscribe(), feeds.subscribe()
    assert feeds
    closed.close()
    del forgotten
    gc.collect()
    feeds.publish(None, 1)
    assert list(closed) == []
    assert kept.get() == 1
    del kept
    gc.collect()
    feeds.publish(None, 2)
    assert not feeds


def test_a_subscriber_that_never_reads_holds_nobody_up() -> None:
    """W06 of old: a slow subscriber and the engine waited for each other. Here it finds the present state, later."""
    feeds: Feeds[tuple[int, str]] = Feeds()
    idle = feeds.subscribe()
    for turn in range(5000):
        feeds.publish(turn % 50, (turn % 50, f"state {turn}"))
    assert len(idle) == 50
    assert idle.dropped == 0
    feeds.close()
    assert dict(idle) == {piece: f"state {4950 + piece}" for piece in range(50)}


def test_subscribing_and_publishing_at_once_loses_no_feed() -> None:
    feeds: Feeds[int] = Feeds()
    stop = threading.Event()

    def publish() -> None:
        while not stop.is_set():
            feeds.publish("tick", 1)

    def subscribe() -> None:
        for _ in range(100):
            feed = feeds.subscribe()
            assert feed.get(20) == 1
            feed.close()

    def stops(*jobs: threading.Thread) -> None:
        for job in jobs:
            job.join(20)
        stop.set()

    crowd = Crowd()
    subscribers = [crowd.start(subscribe) for _ in range(3)]
    crowd.start(publish)
    crowd.start(partial(stops, *subscribers))
    crowd.join()
    feeds.publish("tick", 1)
    assert not feeds
