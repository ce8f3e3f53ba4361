"""What workers do with pieces: hash them and write them, outside of any turn.

Plain functions over the storage and memory they are given. They know no engine, so nobody can wait for anybody here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1

from bitarray import bitarray

from anabranch.metainfo import Due, Hasher, MetainfoError, is_right, leaves_of, sha1_digests
from anabranch.model import BLOCK_SIZE, StorageFailed
from anabranch.picker import runs_in
from anabranch.storage import PieceStorage, TorrentStorage

from .exact import in_order, read

READ_SIZE = 1024 * 1024  # bytes read at a time when hashing from disk


@dataclass(frozen=True, slots=True)
class Part:
    """Neighbouring bytes of a piece, in memory."""

    begin: int
    view: memoryview


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a piece that was received.

    Args:
        good: Its hash is right and all of it is written.
        digests: The digest of each block, where somebody may have to answer for it.
        leaves: Of a piece with a v2 hash that is wrong, or was read back: the hashes of its blocks.
        contradiction: It has one of the hashes that it must have and not the other: no content could have both.
    """

    good: bool
    digests: tuple[bytes, ...] = ()
    leaves: tuple[bytes, ...] = ()
    contradiction: MetainfoError | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """A piece that is in one buffer.

    Args:
        piece: Its index.
        view: All of its bytes.
        due: The hashes that it must have.
        testify: Give the digests of the blocks even if it is right, because the piece failed before.
    """

    piece: int
    view: memoryview
    due: Due
    testify: bool


def finish_whole(storage: TorrentStorage, several: Sequence[Whole]) -> list[Verdict]:
    """Hash pieces and write those that are right, while they are warm.

    Raises:
        StorageFailed: one could not be written. Others may have been.
    """
    digests = sha1_digests([one.view for one in several]) if several[0].due.sha1 else [b""] * len(several)
    return [_finish(storage.piece(one.piece), one, digest) for one, digest in zip(several, digests, strict=True)]


def _finish(piece: PieceStorage, one: Whole, digest: bytes) -> Verdict:
    view, due = one.view, one.due
    try:
        good = is_right(view, due, digest)
    except MetainfoError as contradiction:
        return Verdict(False, contradiction=contradiction)
    if good:
        piece.writev(0, [view])
        if not one.testify:
            return Verdict(good)
    leaves = tuple(leaves_of(view[: due.content])) if due.root is not None else ()
    return Verdict(good, tuple(_digests(view)) if due.sha1 else leaves, leaves)


def finish_in_parts(
    storage: TorrentStorage, piece: int, parts: Sequence[Part], length: int, due: Due, *, testify: bool = True
) -> Verdict:
    """Write what is still in memory of a piece, then hash all of it by reading it back; *testify* as in Whole.

    Raises:
        StorageFailed: it could not be written or read.
    """
    write_parts(storage.piece(piece), parts)
    hasher = Hasher(due)
    digests: list[bytes] = []
    for view in in_order(storage, piece, length, _buffer(length)):
        hasher.update(view)
        if due.sha1 and testify:
            digests += _digests(view)
    try:
        return Verdict(hasher.good(), tuple(digests) or hasher.leaves, hasher.leaves)
    except MetainfoError as contradiction:
        return Verdict(False, contradiction=contradiction)


def write_parts(piece: PieceStorage, parts: Sequence[Part]) -> None:
    """Write parts of a piece to their places. Raises StorageFailed."""
    for part in parts:
        piece.writev(part.begin, [part.view])


def read_leaves(storage: TorrentStorage, piece: int, length: int) -> bytes:
    """The v2 hashes of the blocks of the piece's first *length* bytes on disk, joined. Raises StorageFailed."""
    leaves: list[bytes] = []
    for view in in_order(storage, piece, length, _buffer(length)):
        leaves += leaves_of(view)
    return b"".join(leaves)


def read_through(storage: TorrentStorage, piece: int, length: int) -> None:
    """Read all of a piece, to see whether that works. Raises StorageFailed."""
    for _ in in_order(storage, piece, length, _buffer(length)):
        pass


def readable(storage: TorrentStorage, piece: int, length: int, blocks: bytes) -> bool:
    """Whether those blocks of a piece that are set in the bitmap can be read."""
    bits: bitarray = bitarray(endian="big")
    bits.frombytes(blocks)
    buffer = _buffer(length)
    try:
        for run in runs_in(bits):
            end = min((run.first + run.blocks) * BLOCK_SIZE, length)
            for begin in range(run.first * BLOCK_SIZE, end, READ_SIZE):
                read(storage, piece, begin, buffer[: end - begin])
    except StorageFailed:
        return False
    return True


def _buffer(length: int) -> memoryview:
    return memoryview(bytearray(min(READ_SIZE, length)))


def _digests(view: memoryview) -> list[bytes]:
    """The SHA-1 of each block."""
    return [sha1(view[at : at + BLOCK_SIZE]).digest() for at in range(0, len(view), BLOCK_SIZE)]
