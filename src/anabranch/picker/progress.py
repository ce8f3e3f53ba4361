"""A piece that was begun: which of its blocks nobody was asked for, which are here, and who sent them.

Blocks are booked in runs (neighbours of one piece), because a download at full speed has no time for single ones.
Where the bytes rest is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bitarray import bitarray
from bitarray.util import ones, zeros


class Run(NamedTuple):
    """Neighbouring blocks of a piece: *blocks* of them from *first* on."""

    first: int
    blocks: int


def runs_in(bits: bitarray) -> Iterator[Run]:
    """The runs of set bits, in order."""
    start = bits.find(True)
    while start >= 0:
        stop = bits.find(False, start)
        if stop < 0:
            stop = len(bits)
        yield Run(start, stop - start)
        start = bits.find(True, stop)


class PieceProgress:
    """The blocks of one begun piece. A block is free (nobody was asked), asked, or got."""

    __slots__ = ("_free", "_shares", "blocks", "copies", "got", "last_gain", "missing", "piece")

    def __init__(self, piece: int, blocks: int, now: float) -> None:
        self.piece = piece
        self.blocks = blocks
        self.missing = blocks
        self.got: bitarray = zeros(blocks, "big")
        self.last_gain = now
        self.copies: dict[int, int] = {}  # block -> how many peers it is asked from, where that is more than one
        self._free: bitarray = ones(blocks, "big")
        self._shares: list[tuple[int, int, object]] = []  # (first, count, who sent it), in order of arrival

    @property
    def has_free(self) -> bool:
        """Whether any block may still be asked for the first time."""
        return bool(self._free.any())

    @property
    def free_count(self) -> int:
        """How many blocks may still be asked for the first time."""
        return self._free.count()

    def free_run(self, limit: int, align: int) -> Run | None:
        """The first free run, at most *limit* blocks, ending at the next multiple of *align* at the latest."""
        first = self._free.find(True)
        if first < 0:
            return None
        stop = min(first + limit, (first // align + 1) * align, self.blocks)
        end = self._free.find(False, first, stop)
        return Run(first, (stop if end < 0 else end) - first)

    def ask(self, run: Run) -> None:
        """Book the run as asked from one peer."""
        self._free[run.first : run.first + run.blocks] = 0

    def give_back(self, run: Run) -> None:
        """Nobody will answer for the run: what is not here and not asked elsewhere is free again."""
        first, count = run
        if not self.copies:
            stop = first + count
            self._free[first:stop] |= ~self.got[first:stop]
            return
        for block in range(first, first + count):
            left = self.copies.get(block, 1) - 1
            if left > 1:
                self.copies[block] = left
            else:
                self.copies.pop(block, None)
                if left == 0 and not self.got[block]:
                    self._free[block] = 1

    def ask_again(self, limit: int, most: int) -> list[int]:
        """Up to *limit* blocks asked but not here, whose copies are fewer than *most*; the least copied first."""
        waiting = ~(self._free | self.got)
        blocks = list(waiting.search(bitarray("1")))
        if self.copies:
            blocks = [block for block in blocks if self.copies.get(block, 1) < most]
            blocks.sort(key=lambda block: self.copies.get(block, 1))
        return blocks[:limit]

    def copy(self, block: int) -> None:
        """Book one more peer for a block that is asked already."""
        self.copies[block] = self.copies.get(block, 1) + 1

    def gain(self, run: Run, sender: object, now: float) -> list[Run]:
        """Book what arrived. Answers the parts of the run that were not here before."""
        first, count = run
        stop = first + count
        self.last_gain = now
        have = self.got[first:stop]
        if not have.any():
            self.got[first:stop] = 1
            self._free[first:stop] = 0
            self.missing -= count
            self._share(first, count, sender)
            return [run]
        have.invert()
        fresh = [Run(first + part.first, part.blocks) for part in runs_in(have)]
        for part in fresh:
            self.got[part.first : part.first + part.blocks] = 1
            self._free[part.first : part.first + part.blocks] = 0
            self.missing -= part.blocks
            self._share(part.first, part.blocks, sender)
        return fresh

    def restore(self, got: bitarray) -> None:
        """Book blocks that were on disk before."""
        self.got |= got
        self._free &= ~got
        self.missing = self.blocks - self.got.count()

    def lose(self, lost: bitarray) -> None:
        """Blocks that were here are gone: they are free again, and nobody sent them."""
        self.got &= ~lost
        self._free |= lost
        self.missing = self.blocks - self.got.count()
        self._shares = [
            (part.first + first, part.blocks, sender)
            for first, count, sender in self._shares
            for part in runs_in(~lost[first : first + count])
        ]

    def shares(self) -> list[tuple[Run, object]]:
        """Who sent which blocks."""
        return [(Run(first, count), sender) for first, count, sender in self._shares]

    def _share(self, first: int, count: int, sender: object) -> None:
        if self._shares:
            last_first, last_count, last_sender = self._shares[-1]
            if last_sender is sender and last_first + last_count == first:
                self._shares[-1] = (last_first, last_count + count, sender)
                return
        self._shares.append((first, count, sender))
