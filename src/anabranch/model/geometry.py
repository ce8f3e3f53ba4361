"""How a torrent's bytes fall into pieces and blocks (BEP 3).

A piece has a hash; a block is what peers ask each other for. Everything that counts in pieces or blocks asks here, so
that the short last piece and the short last block are known in one place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NewType

BLOCK_SIZE = 16 * 1024  # bytes; peers drop those who ask for more (BEP 3 as practised)

PieceIndex = NewType("PieceIndex", int)  # made by Geometry.piece() or counted within Geometry.piece_count


@dataclass(frozen=True, slots=True)
class Geometry:
    """The measures of one torrent. The last piece, and the last block of a piece, may be short.

    Args:
        total: Length of all content in bytes, pad files included.
        piece_length: Nominal length of a piece in bytes, at least 1.
    """

    total: int
    piece_length: int
    piece_count: int = field(init=False)

    def __post_init__(self) -> None:
        if self.total < 0 or self.piece_length < 1:
            raise ValueError(f"no torrent has {self.total} bytes in pieces of {self.piece_length}")
        object.__setattr__(self, "piece_count", -(-self.total // self.piece_length))

    def piece(self, index: int) -> PieceIndex:
        """Admit a number as a piece of this torrent, or raise ValueError (the wire makes that a PeerFault)."""
        if not 0 <= index < self.piece_count:
            raise ValueError(f"piece {index} of {self.piece_count}")
        return PieceIndex(index)

    def offset_of(self, piece: int) -> int:
        """Where in the torrent the piece starts."""
        return piece * self.piece_length

    def length_of(self, piece: int) -> int:
        """Length of the piece in bytes."""
        return min(self.piece_length, self.total - piece * self.piece_length)

    def blocks_of(self, piece: int) -> int:
        """Number of blocks in the piece."""
        return -(-self.length_of(piece) // BLOCK_SIZE)

    def block_length(self, piece: int, block: int) -> int:
        """Length of one block in bytes."""
        return min(BLOCK_SIZE, self.length_of(piece) - block * BLOCK_SIZE)

    def pieces_of(self, offset: int, length: int) -> range:
        """The pieces that hold any byte of [offset, offset + length)."""
        if length <= 0:
            return range(0)
        return range(offset // self.piece_length, (offset + length - 1) // self.piece_length + 1)
