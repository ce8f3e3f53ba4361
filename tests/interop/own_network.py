"""A network with nobody else in it, for programs that will not meet on loopback addresses: Transmission dials none.

Linux: a thread leaves the network of its process, and so do the threads and programs that it starts. What it then has
is a loopback interface, which is given private addresses; nothing of it reaches the machine's own network.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

Result = TypeVar("Result")
PREFIX = "10.199.7."  # all 256 of them are there (RFC 1918)
MASK = "255.255.255.0"
PREFIX6 = "fd00:199:7::"  # of these 1 to 9 (RFC 4193)

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C  # linux/sockios.h
_IFF_UP = 1  # linux/if.h


def in_own_network(work: Callable[[], Result]) -> Result:
    """Run *work* in a thread in a network of its own. Skips the test where we may not have one: only root may."""
    if sys.platform != "linux":
        pytest.skip("only Linux gives a thread a network of its own")
    with ThreadPoolExecutor(1, "own network") as threads:
        try:
            threads.submit(leave_network).result()
        except PermissionError as forbidden:
            pytest.skip(f"no network of our own: {forbidden}")
        return threads.submit(work).result()


def leave_network() -> None:
    """Give the calling thread its network."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16s24s", b"lo", struct.pack("h", _IFF_UP)))
    take_addresses(f"{PREFIX}1", mask=MASK)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as any_socket:
        for number in range(1, 10):
            packed = socket.inet_pton(socket.AF_INET6, f"{PREFIX6}{number}")
            fcntl.ioctl(any_socket, _SIOCSIFADDR, struct.pack("16sIi", packed, 128, socket.if_nametoindex("lo")))


def take_addresses(*hosts: str, mask: str = "255.255.255.255") -> None:
    """Give the loopback interface of the calling thread's network these IPv4 addresses, whoever has them elsewhere."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for host in hosts:
            alias = f"lo:{socket.inet_aton(host).hex()}".encode()
            for what, value in ((_SIOCSIFADDR, host), (_SIOCSIFNETMASK, mask)):
                packed = struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(value))
                fcntl.ioctl(any_socket, what, struct.pack("16s24s", alias, packed))
