"""Where a torrent's bytes lie in its files: offsets to extents and back, and the names that files go by.

Pure arithmetic over BEP 3's "files" list, and over BEP 52's file tree, where every file begins at a piece and before it
may be a gap: offsets that are in no piece. A name here comes from a stranger: what could lead out of the data
directory, or make two things of one name, is refused before any disk is touched.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from anabranch.model import Geometry, InfoHash, InputRefused

from .backend import Buffer, LaidFile, Layout

PARTIAL = ".part"  # ends the name of a file that is not complete
_LONGEST_NAME = 255  # bytes of one name, on every file system in common use


class Extent(NamedTuple):
    """A run of bytes in one file. *place* is counted from the file's start."""

    file: int
    place: int
    length: int


@dataclass(frozen=True)
class Place:
    """Where a torrent's data is, and what its files are called there.

    Args:
        directory: The data directory, an absolute path with its links resolved.
        names: For files that are called otherwise than the torrent says: by their number, the path below the directory.
    """

    directory: str
    names: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _RenamedFile:
    """A file of a torrent under another name."""

    path: tuple[str, ...]
    offset: int
    length: int
    pad: bool
    symlink: tuple[str, ...] | None
    executable: bool


@dataclass(frozen=True, slots=True)
class _Renamed:
    """A layout of which some files have other names."""

    geometry: Geometry
    files: Sequence[LaidFile]


