"""The info dictionary of a torrent: its files, its pieces and their hashes.

Source: BEP 3 (v1), BEP 52 (v2, and hybrids, which are both), with BEP 27 (private). What an Info holds has been
checked: whoever has one may divide, index and open by it. The hashes of v2 pieces are not in it: see layers.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import NamedTuple

from anabranch.bencode import BencodeError, decode, decode_noted
from anabranch.model import BLOCK_SIZE, Geometry, InfoHash, InfoHashV2

from .body import Body
from .errors import MetainfoError
from .fields import Table, due, name_text, text_or_empty, word_for
from .files import FileEntry, Renamed, folder_files, safe_name, single_file
from .paths import shown
from .tree import Leaf, is_single, joined_sides, leaves_of, short_pieces, single_tree_file, tree_files

MAX_PIECES = 2 * 1024 * 1024  # libtorrent's too: 40 MiB of hashes, and 256 KiB for every peer's bitfield
MAX_PIECE_LENGTH = 2 * 1024 * 1024 * 1024  # bytes; peers speak of places in a piece in 32 bits, some in signed ones
HASH_LENGTH = 20  # bytes of SHA-1

_WHERE = "the info dictionary"


@dataclass(frozen=True, slots=True)
class Info:
    """The checked info dictionary of one torrent.

    Args:
        body: Where its bytes are: those of a whole .torrent file, or the dictionary alone.
        start: Where in these the dictionary begins.
        raw_size: How many bytes it has; 0 for what stands in for a dictionary that has not come.
        hashes_at: Where in the dictionary the SHA-1 of the first piece is; 0 for a torrent of v2 alone.
        info_hash: What we know the torrent by: v1 where there is one, else v2 cut to its length.
        v1: SHA-1 of raw; None for a torrent of v2 alone.
        v2: SHA-256 of raw; None for a torrent of v1 alone. One of the two is there.
        name: The torrent's name as a safe path component.
        files: All files in order, pad files included. In a torrent of v2 alone there are none of those: every file
            begins at a piece, and between the end of one and the next there are no bytes. Otherwise there are no gaps.
        geometry: How the content falls into pieces.
        private: Peers come from the torrent's own trackers and from nowhere else (BEP 27).
        source: A tracker's mark that gives the torrent a hash of its own; may be empty.
        multi: The torrent is a folder, not a single file.
        renamed: What was changed to make paths safe: (as the torrent has it, printable; the safe path), joined by "/".
            Of files the first 1,000; each file tells of itself.
    """

    body: Body = field(repr=False, compare=False)
    start: int = field(repr=False, compare=False)
    raw_size: int = field(repr=False, compare=False)
    hashes_at: int = field(repr=False, compare=False)
    info_hash: InfoHash
    v1: InfoHash | None
    v2: InfoHashV2 | None
    name: str
    files: tuple[FileEntry, ...] = field(repr=False, compare=False)
    geometry: Geometry
    private: bool
    source: str
    multi: bool
    renamed: tuple[Renamed, ...] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, raw: bytes) -> Info:
        """Read a bencoded info dictionary, as it lies in a .torrent file or comes from peers (BEP 9).

        Raises:
            MetainfoError: no torrent can be made of it; the text says why.
        """
        try:
            noted = decode_noted(raw, lenient=True)
        except BencodeError as bad:
            raise MetainfoError(f"{_WHERE} cannot be read: {bad}") from bad
        if noted.end != len(raw):
            raise MetainfoError(f"{len(raw) - noted.end} bytes follow {_WHERE}")
        if not isinstance(noted.value, dict):
            raise MetainfoError(f"{_WHERE} is {word_for(noted.value)}")
        raw = bytes(raw)
        return checked_info(raw, noted.value, Body(raw), 0, canonical=not noted.warnings)

    @property
    def raw(self) -> bytes:
        """The bencoded dictionary, byte for byte as it came. Raises what the body's loader raises."""
        return self.body.cut(self.start, self.start + self.raw_size)

    @property
    def view(self) -> memoryview:
        """The same without a copy, for who needs a part of it."""
        return memoryview(self.body.read())[self.start : self.start + self.raw_size]

    @property
    def piece_hashes(self) -> bytes:
        """The SHA-1 of every piece, one after the other; empty for a torrent of v2 alone. Raises as *raw* does."""
        return self.hashes_of(0, self.geometry.piece_count)

    def hash_of(self, piece: int) -> bytes:
        """The SHA-1 that the piece's content must have: 20 bytes; empty for a torrent of v2 alone. Raises as *raw*."""
        return self.hashes_of(piece, piece + 1)

    def hashes_of(self, first: int, stop: int) -> bytes:
        """The same of neighbouring pieces, [first, stop), joined."""
        if self.v1 is None:
            return b""
        stop = min(stop, self.geometry.piece_count)
        at = self.start + self.hashes_at
        return self.body.cut(at + first * HASH_LENGTH, at + max(first, stop) * HASH_LENGTH)

    @property
    def swarm_hashes(self) -> tuple[InfoHash, ...]:
        """All hashes of 20 bytes by which peers and trackers know the torrent, v1 first."""
        return _swarm_hashes(self.v1, self.v2)


