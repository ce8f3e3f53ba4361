"""Node ids that fit the address of their node, so that nobody chooses where in the DHT he stands.

Source: BEP 42. An id's first 21 bits follow from the address and three bits of chance, which its last byte repeats.
What to do about ids that do not fit is the table's affair, and the look-up's.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

from anabranch.net import crc32c

from .contacts import is_local

_MASK_V4 = bytes.fromhex("030f3fff")
_MASK_V6 = bytes.fromhex("0103070f1f3f7fff")  # of the first half: the rest is its owner's to choose
_FIXED_BITS = 0xF8  # of the third byte; 21 bits in all


def node_id_for(host: str, random: bytes) -> bytes:
    """An id that a node at *host* may have, out of 20 random bytes: the same bytes and host give the same id.

    Raises:
        ValueError: not an IP address, or not 20 bytes.
    """
    if len(random) != 20:
        raise ValueError(f"20 random bytes are due, not {len(random)}")
    first, second, third = _prefix(host, random[-1] & 7)
    return bytes((first, second, third | random[2] & ~_FIXED_BITS & 0xFF)) + random[3:]


def is_secure(node_id: bytes, host: str) -> bool:
    """Whether a node at *host* may have that id. On the machine itself and in private networks it may have any.

    Raises:
        ValueError: not an IP address.
    """
    if is_local(host):
        return True
    first, second, third = _prefix(host, node_id[-1] & 7)
    return node_id[0] == first and node_id[1] == second and node_id[2] & _FIXED_BITS == third


@lru_cache(4096)  # the nodes of a table are named again and again
def _prefix(host: str, chance: int) -> tuple[int, int, int]:
    packed = ip_address(host).packed
    mask = _MASK_V4 if len(packed) == 4 else _MASK_V6
    masked = bytearray(byte & kept for byte, kept in zip(packed, mask, strict=False))
    masked[0] |= chance << 5
    crc = crc32c(bytes(masked))
    return crc >> 24, crc >> 16 & 0xFF, crc >> 8 & _FIXED_BITS
