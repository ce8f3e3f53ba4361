"""Buffers for what goes out."""

from __future__ import annotations

from anabranch.engine.sending import SEND_SIZE, SMALL_SIZE, SendPool
from anabranch.wire import MAX_BLOCK


def nobody() -> None:
    return


def test_a_buffer_that_returns_wakes_who_waited_longest_once() -> None:
    """First in, first out; to ask twice is to wait once."""
    pool = SendPool(most=1)
    woken: list[str] = []

    def one() -> None:
        woken.append("one")

    def other() -> None:
        woken.append("other")

    buffer = pool.take(nobody, idle=False)
    assert buffer is not None
    assert pool.take(one, idle=False) is None
    assert pool.take(one, idle=False) is None
    assert pool.take(other, idle=False) is None
    pool.give(buffer)
    assert woken == ["one"]
    assert pool.take(nobody, idle=False) is buffer
    pool.give(buffer)
    pool.give(buffer)
    assert woken == ["one", "other"]


def test_a_peer_to_whom_nothing_is_on_its_way_is_never_refused() -> None:
    """W15: peers that take nothing may hold all buffers, and the others must not wait for them."""
    pool = SendPool(most=1)
    assert pool.take(nobody, idle=True) is not None
    small = pool.take(nobody, idle=True)
    assert small is not None
    assert MAX_BLOCK <= len(small) == SMALL_SIZE < SEND_SIZE
    pool.give(small)
    assert pool.take(nobody, idle=False) is None, "small ones are not kept"


def test_trimming_gives_idle_memory_back_and_it_may_be_taken_again() -> None:
    """The number of buffers stays bounded."""
    pool = SendPool(most=1)
    buffer = pool.take(nobody, idle=False)
    assert buffer is not None
    assert len(buffer) == SEND_SIZE
    pool.give(buffer)
    pool.trim()
    again = pool.take(nobody, idle=False)
    assert again is not None
    assert again is not buffer
    assert pool.take(nobody, idle=False) is None
