"""Where it was measured: the machine, and what ran on it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .program import PATH

_PACKAGES = ("anabranch", "uvloop", "libtorrent")
_PROGRAMS = {"aria2c": ["--version"], "transmission-daemon": ["--version"], "mktorrent": ["-h"], "nginx": ["-v"]}


def fingerprint() -> Mapping[str, str]:
    """What a reader wants to know of the machine, in words."""
    told = {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }
    for name in _PACKAGES:
        try:
            told[name] = version(name)
        except PackageNotFoundError:
            continue
    for name, words in _PROGRAMS.items():
        if found := _program_version([name, *words]):
            told[name] = found
    return told


def _cpu_model() -> str:
    """As the kernel calls it; not every one does."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _program_version(words: list[str]) -> str:
    """The first number with a point that it tells."""
    try:
        told = subprocess.run(
            words, env={**os.environ, "PATH": PATH}, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+\.\d[\w.]*", told.stdout + told.stderr)
    return found[0] if found else "?"
