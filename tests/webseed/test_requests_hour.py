"""The book, the planner and slices together, for an hour of virtual time, with all that goes wrong in one."""

from __future__ import annotations

import pytest

from anabranch.webseed.requests import PLAN_EVERY
from webseed.world import TICK, World


@pytest.mark.parametrize(
    ("seconds", "pace", "trouble", "period"),
    [
        pytest.param(1.0, 0.02, 0.01, TICK, id="a second of ticks"),
        pytest.param(3600.0, 30.0, 20.0, PLAN_EVERY, id="a quiet hour"),
        pytest.param(
            3600.0, 1.5, 0.5, PLAN_EVERY, id="a busy hour", marks=[pytest.mark.deep, pytest.mark.timeout(900)]
        ),
    ],
)
def test_the_book_agrees_at_every_step_of_an_hour(seconds: float, pace: float, trouble: float, period: float) -> None:
    """W09, W10, W11: planner ticks each millisecond, delays, failures, closes, drops, penances and late calls.

    One live request per URL, torrent and slice, no piece asked twice, nothing queued for who is left alone.
    """
    world = World(7, pace, trouble, period)
    world.run(seconds)
    assert world.done["ticks"] >= 1000
    for what in ("pieces", "finished", "failed", "cancelled", "replaced", "late", "closed", "dropped"):
        assert world.done[what], what
    for number in list(world.contents):
        world.drop(number)
    assert not world.book.live()
    world.check()
