"""What objects hold in memory."""

from __future__ import annotations

import sys

from anabranch.testing.dht_weight import weight


class _Holder:
    __slots__ = ("call", "kept")

    def __init__(self, kept: object) -> None:
        self.kept = kept
        self.call = self.own

    def own(self) -> None:
        """Bound to it: nothing is counted twice."""


def test_everything_within_is_counted_once() -> None:
    """However often it is named, and however deep."""
    content = bytes(5000)
    assert sys.getsizeof(content) < weight([content, {"again": content}]) < 6000
    assert weight(_Holder({number: bytes(100) for number in range(1000)})) > 100_000
    assert weight([content], [content]) == weight([content]) + sys.getsizeof([content])


def test_functions_and_what_they_are_bound_to_count_for_nothing() -> None:
    """They lead to whoever listens, and from there everywhere."""
    large = _Holder(bytes(100_000))
    assert weight([large.own, _Holder, sys]) < 1000
