"""The tables of the SQLite back end, and every statement on them.

A piece is kept in stretches of at most 256 KiB, a row each, so that of a large one a part can be written and a block be
found without much ado. What is known of pieces is three bits each, in rows for 32,768 pieces: few rows to read when a
torrent is opened, few to write for a group. Rows are numbered by torrent and place, so that no index is needed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from bitarray import bitarray

from anabranch.model import Geometry, InfoHash, no_pieces

from .completion import PAGE, by_page, page_bits

STRETCH = 256 * 1024  # bytes of a piece in one row
_TORRENT = 32  # bits of a row's number below the torrent's
MOST_ROWS = 1 << _TORRENT  # of one torrent

TABLES = (
    """CREATE TABLE IF NOT EXISTS torrents (id INTEGER PRIMARY KEY, info_hash BLOB NOT NULL UNIQUE,
    total INTEGER NOT NULL, piece_length INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS states (id INTEGER PRIMARY KEY, known BLOB NOT NULL, complete BLOB NOT NULL,
    written BLOB NOT NULL)""",
    # when pieces were used, as far as the space is limited: turns are counted through all of the database's life
    "CREATE TABLE IF NOT EXISTS uses (id INTEGER PRIMARY KEY, length INTEGER NOT NULL, turn INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS stretches (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
)
CHECKED = ("torrents", "states", "uses")  # small enough to be read through when the database is opened


class Bits(NamedTuple):
    """What is known of pieces: three sets of them.

    Args:
        known: Recorded as complete or incomplete since the last write to them.
        complete: Of those, the complete ones.
        written: There may be bytes of them; of others there are none, whatever is known.
    """

    known: bitarray
    complete: bitarray
    written: bitarray

    @classmethod
    def none(cls, count: int) -> Bits:
        """Of *count* pieces nothing is there."""
        return cls(no_pieces(count), no_pieces(count), no_pieces(count))


class Change(NamedTuple):
    """What becomes of some pieces; None leaves it as it is."""

    pieces: Sequence[int]
    known: bool
    complete: bool
    written: bool | None = None

    def apply(self, bits: Bits, pieces: Sequence[int]) -> None:
        """Change *bits* at these places."""
        places = list(pieces)
        bits.known[places] = self.known
        bits.complete[places] = self.complete
        if self.written is not None:
            bits.written[places] = self.written


class Part(NamedTuple):
    """Bytes of one row: [begin, begin + length) of the *size* that the row has."""

    row: int
    begin: int
    length: int
    size: int


def piece_key(torrent: int, piece: int) -> int:
    """One number for a piece of a torrent."""
    return torrent << _TORRENT | piece


def of_key(key: int) -> tuple[int, int]:
    """The torrent and the piece of such a number."""
    return key >> _TORRENT, key & (MOST_ROWS - 1)


def rows_per_piece(piece_length: int) -> int:
    """Rows that a whole piece has."""
    return -(-piece_length // STRETCH)


def parts_of(torrent: int, geometry: Geometry, piece: int, begin: int, length: int) -> Iterator[Part]:
    """The rows that hold [begin, begin + length) of a piece, in order."""
    first = (torrent << _TORRENT) + piece * rows_per_piece(geometry.piece_length)
    whole, end = geometry.length_of(piece), begin + length
    while begin < end:
        number, inside = divmod(begin, STRETCH)
        size = min(STRETCH, whole - number * STRETCH)
        run = min(size - inside, end - begin)
        yield Part(first + number, inside, run, size)
        begin += run


def find_torrent(database: sqlite3.Connection, info_hash: InfoHash) -> tuple[int, int, int] | None:
    """Its number, total and piece length; None if nothing was ever written of it."""
    query = "SELECT id, total, piece_length FROM torrents WHERE info_hash = ?"
    found: tuple[int, int, int] | None = database.execute(query, (bytes(info_hash),)).fetchone()
    return found


def last_torrent(database: sqlite3.Connection) -> int:
    """The highest number that a torrent has; 0 for none."""
    (last,) = database.execute("SELECT max(id) FROM torrents").fetchone()
    return last or 0


def add_torrent(database: sqlite3.Connection, torrent: int, info_hash: InfoHash, geometry: Geometry) -> None:
    """Enter it under a number that is free."""
    row = (torrent, bytes(info_hash), geometry.total, geometry.piece_length)
    database.execute("INSERT INTO torrents (id, info_hash, total, piece_length) VALUES (?, ?, ?, ?)", row)


def all_torrents(database: sqlite3.Connection) -> list[tuple[int, bytes, int, int]]:
    """Number, info hash, total and piece length of each."""
    return database.execute("SELECT id, info_hash, total, piece_length FROM torrents").fetchall()


def forget_torrent(database: sqlite3.Connection, torrent: int) -> None:
    """Take away what is left of it when its bytes are gone."""
    of = torrent << _TORRENT, torrent + 1 << _TORRENT
    database.execute("DELETE FROM states WHERE id >= ? AND id < ?", of)
    database.execute("DELETE FROM uses WHERE id >= ? AND id < ?", of)
    database.execute("DELETE FROM torrents WHERE id = ?", (torrent,))


def load_bits(database: sqlite3.Connection, torrent: int, count: int) -> Bits:
    """What is known of all pieces of a torrent."""
    pages = -(-count // PAGE)
    bits = Bits.none(pages * PAGE)
    first = torrent << _TORRENT
    query = "SELECT id, known, complete, written FROM states WHERE id >= ? AND id < ?"
    for row, *blobs in database.execute(query, (first, first + pages)):
        place = (row - first) * PAGE
        for all_of_them, blob in zip(bits, blobs, strict=True):
            all_of_them[place : place + PAGE] = page_bits(blob)
    return Bits(*(all_of_them[:count] for all_of_them in bits))


def change_bits(database: sqlite3.Connection, torrent: int, changes: Iterable[Change]) -> None:
    """Change what is known of some pieces, later changes after earlier ones."""
    touched: dict[int, Bits] = {}
    query = "SELECT known, complete, written FROM states WHERE id = ?"
    for change in changes:
        for page, places in by_page(change.pieces).items():
            row = piece_key(torrent, page)
            if row not in touched:
                blobs = database.execute(query, (row,)).fetchone() or (None, None, None)
                touched[row] = Bits(*map(page_bits, blobs))
            change.apply(touched[row], places)
    rows = [(row, *(of.tobytes() for of in bits)) for row, bits in touched.items()]
    database.executemany("INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?)", rows)


def write_part(database: sqlite3.Connection, part: Part, views: Sequence[memoryview]) -> None:
    """Put bytes into a row; what of it was never written reads as zeros."""
    if part.length == part.size:
        whole = views[0] if len(views) == 1 else b"".join(views)
        database.execute("INSERT OR REPLACE INTO stretches VALUES (?, ?)", (part.row, whole))
        return
    database.execute("INSERT OR IGNORE INTO stretches VALUES (?, zeroblob(?))", (part.row, part.size))
    with database.blobopen("stretches", "bytes", part.row) as blob:
        blob.seek(part.begin)
        for view in views:
            blob.write(view)


def read_part(database: sqlite3.Connection, part: Part) -> bytes | None:
    """The bytes; None if the row is not there, or not as long as it should be."""
    try:
        with database.blobopen("stretches", "bytes", part.row, readonly=True) as blob:
            if len(blob) != part.size:
                return None
            blob.seek(part.begin)
            return blob.read(part.length)
    except sqlite3.OperationalError:
        if database.execute("SELECT 1 FROM stretches WHERE id = ?", (part.row,)).fetchone() is None:
            return None
        raise


def delete_pieces(database: sqlite3.Connection, torrent: int, pieces: Iterable[int]) -> None:
    """Delete the bytes of pieces, and when they were used; what is known of them has to be changed besides."""
    (length,) = database.execute("SELECT piece_length FROM torrents WHERE id = ?", (torrent,)).fetchone()
    first, rows = torrent << _TORRENT, rows_per_piece(length)
    for piece in pieces:
        of = first + piece * rows, first + (piece + 1) * rows
        database.execute("DELETE FROM stretches WHERE id >= ? AND id < ?", of)
        database.execute("DELETE FROM uses WHERE id = ?", (piece_key(torrent, piece),))


def load_uses(database: sqlite3.Connection) -> Iterator[tuple[int, int, int]]:
    """Key, length and turn of each piece that was used, the longest ago first."""
    return database.execute("SELECT id, length, turn FROM uses ORDER BY turn")


def save_uses(database: sqlite3.Connection, uses: Iterable[tuple[int, int, int]]) -> None:
    """Remember key, length and turn of pieces."""
    database.executemany("INSERT OR REPLACE INTO uses VALUES (?, ?, ?)", uses)
