"""Counts what a piece of work takes: calls of functions, Python's and C's, and bytecodes.

Both are the same in every run with the same Python, whatever else the machine does. They are blind to what happens
inside of C, to which the times are not (timing.py).
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from .job import Job, Work

WARM_UP = 5  # pieces of work before the one that counts: what is made at first use has been made


@dataclass(frozen=True)
class Counts:
    """What one of a job's steps takes, on average over a piece of work."""

    calls: float
    bytecodes: float


def count(job: Job) -> Counts:
    """Do a job's work a few times and count."""
    ready = job.make()
    for _ in range(WARM_UP):
        ready()()
    with _undisturbed():
        calls = calls_of(ready()) / job.times
        bytecodes = bytecodes_of(ready()) / job.times
    return Counts(calls, bytecodes)


def calls_of(work: Work) -> int:
    """Functions called in this thread. A generator counts each time it is entered."""
    return _calls(work) - _calls(_nothing)


def bytecodes_of(work: Work) -> int:
    """Bytecodes done."""
    return _bytecodes(work) - _bytecodes(_nothing)


def _calls(work: Work) -> int:
    count = 0

    def watch(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def _bytecodes(work: Work) -> int:
    """Counted by sys.monitoring where it is there (3.12): tracing leaves bytecodes out since."""
    count = 0
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is not None:

        def seen(code: CodeType, offset: int) -> None:
            nonlocal count
            count += 1

        tool = monitoring.PROFILER_ID
        monitoring.use_tool_id(tool, "benchmarks.micro")
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, seen)
        monitoring.set_events(tool, monitoring.events.INSTRUCTION)
        try:
            work()
        finally:
            monitoring.set_events(tool, 0)
            monitoring.free_tool_id(tool)
        return count

    def watch(frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
        nonlocal count
        count += event == "opcode"
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def _nothing() -> None:
    return


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without garbage collection, which would be counted with whatever it strikes."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
