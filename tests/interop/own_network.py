"""A network with nobody else in it, for programs that will not meet on loopback addresses: Transmission dials none.

Linux: a thread leaves the network of its process, and so do the threads and programs that it starts. What it then has
is a loopback interface, which is given private addresses (RFC 1918); nothing of it reaches the machine's own network.
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
PREFIX = "10.199.7."  # all 256 of them are there
MASK = "255.255.255.0"

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C  # linux/sockios.h
_IFF_UP = 1  # linux/if.h


def in_own_network(work: Callable[[], Result]) -> Result:
    """Run *work* in a thread in a network of its own. Skips the test where we may not have one: only root may."""
    if sys.platform != "linux":
        pytest.skip("only Linux gives a thread a network of its own")
    with ThreadPoolExecutor(1, "own network") as threads:
        try:
            threads.submit(_leave).result()
        except PermissionError as forbidden:
            pytest.skip(f"no network of our own: {forbidden}")
        return threads.submit(work).result()


def _leave() -> None:
    """Give the calling thread its network."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:

        def tell(what: int, interface: bytes, value: bytes) -> None:
            fcntl.ioctl(any_socket, what, struct.pack("16s24s", interface, value))

        tell(_SIOCSIFFLAGS, b"lo", struct.pack("h", _IFF_UP))
        address, mask = (struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(ip)) for ip in (f"{PREFIX}1", MASK))
        tell(_SIOCSIFADDR, b"lo:1", address)
        tell(_SIOCSIFNETMASK, b"lo:1", mask)
