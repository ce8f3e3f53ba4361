"""`python -m benchmarks [NAME-GLOB...]`: run cases, write results.json, results.md and results.png."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from . import chart, history
from .case import Case
from .machine import fingerprint
from .registry import all_cases, chosen
from .report import asked, came, markdown
from .results import Result, load, merged, to_json
from .runner import run

RESULTS = Path(__file__).with_name("results")


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME-GLOB", help="cases to run: 'transfer-*'; default: all")
    parser.add_argument(
        "--rounds", type=int, default=0, help="how often each contender runs; default: as the case says"
    )
    parser.add_argument("--list", action="store_true", help="only tell the cases")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="where results are kept")
    parser.add_argument("--scale", type=float, default=1.0, help="do so much of the work, for trying; needs --out")
    said = parser.parse_args(words)
    if said.scale != 1 and said.out == RESULTS:
        parser.error("results of less work are not kept among the others: give --out, too")
    return said


def main(words: Sequence[str], cases_of: Callable[[float], Sequence[Case]] = all_cases) -> int:
    """The exit code: 1 where ours failed at something, 2 for bad usage; a target that is missed is no failure."""
    said = arguments(words)
    cases = cases_of(said.scale)
    try:
        selected = chosen(cases, said.names)
        results = load(said.out / "results.json")
        history.load(said.out / "history.jsonl")
    except ValueError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    if said.list:
        for case in selected:
            print(f"{case.name:32} {case.title}")
        return 0
    signal.signal(signal.SIGTERM, _end)
    machine = fingerprint()
    fresh: list[Result] = []
    for case in selected:
        fresh.append(run(case, said.rounds, machine, said.scale, lambda line: print(line, flush=True)))
        for verdict in fresh[-1].verdicts():
            print(f"  {verdict.target.value}, {verdict.of}: {asked(verdict)} {verdict.target.against}: {came(verdict)}")
        results = merged(results, fresh[-1:], [case.name for case in cases])
        write(said.out, results)  # after every case: what was measured is kept, whatever comes
    if said.scale == 1:  # less work takes other times
        print(history.note("cases", history.medians(fresh), machine, said.out / "history.jsonl"))
    return 1 if any(rounds.failures for result in fresh for rounds in result.ours().values()) else 0


def _end(number: int, frame: FrameType | None) -> None:
    """As an exception, so that programs and directories are cleared away."""
    sys.exit(128 + number)


def write(out: Path, results: Sequence[Result]) -> None:
    """Keep results, and show them."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(to_json(results), "utf-8")
    (out / "results.md").write_text(markdown(results), "utf-8")
    if chart.MISSING:
        print(f"no chart: {chart.MISSING}", file=sys.stderr)
    else:
        chart.draw(results, out / "results.png")
