"""Runs a case: its contenders in turn, round by round, each in an empty directory in memory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from .case import Case, Contender
from .gauge import busy_seconds, own_seconds
from .results import Result, Rounds

MEMORY = Path("/dev/shm")  # a file system in memory where there is one: disks are not what is measured
MOST_FAILURES = 2  # then a contender is left out of the rounds that remain: each may take minutes to fail


@dataclass
class _Tally:
    """What there is of a contender so far."""

    contender: Contender
    readings: list[Mapping[str, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    other: list[float] = field(default_factory=list)

    @property
    def goes_on(self) -> bool:
        return not self.contender.available and len(self.failures) < MOST_FAILURES

    def rounds(self) -> Rounds:
        return Rounds(tuple(self.readings), tuple(self.failures), tuple(self.other), self.contender.available)


def run(case: Case, rounds: int, machine: Mapping[str, str], scale: float, say: Callable[[str], None]) -> Result:
    """Measure a case. What fails is in the result with its reason, and raises nothing.

    Args:
        case: What to do.
        rounds: How often; 0: as the case says.
        machine: machine.fingerprint().
        scale: What the case was made with, to be told.
        say: Takes a line for each round.
    """
    date = datetime.now(UTC).isoformat(timespec="minutes")
    tallies = [_Tally(contender) for contender in case.contenders]
    place = Path(tempfile.mkdtemp(prefix="anabranch-bench-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        if reason := _prepare(case, place):
            say(f"{case.name}: {reason}")
            for tally in tallies:
                tally.failures.append(reason)
        else:
            for number in range(rounds or case.rounds):
                first = number % len(tallies)  # who begins is another one each time
                for tally in (*tallies[first:], *tallies[:first]):
                    if tally.goes_on:
                        say(
                            f"{case.name}, round {number + 1}, {tally.contender.name}: {_round(tally, place / 'round')}"
                        )
    finally:
        shutil.rmtree(place, ignore_errors=True)
    measured = {tally.contender.name: tally.rounds() for tally in tallies}
    return Result(case.name, case.title, date, machine, scale, measured, case.targets)


def _prepare(case: Case, place: Path) -> str:
    try:
        if case.prepare:
            case.prepare(place)
    except Exception as error:  # noqa: BLE001  # bulkhead: one case that cannot be prepared is told, others run
        return _told(error)
    return ""


def _round(tally: _Tally, place: Path) -> str:
    """Let one contender do it once. Answers what to say of it."""
    place.mkdir()
    busy, own = busy_seconds(), own_seconds()
    try:
        reading = tally.contender.run(place)
    except Exception as error:  # noqa: BLE001  # bulkhead: a contender that fails is told with its reason
        tally.failures.append(_told(error))
        return f"FAILED: {tally.failures[-1]}"
    finally:
        shutil.rmtree(place, ignore_errors=True)
    other = max(0.0, (busy_seconds() - busy) - (own_seconds() - own))
    tally.readings.append(dict(reading.values))
    tally.other.append(other)
    return (
        ", ".join(f"{name} {value:.4g}" for name, value in list(reading.values.items())[:4]) + f" (other {other:.1f} s)"
    )


def _told(error: Exception) -> str:
    """What it says, and what programs said meanwhile."""
    kind = "" if type(error).__name__ == "BenchmarkFailed" else f"{type(error).__name__}: "
    return "\n".join([f"{kind}{error}", *getattr(error, "__notes__", [])])
