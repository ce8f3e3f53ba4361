"""Runs of consecutive blocks and the messages about them, in bulk: requests, cancels, rejects, headers of blocks.

The first three have one layout (BEP 3, BEP 6): length 13, id, piece, begin, length. A peer asks for hundreds of blocks
at a time, so that a value per message would be most of what serving costs. The messages of a run differ from those of
the same stretch of another piece in the piece's index alone: they are joined by it (0.8 us for 64 of them, against 16
for packing each).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from anabranch.model import Geometry, PeerFault

from .messages import BLOCK, BLOCK_HEADER, CANCEL, HEAD, MAX_BLOCK, RANGE, REJECT, REQUEST

RANGE_KINDS = frozenset({REQUEST, CANCEL, REJECT})

_LENGTH = 13  # what the length prefix of such a message says
_STRETCHES = 64  # remembered; most are of whole pieces
_FEW = 8  # blocks that are packed one by one: such stretches are too many to remember
_MANY = 1024  # blocks of which no more are remembered together: a peer may ask for each byte of a piece by itself


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
    if _FEW * block < length <= _MANY * block:
        return piece.to_bytes(4).join(_around_ranges(kind, begin, length, block))
    end = begin + length
    return b"".join([RANGE.pack(_LENGTH, kind, piece, at, min(block, end - at)) for at in range(begin, end, block)])


@lru_cache(_STRETCHES)
def _around_ranges(kind: int, begin: int, length: int, block: int) -> list[bytes]:
    """What stands before the first piece's index in those messages, between any two, and behind the last."""
    head = HEAD.pack(_LENGTH, kind)
    ends = [at.to_bytes(4) + size.to_bytes(4) for at, size in Range(0, begin, length, block).blocks()]
    return [head, *(end + head for end in ends[:-1]), ends[-1]]


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


def joined_headers(piece: int, begin: int, length: int, block: int) -> bytes:
    """The 13-byte header of each block message for *length* bytes from *begin*, joined."""
    if _FEW * block < length <= _MANY * block:
        return piece.to_bytes(4).join(_around_headers(begin, length, block))
    end = begin + length
    return b"".join([BLOCK_HEADER.pack(9 + min(block, end - at), BLOCK, piece, at) for at in range(begin, end, block)])


def block_headers(piece: int, begin: int, length: int, block: int) -> list[bytes]:
    """The same, one by one."""
    joined = joined_headers(piece, begin, length, block)
    return [joined[at : at + BLOCK_HEADER.size] for at in range(0, len(joined), BLOCK_HEADER.size)]


@lru_cache(_STRETCHES)
def _around_headers(begin: int, length: int, block: int) -> list[bytes]:
    """What stands around the piece's index in those headers."""
    blocks = list(Range(0, begin, length, block).blocks())
    heads = [HEAD.pack(9 + size, BLOCK) for _, size in blocks]
    ends = [at.to_bytes(4) for at, _ in blocks]
    return [heads[0], *(end + head for end, head in zip(ends, heads[1:], strict=False)), ends[-1]]
