"""What other programs use and receive, read from outside so that it is the same for every program. Linux.

CPU time comes from the clock that the kernel keeps of every program (all threads, also those that ended; nanoseconds),
memory from /proc/PID/status, received bytes from the kernel's socket statistics (sock_diag(7), what `ss -ti` shows).
None of it disturbs the program.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .case import BenchmarkFailed

Address = tuple[str, int]
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30  # bytes

_TICKS = os.sysconf("SC_CLK_TCK")
_STATUS_FIELDS = {"VmHWM": "peak", "RssAnon": "private"}
_SCHEDULED = 2  # of the kernel's three clocks of a program, the one that knows nanoseconds: CPUCLOCK_SCHED

_SOCK_DIAG_BY_FAMILY, _NLMSG_ERROR, _NLMSG_DONE = 20, 2, 3
_REQUEST_DUMP = 0x301
_ESTABLISHED = 1 << 1
_TCP_INFO = 2  # the extension INET_DIAG_INFO, asked for as 1 << (2 - 1)
_DIAG_BODY = 72  # bytes of struct inet_diag_msg
_RECEIVED_AT = 128  # where struct tcp_info has tcpi_bytes_received
_HEADER = struct.Struct("=IHHII")


@dataclass(frozen=True)
class Cpu:
    """CPU seconds that a program has used since its start, and the part of them outside of the kernel."""

    total: float
    user: float

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.total - other.total, self.user - other.user)

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.total + other.total, self.user + other.user)


@dataclass(frozen=True)
class Memory:
    """Bytes of a program in memory: the most there ever were, shared files and all, and its own at present."""

    peak: int
    private: int


def cpu(pid: int) -> Cpu:
    """What a program has used; the user part to the system's ticks (10 ms). BenchmarkFailed where it is gone."""
    try:
        total = time.clock_gettime(~pid << 3 | _SCHEDULED)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as gone:
        raise BenchmarkFailed(f"program {pid} is gone: {gone}") from gone
    return Cpu(total, int(fields[11]) / _TICKS)


def memory(pid: int) -> Memory:
    """What a program holds. BenchmarkFailed where it is gone."""
    found = {"peak": 0, "private": 0}
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError as gone:
        raise BenchmarkFailed(f"program {pid} is gone: {gone}") from gone
    for line in lines:
        name, _, value = line.partition(":")
        if name in _STATUS_FIELDS:
            found[_STATUS_FIELDS[name]] = int(value.split()[0]) * KIB
    if not found["peak"]:  # it has ended and nobody has waited for it
        raise BenchmarkFailed(f"program {pid} has ended")
    return Memory(**found)


@dataclass(frozen=True)
class Connection:
    """One end of an open TCP connection, and the bytes that have come in there."""

    local: Address
    remote: Address
    received: int


def connections() -> list[Connection]:
    """Every open TCP connection over IPv4, both ends where both are here. OSError where the kernel does not tell."""
    family = struct.pack("=BBBBI48x", socket.AF_INET, socket.IPPROTO_TCP, 1 << (_TCP_INFO - 1), 0, _ESTABLISHED)
    question = _HEADER.pack(_HEADER.size + len(family), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0) + family
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as kernel:  # 4: NETLINK_SOCK_DIAG
        kernel.settimeout(5)
        kernel.send(question)
        found: list[Connection] = []
        while True:
            reply = kernel.recv(MIB)
            for kind, body in _messages(reply):
                if kind == _NLMSG_DONE:
                    return found
                if kind == _NLMSG_ERROR:
                    number = -struct.unpack_from("=i", body)[0]
                    raise OSError(number, f"sock_diag: {os.strerror(number)}")
                found.append(_connection(body))


def _messages(reply: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(reply):
        length, kind, _, _, _ = _HEADER.unpack_from(reply, at)
        yield kind, reply[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _connection(body: bytes) -> Connection:
    local_port, remote_port, local, remote = struct.unpack_from(">4xHH4s12x4s12x", body)
    received, at = 0, _DIAG_BODY
    while at < len(body):
        length, kind = struct.unpack_from("=HH", body, at)
        if kind == _TCP_INFO:
            received = struct.unpack_from("=Q", body, at + 4 + _RECEIVED_AT)[0]
        at += (length + 3) & ~3
    return Connection((socket.inet_ntoa(local), local_port), (socket.inet_ntoa(remote), remote_port), received)


def busy_seconds() -> float:
    """CPU seconds that all cores of the machine have worked since it started, for whomever."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, iowait = fields[3], fields[4]
    return (sum(fields) - idle - iowait) / _TICKS


def own_seconds() -> float:
    """CPU seconds that this program has used, and all that it started and has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
