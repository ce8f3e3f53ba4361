"""Which networks this machine is on, read from what Linux tells (rtnetlink(7)).

Of interest are interfaces that local networks hang on: up, able to multicast, neither loopback (nobody else is there)
nor point-to-point (a tunnel: who is at its other end is not local, and need not know what we have).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

_HEADER = struct.Struct("=IHHII")  # of a message: length, type, flags, number, from whom
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, changes
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_NEW_LINK, _GET_LINK, _NEW_ADDRESS, _GET_ADDRESS = 16, 18, 20, 22
_ERROR, _DONE = 2, 3
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_UP, _LOOPBACK, _POINT_TO_POINT, _MULTICAST = 0x1, 0x8, 0x10, 0x1000  # linux/if.h
_LINK_NAME, _LINK_ADDRESS, _LOCAL_ADDRESS = 3, 1, 2
_FAMILIES = {2: 4, 10: 16}  # bytes of an address, by Linux's number of the family

LINKS_WANTED = _HEADER.pack(_HEADER.size + _LINK.size, _GET_LINK, _DUMP, 1, 0) + bytes(_LINK.size)
ADDRESSES_WANTED = _HEADER.pack(_HEADER.size + _ADDRESS.size, _GET_ADDRESS, _DUMP, 2, 0) + bytes(_ADDRESS.size)


@dataclass(frozen=True, slots=True)
class Interface:
    """One way into a local network.

    Args:
        index: The system's number for it; 0 stands for the one that the system would choose.
        name: For people.
        hosts: Our IP addresses there; link-local IPv6 ones are left out: they say nothing without their link.
    """

    index: int
    name: str
    hosts: tuple[str, ...]


def is_last(told: bytes) -> bool:
    """Whether this part of an answer is the last.

    Raises:
        ValueError: the system refuses, or what came is no answer.
    """
    for kind, _ in _messages(told):
        if kind == _ERROR:
            raise ValueError("the system does not tell its interfaces")
        if kind == _DONE:
            return True
    return False


def interfaces_from(links: bytes, addresses: bytes) -> tuple[Interface, ...]:
    """Read both answers: those of interest that have an address.

    Raises:
        ValueError: not what the system would say.
    """
    hosts: dict[int, list[str]] = {}
    for index, host in _hosts(addresses):
        hosts.setdefault(index, []).append(host)
    return tuple(Interface(index, name, tuple(hosts[index])) for index, name in _names(links) if index in hosts)


def _names(links: bytes) -> Iterator[tuple[int, str]]:
    for kind, body in _messages(links):
        if kind != _NEW_LINK:
            continue
        _, _, index, flags, _ = _unpacked(_LINK, body)
        if flags & _UP and flags & _MULTICAST and not flags & (_LOOPBACK | _POINT_TO_POINT):
            yield index, _attributes(body[_LINK.size :]).get(_LINK_NAME, b"").rstrip(b"\0").decode("utf-8", "replace")


def _hosts(addresses: bytes) -> Iterator[tuple[int, str]]:
    for kind, body in _messages(addresses):
        if kind != _NEW_ADDRESS:
            continue
        family, _, _, _, index = _unpacked(_ADDRESS, body)
        told = _attributes(body[_ADDRESS.size :])
        packed = told.get(_LOCAL_ADDRESS) or told.get(_LINK_ADDRESS, b"")
        if len(packed) == _FAMILIES.get(family, -1):
            host = ip_address(packed)
            if host.version == 4 or not host.is_link_local:
                yield index, str(host)


def _messages(told: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start < len(told):
        length, kind, *_ = _unpacked(_HEADER, told[start : start + _HEADER.size])
        if not _HEADER.size <= length <= len(told) - start:
            raise ValueError(f"a message of {length} bytes in {len(told) - start}")
        yield kind, told[start + _HEADER.size : start + length]
        start += _aligned(length)


def _attributes(told: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    start = 0
    while start + _ATTRIBUTE.size <= len(told):
        length, kind = _ATTRIBUTE.unpack_from(told, start)
        if length < _ATTRIBUTE.size:
            raise ValueError(f"an attribute of {length} bytes")
        found[kind] = told[start + _ATTRIBUTE.size : start + length]
        start += _aligned(length)
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _unpacked(layout: struct.Struct, told: bytes) -> tuple[int, ...]:
    if len(told) < layout.size:
        raise ValueError(f"{len(told)} bytes where {layout.size} are due")
    return layout.unpack_from(told)
