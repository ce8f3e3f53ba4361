"""Small torrents for trying out storage: files in a row, and content that tells every byte from its neighbours.

No .torrent and no hash belongs to them; a storage back end needs neither.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha1

from anabranch.model import Geometry, InfoHash


@dataclass(frozen=True)
class TrialFile:
    """A LaidFile of storage; *offset* is given to it by lay()."""

    path: tuple[str, ...]
    length: int
    offset: int = 0
    pad: bool = False
    symlink: tuple[str, ...] | None = None
    executable: bool = False


@dataclass(frozen=True)
class TrialTorrent:
    """A Layout of storage, and the bytes that belong there.

    Args:
        name: What it is called; its info hash is made of that.
        geometry: Its measures.
        files: Its files.
        content: All bytes from offset 0 on; gaps between v2 files are zeros.
    """

    name: str
    geometry: Geometry
    files: tuple[TrialFile, ...]
    content: bytes

    @property
    def info_hash(self) -> InfoHash:
        """The same for the same name."""
        return InfoHash(sha1(self.name.encode(), usedforsecurity=False).digest())

    @property
    def pieces(self) -> range:
        """All piece numbers."""
        return range(self.geometry.piece_count)

    def of_piece(self, piece: int) -> bytes:
        """What the piece must hold."""
        start = self.geometry.offset_of(piece)
        return self.content[start : start + self.geometry.length_of(piece)]


def lay(name: str, piece_length: int, *files: TrialFile, apart: bool = False) -> TrialTorrent:
    """Lay files out one after another, below a directory of the torrent's name.

    Args:
        name: The torrent's.
        piece_length: In bytes.
        files: Their offsets do not count.
        apart: Each file that is not empty begins at a piece, as in v2, with a gap before it.
    """
    placed: list[TrialFile] = []
    content = bytearray()
    short: dict[int, int] = {}
    for number, file in enumerate(files):
        rest = len(content) % piece_length
        if apart and file.length and rest:
            short[len(content) // piece_length] = rest
            content += bytes(piece_length - rest)
        placed.append(replace(file, path=(name, *file.path), offset=len(content)))
        content += bytes(file.length) if file.pad else _told_apart(name, number, file.length)
    return TrialTorrent(name, Geometry(len(content), piece_length, short), tuple(placed), bytes(content))


def named(path: str, length: int) -> TrialFile:
    """A file of that path, with slashes."""
    return TrialFile(tuple(path.split("/")), length)


def _told_apart(name: str, number: int, length: int) -> bytes:
    """Bytes without zeros (nothing that was forgotten looks like them), no two neighbours alike."""
    made = bytearray()
    while len(made) < length:
        made += sha1(f"{name} {number} {len(made)}".encode(), usedforsecurity=False).digest()
    previous = 0
    for at, byte in enumerate(made):
        made[at] = byte or 1
        if made[at] == previous:
            made[at] = byte % 255 + 1
        previous = made[at]
    return bytes(made[:length])
