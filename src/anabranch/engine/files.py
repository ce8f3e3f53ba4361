"""What each file is worth, and so each piece.

A piece is worth the most of: every file that has a byte in it, what was asked for the piece itself, and the readers
whose window it is in (Go engine's "pure priority").
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Protocol

from anabranch.model import Geometry, Priority


class FileSpan(Protocol):
    """What is needed of a file: where its bytes are."""

    @property
    def offset(self) -> int:
        """Where in the torrent it starts, in bytes."""

    @property
    def length(self) -> int:
        """Its length in bytes."""

    @property
    def pad(self) -> bool:
        """Whether it is padding only."""


class Worth:
    """Priorities of one torrent's files and pieces."""

    def __init__(self, geometry: Geometry, files: Sequence[FileSpan]) -> None:
        self._geometry = geometry
        self._files = files
        # Arrays: with thousands of torrents it is felt how much the garbage collector has to look through.
        self._real = array("q", [index for index, file in enumerate(files) if file.length and not file.pad])
        self._starts = array("q", [files[index].offset for index in self._real])
        self.of_file = [Priority.NONE] * len(files)
        self.of_piece: dict[int, Priority] = {}
        self.sweeps: deque[range] = deque()  # pieces that the request order has yet to follow
        self.readers: dict[object, tuple[range, int]] = {}  # reader -> (its pieces, the piece it waits for or -1)
        self.awaited: dict[int, int] = {}  # piece -> readers that wait for it
        self.windows: dict[int, int] = {}  # piece -> readers whose window it is in
        self.when_known = False  # all that the torrent's link names is wanted, as soon as there are files

    def files_of(self, piece: int) -> Iterator[int]:
        """The files that have a byte in the piece, pad files left out."""
        start = self._geometry.offset_of(piece)
        end = start + self._geometry.length_of(piece)
        place = max(bisect_right(self._starts, start) - 1, 0)
        while place < len(self._real) and self._starts[place] < end:
            index = self._real[place]
            if self._files[index].offset + self._files[index].length > start:
                yield index
            place += 1

    def of(self, piece: int) -> Priority:
        """What the piece is worth."""
        worth = self.of_piece.get(piece, Priority.NONE)
        for index in self.files_of(piece):
            worth = max(worth, self.of_file[index])
        if piece in self.awaited:
            return Priority.NOW
        return max(worth, Priority.READAHEAD) if piece in self.windows else worth

    def read(self, reader: object, window: range, current: int) -> set[int]:
        """A reader wants *window*, and waits for *current* (-1 for none). Answers whose worth that may change.

        O(what changes), however many readers there are.
        """
        before, waited_for = self.readers.pop(reader, (range(0), -1))
        if window:
            self.readers[reader] = (window, current)
        else:
            current = -1
        changed: set[int] = set()
        for count, step, pieces in (
            (self.windows, 1, _beyond(window, before)),
            (self.windows, -1, _beyond(before, window)),
            (self.awaited, 1, [current] if current >= 0 else []),
            (self.awaited, -1, [waited_for] if waited_for >= 0 else []),
        ):
            for piece in pieces:
                changed.add(piece)
                if now := count.get(piece, 0) + step:
                    count[piece] = now
                else:
                    del count[piece]
        return changed

    def of_all(self, of_file: Sequence[Priority]) -> bytearray:
        """What every piece would be worth with these priorities of files. O(files + pieces); needs no turn."""
        worth = bytearray(self._geometry.piece_count)
        for index in sorted(filter(of_file.__getitem__, self._real), key=of_file.__getitem__):
            pieces = self.pieces_of(index)
            worth[pieces.start : pieces.stop] = bytes([of_file[index]]) * len(pieces)
        return worth

    def pieces_of(self, file: int) -> range:
        """The pieces that hold the file."""
        span = self._files[file]
        return self._geometry.pieces_of(span.offset, span.length)

    def selected(self) -> list[bool]:
        """Which files are wanted at all, for the storage."""
        return list(map(bool, self.of_file))


def _beyond(pieces: range, others: range) -> Iterator[int]:
    """Those of the pieces that are not among the others. O(what there is to tell)."""
    if not others:
        return iter(pieces)
    return chain(
        range(pieces.start, min(pieces.stop, others.start)),
        range(max(pieces.start, others.stop), pieces.stop),
    )
