"""Whether the disk gives back what it took: a CRC-32 of each block that was written before its piece could be hashed.

A large piece is hashed by reading it back. When it is wrong, somebody is to blame, who sent it or the disk that changed
it, and no peer may be banned for what a disk did. The sums are of the bytes as they came; they cost half of a hash, and
are compared only if a piece is wrong. Plain functions for workers; they know no engine.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import sha1
from typing import NamedTuple
from zlib import crc32

from anabranch.metainfo import Due, Hasher, MetainfoError
from anabranch.model import BLOCK_SIZE
from anabranch.storage import TorrentStorage

from .exact import in_order
from .jobs import READ_SIZE, Part, Verdict

_NONE = -1


class Checksums:
    """Those of one piece's blocks; of blocks that an earlier run left there are none."""

    __slots__ = ("_sums",)

    def __init__(self, blocks: int) -> None:
        self._sums = array("q", [_NONE]) * blocks

    def copy(self) -> Checksums:
        """The same, for a worker."""
        copied = Checksums(0)
        copied._sums = self._sums[:]
        return copied

    def take(self, sums: Sequence[tuple[int, int]]) -> None:
        """Take blocks over, as sums_of() gives them."""
        for block, due in sums:
            self._sums[block] = due

    def differs(self, block: int, data: memoryview) -> bool:
        """Whether the block was something else when it came."""
        return self._sums[block] not in (_NONE, crc32(data))


class SecondLook(NamedTuple):
    """What a wrong piece is at the second reading: a verdict, and the blocks that the disk has changed."""

    verdict: Verdict
    changed: tuple[int, ...]


def sums_of(parts: Sequence[Part]) -> list[tuple[int, int]]:
    """The blocks that parts consist of, each with its sum. Parts begin where blocks do."""
    return [
        ((part.begin + at) // BLOCK_SIZE, crc32(part.view[at : at + BLOCK_SIZE]))
        for part in parts
        for at in range(0, len(part.view), BLOCK_SIZE)
    ]


def look_again(storage: TorrentStorage, piece: int, length: int, due: Due, sums: Checksums) -> SecondLook:
    """Read a wrong piece once more, hash it and compare it with what came: all of it in the same bytes.

    Raises:
        StorageFailed: it could not be read.
    """
    hasher = Hasher(due)
    digests: list[bytes] = []
    changed: list[int] = []
    for view in in_order(storage, piece, length, memoryview(bytearray(min(READ_SIZE, length)))):
        hasher.update(view)
        for at in range(0, len(view), BLOCK_SIZE):
            data = view[at : at + BLOCK_SIZE]
            if sums.differs(len(digests), data):
                changed.append(len(digests))
            digests.append(sha1(data).digest())
    try:
        good = hasher.good()
    except MetainfoError as contradiction:
        return SecondLook(Verdict(False, contradiction=contradiction), ())
    verdict = Verdict(good, tuple(digests) if due.sha1 else hasher.leaves, hasher.leaves)
    return SecondLook(verdict, () if good else tuple(changed))
