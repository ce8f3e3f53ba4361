"""Numbers as people read them."""

from __future__ import annotations

from math import inf

import pytest

from anabranch.cli import words


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1024**2 - 1, "1.0 MiB"), (1.5 * 1024**3, "1.5 GiB")],
)
def test_lengths_have_one_decimal_and_never_four_digits(count: float, text: str) -> None:
    """A unit is changed before "1024.0" would be said."""
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (3599.6, "1h00m"), (7500, "2h05m"), (356400, "4d03h")],
)
def test_times_have_two_units(seconds: float, text: str) -> None:
    """What is smaller does not matter to who waits."""
    assert words.span(seconds) == text


def test_100_percent_is_only_what_is_whole() -> None:
    """Rounded down until then; nothing of nothing is all of it."""
    assert [words.percent(*pair) for pair in ((0, 5), (999, 1000), (5, 5), (0, 0))] == ["0%", "99%", "100%", "100%"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, ""), (59.8, "left alone for 1m00s"), (7, "left alone for 7s"), (inf, "never asked")],
)
def test_what_follows_a_failure_is_said(seconds: float, text: str) -> None:
    """A person sees whether there is something to be done."""
    assert words.pause(seconds) == text
