"""How much a peer may say beside blocks: honest ones never notice, floods are bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine.chatter import BURST, RATE, UNKNOWN_PIECES, Chatter
from anabranch.engine.queueing import REQQ
from anabranch.model import BLOCK_SIZE

REQUEST, HEADER, HAVE = 17, 13, 9  # bytes
LONGEST = 5.0  # seconds of silence at a time


@given(st.lists(st.tuples(st.integers(0, REQQ), st.floats(0, 1)), max_size=100))
def test_who_takes_blocks_is_never_kept_waiting(moments: list[tuple[int, float]]) -> None:
    """A leecher at any rate, 1 GB/s too: it asks for as many as we queue, and for one more for each that it gets."""
    now = 0.0
    chatter = Chatter(100, now)
    assert not chatter.heard(REQQ * REQUEST, 0, now)
    for served, pause in moments:
        now += pause
        assert not chatter.heard(0, served * BLOCK_SIZE, now)
        assert not chatter.heard(served * (REQUEST + HAVE), 0, now)


@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=300), st.booleans())
def test_who_gives_blocks_is_never_kept_waiting(parts: list[int], no_time: bool) -> None:
    """However few bytes the network brings at a time: a block that came in a hundred parts is no chatter."""
    now, came, blocks = 0.0, 0, 0
    chatter = Chatter(100, now)
    for part in parts:
        now += 0.0 if no_time else part / 1e9
        before = blocks
        came += part
        blocks = came // (BLOCK_SIZE + HEADER)
        whole = (blocks - before) * BLOCK_SIZE
        assert not chatter.heard(part - whole, whole, now)


def test_who_tells_of_very_many_pieces_is_never_kept_waiting() -> None:
    """A bitfield and a have for each of 350,000 pieces, as fast as the line allows."""
    pieces = 350_000
    chatter = Chatter(pieces, 0.0)
    assert not chatter.heard(pieces // 8, 0, 0.0)
    for _ in range(pieces // 7000):
        assert not chatter.heard(7000 * HAVE, 0, 0.0)


def test_what_we_asked_for_is_no_chatter() -> None:
    """The whole of an info dictionary of 16 MiB, and before it, what the peer has of what we do not know yet."""
    chatter = Chatter(UNKNOWN_PIECES, 0.0)
    assert not chatter.heard(350_000 // 8 + 10_000 * HAVE, 0, 0.0)
    for _ in range(1024):
        chatter.credit(BLOCK_SIZE)
        assert not chatter.heard(BLOCK_SIZE + 50, 0, 0.0)


@given(st.integers(0, 10_000), st.lists(st.tuples(st.integers(1, 65536), st.floats(0, 2)), min_size=1, max_size=200))
def test_a_flood_is_bounded_whatever_its_rhythm(pieces: int, flood: list[tuple[int, float]]) -> None:
    """Who is kept waiting says no more than a burst, what its pieces call for, and a trickle."""
    now, said, last = 0.0, 0, 0
    chatter = Chatter(pieces, now)
    for size, pause in flood:
        now += pause
        silence = chatter.heard(size, 0, now)
        assert 0 <= silence <= LONGEST
        said, last, now = said + size, size, now + silence
        assert said - last <= BURST + 18 * pieces + RATE * now + LONGEST * RATE


def test_blocks_bring_the_right_to_speak_and_no_more_than_the_first_right() -> None:
    """A peer that has given a terabyte does not flood us with what it saved up."""
    chatter = Chatter(0, 0.0)
    assert chatter.heard(BURST + RATE, 0, 0.0) == 1.0
    assert not chatter.heard(0, 64 * RATE, 0.0)
    chatter.heard(0, 10**12, 1e6)
    chatter.heard(-(10**6), 0, 1e6)
    assert chatter.heard(BURST + RATE, 0, 1e6) == 1.0
