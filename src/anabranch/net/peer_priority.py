"""Who is dialed first: the canonical peer priority (BEP 40), and the checksum that it is made of.

Both ends of a connection come to the same number, so that all of a swarm prefer the same connections, and who floods it
with addresses of one network wins little. Which address of our own peers see is for the caller to know.
"""

from __future__ import annotations

from ipaddress import ip_address
from itertools import takewhile

from anabranch.model import Address

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, its bits reversed
_HALF = 0x55  # the bits that are kept of a byte in which networks differ


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_REMAINDERS = tuple(_remainder(byte) for byte in range(256))


def crc32c(data: bytes) -> int:
    """The CRC-32C of a few bytes (RFC 3720, B.4). About 0.1 µs a byte."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _REMAINDERS[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def peer_priority(ours: Address, theirs: Address) -> int:
    """How much the two should be connected: 32 bits, the same at both ends. Greater comes first.

    Raises:
        ValueError: not IP addresses, or of different families.
    """
    if ours.host == theirs.host:
        return crc32c(b"".join(port.to_bytes(2, "big") for port in sorted((ours.port, theirs.port))))
    one, other = ip_address(ours.host).packed, ip_address(theirs.host).packed
    if len(one) != len(other):
        raise ValueError(f"{ours} and {theirs} are of different families")
    whole = 2 if len(one) == 4 else 6  # bytes: /16 and /48
    shared = sum(1 for _ in takewhile(bool, (mine == its for mine, its in zip(one, other, strict=True))))
    if shared >= whole:
        whole = shared + 1
    return crc32c(b"".join(sorted(_masked(packed, whole) for packed in (one, other))))


def _masked(packed: bytes, whole: int) -> bytes:
    return packed[:whole] + bytes(byte & _HALF for byte in packed[whole:])
