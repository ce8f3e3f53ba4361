"""How a new torrent is laid out: the order of its files, its piece length, and which bytes are hashed together.

Source: BEP 3, BEP 47 (pad files), BEP 52 (every file begins with a piece). The same content gives the same layout on
every system and in every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from anabranch.model import Geometry

from .errors import MetainfoError
from .info import MAX_PIECES
from .paths import MAX_DEPTH

Version = Literal["v1", "v2", "hybrid"]
VERSIONS: tuple[Version, ...] = ("v1", "v2", "hybrid")

MIN_PIECE_LENGTH = 16 * 1024  # bytes: one block
MAX_CHOSEN_PIECE_LENGTH = 16 * 1024 * 1024  # bytes; beyond it a lost piece costs more than a longer list of hashes
MAX_CREATED_PIECE_LENGTH = 256 * 1024 * 1024  # bytes; the largest power of two that libtorrent loads
# Folders inside each other, such that others load the torrent: libtorrent reads 99 levels of bencode, and of those a
# file tree needs one for every folder, where a list of files has its paths flat.
MAX_FOLDERS: Mapping[Version, int] = {"v1": MAX_DEPTH - 2, "v2": 94, "hybrid": 94}
_MOST_PIECES = 2048  # 40 KiB of hashes
_RUN_LENGTH = 8 * 1024 * 1024  # bytes; long enough that handing it to a thread costs nothing beside hashing it


@dataclass(frozen=True, slots=True)
class ContentFile:
    """A file that goes into a torrent.

    Args:
        path: Components below the torrent's folder; empty for a torrent that is a single file.
        length: In bytes.
        modified: When it was last changed, in the system's nanoseconds: to notice a change while it is hashed.
        executable: Its owner may run it.
        hidden: The system does not show it; a dot in front of its name is not meant.
    """

    path: tuple[str, ...]
    length: int
    modified: int = 0
    executable: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of bytes, not empty, in the file at *index* of the list."""

    index: int
    begin: int
    length: int


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive pieces that are hashed in one go: number of the first, and where their bytes are."""

    first_piece: int
    extents: tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of a new torrent, and how they fall into pieces.

    Args:
        version: For which version of the protocol: v1, v2, or hybrid, which is both.
        files: In the torrent's order; one with an empty path makes a torrent of a single file.
        piece_length: In bytes.

    Raises:
        MetainfoError: there are more pieces than can be used.
    """

    version: Version
    files: tuple[ContentFile, ...]
    piece_length: int

    def __post_init__(self) -> None:
        _check_count(self.piece_count, self.piece_length)

    @property
    def single(self) -> bool:
        """The torrent is one file and not a folder."""
        return [file.path for file in self.files] == [()]

    @property
    def aligned(self) -> bool:
        """Every file begins with a piece."""
        return self.version != "v1"

    @property
    def padded(self) -> bool:
        """In v1's view zeros follow each file up to the next piece, also the last file. Not if there is but one."""
        return self.version == "hybrid" and len(self.files) > 1

    @property
    def total(self) -> int:
        """Length of the content in bytes, without padding."""
        return sum(file.length for file in self.files)

    @property
    def piece_count(self) -> int:
        """Number of pieces."""
        if self.aligned:
            return sum(map(self.pieces_in, self.files))
        return -(-self.total // self.piece_length)

    def pieces_in(self, file: ContentFile) -> int:
        """Number of pieces of one file that begins with a piece."""
        return -(-file.length // self.piece_length)

    def pad_behind(self, file: ContentFile) -> int:
        """Length in bytes of the padding between the file and the next piece."""
        return -file.length % self.piece_length if self.padded else 0

    def runs(self) -> Iterator[Run]:
        """What is to be hashed: all content, in runs of whole pieces of about 8 MiB."""
        return runs([file.length for file in self.files], self.piece_length, aligned=self.aligned)


def sorted_files(files: Sequence[ContentFile]) -> list[ContentFile]:
    """The files in the order of a torrent: by their path's components, each compared as UTF-8 bytes."""
    return sorted(files, key=lambda file: [component.encode() for component in file.path])


def choose_piece_length(total: int, wanted: int | None = None) -> int:
    """The piece length for a torrent of *total* bytes.

    Without a wish: the smallest power of two from 16 KiB that makes at most 2,048 pieces (so 1,025 to 2,048 in the
    middle range, 40 KiB of .torrent), at most 16 MiB.

    Raises:
        MetainfoError: the wish is not a power of two from 16 KiB to 256 MiB, or there would be too many pieces.
    """
    piece_length = wanted
    if piece_length is None:
        piece_length = MIN_PIECE_LENGTH
        while piece_length < MAX_CHOSEN_PIECE_LENGTH and total > piece_length * _MOST_PIECES:
            piece_length *= 2
    elif not MIN_PIECE_LENGTH <= piece_length <= MAX_CREATED_PIECE_LENGTH or piece_length & (piece_length - 1):
        raise MetainfoError(
            f"a piece length must be a power of two from {MIN_PIECE_LENGTH} to {MAX_CREATED_PIECE_LENGTH} bytes, not"
            f" {piece_length}"
        )
    _check_count(Geometry(total, piece_length).piece_count, piece_length)
    return piece_length


def _check_count(pieces: int, piece_length: int) -> None:
    if pieces > MAX_PIECES:
        raise MetainfoError(
            f"{pieces} pieces of {piece_length} bytes, at most {MAX_PIECES} can be used: ask for longer"
        )


def runs(lengths: Sequence[int], piece_length: int, *, aligned: bool = False) -> Iterator[Run]:
    """Cut files of these lengths into runs of whole pieces of about 8 MiB; the last run is short.

    The files lie one directly behind the other, or each, when *aligned*, where a piece begins.
    """
    pieces_per_run = max(1, _RUN_LENGTH // piece_length)
    room = run_length = pieces_per_run * piece_length
    first_piece = 0
    extents: list[Extent] = []
    for index, length in enumerate(lengths):
        begin = 0
        while begin < length:
            taken = min(room, length - begin)
            extents.append(Extent(index, begin, taken))
            begin += taken
            room -= taken
            if aligned:
                room -= room % piece_length  # only behind the file's end is there any
            if not room:
                yield Run(first_piece, tuple(extents))
                first_piece += pieces_per_run
                room = run_length
                extents.clear()
    if extents:
        yield Run(first_piece, tuple(extents))
