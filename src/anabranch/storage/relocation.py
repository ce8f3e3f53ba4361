"""What there is to do when a torrent's data moves: for each file the names that it may have, and gets.

Pure arithmetic over two places; relocation_io.py does it.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple

from anabranch.model import InfoHash, InputRefused

from .backend import Layout
from .layout import Place, directories, is_on_disk, moving_name, partial_names, parts_name, renamed

Path = tuple[str, ...]


class Move(NamedTuple):
    """One file. Its names, while it is incomplete and final: of those that exist the first is what it goes by."""

    source: tuple[Path, ...]
    target: tuple[Path, ...]  # in the same order


def names_at(layout: Layout, info_hash: InfoHash, place: Place) -> list[tuple[Path, ...]]:
    """For each file that is ever on the disk, and then for the parts file, the names that it may have there.

    Raises:
        InputRefused: the place gives files names that they cannot have.
    """
    files = renamed(layout, place.names).files
    names: list[tuple[Path, ...]] = [
        ((*file.path[:-1], partial), file.path)
        for file, partial in zip(files, partial_names(files), strict=True)
        if is_on_disk(file)
    ]
    parts = (parts_name(info_hash),)
    for either in names:
        if parts in either or either[1][-1] == moving_name(info_hash):
            raise InputRefused(f"the name {either[1][-1]!r} is needed for something else")
    return [*names, (parts,)]


def moves(layout: Layout, info_hash: InfoHash, source: Place, target: Place) -> list[Move]:
    """The files whose names or directory change.

    Raises:
        InputRefused: the place gives files names that they cannot have; or a file is to have a name that belongs to
            another now, so that a kill in between would leave nobody knowing which of them it is.
    """
    every = zip(names_at(layout, info_hash, source), names_at(layout, info_hash, target), strict=True)
    found = [Move(*pair) for pair in every if source.directory != target.directory or pair[0] != pair[1]]
    here, there = PurePath(source.directory).parts, PurePath(target.directory).parts
    shared = min(len(here), len(there))
    if here[:shared] == there[:shared]:  # one directory may be below the other: whole paths are compared
        old = {(*here, *name) for move in found for name in move.source}
        new = {(*there, *name) for move in found for name in move.target}
        in_the_way = old & new or new & directories(old) or old & directories(new)
        if in_the_way:
            path = PurePath(*min(in_the_way))
            raise InputRefused(f"{path} is in the way of the torrent's own files: choose another name or directory")
    return found
