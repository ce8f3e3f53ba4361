"""Runs of consecutive blocks and the messages about them, in bulk: requests, cancels, rejects, headers of blocks.

The first three have one layout (BEP 3, BEP 6): length 13, id, piece, begin, length. A peer asks for hundreds of blocks
at a time, so that a value per message would be most of what serving costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from anabranch.model import Geometry, PeerFault

from .messages import BLOCK, BLOCK_HEADER, CANCEL, MAX_BLOCK, RANGE, REJECT, REQUEST

RANGE_KINDS = frozenset({REQUEST, CANCEL, REJECT})

_LENGTH = 13  # what the length prefix of such a message says


class Range(NamedTuple):
    """*length* bytes from *begin* in *piece*, in blocks of *block* bytes, the last of which may be shorter."""

    piece: int
    begin: int
    length: int
    block: int

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Begin and length of each block."""
        end = self.begin + self.length
        for begin in range(self.begin, end, self.block):
            yield begin, min(self.block, end - begin)


def read_ranges(data: memoryview, kind: int, geometry: Geometry) -> tuple[int, list[Range]]:
    """Read the messages of this kind at the start of *data*, as many as follow each other whole.

    Returns:
        How many bytes were read, and what they say. Reading stops before a wrong message unless it is the first.

    Raises:
        PeerFault: the first message names bytes that are not in the torrent, or none, or more than 128 KiB.
    """
    whole = len(data) // RANGE.size * RANGE.size
    runs: list[Range] = []
    count = 0
    run_piece = run_begin = end = block = limit = -1
    open_ended = False  # whether the run's blocks so far are all of one length
    for size, found, piece, begin, length in RANGE.iter_unpack(data[:whole]):
        if found != kind or size != _LENGTH:
            break
        if begin == end and piece == run_piece and open_ended and 0 < length <= block and begin + length <= limit:
            end += length
            open_ended = length == block
        else:
            try:
                limit = _length_of(geometry, piece, begin, length)
            except PeerFault:
                if count:
                    break
                raise
            if count:
                runs.append(Range(run_piece, run_begin, end - run_begin, block))
            run_piece, run_begin, end, block, open_ended = piece, begin, begin + length, length, True
        count += 1
    if count:
        runs.append(Range(run_piece, run_begin, end - run_begin, block))
    return count * RANGE.size, runs


def pack_ranges(kind: int, piece: int, begin: int, length: int, block: int) -> bytes:
    """The messages of this kind for each block of *length* bytes from *begin*, joined."""
    end = begin + length
    last = end - (length % block or block)
    pack = RANGE.pack
    packed = [pack(_LENGTH, kind, piece, at, block) for at in range(begin, last, block)]
    packed.append(pack(_LENGTH, kind, piece, last, end - last))
    return b"".join(packed)


def check_bounds(geometry: Geometry, piece: int, begin: int, length: int) -> None:
    """Admit a stretch of a piece.

    Raises:
        PeerFault: it is not all inside a piece of the torrent.
    """
    if piece >= geometry.piece_count or begin + length > geometry.length_of(piece):
        raise PeerFault(f"{length} bytes from {begin} in piece {piece} are outside the torrent")


def _length_of(geometry: Geometry, piece: int, begin: int, length: int) -> int:
    """Length of the piece, where the stretch may be asked for."""
    if not 0 < length <= MAX_BLOCK:
        raise PeerFault(f"block of {length} bytes, 1 to {MAX_BLOCK} may be asked for")
    check_bounds(geometry, piece, begin, length)
    return geometry.length_of(piece)


def block_headers(piece: int, begin: int, length: int, block: int) -> list[bytes]:
    """The 13-byte header of each block message for *length* bytes from *begin*."""
    end = begin + length
    last = end - (length % block or block)
    pack = BLOCK_HEADER.pack
    headers = [pack(9 + block, BLOCK, piece, at) for at in range(begin, last, block)]
    headers.append(pack(9 + end - last, BLOCK, piece, last))
    return headers
