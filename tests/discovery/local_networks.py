"""Local networks with nobody else on them, to announce on: a thread of a test has them, and the threads it starts.

"home" has 10.61.0.1, fd61::1 and fe80::61, "attic" 10.62.0.1 and 10.62.0.2. Each is one end of a virtual cable
(veth(4)); its other end has no address.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import TypeVar

import pytest

from interop.own_network import in_own_network

Result = TypeVar("Result")


def on_local_networks(work: Callable[[], Result]) -> Result:
    """Run *work* there. Skips the test where we may not have them."""
    if shutil.which("ip") is None:
        pytest.skip("no networks of our own: there is no ip(8)")

    def prepared() -> Result:
        plug_in("home", "10.61.0.1/24", "fd61::1/64", "fe80::61/64")
        plug_in("attic", "10.62.0.1/24", "10.62.0.2/24")
        return work()

    return in_own_network(prepared)


def plug_in(name: str, *addresses: str) -> None:
    """One more network, with these addresses of ours."""
    ip(f"link add {name} type veth peer name {name}-end")
    for address in addresses:
        ip(f"address add {address} dev {name} {'nodad' if ':' in address else ''}")
    ip(f"link set {name} up")
    ip(f"link set {name}-end up")


def unplug(name: str) -> None:
    """The network and its interface are gone."""
    ip(f"link delete {name}")


def ip(what: str) -> None:
    """Run ip(8)."""
    done = subprocess.run(["ip", *what.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no networks of our own: ip {what}: {done.stderr.strip()}")
