"""Nodes as others name them: an id and an address, and the bytes that they are in messages.

Source: BEP 5 ("contact encoding"), BEP 32 for IPv6. Where nobody can be, a contact is not made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address

from anabranch.model import Address
from anabranch.net import network, pack_host, why_not_dialed

ID_LENGTH = 20  # bytes
_V4_LENGTH, _V6_LENGTH = 6, 18  # bytes of a compact address
_MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address in IPv6 clothes


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a node is, and its id: 20 bytes, or none where only its address is known yet."""

    id: bytes
    address: Address


def pack_address(address: Address) -> bytes:
    """The 6 or 18 bytes of an address.

    Raises:
        ValueError: not an IP address.
    """
    return pack_host(address[0]) + address[1].to_bytes(2, "big")


@lru_cache(16384)  # the same nodes are named again and again
def unpack_address(packed: bytes) -> Address | None:
    """Read 6 or 18 bytes; None for another length, and where nobody can be: no port, a multicast address, ..."""
    if len(packed) == _V6_LENGTH:
        if packed.startswith(_MAPPED):
            return unpack_address(packed[len(_MAPPED) :])
        host = str(IPv6Address(packed[:-2]))
    elif len(packed) == _V4_LENGTH:
        host = ".".join(map(str, packed[:4]))
    else:
        return None
    address = Address(host, int.from_bytes(packed[-2:], "big"))
    return None if why_not_dialed(address) else address


def unpack_contacts(packed: bytes, *, v6: bool, most: int) -> Iterator[Contact]:
    """Read nodes of 26 or 38 bytes each, *most* at most; not those where nobody can be, nor a broken end.

    IPv4 addresses in IPv6 clothes are left out: there is another node for those.
    """
    stride = ID_LENGTH + (_V6_LENGTH if v6 else _V4_LENGTH)
    for start in range(0, min(len(packed) - stride + 1, most * stride), stride):
        address = unpack_address(packed[start + ID_LENGTH : start + stride])
        if address is not None and address.is_v6 == v6:
            yield Contact(packed[start : start + ID_LENGTH], address)


@lru_cache(8192)
def is_local(host: str) -> bool:
    """Whether that is this machine or a private network: whoever is there was let in there.

    Raises:
        ValueError: not an IP address.
    """
    if ":" not in host:
        return network(host) == host
    ip = IPv6Address(host)
    return ip.is_loopback or ip.is_link_local or ip.packed[0] & 0xFE == 0xFC  # RFC 4193


def realm(address: Address) -> str:
    """What counts as one node, however many ports and ids it has: its network, but each address of a local one.

    Raises:
        ValueError: not an IP address.
    """
    host = address[0]
    return f"{host} {address[1]}" if is_local(host) else network(host)
