"""Runs are kept, and the next one says what has become worse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.history import Change, Record, load, medians, note, since, table
from benchmarks.micro.__main__ import main as micro
from benchmarks.results import Result, Rounds

HERE = {"cpu": "Fast 9000", "cores": "2", "Python": "3.11.7", "kernel": "Linux 6"}


def record(values: Mapping[str, float], kind: str = "micro", **machine: str) -> Record:
    return Record(kind, "2026-01-01", "abc", {**HERE, **machine}, values)


def test_the_last_run_on_such_a_machine_is_the_one_to_compare_with() -> None:
    """Another processor or Python counts and times otherwise. A newer kernel is no other machine."""
    records = [
        record({"a | calls per block": 1.0, "b | calls per block": 7.0}),
        record({"a | calls per block": 2.0}, kernel="Linux 7"),
        record({"a | calls per block": 3.0}, Python="3.13.0"),
        record({"a | calls per block": 4.0}, cpu="Slow 1"),
        record({"a | calls per block": 5.0}, kind="cases"),
    ]
    now = record({"a | calls per block": 2.0, "b | calls per block": 8.0, "new | calls per block": 1.0})
    assert since(records, now) == [Change("a | calls per block", 2.0, 2.0), Change("b | calls per block", 7.0, 8.0)]


@pytest.mark.parametrize(
    ("name", "before", "now", "noteworthy"),
    [
        ("step | calls per block", 100.0, 104.0, False),
        ("step | calls per block", 100.0, 106.0, True),
        ("step | bytecodes per block", 100.0, 106.0, True),
        ("step | bytecodes per block", 100.0, 50.0, False),
        ("step | µs per block", 100.0, 124.0, False),
        ("step | µs per block", 100.0, 126.0, True),
        ("transfer | anabranch | MB/s", 1000.0, 810.0, False),
        ("transfer | anabranch | MB/s", 1000.0, 790.0, True),
        ("transfer | anabranch | MB/s", 1000.0, 2000.0, False),
        ("transfer | anabranch | seeder CPU-s/GiB", 1.0, 2.0, True),
        ("transfer | anabranch | MB/s", 1000.0, 0.0, True),
        ("transfer | anabranch | other s", 0.0, 0.0, False),
        ("transfer | anabranch | other s", 0.0, 1.0, True),
    ],
)
def test_more_of_a_count_is_noted_sooner_than_more_of_a_time(
    name: str, before: float, now: float, noteworthy: bool
) -> None:
    """Counts do not vary; times do. Of rates more is better."""
    assert Change(name, before, now).noteworthy is noteworthy


def test_the_worst_is_told_first_and_what_is_as_good_as_before_is_not() -> None:
    """A reader has little time."""
    lines = table([Change("a", 1.0, 1.5), Change("b | MB/s", 300.0, 100.0), Change("c", 1.0, 1.0)]).splitlines()
    assert lines[0] == "3 values were known, 2 of them have become worse"
    assert [line.split() for line in lines[1:]] == [
        ["+200%", "300", "->", "100", "b", "|", "MB/s"],
        ["+50%", "1", "->", "1.5", "a"],
    ]


def test_runs_are_kept_one_after_the_other(tmp_path: Path) -> None:
    """In a file that is made when it is first needed. Nothing is known of the first."""
    path = tmp_path / "results" / "history.jsonl"
    assert note("micro", {"a | calls per block": 1.0}, HERE, path).startswith("0 values were known")
    assert note("micro", {"a | calls per block": 2.0}, HERE, path).startswith("1 values were known, 1 of them")
    assert [kept.values for kept in load(path)] == [{"a | calls per block": 1.0}, {"a | calls per block": 2.0}]
    assert load(path)[0].machine == HERE


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"kind": "micro", "else": 1}'])
def test_what_is_no_history_is_not_added_to(text: str, tmp_path: Path) -> None:
    """It may be somebody's file."""
    path = tmp_path / "history.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError):
        note("micro", {"a": 1.0}, HERE, path)
    assert path.read_text() == text


def test_of_cases_the_medians_are_kept() -> None:
    """One number for everything that a contender's good rounds have measured."""
    rounds = {"anabranch": Rounds([{"MB/s": 1.0}, {"MB/s": 9.0}, {"MB/s": 5.0, "CPU s": 2.0}]), "nobody": Rounds()}
    result = Result("move", "Moving", "2026-01-01", HERE, 1.0, rounds)
    assert medians([result]) == {"move | anabranch | MB/s": 5.0, "move | anabranch | CPU s": 2.0}


def test_a_run_of_single_steps_is_counted_compared_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What nobody is called is bad usage; that something has become worse is no failure."""
    path = tmp_path / "history.jsonl"
    assert micro(["wire: land*", "turn: take*", "--out", str(path)]) == 0
    [kept] = load(path)
    assert kept.kind == "micro"
    assert "turn: take and release | bytecodes per turn" in kept.values
    before = {name: value / 2 for name, value in kept.values.items()}
    path.write_text(json.dumps({**asdict(kept), "values": before}) + "\n")
    assert micro(["turn: take*", "--out", str(path)]) == 0
    assert "2 values were known, 2 of them have become worse" in capsys.readouterr().out
    assert micro(["nothing", "--out", str(path)]) == 2
    assert len(load(path)) == 2
