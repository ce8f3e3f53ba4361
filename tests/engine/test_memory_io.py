"""Memory that goes back to the system."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from anabranch.engine.buffers import Buffer
from anabranch.engine.memory_io import memory

MIB = 1024 * 1024


@pytest.mark.parametrize("size", [1, 16 * 1024, 128 * 1024, 3 * MIB + 1])
def test_it_is_as_long_as_asked_for_and_writable(size: int) -> None:
    """Small or large."""
    view = memoryview(memory(size))
    assert len(view) == size
    view[-1] = 7
    assert view[-1] == 7


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_what_is_let_go_of_is_the_systems_at_once() -> None:
    """Every other one of many is forgotten: the process has so much less."""

    def in_memory() -> int:
        [line] = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("RssAnon:")]
        return int(line.split()[1]) * 1024

    buffers = [Buffer(MIB) for _ in range(64)]
    for buffer in buffers:
        buffer.view[:] = b"x" * MIB
    before = in_memory()
    del buffers[::2], buffer
    gc.collect()
    assert in_memory() < before - 24 * MIB
