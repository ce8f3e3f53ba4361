"""Moving a torrent's files to another directory or to other names, and removing them.

A file is renamed; to another file system it is copied, under a name of its own until it is whole and durable. So what
has a file's name is that file, at both ends and at any moment, and whoever runs relocate() again after a kill, or after
an error, or the other way round, loses nothing. Nothing is overwritten, and no link is followed below a data directory.
The torrent's storage must be closed meanwhile.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NamedTuple

from bitarray import bitarray

from anabranch.model import Closed, InfoHash, StorageFailed

from .backend import Layout
from .folder_io import Folder, Path
from .handles_io import Handle, Handles, lone_handle
from .layout import Place, directories, is_on_disk, moving_name
from .parts_io import PartsFile
from .positional_io import data_runs, read_at, write_at
from .relocation import Move, moves, names_at

_AT_ONCE = 16 * 1024 * 1024  # bytes copied by one system call: about how long it takes to stop
_PLAIN_SIZE = 1024 * 1024  # bytes, where they come through our memory
_BATCH = 64  # files copied before their directories are synced and the originals removed
_BATCH_SIZE = 64 * 1024 * 1024  # bytes, likewise


class _Due(NamedTuple):
    """One file that is to move."""

    name: Path
    to: Path
    rivals: tuple[Path, ...]  # names that nobody may have there
    size: int
    there: bool  # it has arrived, and its original is left to be removed


def relocate(
    layout: Layout,
    info_hash: InfoHash,
    source: Place,
    target: Place,
    on_progress: Callable[[int], bool] | None = None,
) -> None:
    """Move what there is of a torrent, and remove the directories that are empty then.

    What was moved by an earlier call stays; of a file that is at both places the one is removed if they are equal.

    Args:
        layout: As the torrent says, not renamed.
        info_hash: Of the torrent: names its parts file.
        source: Where the data is.
        target: Where it is to be. Its directory is made if it is not there, but not if there is nothing to move.
        on_progress: Is told after each file, and within large ones, how many bytes have moved in this call. False
            stops it: each file is then at one of the places.

    Raises:
        InputRefused: a name is not possible, or overlaps with another file's old one.
        StorageFailed: EEXIST (nothing was moved then, unless the file came meanwhile): there is something else of that
            name. Any other reason: each file is at one of the places; it can be called again, or back.
        Closed: on_progress said so.
    """
    source, target = _resolved(source), _resolved(target)
    planned = moves(layout, info_hash, source, target)
    here = Folder(source.directory)
    there = here if source.directory == target.directory else Folder(target.directory)
    work = _Work(here, there, moving_name(info_hash), on_progress)
    work.move(work.due(planned))
    for folder, at in ((here, source), (there, target)):
        names = {name for move in names_at(layout, info_hash, at) for name in move}
        for parents in {(), *(name[:-1] for name in names)}:
            folder.remove_files(parents, [moving_name(info_hash)])
        folder.remove_empty(directories(names))
    there.sync()
    here.sync()


def check_target(layout: Layout, info_hash: InfoHash, source: Place, target: Place) -> None:
    """Refuse a move that has not begun if any of its names is taken, also of files that there is nothing of.

    Raises:
        InputRefused: as relocate().
        StorageFailed: EEXIST with the path that is there; or the directories cannot be looked into.
    """
    source, target = _resolved(source), _resolved(target)
    planned = moves(layout, info_hash, source, target)
    here, there = Folder(source.directory), Folder(target.directory)
    found = _sizes(here, (name for move in planned for name in move.source))
    taken = _sizes(there, (name for move in planned for name in move.target))
    for move in planned:
        for name, to in zip(move.source, move.target, strict=True):
            if to in taken and not (name in found and here.identity(name) == there.identity(to)):
                raise _exists(there, to)


def check_source(layout: Layout, info_hash: InfoHash, source: Place, target: Place, complete: bitarray) -> None:
    """Refuse a move, also one that is to go on, if nothing is left to move and not all has arrived.

    Such is a disk that is not mounted. What somebody has removed is not asked for, as long as there is anything.

    Args:
        layout: As of relocate(), as are the next three.
        info_hash: See there.
        source: See there.
        target: See there.
        complete: The pieces that are recorded as complete.

    Raises:
        StorageFailed: ENOENT with the path of a file that has such a piece and is at neither place.
    """
    source, target = _resolved(source), _resolved(target)
    here, there = Folder(source.directory), Folder(target.directory)
    left = names_at(layout, info_hash, source)
    if not complete.any() or _sizes(here, (name for names in left for name in names)):
        return
    arrived = names_at(layout, info_hash, target)
    found = _sizes(there, (name for names in arrived for name in names))
    parts = PartsFile(layout.files, layout.geometry.total, info_hash, there, Handles())
    parts.survey()
    parts.close()
    on_disk = (number for number, file in enumerate(layout.files) if is_on_disk(file))
    for number, old, new in zip(on_disk, left, arrived, strict=False):  # the parts file comes behind them
        file = layout.files[number]
        pieces = layout.geometry.pieces_of(file.offset, file.length)
        if complete.find(1, pieces.start, pieces.stop) < 0 or number in parts.lives:
            continue
        if not any(name in found for name in new):
            raise StorageFailed(here.shown(old[-1]), "is gone with all other files (not mounted?)", errno.ENOENT)


def remove_data(layout: Layout, info_hash: InfoHash, place: Place) -> int:
    """Remove a torrent's files, and the directories that are empty then, but never the data directory.

    What has a file's name is taken for it, unless it is a link or no file. Can be called again.

    Returns:
        How many bytes long the files were.

    Raises:
        StorageFailed: one could not be removed.
    """
    folder = Folder(_resolved(place).directory)
    by_parents: dict[Path, list[str]] = {(): [moving_name(info_hash)]}
    for names in names_at(layout, info_hash, place):
        for name in names:
            by_parents.setdefault(name[:-1], [moving_name(info_hash)]).append(name[-1])
    freed = sum(folder.remove_files(parents, names) for parents, names in by_parents.items())
    folder.remove_empty(directories((*parents, "") for parents in by_parents))
    folder.sync()
    return freed


class _Work:
    """One call of relocate()."""

    def __init__(self, here: Folder, there: Folder, via: str, on_progress: Callable[[int], bool] | None) -> None:
        self._here = here
        self._there = there
        self._via = via
        self._on_progress = on_progress
        self._moved = 0  # bytes
        self._in_kernel = hasattr(os, "copy_file_range")  # which may share blocks (reflink) where the files' system can
        self._left: list[Path] = []  # originals of files that were copied

    def due(self, planned: list[Move]) -> list[_Due]:
        """What has to move. Raises StorageFailed where something is in the way."""
        found = _sizes(self._here, (name for move in planned for name in move.source))
        taken = _sizes(self._there, (name for move in planned for name in move.target))
        due = []
        for move in planned:
            for name, to in zip(move.source, move.target, strict=True):
                if name not in found:
                    continue
                rivals = tuple(rival for rival in move.target if rival in taken)
                if not rivals:
                    due.append(_Due(name, to, move.target, found[name], there=False))
                elif rivals != (to,):
                    raise _exists(self._there, rivals[0])
                elif self._here.identity(name) == self._there.identity(to):  # one directory, reached in two ways
                    if name[-1] != to[-1]:  # one name, for a file system that does not tell case
                        due.append(_Due(name, to, (), found[name], there=False))
                elif found[name] == taken[to] and self._equal(name, to):
                    due.append(_Due(name, to, (), found[name], there=True))
                else:
                    raise _exists(self._there, to)
                break
        return due

    def move(self, due: list[_Due]) -> None:
        """Move all of it."""
        unsettled = 0
        try:
            for file in due:
                if not file.there:
                    if self._rename(file):
                        self._count(file.size)
                        continue
                    self._copy(file)
                self._left.append(file.name)
                unsettled += file.size
                if len(self._left) >= _BATCH or unsettled >= _BATCH_SIZE:
                    self._settle()
                    unsettled = 0
        except (StorageFailed, Closed):
            with suppress(StorageFailed):  # the first error is the one that tells
                self._settle()
            raise
        self._settle()

    def _count(self, size: int) -> None:
        self._moved += size
        if self._on_progress is not None and not self._on_progress(self._moved):
            raise Closed("the move was stopped")

    def _rename(self, file: _Due) -> bool:
        """False where it is another file system."""
        self._refuse_rivals(file)
        try:
            self._here.move(file.name, self._there, file.to)
        except StorageFailed as failed:
            if failed.errno == errno.EXDEV:
                return False
            raise
        return True

    def _refuse_rivals(self, file: _Due) -> None:
        """Once more, just before: hours may have gone by."""
        for rival, size in zip(
            file.rivals, self._there.sizes(file.to[:-1], [name[-1] for name in file.rivals]), strict=True
        ):
            if size is not None:
                raise _exists(self._there, rival)

    def _copy(self, file: _Due) -> None:
        via = (*file.to[:-1], self._via)
        with lone_handle(self._here.open(file.name, os.O_RDONLY)) as source:
            try:
                with lone_handle(self._there.open(via, os.O_RDWR | os.O_CREAT | os.O_TRUNC)) as copy:
                    self._fill(file, source, copy)
                self._refuse_rivals(file)
                self._there.rename(via, file.to)
            except BaseException:
                with suppress(StorageFailed):  # it is overwritten or removed by the next call
                    self._there.remove(via)
                raise

    def _fill(self, file: _Due, source: Handle, copy: Handle) -> None:
        """All that a file is, durable: its bytes with their holes, its mode and its time."""
        with _blamed(self._here, file.name):
            found = os.fstat(source.fd)
            runs = data_runs(source, 0, found.st_size)
        with _blamed(self._there, file.to):
            os.ftruncate(copy.fd, found.st_size)
        spare = memoryview(bytearray(min(found.st_size, _PLAIN_SIZE)))
        held = 0  # bytes up to here are counted, holes too
        while True:
            with _blamed(self._here, file.name):  # asks the system where data is
                run = next(runs, None)
            if run is None:
                break
            place, end = run[0], run[0] + run[1]
            while place < end:
                place += self._copy_some(file, source, copy, place, end - place, spare)
                self._count(place - held)
                held = place
        with _blamed(self._there, file.to):
            if hasattr(os, "fchmod"):
                os.fchmod(copy.fd, found.st_mode & 0o7777)
            if os.utime in os.supports_fd:
                os.utime(copy.fd, ns=(found.st_atime_ns, found.st_mtime_ns))
            os.fsync(copy.fd)
        self._count(found.st_size - held)

    def _copy_some(self, file: _Due, source: Handle, copy: Handle, place: int, length: int, spare: memoryview) -> int:
        """Copy some bytes, at least one; how many."""
        if self._in_kernel:
            try:
                copied = os.copy_file_range(source.fd, copy.fd, min(length, _AT_ONCE), place, place)
            except OSError:  # not between these file systems, or an error that the plain way tells better
                copied = 0
            if copied:
                return copied
            self._in_kernel = False
        with _blamed(self._here, file.name):
            view = spare[: min(length, len(spare))]
            got = read_at(source, view, place)
            if not got:
                raise StorageFailed(self._here.shown(file.name), f"has become shorter than {place + length} bytes")
        with _blamed(self._there, file.to):
            write_at(copy, [view[:got]], place)
        return got

    def _equal(self, name: Path, to: Path) -> bool:
        """Whether two files of one size have the same bytes."""
        with (
            lone_handle(self._here.open(name, os.O_RDONLY)) as one,
            lone_handle(self._there.open(to, os.O_RDONLY)) as other,
        ):
            place = 0
            first, second = memoryview(bytearray(_PLAIN_SIZE)), memoryview(bytearray(_PLAIN_SIZE))
            while True:
                with _blamed(self._here, name):
                    got = read_at(one, first, place)
                with _blamed(self._there, to):
                    if read_at(other, second, place) != got or first[:got] != second[:got]:
                        return False
                if not got:
                    return True
                place += got
                self._count(0)

    def _settle(self) -> None:
        """Make what was copied durable under its names, and only then remove the originals."""
        if self._left:
            self._there.sync()
            while self._left:
                self._here.remove(self._left[-1])
                self._left.pop()


def _resolved(place: Place) -> Place:
    return replace(place, directory=os.path.realpath(place.directory))


def _sizes(folder: Folder, names: Iterable[Path]) -> dict[Path, int]:
    """Those of the files that are there."""
    by_parents: dict[Path, list[str]] = {}
    for name in names:
        by_parents.setdefault(name[:-1], []).append(name[-1])
    found = {}
    for (parents, last), sizes in zip(by_parents.items(), folder.sizes_below(by_parents), strict=True):
        found.update({(*parents, name): size for name, size in zip(last, sizes, strict=True) if size is not None})
    return found


def _exists(folder: Folder, name: Path) -> StorageFailed:
    return StorageFailed(folder.shown(name), os.strerror(errno.EEXIST), errno.EEXIST)


@contextmanager
def _blamed(folder: Folder, name: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed.from_os(error, folder.shown(name)) from error
