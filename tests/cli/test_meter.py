"""The line that tells how far something is."""

from __future__ import annotations

import pytest

from anabranch.cli.meter import Meter


def test_the_end_is_said_once_however_often_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Several threads tell of it, and what is missing is through at once."""
    meter = Meter("verifying")
    for _ in range(3):
        meter.update(10, 10)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("verifying: 100% of 10 B")
