"""The info dictionary of a torrent: its files, its pieces and their hashes.

Source: BEP 3, with BEP 27 (private). Version 1 of the protocol; of a hybrid torrent (BEP 52) this is its version 1
side. What an Info holds has been checked: whoever has one may divide, index and open by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1

from anabranch.bencode import BencodeError, decode_noted
from anabranch.model import Geometry, InfoHash

from .errors import MetainfoError
from .fields import Table, due, name_text, text_or_empty, word_for
from .files import FileEntry, Renamed, folder_files, safe_name, single_file
from .paths import printable

MAX_PIECES = 2 * 1024 * 1024  # libtorrent's too: 40 MiB of hashes, and 256 KiB for every peer's bitfield
MAX_PIECE_LENGTH = 2 * 1024 * 1024 * 1024  # bytes; peers speak of places in a piece in 32 bits, some in signed ones
HASH_LENGTH = 20  # bytes of SHA-1

_WHERE = "the info dictionary"


@dataclass(frozen=True, slots=True)
class Info:
    """The checked info dictionary of one torrent.

    Args:
        raw: The bencoded dictionary, byte for byte as it came.
        info_hash: SHA-1 of raw.
        name: The torrent's name as a safe path component.
        files: All files in order and without gaps, pad files included.
        geometry: How the content falls into pieces.
        piece_hashes: The SHA-1 of every piece, one after the other.
        private: Peers come from the torrent's own trackers and from nowhere else (BEP 27).
        source: A tracker's mark that gives the torrent a hash of its own; may be empty.
        multi: The torrent is a folder, not a single file.
        renamed: What was changed to make paths safe: (as the torrent has it, printable; the safe path), joined by "/".
    """

    raw: bytes = field(repr=False, compare=False)
    info_hash: InfoHash
    name: str
    files: tuple[FileEntry, ...] = field(repr=False, compare=False)
    geometry: Geometry
    piece_hashes: bytes = field(repr=False, compare=False)
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
        return checked_info(bytes(raw), noted.value)

    def hash_of(self, piece: int) -> bytes:
        """The SHA-1 that the piece's content must have: 20 bytes."""
        return self.piece_hashes[piece * HASH_LENGTH : (piece + 1) * HASH_LENGTH]


def checked_info(raw: bytes, table: Table) -> Info:
    """Make an Info of a dictionary and its bencoded bytes.

    Raises:
        MetainfoError: no torrent can be made of it; the text says why.
    """
    if b"pieces" not in table and (b"file tree" in table or table.get(b"meta version") == 2):
        raise MetainfoError("this is a BitTorrent v2 torrent without a v1 side; those are not supported yet")
    original = name_text(table)
    if original is None:
        raise MetainfoError(f"{_WHERE} has no 'name'")
    name = safe_name(original)
    multi = b"files" in table
    files, renamed = folder_files(table, name, original) if multi else ((single_file(table, name, original),), [])
    if name != original:
        renamed.insert(0, (printable(original), name))
    private = table.get(b"private")
    geometry = _geometry(table, total=files[-1].offset + files[-1].length)
    return Info(
        raw=raw,
        info_hash=InfoHash(sha1(raw, usedforsecurity=False).digest()),
        name=name,
        files=files,
        geometry=geometry,
        piece_hashes=_piece_hashes(table, geometry),
        private=isinstance(private, int) and private != 0,
        source=text_or_empty(table, b"source"),
        multi=multi,
        renamed=tuple(renamed),
    )


def _geometry(table: Table, total: int) -> Geometry:
    piece_length = due(table, b"piece length", int, _WHERE)
    if not 0 < piece_length <= MAX_PIECE_LENGTH:
        raise MetainfoError(f"{_WHERE} has a piece length of {piece_length} bytes, 1 to {MAX_PIECE_LENGTH} can be used")
    geometry = Geometry(total, piece_length)
    if geometry.piece_count > MAX_PIECES:
        raise MetainfoError(f"{total} bytes in {geometry.piece_count} pieces, at most {MAX_PIECES} can be used")
    return geometry


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
