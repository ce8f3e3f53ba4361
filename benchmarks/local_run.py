"""Runs one program to its end and tells what it cost: seconds, CPU, memory. For the benchmarks that move no bytes.

CPU is what the system counted for the process and its children when it ended, so nothing is missed. The peak of memory
is read from /proc while the process runs, because the one that the system tells afterwards begins with the memory of
whoever started it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .case import BenchmarkFailed
from .program import PATH

HERE = Path(__file__).parent
_LOOK_EVERY = 0.005  # seconds between looks at the memory
_PATIENCE = 900.0  # seconds until a program is given up


@dataclass(frozen=True)
class Cost:
    """What a run took: seconds of a clock and of CPU (user and system), MiB of memory at its most; and its output."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str


def ours(*words: str | Path) -> list[str]:
    """Our command line, as a user starts it."""
    installed = Path(sys.executable).with_name("anabranch")
    start = [str(installed)] if installed.exists() else [sys.executable, "-m", "anabranch"]
    return [*start, *map(str, words)]


def script(name: str, *words: str | Path | float) -> list[str]:
    """A program of this directory as a process of its own; -P: nothing beside it can be imported by accident."""
    return [sys.executable, "-P", str(HERE / name), *map(str, words)]


def told(cost: Cost) -> dict[str, float]:
    """The numbers that one of our scripts tells in the last line of its output. Raises BenchmarkFailed."""
    try:
        values = json.loads(cost.output.strip().rpartition("\n")[2])
        return {str(name): float(value) for name, value in values.items()}
    except (ValueError, AttributeError, TypeError) as bad:
        raise BenchmarkFailed(f"no numbers in {cost.output[-500:]!r}") from bad


def without_libtorrent() -> str:
    """Why libtorrent cannot take part; "" where it can."""
    if importlib.util.find_spec("libtorrent") is None:
        return f"libtorrent is not installed for Python {sys.version_info.major}.{sys.version_info.minor}"
    return ""


def measure(command: Sequence[str | Path], place: Path) -> Cost:
    """Run a program in *place*, its output kept in memory.

    Raises:
        BenchmarkFailed: it did not end well, or not at all.
    """
    world = {**os.environ, "PATH": PATH, "XDG_STATE_HOME": str(place / "state home")}
    log = place / "output.log"
    with log.open("wb") as output:
        begun = time.perf_counter()
        child = subprocess.Popen(
            [str(word) for word in command],
            cwd=place,
            env=world,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        watch = _Watch(child.pid)
        patience = threading.Timer(_PATIENCE, child.kill)
        patience.start()
        watch.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - begun
        except BaseException:
            child.kill()
            child.wait()
            raise
        finally:
            patience.cancel()
            watch.stop()
    child.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for: nothing is left for Popen to do
    said = log.read_text("utf-8", "replace")
    if child.returncode:
        raise BenchmarkFailed(f"{' '.join(map(str, command))}: exit code {child.returncode}: {said[-500:].strip()}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, watch.peak_mib, said)


class _Watch(threading.Thread):
    """Looks at the peak of a process' memory until it is told to stop."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak_mib = 0.0
        self._path = f"/proc/{pid}/status"
        self._ended = threading.Event()

    def run(self) -> None:
        """See threading.Thread."""
        while not self._ended.wait(_LOOK_EVERY):
            try:
                with open(self._path) as status:
                    lines = [line for line in status if line.startswith("VmHWM:")]
            except OSError:
                return
            if lines:  # none once it has ended and was not waited for yet
                self.peak_mib = max(self.peak_mib, int(lines[0].split()[1]) / 1024)

    def stop(self) -> None:
        """No more is to be seen."""
        self._ended.set()
        self.join()
