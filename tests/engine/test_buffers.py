"""The pool of memory: bounded, last in first out, never starving."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine.buffers import POOL_SIZE, STRETCH_SIZE, Buffer, BufferPool
from anabranch.model import BLOCK_SIZE, Geometry

KIB = 1024
SIZES = (16 * KIB, 48 * KIB, 100 * KIB)


@given(st.integers(16, 400), st.lists(st.sampled_from([*SIZES, -1, -2]), max_size=60))
def test_memory_never_exceeds_the_limit(limit: int, wishes: list[int]) -> None:
    """Lent and idle together, but for a single buffer that is larger than the limit by itself."""
    pool = BufferPool(limit * KIB)
    lent: list[Buffer] = []
    made: dict[int, Buffer] = {}
    for wish in wishes:
        if wish < 0:
            if lent:
                pool.give(lent.pop(wish % len(lent)))
        else:
            buffer = pool.take(wish)
            if buffer is None:
                assert lent
                assert sum(len(one.data) for one in lent) + wish > pool.limit
            else:
                assert len(buffer.data) == wish
                assert buffer not in lent
                lent.append(buffer)
                made[id(buffer)] = buffer
        assert pool.lent == sum(len(one.data) for one in lent)
        kept = pool.lent + pool._idle_size
        assert kept <= max(pool.limit, max((len(one.data) for one in lent), default=0)) or len(lent) <= 1


def test_what_was_given_last_is_taken_first() -> None:
    """It is warm in the cache."""
    pool = BufferPool(KIB * KIB)
    one, other = pool.take(16 * KIB), pool.take(16 * KIB)
    assert one is not None
    assert other is not None
    pool.give(one)
    pool.give(other)
    assert pool.take(16 * KIB) is other
    assert pool.take(16 * KIB) is one


def test_the_first_buffer_is_always_given() -> None:
    """A pool smaller than a piece must not stand still."""
    pool = BufferPool(KIB)
    buffer = pool.take(16 * KIB)
    assert buffer is not None
    assert pool.take(1) is None
    pool.give(buffer)
    assert pool.take(16 * KIB) is buffer


def test_a_pool_is_short_above_three_quarters() -> None:
    """Then what cannot be written is not kept."""
    pool = BufferPool(64 * KIB)
    taken = [pool.take(16 * KIB) for _ in range(3)]
    assert not pool.short
    pool.take(16 * KIB)
    assert pool.short
    assert taken[0] is not None
    pool.give(taken[0])
    assert not pool.short


def test_trimming_gives_idle_memory_back() -> None:
    """A client that is done needs none."""
    pool = BufferPool()
    buffer = pool.take(16 * KIB)
    assert buffer is not None
    pool.give(buffer)
    pool.trim()
    assert pool.take(16 * KIB) is not buffer


@pytest.mark.parametrize(
    ("limit", "piece_length", "stretch"),
    [
        (POOL_SIZE, 16 * KIB, 16 * KIB),
        (POOL_SIZE, POOL_SIZE // 8, POOL_SIZE // 8),
        (POOL_SIZE, POOL_SIZE // 8 + 1, STRETCH_SIZE),
        (POOL_SIZE, 2 * POOL_SIZE, STRETCH_SIZE),
        (KIB * KIB, 128 * KIB, 128 * KIB),
        (KIB * KIB, 256 * KIB, 128 * KIB),
        (300 * KIB, 256 * KIB, 32 * KIB),
        (KIB, 256 * KIB, BLOCK_SIZE),
        (KIB, 100, 100),
    ],
)
def test_pieces_above_an_eighth_of_the_pool_go_in_stretches(limit: int, piece_length: int, stretch: int) -> None:
    """Of whole blocks, so that eight of them and more fit into the pool."""
    assert BufferPool(limit).stretch_size(Geometry(10 * piece_length, piece_length)) == stretch


def test_a_buffer_has_the_views_of_its_blocks() -> None:
    """The last may be short."""
    buffer = Buffer(2 * BLOCK_SIZE + 5)
    assert [len(view) for view in buffer.blocks] == [BLOCK_SIZE, BLOCK_SIZE, 5]
    buffer.blocks[2][:] = b"abcde"
    assert buffer.data[-5:] == b"abcde"
