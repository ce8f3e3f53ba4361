"""Which addresses may be dialed, and which of them are taken for one and the same caller.

Addresses come from strangers (trackers, other peers): many are nonsense, some are meant to make us knock at somebody
else's door. What is ours among them is not known here.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from anabranch.model import Address

_MULTICAST_V4 = range(224, 240)  # first byte (RFC 5771)
_SHARED_V4 = range(64, 128)  # second byte after 100: a provider's own network (RFC 6598)
_OCTETS = {str(number): number for number in range(256)}
_NETWORK_V6 = 8  # bytes; whoever has one IPv6 address has the 2^64 others of its network as well (RFC 4291)


def pack_host(host: str) -> bytes:
    """The 4 or 16 bytes of an IP address.

    For who meets thousands of them in a second: an IPv4 address takes a third of what the standard library needs.

    Raises:
        ValueError: not an IP address.
    """
    if ":" in host:
        return ip_address(host).packed
    try:
        first, second, third, fourth = host.split(".")
        return bytes((_OCTETS[first], _OCTETS[second], _OCTETS[third], _OCTETS[fourth]))
    except KeyError:
        raise ValueError(f"{host!r} does not appear to be an IPv4 or IPv6 address") from None


def why_not_dialed(address: Address) -> str:
    """Why nobody can be reached there, in words; empty where somebody may be."""
    host, port = address
    if not 1 <= port <= 65535:
        return f"no port: {port}"
    try:
        ip = ip_address(host)
    except ValueError:
        return f"no IP address: {host}"
    packed = ip.packed
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return why_not_dialed(Address(str(ip.ipv4_mapped), port))
        if not any(packed):
            return "the unspecified address"
        if packed[0] == 0xFF:
            return "a multicast address"
        if packed[0] == 0xFE and packed[1] & 0xC0 == 0x80:  # an Address has no room for the interface it is one of
            return "a link-local address of an unknown link"
        return ""
    if packed[0] == 0:  # RFC 1122: "this network"; to dial 0.0.0.0 reaches ourselves
        return "the unspecified address"
    if packed[0] in _MULTICAST_V4:
        return "a multicast address"
    return "the broadcast address" if packed == b"\xff\xff\xff\xff" else ""


def is_this_machine(host: str) -> bool:
    """Whether a peer at that address is another program on this machine, or ourselves.

    Raises:
        ValueError: not an IP address.
    """
    return host.startswith("127.") or ip_address(host).is_loopback


def neighbourhood(host: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 network of an IPv6 address.

    Raises:
        ValueError: not an IP address.
    """
    return ip_address(host).packed[:_NETWORK_V6].hex() if ":" in host else host


@lru_cache(4096)  # connections are compared again and again
def network(host: str) -> str:
    """What counts as one network: the /24 of a public IPv4 address, the /64 of an IPv6 address.

    In private networks, and on the machine itself, each address counts for itself: whoever is there was let in there.

    Raises:
        ValueError: not an IP address.
    """
    if ":" in host:
        return neighbourhood(host)
    first, second, third, _ = pack_host(host)
    private = (
        first in (10, 127)
        or (first == 172 and 16 <= second < 32)
        or (first, second) in ((192, 168), (169, 254))
        or (first == 100 and second in _SHARED_V4)
    )
    return host if private else f"{first}.{second}.{third}"
