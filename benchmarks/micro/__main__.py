"""`python -m benchmarks.micro [NAME-GLOB...]`: count, on demand time, compare with the last run here, and keep it."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..history import HISTORY, SEPARATOR, note
from ..machine import fingerprint
from .counting import count
from .job import chosen
from .jobs import jobs


def main(words: Sequence[str] | None = None) -> int:
    """The exit code: 0, however slow it has become; 2 for bad usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME-GLOB", help="what to measure: 'wire*'; default: all")
    parser.add_argument("--time", action="store_true", help="on a clock, too: takes a minute or two")
    parser.add_argument("--out", type=Path, default=HISTORY, metavar="FILE", help="where runs are kept")
    said = parser.parse_args(words)
    selected = chosen(jobs(), said.names)
    if not selected:
        print(f"nothing is called {' or '.join(said.names)}", file=sys.stderr)
        return 2
    seconds = timed(said.names) if said.time else {}
    values: dict[str, float] = {}
    print(f"{'':40} {'calls':>10} {'bytecodes':>12} {'µs' if seconds else '':>10}")
    for job in selected:
        found = count(job)
        values[SEPARATOR.join((job.name, f"calls per {job.per}"))] = found.calls
        values[SEPARATOR.join((job.name, f"bytecodes per {job.per}"))] = found.bytecodes
        clock = ""
        if job.name in seconds:
            values[SEPARATOR.join((job.name, f"µs per {job.per}"))] = seconds[job.name] * 1e6
            clock = f"{seconds[job.name] * 1e6:10.2f}"
        print(f"{job.name:40} {found.calls:10.2f} {found.bytecodes:12.1f} {clock:>10}  per {job.per}", flush=True)
    print(note("micro", values, fingerprint(), said.out))
    return 0


def timed(globs: Sequence[str]) -> Mapping[str, float]:
    """Seconds that each step takes, measured in processes of their own."""
    from .timing import PROGRAM, best

    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "times.json"
        only = [word for glob in globs for word in ("--only", glob)]
        subprocess.run([sys.executable, *PROGRAM, "--quiet", *only, "-o", str(out)], check=True, stdout=sys.stderr)
        return best(out)


if __name__ == "__main__":
    sys.exit(main())
