"""Medians, targets, and a results.json to which cases are added one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.case import Target
from benchmarks.results import Result, Rounds, from_json, load, merged, to_json


def result(*targets: Target, name: str = "case", date: str = "2026-01-01T00:00+00:00", ours: float = 500) -> Result:
    contenders = {
        "ours": Rounds(({"MB/s": ours - 100, "MiB": 90}, {"MB/s": ours, "MiB": 80}, {"MB/s": 9_000, "MiB": 70})),
        "theirs": Rounds(({"MB/s": 100, "MiB": 40}, {"MB/s": 200, "MiB": 50}, {"MB/s": 300, "MiB": 60})),
        "nobody": Rounds(absent="not installed"),
    }
    return Result(name, "A case", date, {"cpu": "fast"}, 1.0, contenders, targets)


@pytest.mark.parametrize(
    ("target", "measured", "met", "margin"),
    [
        (Target("MB/s", 2.0, "theirs"), 2.5, True, 0.25),
        (Target("MB/s", 5.0, "theirs"), 2.5, False, -0.5),
        (Target("MiB", 100, at_least=False), 80, True, 0.2),
        (Target("MiB", 1.28, "theirs", at_least=False), 1.6, False, -0.25),
        (Target("MB/s", 0.5, "ours", of="theirs"), 0.4, False, -0.2),
    ],
)
def test_a_target_is_judged_by_medians(target: Target, measured: float, met: bool, margin: float) -> None:
    """Of ratios, or of the value itself; the margin is the share of what was asked, negative where it was missed."""
    [verdict] = result(target).verdicts()
    assert verdict.measured == pytest.approx(measured)
    assert verdict.met is met
    assert verdict.margin == pytest.approx(margin)


@pytest.mark.parametrize(
    "target", [Target("MB/s", 2.0, "nobody"), Target("MB/s", 2.0, "unheard of"), Target("no such", 2.0)]
)
def test_a_target_that_could_not_be_measured_is_not_met(target: Target) -> None:
    """An absent rival proves nothing."""
    [verdict] = result(target).verdicts()
    assert verdict.measured is None
    assert not verdict.met


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    """With their targets, so that an old case is shown by what was asked then."""
    one = result(Target("MB/s", 2.0, "theirs"))
    assert from_json(to_json([one])) == [one]
    assert load(tmp_path / "results.json") == []


def test_a_case_that_is_run_again_replaces_its_old_result_and_no_other() -> None:
    """Each has its own date. Cases stand in their order, and those that are no more go."""
    old = [result(name="gone"), result(name="second"), result(name="first")]
    fresh = result(name="second", date="2026-02-02T00:00+00:00")
    assert merged(old, [fresh], ["first", "second", "never run"]) == [result(name="first"), fresh]
