"""Rounds are run in turn, failures are told, directories are cleared away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import runner
from benchmarks.case import BenchmarkFailed, Case, Contender, Reading, Target
from benchmarks.results import Result

Work = Callable[[Path], Reading]


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where cases are run here."""
    monkeypatch.setattr(runner, "MEMORY", tmp_path)
    return tmp_path


def measured(*contenders: Contender, rounds: int = 3, prepare: Callable[[Path], None] | None = None) -> Result:
    case = Case("case", "A case", contenders, (Target("MB/s", 2.0, "theirs"),), rounds, prepare)
    return runner.run(case, 0, {"cpu": "fast"}, 1.0, lambda line: None)


def steady(value: float) -> Work:
    return lambda place: Reading({"MB/s": value})


def failing(place: Path) -> Reading:
    raise BenchmarkFailed("it gave up")


def test_contenders_take_turns_and_each_round_another_begins() -> None:
    """So that what warms up, or disturbs, meets all of them alike."""
    order: list[str] = []

    def noting(name: str) -> Contender:
        def run(place: Path) -> Reading:
            order.append(name)
            return Reading({"MB/s": 1.0})

        return Contender(name, run)

    measured(noting("ours"), noting("theirs"), noting("others"))
    assert order == ["ours", "theirs", "others", "theirs", "others", "ours", "others", "ours", "theirs"]


def test_a_round_has_an_empty_directory_beside_the_data_of_the_case(memory: Path) -> None:
    """What was prepared stays for all rounds; what a round wrote is gone before the next, and all of it at the end."""
    seen: list[list[str]] = []

    def littering(place: Path) -> Reading:
        seen.append([path.name for path in place.iterdir()])
        (place / "litter").write_bytes((place.parent / "data").read_bytes())
        return Reading({"MB/s": 1.0})

    measured(Contender("ours", littering), prepare=lambda place: (place / "data").touch())
    assert seen == [[], [], []]
    assert list(memory.iterdir()) == []


def test_a_contender_that_fails_is_told_with_its_reason_and_the_others_go_on() -> None:
    """It is not tried for ever: each time may take minutes."""
    result = measured(Contender("ours", steady(3.0)), Contender("theirs", failing))
    assert result.contenders["theirs"].failures == ("it gave up",) * runner.MOST_FAILURES
    assert len(result.contenders["ours"].readings) == 3
    assert result.contenders["ours"].failures == ()


def test_what_programs_said_before_a_failure_is_kept_with_it() -> None:
    """They are gone when somebody wants to know."""

    def talking(place: Path) -> Reading:
        error = BenchmarkFailed("it gave up")
        error.add_note("Libtorrent said:\nno space left")
        raise error

    result = measured(Contender("ours", talking), rounds=1)
    assert result.contenders["ours"].failures == ("it gave up\nLibtorrent said:\nno space left",)


def test_a_fault_of_the_benchmark_itself_ends_only_its_own_round() -> None:
    """A run takes half an hour: what was measured is worth more than a clean end."""
    faults = iter([True])

    def faulty(place: Path) -> Reading:
        if next(faults, False):
            raise KeyError("event")
        return Reading({"MB/s": 1.0})

    rounds = measured(Contender("ours", faulty)).contenders["ours"]
    assert (rounds.failures, len(rounds.readings)) == (("KeyError: 'event'",), 2)


def test_who_cannot_take_part_is_absent_and_has_not_failed() -> None:
    """Rivals are not everywhere."""
    result = measured(Contender("ours", steady(3.0)), Contender("theirs", failing, "not installed"))
    assert result.contenders["theirs"].absent == "not installed"
    assert result.contenders["theirs"].failures == ()


def test_a_case_that_cannot_be_prepared_has_failed_for_all() -> None:
    """And says why."""

    def prepare(place: Path) -> None:
        raise BenchmarkFailed("no room")

    result = measured(Contender("ours", steady(1.0)), Contender("theirs", steady(1.0)), prepare=prepare)
    assert [rounds.failures for rounds in result.contenders.values()] == [("no room",), ("no room",)]


def test_cpu_time_of_others_is_noted_and_that_of_the_contender_is_not() -> None:
    """A busy machine shows in the results; it is never negative."""
    other = measured(Contender("ours", steady(1.0))).contenders["ours"].other
    assert len(other) == 3
    assert min(other) >= 0
