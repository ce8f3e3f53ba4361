"""Computers of a test's own, joined by a cable: networks with nobody else in them, each with an interface of its own.

For what does not happen on loopback interfaces: multicast, and programs that look at which addresses an interface has.
Linux, root, and `ip` of iproute2. See own_network.py, which does with one network and without a cable.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from .own_network import leave_network

Result = TypeVar("Result")
CABLE = "cable0"  # what the interface is called at both ends
_NO_DAD = Path(f"/proc/sys/net/ipv6/conf/{CABLE}/accept_dad")  # of the network of the thread that opens it


@dataclass(frozen=True)
class Host:
    """One of them.

    Args:
        v4: Its IPv4 address on the cable.
        v6: Its IPv6 address there.
        threads: A thread that lives in its network; so do the threads and programs that are started from it.
    """

    v4: str
    v6: str
    threads: ThreadPoolExecutor

    def run(self, work: Callable[[], Result]) -> Result:
        """Do that in its network."""
        return self.threads.submit(work).result()


@contextmanager
def joined_hosts() -> Iterator[tuple[Host, Host]]:
    """Two of them, until the end of the block. Skips the test where we may not have them."""
    program = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        pytest.skip("ip is not installed; `make programs` installs it")

    def ip(*words: str) -> None:
        subprocess.run([program, *words], check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def plug_in(host: Host) -> None:
        """Address the interface and switch it on. Addresses need no look around for doubles: that takes two seconds."""
        _NO_DAD.write_text("0")
        ip("address", "add", f"{host.v4}/24", "dev", CABLE)
        ip("-6", "address", "add", f"{host.v6}/64", "dev", CABLE)
        ip("link", "set", CABLE, "up")

    def route(_: Host) -> None:
        """Send what goes elsewhere, multicast too, to the cable, as a home's computers do."""
        ip("route", "add", "default", "dev", CABLE)
        ip("-6", "route", "add", "default", "dev", CABLE)

    with ExitStack() as open_ones:
        hosts = [
            Host(f"10.199.8.{number}", f"fd00:199:8::{number}", open_ones.enter_context(ThreadPoolExecutor(1)))
            for number in (1, 2)
        ]
        one, other = hosts
        try:
            for host in hosts:
                host.run(leave_network)
        except PermissionError as forbidden:
            pytest.skip(f"no networks of our own: {forbidden}")
        there = str(other.run(threading.get_native_id))
        one.run(lambda: ip("link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", there))
        for step in (plug_in, route):
            for host in hosts:
                host.run(partial(step, host))
        yield one, other
