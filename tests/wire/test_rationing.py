"""How much metadata one peer is given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anabranch.wire.metadata import METADATA_PIECE
from anabranch.wire.rationing import MAX_QUEUED, PERIOD, TIMES, MetadataRation


def test_a_peer_may_have_the_whole_a_few_times_at_once() -> None:
    """W45: and no more of it, however often it asks."""
    ration = MetadataRation(5 * METADATA_PIECE - 1, 100.0)
    assert [ration.grant(0, 100.0) for _ in range(TIMES * 5 + 2)] == [True] * TIMES * 5 + [False] * 2


def test_a_peer_that_does_not_read_is_given_no_more() -> None:
    """W45: what waits for it in our memory is bounded."""
    ration = MetadataRation(16 * 1024 * 1024, 0.0)
    assert ration.grant(MAX_QUEUED - METADATA_PIECE, 0.0)
    assert not ration.grant(MAX_QUEUED - METADATA_PIECE + 1, 0.0)


@given(st.integers(1, 10 * METADATA_PIECE), st.lists(st.floats(0, 5), min_size=1, max_size=300))
def test_a_flood_brings_a_few_times_the_whole_a_minute(size: int, pauses: list[float]) -> None:
    """W45: and the ration is not lost by asking too early."""
    ration = MetadataRation(size, 0.0)
    now, granted = 0.0, 0
    for pause in pauses:
        now += pause
        granted += ration.grant(0, now)
    pieces = -(-size // METADATA_PIECE)
    assert granted <= TIMES * pieces * (1 + now / PERIOD) + 1e-6
    assert ration.grant(0, now + PERIOD)
