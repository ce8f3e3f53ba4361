"""What was measured: every round of every contender, what that makes of the targets, and results.json that keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .case import Target


@dataclass(frozen=True)
class Rounds:
    """One contender in one case."""

    readings: Sequence[Mapping[str, float]] = ()  # one for each round that was good
    failures: Sequence[str] = ()  # why the others were not
    other: Sequence[float] = ()  # CPU seconds that the rest of the machine used during each good round
    absent: str = ""  # why it did not take part

    def of(self, value: str) -> list[float]:
        """That value in each round that has it."""
        return [reading[value] for reading in self.readings if value in reading]

    def names(self) -> list[str]:
        """The values that there are, in their order."""
        return list(dict.fromkeys(name for reading in self.readings for name in reading))


@dataclass(frozen=True)
class Verdict:
    """A target and what came of it."""

    target: Target
    of: str  # the contender that it is about
    measured: float | None  # as many times the other's value, or the value itself; None: one of them is missing

    @property
    def met(self) -> bool:
        """A target that could not be measured is not met."""
        if self.measured is None:
            return False
        return self.measured >= self.target.ratio if self.target.at_least else self.measured <= self.target.ratio

    @property
    def margin(self) -> float:
        """By which share of what was asked it was met, or missed where negative."""
        share = (self.measured or 0.0) / self.target.ratio - 1
        return share if self.target.at_least else -share


@dataclass(frozen=True)
class Result:
    """One case, measured. Contenders stand in its order, ours first."""

    name: str
    title: str
    date: str
    machine: Mapping[str, str]
    scale: float
    contenders: Mapping[str, Rounds]
    targets: Sequence[Target] = field(default=())

    def median(self, contender: str, value: str) -> float | None:
        """Of its good rounds; None where there are none."""
        values = self.contenders[contender].of(value) if contender in self.contenders else []
        return median(values) if values else None

    def ours(self) -> Mapping[str, Rounds]:
        """The contenders with us in them: the first, and who has our name."""
        first = next(iter(self.contenders))
        return {name: rounds for name, rounds in self.contenders.items() if name == first or "anabranch" in name}

    def values(self) -> list[str]:
        """The names of all values of all contenders."""
        return list(dict.fromkeys(name for rounds in self.contenders.values() for name in rounds.names()))

    def verdicts(self) -> list[Verdict]:
        """Of every target. Ratios are of medians."""
        return [self._verdict(target) for target in self.targets]

    def _verdict(self, target: Target) -> Verdict:
        of = target.of or next(iter(self.contenders))
        measured = self.median(of, target.value)
        if target.against and measured is not None:
            theirs = self.median(target.against, target.value)
            measured = measured / theirs if theirs else None
        return Verdict(target, of, measured)


def to_json(results: Sequence[Result]) -> str:
    """All of it, for load()."""
    return json.dumps({"cases": {result.name: asdict(result) for result in results}}, indent=1) + "\n"


def from_json(text: str) -> list[Result]:
    """What to_json() wrote. ValueError, KeyError or TypeError for anything else."""
    return [_result(told) for told in json.loads(text)["cases"].values()]


def _result(told: dict[str, Any]) -> Result:
    contenders = {
        name: Rounds(tuple(one["readings"]), tuple(one["failures"]), tuple(one["other"]), one["absent"])
        for name, one in told.pop("contenders").items()
    }
    targets = tuple(Target(**target) for target in told.pop("targets"))
    return Result(**told, contenders=contenders, targets=targets)


def load(path: Path) -> list[Result]:
    """What is in a results.json; nothing where there is none. ValueError where it is something else."""
    try:
        return from_json(path.read_text("utf-8")) if path.exists() else []
    except (KeyError, TypeError) as bad:
        raise ValueError(f"{path}: {bad!r}") from bad


def merged(old: Sequence[Result], new: Sequence[Result], order: Sequence[str]) -> list[Result]:
    """New ones in the place of old ones of that name, in the order of cases; what is no case any more is left out."""
    by_name = {result.name: result for result in (*old, *new)}
    return [by_name[name] for name in order if name in by_name]
