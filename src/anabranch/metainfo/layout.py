"""How a new torrent is laid out: the order of its files, its piece length, and which bytes are hashed together.

Source: BEP 3. The same content gives the same info dictionary on every system and in every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from anabranch.bencode import encode
from anabranch.model import Geometry

from .errors import MetainfoError
from .info import MAX_PIECES

MIN_PIECE_LENGTH = 16 * 1024  # bytes: one block
MAX_CHOSEN_PIECE_LENGTH = 16 * 1024 * 1024  # bytes; beyond it a lost piece costs more than a longer list of hashes
MAX_CREATED_PIECE_LENGTH = 256 * 1024 * 1024  # bytes; the largest power of two that libtorrent loads
_MOST_PIECES = 2048  # 40 KiB of hashes
_RUN_LENGTH = 8 * 1024 * 1024  # bytes; long enough that handing it to a thread costs nothing beside hashing it


@dataclass(frozen=True, slots=True)
class ContentFile:
    """A file that goes into a torrent.

    Args:
        path: Components below the torrent's folder; empty for a torrent that is a single file.
        length: In bytes.
        modified: When it was last changed, in the system's nanoseconds: to notice a change while it is hashed.
    """

    path: tuple[str, ...]
    length: int
    modified: int = 0


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
    count = Geometry(total, piece_length).piece_count
    if count > MAX_PIECES:
        raise MetainfoError(f"{count} pieces of {piece_length} bytes, at most {MAX_PIECES} can be used: ask for longer")
    return piece_length


def runs(lengths: Sequence[int], piece_length: int) -> Iterator[Run]:
    """Cut files of these lengths, one behind the other, into runs of whole pieces of about 8 MiB; the last is short."""
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
            if not room:
                yield Run(first_piece, tuple(extents))
                first_piece += pieces_per_run
                room = run_length
                extents.clear()
    if extents:
        yield Run(first_piece, tuple(extents))


def info_dictionary(
    name: str,
    files: Sequence[ContentFile],
    *,
    piece_length: int,
    piece_hashes: bytes,
    private: bool,
    source: str,
) -> bytes:
    """The bencoded info dictionary of a new torrent.

    Args:
        name: Of the file or folder.
        files: In the torrent's order; one with an empty path makes a torrent of a single file.
        piece_length: In bytes.
        piece_hashes: SHA-1 of every piece, 20 bytes each.
        private: See Info; as the number 1, and left out when false (BEP 27).
        source: See Info; left out when empty.
    """
    info: dict[str, object] = {"name": name, "piece length": piece_length, "pieces": piece_hashes}
    if [file.path for file in files] == [()]:
        info["length"] = files[0].length
    else:
        info["files"] = [{"length": file.length, "path": file.path} for file in files]
    if private:
        info["private"] = 1
    if source:
        info["source"] = source
    return encode(info)
