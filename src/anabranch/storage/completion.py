"""What a completion store is, the one that forgets at exit, and the bitmap rows of those that do not.

A store holds two bits a piece: whether it is known, and if so whether it is complete. It keeps what it is told, in the
order it is told; that bytes are durable before a piece is recorded is the back end's care.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol
from zlib import crc32

from bitarray import bitarray

from anabranch.model import no_pieces

PAGE = 32 * 1024  # pieces in one row of a store: a torrent of 350,000 pieces has eleven rows
PAGE_SIZE = PAGE // 8  # bytes of one bitmap of a row


class CompletionStore(Protocol):
    """Remembers the completion of one torrent's pieces. Safe from any thread. Every method raises StorageFailed."""

    def load(self, piece_count: int) -> tuple[bitarray, bitarray]:
        """Two sets of pieces, the caller's to keep: those known, and of them those complete."""

    def record(self, complete: Sequence[int], incomplete: Sequence[int]) -> None:
        """Remember these pieces, all of them or (on an error) none. What is incomplete survives a loss of power."""

    def forget(self, pieces: Sequence[int]) -> None:
        """Make these pieces unknown. A loss of power may undo it: what must not be believed is recorded first."""


class MemoryCompletion:
    """A completion store that lasts as long as it is held."""

    def __init__(self) -> None:
        self._complete: dict[int, bool] = {}

    def load(self, piece_count: int) -> tuple[bitarray, bitarray]:
        """See CompletionStore."""
        known, complete = no_pieces(piece_count), no_pieces(piece_count)
        for piece, is_complete in self._complete.copy().items():
            if piece < piece_count:
                known[piece], complete[piece] = True, is_complete
        return known, complete

    def record(self, complete: Sequence[int], incomplete: Sequence[int]) -> None:
        """See CompletionStore."""
        self._complete.update(dict.fromkeys(complete, True) | dict.fromkeys(incomplete, False))

    def forget(self, pieces: Sequence[int]) -> None:
        """See CompletionStore."""
        for piece in pieces:
            self._complete.pop(piece, None)


def by_page(pieces: Iterable[int]) -> dict[int, list[int]]:
    """Sort pieces by the row that they are in; what is left is the place in the row."""
    pages: dict[int, list[int]] = {}
    for piece in pieces:
        pages.setdefault(piece // PAGE, []).append(piece % PAGE)
    return pages


def page_bits(blob: bytes | None) -> bitarray:
    """One bitmap of a row, as stored; all zeros for a row that is not there or not of the right size."""
    bits = no_pieces(PAGE)
    if blob is not None and len(blob) == PAGE_SIZE:
        bits = bitarray(endian="big")
        bits.frombytes(blob)
    return bits


def page_checksum(info_hash: bytes, page: int, known: bytes, complete: bytes) -> int:
    """What a row must come with to be believed: CRC-32 of whose it is, which it is, and its two bitmaps."""
    return crc32(complete, crc32(known, crc32(b"%b %d" % (info_hash, page))))
