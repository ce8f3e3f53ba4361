"""How far ahead of a reader pieces are fetched.

Source: the Go engine's reader. By default the window grows with what was read in one go since the last seek, so that a
player that reads on gets more and one that jumps about wastes little.
"""

from __future__ import annotations

from collections.abc import Callable

from anabranch.model import Geometry

Readahead = int | Callable[[int, int], int]  # bytes, or made of (where contiguous reading began, position)

MOST_PIECES = 4096  # of one window: it is weighed within one turn


def contiguous(start: int, position: int) -> int:
    """As much as was read without a seek."""
    return position - start


def window_of(
    geometry: Geometry, readahead: Readahead, start: int, position: int, end: int, reading: bool
) -> tuple[range, int]:
    """The pieces that the reader wants, and the one that it waits for.

    Args:
        geometry: The torrent's.
        readahead: How far to look ahead, in bytes.
        start: Where contiguous reading began, offset in the torrent.
        position: Where the reader is.
        end: Where its extent ends.
        reading: Whether it ever read since it was opened or last moved; until then it wants nothing.
    """
    if not reading or position >= end:
        return range(0), -1
    ahead = readahead if isinstance(readahead, int) else readahead(start, position)
    pieces = geometry.pieces_of(position, min(max(ahead, 1), end - position))
    return pieces[:MOST_PIECES], pieces.start
