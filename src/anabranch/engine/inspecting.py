"""What workers do to see which pieces on disk are right: read stretches of them and hash them while they are warm.

Plain functions over the storage that they are given. They know no engine, so nobody can wait for anybody here.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

from anabranch.metainfo import WARM_SIZE, Hasher, Info, PieceLayers, are_right, due_of
from anabranch.model import Closed, StorageFailed
from anabranch.storage import Hashes, ReadsAcross, Sparse, TorrentStorage

from .exact import in_order, read_across


def inspect(
    storage: TorrentStorage,
    info: Info,
    layers: PieceLayers | None,
    pieces: Sequence[int],
    unwanted: Callable[[], bool] = lambda: False,
) -> list[bool]:
    """Hash pieces that are on disk, as far as they are. Answers which are right.

    Args:
        storage: Where they are.
        info: What they must be.
        layers: The same of the v2 side, where there is one.
        pieces: Ascending numbers.
        unwanted: Asked before each read whether the answer is of no use to anybody any more.

    Raises:
        StorageFailed: the system does not let us read. Where bytes are missing the piece is wrong.
        MetainfoError: see Hasher.good().
        Closed: the answer is unwanted.
    """
    inspector = _Inspector(storage, info, layers, unwanted)
    at_once = WARM_SIZE // info.geometry.piece_length
    right: list[bool] = []
    while len(right) < len(pieces):
        first = pieces[len(right)]
        if inspector.is_hole(first):
            right.append(False)
        elif (told := inspector.told(first)) is not None:
            right.append(told)
        elif not at_once:
            right.append(inspector.long(first))
        else:
            right += inspector.short(_neighbours(info, pieces, len(right), at_once))
    return right


def _neighbours(info: Info, pieces: Sequence[int], at: int, most: int) -> range:
    """The run of pieces from pieces[at] on whose bytes are one behind the other."""
    first = last = pieces[at]
    short = info.geometry.short
    end = min(at + most, len(pieces))
    if pieces[end - 1] - first == end - 1 - at and not short:  # ascending, so all between are there
        return range(first, pieces[end - 1] + 1)
    while last not in short and at + 1 < end and pieces[at + 1] == last + 1:
        at, last = at + 1, last + 1
    return range(first, last + 1)


class _Inspector:
    """One job. Holes are not read: it is asked for them wherever the last piece was one, or a piece begins with 0.

    Nor is a piece of v1 whose digest the storage knows; whether it does is asked before each stretch that is read.
    """

    def __init__(
        self, storage: TorrentStorage, info: Info, layers: PieceLayers | None, unwanted: Callable[[], bool]
    ) -> None:
        self._storage = storage
        self._info = info
        self._layers = layers
        self._unwanted = unwanted
        self._sparse = storage if isinstance(storage, Sparse) else None
        self._hashes = storage if isinstance(storage, Hashes) and layers is None else None
        self._among_holes = True
        self._buffer = memoryview(bytearray(WARM_SIZE))

    def is_hole(self, piece: int) -> bool:
        """Whether the piece need not be read."""
        self._look_wanted()
        self._among_holes = self._among_holes and self._sparse is not None and not self._sparse.present(piece)
        return self._among_holes

    def told(self, piece: int) -> bool | None:
        """Judge a piece by the digest that the storage has of it, if it has one."""
        if self._hashes is None:
            return None
        try:
            digest = self._hashes.sha1(piece)
        except StorageFailed as failed:
            _check_missing(failed)
            return False
        return None if digest is None else digest == self._info.hash_of(piece)

    def long(self, piece: int) -> bool:
        """Judge a piece that is longer than the buffer."""
        self._among_holes = True  # before each of them: to ask is nothing beside to hash
        hasher = Hasher(due_of(self._info, self._layers, piece))
        try:
            for view in in_order(self._storage, piece, self._info.geometry.length_of(piece), self._buffer):
                hasher.update(view)
                self._look_wanted()
        except StorageFailed as failed:
            _check_missing(failed)
            return False
        return hasher.good()

    def short(self, run: range) -> list[bool]:
        """Judge pieces that the buffer has room for; their bytes are one behind the other."""
        geometry = self._info.geometry
        view = self._buffer[: (len(run) - 1) * geometry.piece_length + geometry.length_of(run[-1])]
        try:
            missing = self._read(run, view)
        except StorageFailed as failed:
            if len(run) > 1:  # one of them is to blame
                return [right for piece in run for right in self.short(range(piece, piece + 1))]
            _check_missing(failed)
            self._among_holes = True
            return [False]
        right = are_right(view, self._info, self._layers, run)
        for at in missing:
            right[at] = False
        if self._sparse is not None:
            for at, begin in enumerate(range(0, len(view), geometry.piece_length)):
                self._among_holes = not view[begin] and not self._sparse.present(run[at])
                if self._among_holes:
                    right[at] = False
        self._among_holes = self._among_holes or len(run) - 1 in missing
        return right

    def _read(self, run: range, view: memoryview) -> list[int]:
        """Fill the view. Which of the pieces are not there, counted from the first; read across, it is an error."""
        geometry, storage = self._info.geometry, self._storage
        if isinstance(storage, ReadsAcross):
            read_across(storage, geometry.offset_of(run.start), run.start, view)
            return []
        missing = []
        for at, piece in enumerate(run):
            room = view[at * geometry.piece_length :][: geometry.length_of(piece)]
            try:
                for _ in in_order(storage, piece, len(room), room):  # one view, and that is the room
                    pass
            except StorageFailed as failed:
                _check_missing(failed)
                missing.append(at)
        return missing

    def _look_wanted(self) -> None:
        if self._unwanted():
            raise Closed("nobody wants to know any more")


def _check_missing(failed: StorageFailed) -> None:
    """Raise the error again unless it only says that the bytes are not there."""
    if failed.errno not in (0, errno.ENOENT):
        raise failed
