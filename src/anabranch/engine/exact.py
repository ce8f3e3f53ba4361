"""Reading from a storage, whoever wrote it: all the bytes that were asked for, or a StorageFailed with the place.

A short read without an error is the trap of every such interface: io's readinto() answers how many bytes it read, and a
back end that was written after it may stop early and look fine. System errors that a back end lets through are put into
the project's words here, too. Plain functions for workers; they know no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

from anabranch.model import StorageFailed
from anabranch.storage import ReadsAcross, Room, Streams, TorrentStorage


def read(storage: TorrentStorage, piece: int, begin: int, view: memoryview) -> None:
    """Fill the view from *begin* in the piece.

    Raises:
        StorageFailed: fewer bytes are there, also where the storage says nothing of it, or the system refused.
    """
    try:
        answer = cast(Callable[[int, Room], object], storage.piece(piece).readinto)(begin, view)
    except OSError as error:
        raise _placed(error, storage, piece, begin) from error
    _check_answer(storage, answer, piece, begin, len(view))


def read_across(storage: ReadsAcross, offset: int, piece: int, view: memoryview) -> None:
    """Fill the view from *offset* in the torrent, where that piece begins. Raises as read()."""
    try:
        answer = cast(Callable[[int, Room], object], storage.read_across)(offset, view)
    except OSError as error:
        raise _placed(error, storage, piece, 0) from error
    _check_answer(storage, answer, piece, 0, len(view))


def in_order(storage: TorrentStorage, piece: int, length: int, buffer: memoryview) -> Iterator[memoryview]:
    """The first *length* bytes of a piece, in views of the whole buffer and a last one of what is left.

    They are streamed where the storage can do that. Each view is good until the next is asked for. Raises as read().
    """
    if isinstance(storage, Streams):
        yield from _streamed(storage, piece, length, buffer)
        return
    for begin in range(0, length, len(buffer)):
        view = buffer[: length - begin]
        read(storage, piece, begin, view)
        yield view


def _streamed(storage: Streams, piece: int, length: int, buffer: memoryview) -> Iterator[memoryview]:
    """Cut a stream anew: whoever hashes block by block gets whole blocks."""
    passed = filled = 0
    try:
        for part in storage.stream(piece):
            rest = memoryview(part).cast("B")
            while len(rest) and passed < length:
                share = rest[: min(len(buffer), length - passed) - filled]
                buffer[filled : filled + len(share)] = share
                filled += len(share)
                rest = rest[len(share) :]
                if filled == min(len(buffer), length - passed):
                    yield buffer[:filled]
                    passed, filled = passed + filled, 0
            if passed == length:
                return
    except OSError as error:
        raise _placed(error, storage, piece, passed + filled) from error
    _check_answer(storage, passed + filled, piece, 0, length)


def _check_answer(storage: object, answer: object, piece: int, begin: int, size: int) -> None:
    if isinstance(answer, int) and answer != size:
        raise StorageFailed(_named(storage), f"gave {answer} of {size} bytes at piece {piece}, offset {begin}")


def _placed(error: OSError, storage: object, piece: int, begin: int) -> StorageFailed:
    failed = StorageFailed.from_os(error, _named(storage))
    return StorageFailed(failed.path, f"{failed.reason} at piece {piece}, offset {begin}", failed.errno)


def _named(storage: object) -> str:
    """What stands for a path: the back end by its type, since it has told of no file."""
    return f"{type(storage).__module__}.{type(storage).__qualname__}"
