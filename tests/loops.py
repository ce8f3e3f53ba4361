"""The event loops that people use, to run the same test in each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]

LOOPS = ("asyncio", "uvloop")
PATIENCE = 20  # seconds until a test gives a coroutine up; no rule


def runs_in(name: str) -> Run[Any]:
    """What runs a coroutine in a new loop of that kind, in this thread; skips the test where there is none."""
    make_loop = asyncio.new_event_loop if name == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    def run(work: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            return runner.run(asyncio.wait_for(work, PATIENCE))

    return run
