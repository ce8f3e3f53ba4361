"""Torrents without a .torrent: files in a row, and content that tells every byte from every other place."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

from anabranch.model import Geometry, InfoHash
from anabranch.storage import PieceStorage, TorrentStorage

HASH = InfoHash(b"\xab" * 20)


@dataclass(frozen=True)
class SmallFile:
    path: tuple[str, ...]
    length: int
    offset: int = 0
    pad: bool = False
    executable: bool = False
    symlink: tuple[str, ...] | None = None


@dataclass(frozen=True)
class SmallTorrent:
    geometry: Geometry
    files: tuple[SmallFile, ...]
    content: bytes

    def of_piece(self, piece: int) -> bytes:
        start = self.geometry.offset_of(piece)
        return self.content[start : start + self.geometry.length_of(piece)]

    def of_file(self, number: int) -> bytes:
        file = self.files[number]
        return self.content[file.offset : file.offset + file.length]


def torrent(piece_length: int, *files: SmallFile) -> SmallTorrent:
    """Lay files out one after another."""
    placed, total, content = [], 0, b""
    for number, file in enumerate(files):
        placed.append(replace(file, offset=total))
        total += file.length
        noise = random.Random(number).randbytes(file.length).replace(b"\0", b"\1")
        content += bytes(file.length) if file.pad else noise
    return SmallTorrent(Geometry(total, piece_length), tuple(placed), content)


def named(name: str, length: int) -> SmallFile:
    return SmallFile(tuple(name.split("/")), length)


def put(storage: TorrentStorage, small: SmallTorrent, *pieces: int) -> None:
    """Write pieces whole, in blocks of uneven size."""
    for piece in pieces:
        data = memoryview(small.of_piece(piece))
        storage.piece(piece).writev(0, [data[:3], data[3:3], data[3:]])


def got(piece: PieceStorage, length: int, begin: int = 0) -> bytes:
    """Read from a piece."""
    room = bytearray(length)
    piece.readinto(begin, room)
    return bytes(room)


def whole(storage: TorrentStorage, small: SmallTorrent, piece: int) -> bytes:
    return got(storage.piece(piece), small.geometry.length_of(piece))


def lay_down(small: SmallTorrent, directory: Path) -> None:
    """Put the files there as another program would have."""
    for number, file in enumerate(small.files):
        if not file.pad:
            path = directory.joinpath(*file.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(small.of_file(number))


def tree(directory: Path) -> dict[str, bytes]:
    """All files below, by their path."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
