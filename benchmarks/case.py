"""What a benchmark is: a case, who takes part in it, and what is asked of ours.

These are the words between the runner and the files that know a job. A file of cases offers
`cases(scale: float) -> Sequence[Case]`; registry.py names those files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class BenchmarkFailed(Exception):
    """A contender did not do its work, or did it wrong: its round counts for nothing and is told with this text."""


@dataclass(frozen=True)
class Reading:
    """What one round of one contender measured. Names of values end in their unit: "MB/s", "peak RSS MiB"."""

    values: Mapping[str, float]


@dataclass(frozen=True)
class Contender:
    """One who does the work of a case.

    *run* does it once, in processes of its own, in an empty directory that is removed afterwards, and checks what came
    out. It raises BenchmarkFailed. The data that Case.prepare made are in the directory's parent.
    """

    name: str
    run: Callable[[Path], Reading]
    available: str = ""  # why it cannot take part here; "": it can


@dataclass(frozen=True)
class Target:
    """What one value of ours shall be: *ratio* times the same value of *against*, or *ratio* in the value's own unit.

    Ratios are of medians. *at_least*: more is better; otherwise *ratio* is what it may be at most.
    """

    value: str
    ratio: float
    against: str = ""  # a contender's name; "": an absolute target
    at_least: bool = True
    of: str = ""  # whose value; "": the first contender's


@dataclass(frozen=True)
class Case:
    """One job, done by every contender in turn, ours first, *rounds* times."""

    name: str  # what the command line selects: "transfer-1GiB-1MiB"
    title: str
    contenders: Sequence[Contender]
    targets: Sequence[Target] = ()
    rounds: int = 3
    prepare: Callable[[Path], None] | None = None  # makes the data, once per case, in the case's directory
