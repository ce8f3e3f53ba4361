"""What is logged on stderr, by how much the user asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from anabranch.cli import logs

ROOT, EVENTS = logging.getLogger(), logging.getLogger("anabranch.engine.core_io")


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    """As they were, afterwards."""
    before = ROOT.level, EVENTS.level
    yield
    ROOT.setLevel(before[0])
    EVENTS.setLevel(before[1])


def test_who_asks_for_nothing_is_not_told_of_events() -> None:
    """A failing torrent is told in words of the command's own."""
    logs.start("warning")
    assert not EVENTS.isEnabledFor(logging.WARNING)


@pytest.mark.parametrize("level", ["info", "debug"])
def test_who_asks_for_more_is_told_of_events(level: str) -> None:
    """Every command starts with warnings alone: what that switches off is on again."""
    logs.start("warning")
    logs.start(level)
    assert EVENTS.isEnabledFor(logging.INFO)
    assert logs.verbose()
