"""The files of a torrent: where each lies in its content, and where it may lie on disk.

Source: BEP 3 ("files"), BEP 47 (pad files, attributes, symbolic links).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import MetainfoError
from .fields import Table, due, path_texts, word_for
from .paths import MAX_DEPTH, clean, safe_paths, shown, text_of

MOST_RENAMED = 1000  # files of which it is told that they were
_PAD_NAME = "_____padding_file_"  # how BitComet marked pad files before BEP 47; libtorrent knows them by it too
_WINDOWS = sys.platform == "win32"

Renamed = tuple[str, str]  # as the torrent has it, printable, and the safe path, both joined by "/"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a torrent.

    Args:
        index: Its place in the torrent's list.
        path: Safe components relative to the data directory; the first is the torrent's own name.
        offset: Where in the torrent it starts, in bytes.
        length: In bytes; 0 for a symbolic link.
        pad: Zeros that only align the next file; never written to disk, so its path may be another's too.
        executable: It should be made executable.
        hidden: It should be hidden, where the system has that.
        symlink: Where a symbolic link would point to, safe components like *path*'s, or None for a real file. For
            show: links out of a torrent are never made and never followed.
        named: The path as the torrent has it, where *path* is another. Not safe: see where_found().
        root: In a torrent with a v2 side the root of the file's hash tree, 32 bytes; empty for a file without content.
    """

    index: int
    path: tuple[str, ...]
    offset: int
    length: int
    pad: bool = False
    executable: bool = False
    hidden: bool = False
    symlink: tuple[str, ...] | None = None
    named: tuple[str, ...] | None = None
    root: bytes = b""


def safe_name(text: str) -> str:
    """The torrent's name as a safe path component."""
    return clean(text, windows=_WINDOWS)


def kept_apart(paths: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Safe paths in the torrent's folder for files of these, each another."""
    return safe_paths(paths, windows=_WINDOWS)


def link_target(table: Table, name: str) -> tuple[str, ...]:
    """Where a symbolic link would point to, in the folder *name*."""
    target = table.get(b"symlink path")
    parts = target if isinstance(target, list) else []
    return (name, *(safe_name(text_of(part)) for part in parts if isinstance(part, bytes)))


def single_file(info: Table, name: str, original: str) -> FileEntry:
    """The only file of a torrent that is not a folder; *name* is the safe form of *original*.

    Raises:
        MetainfoError: it has no usable length.
    """
    return _entry(info, "the info dictionary", 0, (name,), 0, (original,))


def folder_files(info: Table, name: str, folder: str) -> tuple[tuple[FileEntry, ...], list[Renamed]]:
    """The files of a torrent that is a folder, and which of them were renamed; *name* is the safe form of *folder*.

    Raises:
        MetainfoError: a file without a usable length or path, or none at all.
    """
    tables: list[Table] = []
    originals: list[tuple[str, ...]] = []
    for number, table in enumerate(due(info, b"files", list, "the info dictionary"), 1):
        if not isinstance(table, dict):
            raise MetainfoError(f"file {number} is {word_for(table)}, a dictionary is due")
        path = path_texts(table)
        if not path:
            raise MetainfoError(f"file {number} has no path")
        if len(path) > MAX_DEPTH:
            raise MetainfoError(f"file {number} has a path of {len(path)} parts, at most {MAX_DEPTH} can be used")
        tables.append(table)
        originals.append(path)
    if not tables:
        raise MetainfoError("the torrent has no files")

    pads = [_is_pad(attributes_of(table), path[-1]) for table, path in zip(tables, originals, strict=True)]
    named = iter(kept_apart([path for path, pad in zip(originals, pads, strict=True) if not pad]))
    files: list[FileEntry] = []
    renamed: list[Renamed] = []
    offset = 0
    for index, (table, original, pad) in enumerate(zip(tables, originals, pads, strict=True)):
        path = tuple(map(safe_name, original)) if pad else next(named)
        if path != original and not pad and len(renamed) < MOST_RENAMED:
            renamed.append((shown(original), "/".join(path)))
        file = _entry(table, f"file {index + 1}", index, (name, *path), offset, (folder, *original))
        files.append(file)
        offset += file.length
    return tuple(files), renamed


def _entry(
    table: Table, where: str, index: int, path: tuple[str, ...], offset: int, original: tuple[str, ...]
) -> FileEntry:
    named = original if original != path else None
    attributes = attributes_of(table)
    if b"l" in attributes:
        return FileEntry(index, path, offset, 0, symlink=link_target(table, path[0]))
    length = due(table, b"length", int, where)
    if length < 0:
        raise MetainfoError(f"{where} has a length of {length} bytes")
    if not attributes and not path[-1].startswith(_PAD_NAME):
        return FileEntry(index, path, offset, length, named=named)
    return FileEntry(
        index,
        path,
        offset,
        length,
        pad=_is_pad(attributes, path[-1]),
        executable=b"x" in attributes,
        hidden=b"h" in attributes,
        named=named,
    )


def _is_pad(attributes: bytes, last: str) -> bool:
    return b"p" in attributes or last.startswith(_PAD_NAME)


def attributes_of(table: Table) -> bytes:
    """The letters of a file's attributes (BEP 47)."""
    attributes = table.get(b"attr")
    return attributes if isinstance(attributes, bytes) else b""
