"""What a peer says of single pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine.advice import (
    LONGEST_REST,
    MOST_ALLOWED,
    MOST_REFUSED,
    MOST_SUGGESTED,
    REFUSED_FOR,
    SHORTEST_REST,
    Advice,
)


@given(st.lists(st.tuples(st.sampled_from(["suggest", "allow", "refuse"]), st.integers(0, 500)), max_size=400))
def test_however_much_is_said_little_is_remembered(words: list[tuple[str, int]]) -> None:
    """Of suggestions and rejects the latest, of allowed pieces the first."""
    advice = Advice()
    for now, (word, piece) in enumerate(words):
        if word == "refuse":
            advice.refuse(piece, float(now))
            assert piece not in advice.allowed
            assert piece not in advice.suggested
        else:
            getattr(advice, word)(piece)
        assert len(advice.suggested) <= MOST_SUGGESTED
        assert len(advice.allowed) <= MOST_ALLOWED
        assert len(advice.refused) <= MOST_REFUSED
        if word != "allow":
            assert list(getattr(advice, "suggested" if word == "suggest" else "refused"))[-1] == piece


def test_a_reject_is_forgiven_in_time() -> None:
    """Each in its own."""
    advice = Advice()
    advice.refuse(1, 100.0)
    advice.refuse(2, 101.0)
    advice.refuse(1, 102.0)
    advice.forgive(101.0 + REFUSED_FOR)
    assert set(advice.refused) == {1}
    advice.forgive(102.0 + REFUSED_FOR)
    assert not advice.refused


def test_who_rejects_again_and_again_is_left_alone_for_longer() -> None:
    """Twice as long each time, up to a limit, however often that is."""
    advice = Advice()
    rests = [advice.rest() for _ in range(2000)]
    assert rests[0] == SHORTEST_REST
    assert all(after == min(2 * before, LONGEST_REST) for before, after in pairwise(rests))
