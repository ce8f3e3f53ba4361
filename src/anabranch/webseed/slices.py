"""Slices: the groups of neighbouring pieces by which web seeds are asked, and searches in sets of pieces by them.

Source: the Go engine's "aligned response size" of 64 MiB. A request to a web seed begins in a slice and ends in it at
the latest, so that a server that stalls holds up so much and no more, and so that one that is asked twice for the same
is noticed by the slice's number.

Nothing here looks at pieces one by one: torrents have 350,000 of them, and the planner looks again every few seconds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Sequence
from typing import Protocol

from bitarray import bitarray

from anabranch.model import Geometry

SLICE_SIZE = 64 * 1024 * 1024  # bytes; a slice has as many whole pieces as fit, at least one


class Placed(Protocol):
    """What is needed of a file."""

    @property
    def offset(self) -> int:
        """Where in the torrent it starts, in bytes."""

    @property
    def length(self) -> int:
        """Its length in bytes."""


def pieces_per_slice(geometry: Geometry) -> int:
    """How many pieces a slice has; the last slice may have fewer."""
    return max(1, SLICE_SIZE // geometry.piece_length)


def slice_of(geometry: Geometry, piece: int) -> int:
    """The slice that the piece is in."""
    return piece // pieces_per_slice(geometry)


def slice_range(geometry: Geometry, number: int) -> range:
    """The pieces of the slice."""
    per_slice = pieces_per_slice(geometry)
    return range(number * per_slice, min((number + 1) * per_slice, geometry.piece_count))


def first_of_slices(askable: bitarray, per_slice: int, skip: Container[int], most: int) -> list[int]:
    """The first askable piece of each slice, ascending: at most *most*, those of the slices in *skip* left out.

    O(slices that are found or skipped), each a search in the set from one border to the next.
    """
    found: list[int] = []
    piece = askable.find(True)
    while piece >= 0 and len(found) < most:
        number = piece // per_slice
        if number not in skip:
            found.append(piece)
        piece = askable.find(True, (number + 1) * per_slice)
    return found


def run_from(askable: bitarray, piece: int, stop: int) -> int:
    """Where the run of askable pieces that begins at *piece* ends: the first piece behind it, *stop* at the latest."""
    end = askable.find(False, piece, stop)
    return stop if end < 0 else end


def spread(slices: Sequence[int], number: int) -> list[list[int]]:
    """The order in which each of *number* web seeds of a torrent is offered the slices.

    Every one gets all, its own share first: these go round, so that cut anywhere in their shares the lists have nothing
    in common, and early slices are fetched first. What is behind that is for when the others cannot.
    """
    return [
        [*slices[turn::number], *(one for place, one in enumerate(slices) if place % number != turn)]
        for turn in range(number)
    ]


def partial_slices(
    geometry: Geometry, files: Sequence[Placed], slices: Iterable[int], complete: bitarray, begun: Iterable[int]
) -> set[int]:
    """Those of the slices that share a file with a begun piece, or whose files are done in part.

    The files of a slice are looked at together, from the begin of the first to the end of the last (as the Go engine
    does). O(log files) each, and a search in *complete* for every other span of files.

    Args:
        geometry: The torrent's measures.
        files: All its files in order, pad files and empty ones too.
        slices: Which are asked about.
        complete: The pieces that we have.
        begun: Pieces of which we have a part.
    """
    begun = sorted(begun)
    known: dict[tuple[int, int], bool] = {}
    found = set()
    for number in slices:
        span = _span_of_files(geometry, files, slice_range(geometry, number))
        if span not in known:
            first, stop = span
            any_begun = bisect_left(begun, first) < bisect_left(begun, stop)
            known[span] = any_begun or (complete.find(True, *span) >= 0 and complete.find(False, *span) >= 0)
        if known[span]:
            found.add(number)
    return found


def _span_of_files(geometry: Geometry, files: Sequence[Placed], pieces: range) -> tuple[int, int]:
    first, stop = pieces.start, pieces.stop
    before = bisect_right(files, geometry.offset_of(first), key=_offset_of) - 1
    last = bisect_left(files, geometry.offset_of(stop), key=_offset_of) - 1
    if before >= 0 and (touched := geometry.pieces_of(files[before].offset, files[before].length)).stop > first:
        first = min(first, touched.start)
    if last >= 0:
        stop = max(stop, geometry.pieces_of(files[last].offset, files[last].length).stop)
    return first, stop


def _offset_of(file: Placed) -> int:
    return file.offset
