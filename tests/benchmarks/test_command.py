"""The command line: which cases, where to, and what its exit code says."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks import runner
from benchmarks.case import BenchmarkFailed, Case, Contender, Reading, Target
from benchmarks.command import main
from benchmarks.results import load


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where cases are run; and signals as they were."""
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(runner, "MEMORY", tmp_path / "memory")
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


def fine(place: Path) -> Reading:
    return Reading({"MB/s": 500.0})


def broken(place: Path) -> Reading:
    raise BenchmarkFailed("it gave up")


def two_cases(scale: float) -> Sequence[Case]:
    theirs = Contender("theirs", broken)
    return [
        Case("good", "Good", [Contender("anabranch", fine), theirs], (Target("MB/s", 1000),)),
        Case("bad", "Bad", [Contender("theirs too", fine), Contender("theirs -> anabranch", broken)]),
    ]


def test_a_missed_target_and_a_rival_that_fails_are_no_failure(place: Path) -> None:
    """The exit code is about ours."""
    assert main(["good", "--out", str(place / "out")], two_cases) == 0
    assert "missed by 50%" in (place / "out" / "results.md").read_text()
    assert "theirs: failed: it gave up" in (place / "out" / "results.md").read_text()


def test_a_failure_of_ours_is_one(place: Path) -> None:
    """Wherever we take part."""
    assert main(["bad", "--rounds", "1", "--out", str(place / "out")], two_cases) == 1


def test_results_of_other_cases_stay(place: Path) -> None:
    """Cases may be run one by one."""
    out = place / "out"
    main(["bad", "--rounds", "1", "--out", str(out)], two_cases)
    main(["good", "--rounds", "2", "--out", str(out)], two_cases)
    results = load(out / "results.json")
    assert [result.name for result in results] == ["good", "bad"]
    assert len(results[0].contenders["anabranch"].readings) == 2
    assert len((out / "history.jsonl").read_text().splitlines()) == 2


def test_cases_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """By name and title."""
    assert main(["--list"], two_cases) == 0
    assert capsys.readouterr().out.split() == ["good", "Good", "bad", "Bad"]


def test_bad_usage_runs_nothing(place: Path) -> None:
    """A case that there is not; less work that would be kept as if it were all."""
    assert main(["nothing", "--out", str(place / "out")], two_cases) == 2
    with pytest.raises(SystemExit, match="2"):
        main(["--scale", "0.5"], two_cases)
    assert not (place / "out").exists()
    (place / "results.json").write_text('{"cases": {"good": {}}}')
    assert main(["--out", str(place)], two_cases) == 2
