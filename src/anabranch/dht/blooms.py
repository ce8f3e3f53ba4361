"""How many peers a torrent has, counted without naming them: the filters of DHT scrapes.

Source: BEP 33. A filter remembers of each IP address two bits of 2,048. Filters of several nodes unite, so that who is
known to all of them counts once.
"""

from __future__ import annotations

from hashlib import sha1
from ipaddress import ip_address
from math import log

SIZE = 256  # bytes
MOST_COUNTED = 6000  # BEP 33: nodes keep no more; a filter that says more is full by mistake, or on purpose
_BITS = SIZE * 8
_PER_BIT = 2 * log(1 - 1 / _BITS)


class Bloom:
    """A set of IP addresses that can be estimated and united, and not read.

    Args:
        filled: What another node has in it.

    Raises:
        ValueError: it has another size.
    """

    __slots__ = ("_bits",)

    def __init__(self, filled: bytes = bytes(SIZE)) -> None:
        if len(filled) != SIZE:
            raise ValueError(f"a filter of {len(filled)} bytes, {SIZE} are due")
        self._bits = int.from_bytes(filled, "little")

    def add(self, host: str) -> None:
        """Put an IP address in. Raises ValueError for what is none."""
        self.add_packed(ip_address(host).packed)

    def add_packed(self, host: bytes) -> None:
        """Put in an IP address of 4 or 16 bytes."""
        self._bits |= _marks(host)

    def unite(self, other: Bloom) -> None:
        """Put in all that is in *other*."""
        self._bits |= other._bits

    def __contains__(self, host: str) -> bool:
        """Whether that address may have been put in: false is certain, true is not."""
        marks = _marks(ip_address(host).packed)
        return self._bits & marks == marks

    def estimate(self) -> float:
        """About how many addresses are in it; no more than some 7,800 can be told apart from more."""
        ones = self._bits.bit_count()
        return log(max(1, _BITS - ones) / _BITS) / _PER_BIT if ones else 0.0

    def __bytes__(self) -> bytes:
        return self._bits.to_bytes(SIZE, "little")


def _marks(host: bytes) -> int:
    digest = sha1(host, usedforsecurity=False).digest()
    first, second = int.from_bytes(digest[:2], "little"), int.from_bytes(digest[2:4], "little")
    return 1 << first % _BITS | 1 << second % _BITS
