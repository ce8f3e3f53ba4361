"""What is read from outside of a program agrees with what it says of itself."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time

import pytest

from benchmarks.case import BenchmarkFailed
from benchmarks.gauge import connections, cpu, memory


def test_cpu_time_is_that_of_all_threads_of_a_program() -> None:
    """By the kernel's clock, which the program itself sees as its own."""
    before = time.process_time()
    used = cpu(os.getpid())
    assert before <= used.total <= time.process_time()
    assert 0 <= used.user <= used.total + 0.02  # ticks are of 10 ms


def test_memory_is_the_peak_and_what_is_private() -> None:
    """Near to what getrusage(2) has, in KiB: the kernel brings both up to date from time to time."""
    seen = memory(os.getpid())
    assert 0 < seen.private <= seen.peak
    assert seen.peak == pytest.approx(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, rel=0.1)


def test_a_program_that_has_ended_is_told_as_such() -> None:
    """Whether somebody has waited for it or not."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(BenchmarkFailed):
            memory(child.pid)
    for look in (cpu, memory):
        with pytest.raises(BenchmarkFailed):
            look(child.pid)


def test_received_bytes_of_a_connection_are_counted_where_they_arrive() -> None:
    """This is how the first payload is seen, whatever the program."""
    with (
        socket.create_server(("127.0.65.1", 0)) as server,
        socket.create_connection(server.getsockname()) as caller,
        server.accept()[0] as called,
    ):
        caller.sendall(b"x" * 20_000)
        called.recv(20_000, socket.MSG_WAITALL)
        [end] = [one for one in connections() if one.local == called.getsockname()]
        assert (end.remote, end.received) == (caller.getsockname(), 20_000)
