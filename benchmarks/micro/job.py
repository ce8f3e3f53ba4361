"""What a micro-benchmark is: a step that is done again and again in a world that was made for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

Work: TypeAlias = Callable[[], object]


@dataclass(frozen=True)
class Job:
    """One step of the engine.

    Args:
        name: What is done, and to what.
        per: What it is counted for: "block".
        times: How many of those are in one piece of work.
        make: Makes the world, and gives what prepares the next piece of work. Only the work itself is measured.
    """

    name: str
    per: str
    times: int
    make: Callable[[], Callable[[], Work]]


def chosen(jobs: Sequence[Job], globs: Sequence[str]) -> list[Job]:
    """Those whose name matches one of the globs; all where there are none."""
    return [job for job in jobs if not globs or any(fnmatchcase(job.name, glob) for glob in globs)]
