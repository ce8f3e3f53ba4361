"""Where a peer listens: an IP address and a port."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from .errors import InputRefused


class Address(NamedTuple):
    """An IPv4 or IPv6 address, in its shortest spelling, and a TCP or UDP port."""

    host: str
    port: int

    @property
    def is_v6(self) -> bool:
        """Whether this is an IPv6 address."""
        return ":" in self.host

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_v6 else f"{self.host}:{self.port}"


def canonical_host(host: str) -> str:
    """The shortest spelling of an IP address; an IPv4 address in IPv6 clothes is shown as IPv4.

    Raises:
        ValueError: not an IP address.
    """
    address = ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def split_host_port(text: str) -> tuple[str, int]:
    """Take HOST:PORT or [IPV6]:PORT apart; the host may still be a name.

    Raises:
        InputRefused: no port, or one outside 1-65535.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InputRefused(f"write an IPv6 address as [ADDRESS]:PORT, not {text!r}")
    if not colon or not host or not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= 65535:
        raise InputRefused(f"not an address of the form HOST:PORT: {text!r}")
    return host, int(port)
