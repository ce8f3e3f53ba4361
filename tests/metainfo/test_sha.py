"""Hashes of many things at once."""

from __future__ import annotations

import random
from hashlib import sha1

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.metainfo import sha
from anabranch.metainfo.sha import leaf_digests, plain_leaf_digests, sha1_digests
from anabranch.model import BLOCK_SIZE

CONTENT = memoryview(random.Random(4).randbytes(7 * BLOCK_SIZE + 9))
SIZES = [0, 1, BLOCK_SIZE - 1, *(count * BLOCK_SIZE + more for count in (1, 2, 3, 6, 7) for more in (0, 1, 9))]


@pytest.mark.parametrize("size", SIZES)
def test_leaves_are_the_same_by_whatever_means(size: int) -> None:
    """The compiled way against hashlib, its oracle; even and odd numbers of blocks, and a short last one."""
    assert leaf_digests(CONTENT[:size]) == plain_leaf_digests(CONTENT[:size])


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3)), max_size=7))
def test_pieces_are_hashed_as_by_hashlib(pieces: list[tuple[int, int]]) -> None:
    """Pairs of one length together, others alone; where a message ends in its last 64 bytes makes no difference."""
    views = [CONTENT[start : start + length] for length, start in pieces]
    assert sha1_digests(views) == [sha1(view).digest() for view in views]
    twice = [view for view in views for _ in range(2)]
    assert sha1_digests(twice) == [sha1(view).digest() for view in twice]


def test_large_pieces_are_hashed_as_by_hashlib() -> None:
    views = [CONTENT[:70_000], CONTENT[30_000:100_000], CONTENT[:65536]]
    assert sha1_digests(views) == [sha1(view).digest() for view in views]


@pytest.mark.skipif(not sha.COMPILED, reason="not built here")
def test_the_compiled_way_takes_what_it_can_and_says_what_it_cannot() -> None:
    """A mistake of ours must not read beyond an end."""
    from anabranch.metainfo import _sha

    with pytest.raises(ValueError, match="17 bytes are not whole blocks"):
        _sha.leaves(bytes(17))
    with pytest.raises(ValueError, match="17 and 18 bytes are no pair"):
        _sha.sha1_pair(bytes(17), bytes(18))
    with pytest.raises(TypeError):
        _sha.leaves("text")  # type: ignore[arg-type]  # what the compiler would refuse


def test_without_the_compiled_way_hashlib_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs a compiler."""
    monkeypatch.setattr(sha, "COMPILED", False)
    assert leaf_digests(CONTENT) == plain_leaf_digests(CONTENT)
    assert sha1_digests([CONTENT, CONTENT]) == [sha1(CONTENT).digest()] * 2
