"""The same work on a clock, by pyperf: `python -m benchmarks.micro.timing -o FILE`. Nine values in three processes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pyperf

from .job import Job, Work, chosen
from .jobs import jobs

PROGRAM = ("-m", "benchmarks.micro.timing")
_WORLDS: dict[str, Callable[[], Work]] = {}


def timed(job: Job, loops: int) -> float:
    """Seconds that the work takes, done so many times."""
    if job.name not in _WORLDS:
        _WORLDS[job.name] = job.make()
    ready, clock, total = _WORLDS[job.name], time.perf_counter, 0.0
    gc.collect()
    for _ in range(loops):
        work = ready()
        begun = clock()
        work()
        total += clock() - begun
    return total


def best(path: Path) -> Mapping[str, float]:
    """What a run has written: seconds that a step takes at best, by the name of its job."""
    return {one.get_name(): min(one.get_values()) for one in pyperf.BenchmarkSuite.load(str(path))}


def main() -> None:
    """pyperf starts this again for each process and job."""

    def pass_on(command: list[str], args: object) -> None:
        for glob in getattr(args, "only", None) or ():
            command += ["--only", glob]

    runner = pyperf.Runner(values=3, processes=3, program_args=PROGRAM, add_cmdline_args=pass_on)
    runner.argparser.add_argument("--only", action="append", metavar="GLOB", help="jobs with such names")
    args = runner.parse_args()
    for job in chosen(jobs(), args.only or ()):
        runner.bench_time_func(job.name, lambda loops, job=job: timed(job, loops), inner_loops=job.times)


if __name__ == "__main__":
    main()
