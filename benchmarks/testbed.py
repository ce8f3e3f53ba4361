"""What the tests have made and benchmarks use, too: an engine in virtual time, an authority for TLS."""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1] / "tests"


def open_tests() -> None:
    """Make the tests' modules importable."""
    if str(_TESTS) not in sys.path:
        sys.path.append(str(_TESTS))
