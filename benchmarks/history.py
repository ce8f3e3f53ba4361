"""What was measured when: a line of JSON for every run, and what has become worse since the last on this machine.

Counts of calls and bytecodes are the same in every run with the same Python: 5 % more is worth a look. Times are noise
to a quarter and more, the more so on a machine that does other things: they are told, and nothing fails on them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from .results import Result

HISTORY = Path(__file__).with_name("results") / "history.jsonl"
COUNTED = (" calls", " bytecodes")  # how names of values begin whose like is the same in every run
COUNTS_MAY_GROW, TIMES_MAY_GROW = 0.05, 0.25  # shares; more is told
SEPARATOR = " | "  # in the name of a value: what was done, who did it, what was measured

_SAME_MACHINE = ("cpu", "cores", "Python")  # of what machine.fingerprint() tells


@dataclass(frozen=True)
class Record:
    """One run. *kind* is "micro" or "cases"; times of different kinds are not compared."""

    kind: str
    date: str
    commit: str
    machine: Mapping[str, str]
    values: Mapping[str, float]


@dataclass(frozen=True)
class Change:
    """A value, and what it was the last time."""

    name: str
    before: float
    now: float

    @property
    def worse(self) -> float:
        """The share by which it has become worse; negative where it is better."""
        if self.name.endswith("/s"):  # a rate: more is better
            return self.before / self.now - 1 if self.now else float("inf")
        return self.now / self.before - 1 if self.before else float(self.now > 0)

    @property
    def noteworthy(self) -> bool:
        """Whether somebody should look."""
        counted = self.name.rpartition(SEPARATOR.rstrip())[2].startswith(COUNTED)
        return self.worse > (COUNTS_MAY_GROW if counted else TIMES_MAY_GROW)


def note(kind: str, values: Mapping[str, float], machine: Mapping[str, str], path: Path = HISTORY) -> str:
    """Keep a run, and say in lines what has become worse since the last runs on such a machine.

    Raises:
        ValueError: the file is no history.
    """
    record = Record(kind, datetime.now(UTC).isoformat(timespec="minutes"), commit(), machine, values)
    changes = since(load(path), record)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
    return table(changes)


def load(path: Path) -> list[Record]:
    """All runs, the first one first. ValueError for what is no history."""
    if not path.exists():
        return []
    try:
        return [Record(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except TypeError as bad:
        raise ValueError(f"{path}: {bad}") from bad


def since(records: Sequence[Record], now: Record) -> list[Change]:
    """Each value of a run that was measured before on such a machine, beside what it was the last time."""
    before: dict[str, float] = {}
    for record in records:
        if record.kind == now.kind and _place(record) == _place(now):
            before |= record.values
    return [Change(name, before[name], value) for name, value in now.values.items() if name in before]


def table(changes: Sequence[Change]) -> str:
    """What has become worse, the worst first, for people."""
    worse = sorted((change for change in changes if change.noteworthy), key=lambda change: -change.worse)
    lines = [f"{len(changes)} values were known, {len(worse)} of them have become worse"]
    lines += [f"{one.worse:+8.0%}  {one.before:12.5g} -> {one.now:<12.5g}  {one.name}" for one in worse]
    return "\n".join(lines)


def medians(results: Sequence[Result]) -> Mapping[str, float]:
    """Of everything that some cases have measured."""
    return dict(_medians(results))


def commit() -> str:
    """What is measured: the commit, with "-dirty" where files differ from it; "" where git does not tell."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude", "*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip()


def _medians(results: Sequence[Result]) -> Iterator[tuple[str, float]]:
    for result in results:
        for contender in result.contenders:
            for value in result.values():
                found = result.median(contender, value)
                if found is not None:
                    yield SEPARATOR.join((result.name, contender, value)), found


def _place(record: Record) -> Sequence[str]:
    return [record.machine.get(key, "") for key in _SAME_MACHINE]
