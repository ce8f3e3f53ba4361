"""Sets of pieces, as they travel (BEP 3: first piece in the highest bit) and as they rest.

A set is a `bitarray` in big-endian bit order with one bit a piece, so that both forms are the same bytes.
"""

from __future__ import annotations

from bitarray import bitarray
from bitarray.util import zeros


def no_pieces(count: int) -> bitarray:
    """The empty set of *count* pieces."""
    return zeros(count, "big")


def all_pieces(count: int) -> bitarray:
    """The full set of *count* pieces."""
    bits = zeros(count, "big")
    bits.setall(True)
    return bits


def bitfield_from(wire: bytes | bytearray | memoryview, count: int) -> bitarray:
    """Read a bitfield of *count* pieces.

    Raises:
        ValueError: wrong length, or a spare bit is set (BEP 3 has them cleared).
    """
    due = (count + 7) // 8
    if len(wire) != due:
        raise ValueError(f"bitfield of {len(wire)} bytes for {count} pieces, {due} are due")
    bits = bitarray(endian="big")
    bits.frombytes(bytes(wire))
    if bits.find(True, count) >= 0:
        raise ValueError(f"bitfield has a spare bit set behind its {count} pieces")
    del bits[count:]
    return bits