def checked_info(raw: bytes, table: Table, body: Body, start: int, *, canonical: bool) -> Info:
    """Make an Info of a dictionary and its bencoded bytes.

    Args:
        raw: The bytes.
        table: What they say.
        body: The file that they are of.
        start: Where in it they begin.
        canonical: They are known to be canonical bencode; otherwise it is found out where it matters.

    Raises:
        MetainfoError: no torrent can be made of it; the text says why.
    """
    leaves = _leaves(raw, table, canonical)
    name = name_text(table)
    if name is None:
        raise MetainfoError(f"{_WHERE} has no 'name'")
    piece_length = _piece_length(table, power_of_two=leaves is not None)
    if leaves is None or isinstance(table.get(b"files"), list) or b"length" in table:
        laid = _v1_files(table, name, leaves, piece_length)
        v1 = InfoHash(sha1(raw, usedforsecurity=False).digest())
        geometry = _geometry(laid, piece_length, {})
        hashes_at = _place_of(_piece_hashes(table, geometry), raw)
    else:
        laid = _v2_files(name, leaves, piece_length)
        v1 = None
        geometry = _geometry(laid, piece_length, short_pieces(laid.files, piece_length))
        hashes_at = 0
    v2 = InfoHashV2(sha256(raw).digest()) if leaves is not None else None
    private = table.get(b"private")
    return Info(
        body=body,
        start=start,
        raw_size=len(raw),
        hashes_at=hashes_at,
        info_hash=_swarm_hashes(v1, v2)[0],
        v1=v1,
        v2=v2,
        name=laid.name,
        files=laid.files,
        geometry=geometry,
        private=isinstance(private, int) and private != 0,
        source=text_or_empty(table, b"source"),
        multi=laid.multi,
        renamed=laid.renamed,
    )


class _Laid(NamedTuple):
    """What Info has under these names."""

    name: str
    files: tuple[FileEntry, ...]
    multi: bool
    renamed: tuple[Renamed, ...]


def _leaves(raw: bytes, table: Table, canonical: bool) -> list[Leaf] | None:
    """The files of the v2 side, None where there is none.

    What says of itself which version it is must be canonical (BEP 52), as libtorrent demands it.
    """
    said = table.get(b"meta version")
    version = said if isinstance(said, int) else 0
    if version > 2:
        raise MetainfoError(f"the torrent is of version {version}; 1 and 2 are known")
    tree = table.get(b"file tree")
    if version == 2:
        tree = due(table, b"file tree", dict, _WHERE)
    elif isinstance(tree, dict):
        raise MetainfoError(f"{_WHERE} has a 'file tree', but its 'meta version' is not 2")
    if version > 0 and not canonical:
        try:
            decode(raw)
        except BencodeError as bad:
            raise MetainfoError(f"{_WHERE} is not canonical, as version {version} must be: {bad}") from bad
    return leaves_of(tree) if version == 2 and isinstance(tree, dict) else None


def _v1_files(table: Table, original: str, leaves: Sequence[Leaf] | None, piece_length: int) -> _Laid:
    name = safe_name(original)
    renamed: list[Renamed] = []
    multi = b"files" in table
    if multi:
        files, renamed = folder_files(table, name, original)
    else:
        files = (single_file(table, name, original),)
    if leaves is not None:
        files = joined_sides(files, leaves, piece_length)
    return _Laid(name, files, multi, _with_name(original, name, renamed))


def _v2_files(original: str, leaves: Sequence[Leaf], piece_length: int) -> _Laid:
    if is_single(leaves):
        file = single_tree_file(leaves[0])
        return _Laid(file.path[0], (file,), False, _with_name(leaves[0].path[0], file.path[0], []))
    name = safe_name(original)
    files, renamed = tree_files(leaves, name, original, piece_length)
    return _Laid(name, files, True, _with_name(original, name, renamed))


def _with_name(original: str, name: str, renamed: Sequence[Renamed]) -> tuple[Renamed, ...]:
    return (*renamed,) if name == original else ((shown((original,)), name), *renamed)


def _swarm_hashes(v1: InfoHash | None, v2: InfoHashV2 | None) -> tuple[InfoHash, ...]:
    cut = v2.truncated if v2 is not None else None
    return tuple(one for one in (v1, cut) if one is not None)


def _piece_length(table: Table, *, power_of_two: bool) -> int:
    piece_length = due(table, b"piece length", int, _WHERE)
    if not 0 < piece_length <= MAX_PIECE_LENGTH:
        raise MetainfoError(f"{_WHERE} has a piece length of {piece_length} bytes, 1 to {MAX_PIECE_LENGTH} can be used")
    if power_of_two and (piece_length < BLOCK_SIZE or piece_length & (piece_length - 1)):
        raise MetainfoError(
            f"{_WHERE} has a piece length of {piece_length} bytes, a power of two from {BLOCK_SIZE} is due in v2"
        )
    return piece_length


def _geometry(laid: _Laid, piece_length: int, short: Mapping[int, int]) -> Geometry:
    total = laid.files[-1].offset + laid.files[-1].length
    geometry = Geometry(total, piece_length, short)
    if geometry.piece_count > MAX_PIECES:
        raise MetainfoError(f"{total} bytes in {geometry.piece_count} pieces, at most {MAX_PIECES} can be used")
    return geometry


def _place_of(hashes: bytes, raw: bytes) -> int:
    """Where in the dictionary the piece hashes are. A search for all of them is long: it begins behind their key."""
    key = b"6:pieces%d:" % len(hashes)
    at = raw.find(key) + len(key)
    return at if raw.startswith(hashes, at) else raw.find(hashes)  # the key may be said in a string, or unusually


def _piece_hashes(table: Table, geometry: Geometry) -> bytes:
    hashes = due(table, b"pieces", bytes, _WHERE)
    count, rest = divmod(len(hashes), HASH_LENGTH)
    if rest:
        raise MetainfoError(f"{_WHERE} has {len(hashes)} bytes of piece hashes, no multiple of {HASH_LENGTH}")
    if count != geometry.piece_count:
        raise MetainfoError(
            f"{_WHERE} has {count} piece hashes, but {geometry.total} bytes in pieces of {geometry.piece_length} need"
            f" {geometry.piece_count}"
        )
    return hashes
