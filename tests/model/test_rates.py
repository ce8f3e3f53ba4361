"""Rates: an average over the last seconds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import RateMeter

STEPS = st.lists(st.tuples(st.integers(0, 100_000), st.floats(0, 3)), max_size=60)


def test_a_steady_flow_is_told_as_it_is() -> None:
    """Within a tenth, from the second second on."""
    meter = RateMeter()
    for tenth in range(200):
        now = 50.0 + tenth / 10
        meter.add(1000, now)
        if tenth > 20:
            assert 9_000 <= meter.rate(now) <= 11_000
    assert meter.total == 200_000


def test_what_has_stopped_is_told_as_nothing_after_six_seconds() -> None:
    """The window is five seconds and what is begun of the sixth."""
    meter = RateMeter()
    meter.add(100_000, 10.0)
    assert meter.rate(10.0) > 0
    assert meter.rate(16.5) == 0
    assert meter.rate(1000.0) == 0


def test_after_a_long_pause_the_average_begins_anew() -> None:
    """A minute of silence must not make the next second look slow."""
    meter = RateMeter()
    meter.add(1, 10.0)
    meter.add(50_000, 100.0)
    meter.add(50_000, 100.9)
    assert meter.rate(101.0) >= 90_000


@given(STEPS)
def test_no_rate_is_negative_or_more_than_all_there_was_in_a_quarter_second(steps: list[tuple[int, float]]) -> None:
    """Whatever comes when."""
    meter = RateMeter()
    now = 1.0
    for count, pause in steps:
        now += pause
        meter.add(count, now)
        assert 0 <= meter.rate(now) <= meter.total * 4
    assert meter.total == sum(count for count, _ in steps)


@given(STEPS)
def test_asking_changes_nothing(steps: list[tuple[int, float]]) -> None:
    """Onlookers do not disturb."""
    quiet, asked = RateMeter(), RateMeter()
    now = 1.0
    for count, pause in steps:
        asked.rate(now)
        now += pause
        quiet.add(count, now)
        asked.rate(now)
        asked.add(count, now)
        assert quiet.rate(now) == asked.rate(now)
