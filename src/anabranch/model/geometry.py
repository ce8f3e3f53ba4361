"""How a torrent's bytes fall into pieces and blocks (BEP 3, BEP 52).

A piece has a hash; a block is what peers ask each other for. Everything that counts in pieces or blocks asks here, so
that short pieces and short blocks are known in one place.

Offsets are of one coordinate system for all torrents, in which every piece begins at a multiple of the piece length.
The files of a v1 or hybrid torrent fill it without gaps (pad files are files). Those of a v2 torrent each begin at a
piece, and between the end of one and the begin of the next there is nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NewType

BLOCK_SIZE = 16 * 1024  # bytes; peers drop those who ask for more (BEP 3 as practised)

PieceIndex = NewType("PieceIndex", int)  # made by Geometry.piece() or counted within Geometry.piece_count


@dataclass(frozen=True, slots=True)
class Geometry:
    """The measures of one torrent.

    Args:
        total: Where the content ends: the offset behind the last byte, pad files and gaps included.
        piece_length: Nominal length of a piece in bytes, at least 1.
        short: The length of each piece that is shorter than that. The last piece need not be named.
    """

    total: int
    piece_length: int
    short: Mapping[int, int] = field(default_factory=dict, hash=False)
    piece_count: int = field(init=False)
    content: int = field(init=False)
    """Length of all pieces together in bytes: the total without the gaps."""

    def __post_init__(self) -> None:
        if self.total < 0 or self.piece_length < 1:
            raise ValueError(f"no torrent has {self.total} bytes in pieces of {self.piece_length}")
        count = -(-self.total // self.piece_length)
        short = dict(self.short)
        for piece, length in short.items():
            if not (0 <= piece < count and 0 < length < self.piece_length):
                raise ValueError(f"piece {piece} of {count} has no {length} bytes: it may have {self.piece_length}")
        if rest := self.total % self.piece_length:
            short.setdefault(count - 1, rest)
        if short.get(count - 1, 0) != rest:
            raise ValueError(f"the last piece ends at {self.total}, its length is not {short[count - 1]}")
        object.__setattr__(self, "short", MappingProxyType(short))
        object.__setattr__(self, "piece_count", count)
        gaps = sum(self.piece_length - length for piece, length in short.items() if piece < count - 1)
        object.__setattr__(self, "content", self.total - gaps)

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
        return self.short.get(piece, self.piece_length)

    def blocks_of(self, piece: int) -> int:
        """Number of blocks in the piece."""
        return -(-self.short.get(piece, self.piece_length) // BLOCK_SIZE)

    def block_length(self, piece: int, block: int) -> int:
        """Length of one block in bytes."""
        return min(BLOCK_SIZE, self.length_of(piece) - block * BLOCK_SIZE)

    def pieces_of(self, offset: int, length: int) -> range:
        """The pieces that hold any byte of [offset, offset + length), if that ends where content does."""
        if length <= 0:
            return range(0)
        return range(offset // self.piece_length, (offset + length - 1) // self.piece_length + 1)
