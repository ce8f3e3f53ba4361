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
                held = sum(len(one.data) for one in lent)
                assert held + wish > pool.limit or held > 3 * (pool.limit - held)
            else:
                assert len(buffer.data) == wish
                assert buffer not in lent
                lent.append(buffer)
                made[id(buffer)] = buffer
        assert pool.lent == sum(len(one.data) for one in lent)
        kept = pool.lent + pool._idle_size
        assert kept <= max(pool.limit, max((len(one.data) for one in lent), default=0)) or len(lent) <= 1


@given(st.lists(st.tuples(st.integers(0, 1), st.booleans()), max_size=400), st.sampled_from([64, 100, 1000]))
def test_nobody_takes_so_much_that_nothing_is_left_for_others(moves: list[tuple[int, bool]], most: int) -> None:
    """One that keeps what it has, as on a slow disk, has three quarters of the pool at most; a newcomer finds some."""
    pool = BufferPool(most * KIB)
    lent: dict[int, list[Buffer]] = {holder: [] for holder in range(2)}
    for holder, gives in moves:
        if gives and lent[holder]:
            pool.give(lent[holder].pop())
            continue
        left = pool.limit - pool.lent
        buffer = pool.take(KIB, (holder, holder))
        if buffer is not None:
            lent[holder].append(buffer)
        assert (buffer is not None) == (left >= KIB and KIB * len(lent[holder]) <= 3 * left + KIB)
    for holder in range(2):
        while buffer := pool.take(KIB, (holder, holder)):
            lent[holder].append(buffer)
    assert pool.lent >= pool.limit * 6 // 7 - 3 * KIB
    assert max(map(len, lent.values())) <= most * 3 // 4 + 1
    assert pool.take(KIB, ("new", "new")) is not None
    for buffers in lent.values():
        for buffer in buffers:
            pool.give(buffer)
    assert pool.take(KIB, ("new", "new")) is not None
    assert pool.lent == 2 * KIB


def test_many_at_one_place_leave_some_for_who_is_elsewhere() -> None:
    """Twenty torrents on one disk that hangs; a torrent on another."""
    pool = BufferPool(64 * KIB)
    taken = [pool.take(KIB, (number % 20, "gone")) for number in range(200)]
    assert sum(buffer is not None for buffer in taken) == 64 * 7 // 8 + 1
    assert [pool.take(KIB, ("other", "here")) is not None for _ in range(7)] == [True] * 6 + [False]


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