class FileMap:
    """Which bytes of the torrent are in which file."""

    def __init__(self, files: Sequence[LaidFile], geometry: Geometry) -> None:
        self._geometry = geometry
        self._files = files
        # Arrays: with thousands of torrents it is felt how much the garbage collector has to look through.
        self._numbers = array("q", [number for number, file in enumerate(files) if file.length])
        self._starts = array("q", [files[number].offset for number in self._numbers])
        end = 0
        for number in self._numbers:
            start = files[number].offset
            if files[number].length < 0 or (start != end and not self._is_gap(end, start)):
                raise InputRefused(f"file {number} starts at offset {start}, {end} is due")
            end = start + files[number].length
        if end != geometry.total:
            raise InputRefused(f"files of {end} bytes in a torrent of {geometry.total}")

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        """The runs that make up [offset, offset + length), in order; empty files have none.

        Raises:
            ValueError: there is a gap in it, which is in no piece.
        """
        end = offset + length
        at = bisect_right(self._starts, offset) - 1
        while offset < end:
            number = self._numbers[at]
            place = offset - self._starts[at]
            run = min(end - offset, self._files[number].length - place)
            if place < 0 or run <= 0:
                raise ValueError(f"no file has the byte at offset {offset}")
            yield Extent(number, place, run)
            offset += run
            at += 1

    def _is_gap(self, end: int, start: int) -> bool:
        """Whether a piece ends at the one offset and the next piece begins at the other."""
        piece = self._geometry.piece_length
        inside = end % piece
        return 0 < inside == self._geometry.length_of(end // piece) and start == end - inside + piece

    def extents_of(self, piece: int) -> Iterator[Extent]:
        """The runs that make up one piece."""
        return self.extents(self._geometry.offset_of(piece), self._geometry.length_of(piece))

    def files_of(self, pieces: range) -> Sequence[int]:
        """The files that have bytes in a run of pieces."""
        begin, end = (self._geometry.offset_of(piece) for piece in (pieces.start, pieces.stop))
        return self._numbers[bisect_right(self._starts, begin) - 1 : bisect_left(self._starts, end)]

    def pieces_of(self, number: int, place: int = 0) -> range:
        """The pieces that hold any byte of the file from *place* on."""
        file = self._files[number]
        return self._geometry.pieces_of(file.offset + place, file.length - place)


def is_on_disk(file: LaidFile) -> bool:
    """Whether there is ever a file of that path: pad files and symbolic links are never made."""
    return not file.pad and file.symlink is None


def check_range(begin: int, size: int, length: int) -> None:
    """Raise ValueError unless [begin, begin + size) is inside something of *length* bytes."""
    if begin < 0 or begin + size > length:
        raise ValueError(f"bytes {begin} to {begin + size} of a piece of {length}")


def check_names(files: Sequence[LaidFile]) -> None:
    """Raise InputRefused for a path that is unsafe, that no file system can hold, or that stands for two things."""
    unsafe = {name for name in set(chain.from_iterable(file.path for file in files)) if not _safe(name)}
    seen: set[tuple[str, ...]] = set()
    for file in files:
        if not is_on_disk(file):
            continue
        if not file.path or not unsafe.isdisjoint(file.path):
            raise InputRefused(f"not a safe path for a file: {'/'.join(file.path)!r}")
        if file.path in seen:
            raise InputRefused(f"two files have the path {'/'.join(file.path)!r}")
        seen.add(file.path)
    for path in directories(seen):
        if path in seen:
            raise InputRefused(f"{'/'.join(path)!r} is a file, and a directory of other files")


def directories(paths: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """All directories that lead to these files, the data directory itself left out."""
    parents = {path[:-1] for path in paths}
    return {path[:depth] for path in parents for depth in range(1, len(path) + 1)}


def renamed(layout: Layout, names: Mapping[int, tuple[str, ...]]) -> Layout:
    """The same layout, with other paths below the data directory for some files.

    Args:
        layout: As the torrent says.
        names: The paths, by the number of the file.

    Raises:
        InputRefused: no such file, or what check_names() refuses.
    """
    if not names:
        return layout
    files = list(layout.files)
    for number, path in names.items():
        if not 0 <= number < len(files) or not is_on_disk(files[number]):
            raise InputRefused(f"file {number} cannot be renamed: there is none on the disk")
        file = files[number]
        files[number] = _RenamedFile(path, file.offset, file.length, file.pad, file.symlink, file.executable)
    check_names(files)
    return _Renamed(layout.geometry, tuple(files))


def partial_names(files: Sequence[LaidFile]) -> list[str]:
    """What each file's last name is while the file is not complete: NAME.part, in the same directory.

    Where that is the name of another of the torrent's files or directories, or too long, it is the nearest that is
    not. The same files always give the same names.
    """
    taken = {file.path for file in files}
    taken |= directories(taken)
    names = []
    for file in files:
        parents, name = file.path[:-1], file.path[-1]
        partial, number = _ending(name, PARTIAL), 0
        while (*parents, partial) in taken:
            number += 1
            partial = _ending(name, f".{number}{PARTIAL}")
        taken.add((*parents, partial))
        names.append(partial)
    return names


def parts_name(info_hash: InfoHash) -> str:
    """What the file is called that keeps bytes of files that nobody wants."""
    return f".{info_hash}.parts"


def moving_name(info_hash: InfoHash) -> str:
    """What a file is called that is being copied, until it is whole. What has this name is worth nothing."""
    return f".{info_hash}.moving"


def cut(buffers: Sequence[Buffer], lengths: Iterator[int]) -> Iterator[list[memoryview]]:
    """Share buffers out: for each length the views that make it up, across the buffers' borders."""
    views = [view for buffer in buffers if len(view := memoryview(buffer).cast("B"))]
    at = 0
    for length in lengths:
        share = []
        while length:
            head, rest = views[at][:length], views[at][length:]
            share.append(head)
            length -= len(head)
            if len(rest):
                views[at] = rest
            else:
                at += 1
        yield share


def _safe(name: str) -> bool:
    try:
        encoded = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return 0 < len(encoded) <= _LONGEST_NAME and name not in (".", "..") and "/" not in name and "\0" not in name


def _ending(name: str, ending: str) -> str:
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) + len(ending) <= _LONGEST_NAME:
        return name + ending
    return encoded[: _LONGEST_NAME - len(ending)].decode("utf-8", "ignore") + ending
