"""The files of a v2 torrent: its file tree, and what ties that to the list of files of a hybrid's v1 side.

Source: BEP 52 ("file tree", "Upgrade Path"), BEP 47 (attributes). Bencode that is nested too deep was refused before;
here nothing is recursive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .errors import MetainfoError
from .fields import Table, due, word_for
from .files import MOST_RENAMED, FileEntry, Renamed, attributes_of, kept_apart, link_target, safe_name
from .merkle import DIGEST_LENGTH
from .paths import shown, text_of

_MOST_NAMES = 128 * 1024 * 1024  # characters of all paths, and _PER_NAME for each name in them
_PER_NAME = 16


class Leaf(NamedTuple):
    """A file as the tree has it: the names down to it, its length in bytes, root (or b""), and what else is said."""

    path: tuple[str, ...]
    length: int
    root: bytes
    table: Table

    @property
    def shown(self) -> str:
        """The path for a person."""
        return shown(self.path)


def leaves_of(tree: Table) -> list[Leaf]:
    """All files of a file tree, in its order.

    A folder's name is said once and is in the paths of all its files: a few bytes may say many paths.

    Raises:
        MetainfoError: something in it is no file and no folder, a file lacks what it must have, there is none, or all
            paths together are too long.
    """
    leaves: list[Leaf] = []
    lengths: dict[bytes, int] = {}
    below: list[tuple[tuple[str, ...], int, Table]] = [((), 0, tree)]
    names = 0
    while below:
        path, size, table = below.pop()
        if b"" in table:
            leaf = _leaf(path, table)
            names += size
            if names > _MOST_NAMES:
                raise MetainfoError("the paths of all files in the file tree are too long to be used")
            if leaf.root and lengths.setdefault(leaf.root, leaf.length) != leaf.length:
                raise MetainfoError(f"{leaf.shown} has the pieces root of a file of another length")
            leaves.append(leaf)
            continue
        for name, inner in reversed(list(table.items())):
            inside = (*path, text_of(name))
            if not isinstance(inner, dict):
                raise MetainfoError(f"{shown(inside)} in the file tree is {word_for(inner)}")
            below.append((inside, size + len(inside[-1]) + _PER_NAME, inner))
    if not leaves:
        raise MetainfoError("the torrent has no files")
    return leaves


class _Where(NamedTuple):
    """A path that is made readable only if something is wrong there."""

    path: tuple[str, ...]

    def __str__(self) -> str:
        return shown(self.path)


def _leaf(path: tuple[str, ...], table: Table) -> Leaf:
    where = _Where(path)
    said = table[b""]
    if not path or not isinstance(said, dict) or len(table) > 1:
        raise MetainfoError(f"{str(where) or 'the file tree'} is neither a file nor a folder")
    attributes = attributes_of(said)
    if b"p" in attributes:
        raise MetainfoError(f"{where} is padding, which a file tree does not have")
    if b"l" in attributes:
        return Leaf(path, 0, b"", said)
    length = due(said, b"length", int, where)
    if length < 0:
        raise MetainfoError(f"{where} has a length of {length} bytes")
    if not length:
        return Leaf(path, 0, b"", said)
    root = due(said, b"pieces root", bytes, where)
    if len(root) != DIGEST_LENGTH or not any(root):
        raise MetainfoError(f"{where} has a pieces root that is no hash")
    return Leaf(path, length, root, said)


def is_single(leaves: Sequence[Leaf]) -> bool:
    """Whether a torrent of v2 alone is a file and not a folder. libtorrent decides by this as well, not by its name."""
    return len(leaves) == 1 and len(leaves[0].path) == 1


def tree_files(
    leaves: Sequence[Leaf], name: str, folder: str, piece_length: int
) -> tuple[tuple[FileEntry, ...], list[Renamed]]:
    """The files of a folder of v2 alone, each at the begin of a piece, and which of them were renamed.

    Args:
        leaves: As the tree has them.
        name: Of the folder, as a safe path component.
        folder: Its name as the torrent has it.
        piece_length: In bytes.
    """
    files: list[FileEntry] = []
    renamed: list[Renamed] = []
    offset = 0
    for leaf, path in zip(leaves, kept_apart([leaf.path for leaf in leaves]), strict=True):
        if path != leaf.path and len(renamed) < MOST_RENAMED:
            renamed.append((leaf.shown, "/".join(path)))
        if leaf.length:
            offset += -offset % piece_length
        files.append(_entry(leaf, len(files), (name, *path), offset, (folder, *leaf.path)))
        offset += leaf.length
    return tuple(files), renamed


def single_tree_file(leaf: Leaf) -> FileEntry:
    """The only file of a torrent of v2 alone that is not a folder."""
    return _entry(leaf, 0, (safe_name(leaf.path[0]),), 0, leaf.path)


def short_pieces(files: Sequence[FileEntry], piece_length: int) -> Mapping[int, int]:
    """The pieces in which files end that each begin at a piece, where those are shorter than others: their lengths."""
    return {(file.offset + file.length) // piece_length: rest for file in files if (rest := file.length % piece_length)}


def joined_sides(files: Sequence[FileEntry], leaves: Sequence[Leaf], piece_length: int) -> tuple[FileEntry, ...]:
    """The files of a hybrid: places and names of the v1 side, roots and attributes of the v2 side.

    Both must be the same files in the same order, and every file but empty ones must begin at a piece, with the least
    padding that does it. Behind the last file there may be such padding too. libtorrent demands the same.

    Raises:
        MetainfoError: the sides differ.
    """
    real = [file for file in files if not file.pad]
    if len(real) != len(leaves):
        raise MetainfoError(f"the v1 side of this hybrid torrent has {len(real)} files, the v2 side {len(leaves)}")
    joined: list[FileEntry] = []
    rest = iter(zip(leaves, kept_apart([leaf.path for leaf in leaves]), strict=True))
    for file in files:
        if file.pad:
            if not 0 < file.length == -file.offset % piece_length:
                raise MetainfoError(f"{file.length} bytes of padding at offset {file.offset} align no file of a hybrid")
            joined.append(file)
            continue
        leaf, path = next(rest)
        below = file.path if len(file.path) == 1 else file.path[1:]
        if (below, file.length) != (path, leaf.length):
            raise MetainfoError(
                f"the v1 side of this hybrid torrent has {'/'.join(below)} of {file.length} bytes where the v2 side has"
                f" {leaf.shown} of {leaf.length}"
            )
        if file.length and file.offset % piece_length:
            raise MetainfoError(f"{'/'.join(below)} does not begin at a piece, as it must in a hybrid torrent")
        joined.append(_entry(leaf, file.index, file.path, file.offset, file.named))
    return tuple(joined)


def _entry(leaf: Leaf, index: int, path: tuple[str, ...], offset: int, named: tuple[str, ...] | None) -> FileEntry:
    """A file at the place given; *named* is its path as the torrent has it, where that is another."""
    attributes = attributes_of(leaf.table)
    if b"l" in attributes:
        return FileEntry(index, path, offset, 0, symlink=link_target(leaf.table, path[0]))
    return FileEntry(
        index,
        path,
        offset,
        leaf.length,
        executable=b"x" in attributes,
        hidden=b"h" in attributes,
        named=named if named != path else None,
        root=leaf.root,
    )
