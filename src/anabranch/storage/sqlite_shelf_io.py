"""What the torrents of one open database share: who is there, what is known of their pieces, and the space they use.

A transaction changes bytes and what is known of them together, so that there is no order to keep between them: a piece
that is overwritten stops being complete in the same instant, and one that is given up is neither there nor recorded.
Memory follows after the commit.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from bitarray import bitarray

from anabranch.model import Geometry, InfoHash, InputRefused, StorageFailed

from .backend import Buffer
from .layout import cut
from .sqlite_database_io import PieceDatabase
from .sqlite_rows_io import (
    MOST_ROWS,
    Bits,
    Change,
    add_torrent,
    change_bits,
    delete_pieces,
    find_torrent,
    forget_torrent,
    last_torrent,
    load_bits,
    parts_of,
    read_part,
    rows_per_piece,
    save_uses,
    write_part,
)
from .sqlite_space_io import SharedSpace

log = logging.getLogger(__name__)

_AT_ONCE = 1024 * 1024 * 1024  # bytes that are deleted in one transaction; deleting reads none of them


class Kept:
    """What is known of a torrent that is open, as often as it is."""

    def __init__(self, info_hash: InfoHash, geometry: Geometry) -> None:
        self.info_hash = info_hash
        self.geometry = geometry
        self.number = 0  # in the database
        self.made = False  # the database has it: something was written
        self.bits = Bits.none(geometry.piece_count)
        self.openings = 0
        self.tells: list[Callable[[Sequence[int]], None]] = []  # who wants to know of pieces that were given up
        self.heeds: list[Callable[[], Mapping[InfoHash, bitarray]]] = []  # who knows what is wanted


class Shelf:
    """An open database and its open torrents. Safe from any thread.

    Raises:
        StorageFailed: the database cannot be used.
        InputRefused: it was written by a later version, or by another program.
    """

    def __init__(self, path: str, space: SharedSpace) -> None:
        self._database = PieceDatabase(path, space.limit)
        self._space = space
        self._torrents: dict[InfoHash, Kept] = {}
        self._numbered: dict[int, Kept] = {}
        try:
            self._database.read(space.load)
        except BaseException:
            self._database.close()
            raise

    def join(self, info_hash: InfoHash, geometry: Geometry) -> Kept:
        """Open a torrent: one transaction, which only reads. Raises StorageFailed, InputRefused."""
        path = self._database.path
        if geometry.piece_count * rows_per_piece(geometry.piece_length) > MOST_ROWS:
            raise InputRefused(f"{path}: {geometry.piece_count} pieces of {geometry.piece_length} bytes are too many")

        def load(database: sqlite3.Connection) -> None:
            database.execute("BEGIN")
            try:
                found = find_torrent(database, info_hash)
                if found is None:
                    kept.number = max(last_torrent(database), *self._numbered, 0) + 1
                else:
                    kept.made, (kept.number, *measures) = True, found
                    if measures != [geometry.total, geometry.piece_length]:
                        raise InputRefused(f"{path}: torrent {info_hash} is kept there with other measures")
                    kept.bits = load_bits(database, kept.number, geometry.piece_count)
            finally:
                database.execute("ROLLBACK")

        with self._database.changing:
            kept = self._torrents.get(info_hash) or Kept(info_hash, geometry)
            if not kept.openings:
                self._database.read(load)
                self._space.enter(kept.number, info_hash, geometry)
                self._torrents[info_hash] = self._numbered[kept.number] = kept
            kept.openings += 1
            return kept

    def leave(self, kept: Kept) -> bool:
        """Close a torrent. Whether nobody is left."""
        with self._database.changing:
            kept.openings -= 1
            if not kept.openings:
                self._space.leave(kept.number)
                del self._torrents[kept.info_hash], self._numbered[kept.number]
            return not self._torrents

    def close(self) -> None:
        """Save the order of use, and let go of the database."""
        try:
            if uses := self._space.uses():
                self._database.write(lambda database: save_uses(database, uses))
        except StorageFailed as failed:  # it is only an order
            log.warning("order of use not saved path=%s reason=%s", failed.path, failed.reason)
        finally:
            self._database.close()

    def write(self, kept: Kept, piece: int, begin: int, length: int, buffers: Sequence[Buffer]) -> None:
        """Write a part of a piece; what has to make room for it is given up. Raises StorageFailed."""
        size = kept.geometry.length_of(piece)
        wanted, lost = None, None
        while lost is None:  # again if another thread has taken the room
            if not self._space.fits(kept.number, piece, size):
                wanted = self._ask()
            lost = self._write(kept, piece, begin, length, buffers, wanted)
        for tell, pieces in lost:
            tell(pieces)

    def read(self, kept: Kept, spans: Iterable[tuple[int, int, int]], view: memoryview) -> None:
        """Fill *view* with (piece, begin, length) after (piece, begin, length). Raises StorageFailed."""
        geometry, spans = kept.geometry, list(spans)

        def work(database: sqlite3.Connection) -> None:
            at = 0
            for piece, begin, length in spans:
                for part in parts_of(kept.number, geometry, piece, begin, length):
                    found = read_part(database, part)
                    if found is None:
                        place = f"at offset {geometry.offset_of(piece) + begin} of torrent {kept.info_hash}"
                        raise StorageFailed(self._database.path, f"{len(view) - at} bytes short {place}")
                    view[at : at + part.length] = found
                    at += part.length

        self._database.read(work)
        self._space.use(kept.number, (piece for piece, _, _ in spans))

    def record(self, kept: Kept, complete: Sequence[int], incomplete: Sequence[int]) -> None:
        """Record pieces, durably as all that was written before; those without bytes are not complete. See Groups."""
        self._database.sync()  # the most of it, while others read and write
        with self._database.changing:
            if not kept.made:
                return  # nothing was ever written
            gained = [piece for piece in complete if kept.bits.written[piece]]
            lost = [piece for piece in incomplete if kept.bits.written[piece]]
            changes = [Change(gained, known=True, complete=True), Change(lost, known=True, complete=False)]
            self._space.use(kept.number, gained)
            uses = self._space.uses()

            def work(database: sqlite3.Connection) -> None:
                change_bits(database, kept.number, changes)
                save_uses(database, uses)

            self._database.write(work, durable=True)
            self._space.settle(kept.number, gained, lost)
            for change in changes:
                change.apply(kept.bits, change.pieces)

    def sync(self) -> None:
        """Make durable what was written. Raises StorageFailed."""
        self._database.sync()

    def remove(self, kept: Kept) -> None:
        """Delete all of a torrent's bytes, and make the file smaller by them. Raises StorageFailed."""
        step = max(1, _AT_ONCE // kept.geometry.piece_length)
        written = list(kept.bits.written.search(1))
        for at in range(0, len(written), step):
            with self._database.changing:
                pieces = written[at : at + step]
                self._database.write(partial(_delete, torrent=kept.number, pieces=pieces))
                self._lose(kept.number, pieces)
        with self._database.changing:
            self._database.write(partial(forget_torrent, torrent=kept.number), durable=True)
            kept.made, kept.bits = False, Bits.none(kept.geometry.piece_count)
        self._database.shrink()

    def _write(
        self,
        kept: Kept,
        piece: int,
        begin: int,
        length: int,
        buffers: Sequence[Buffer],
        wanted: Mapping[InfoHash, bitarray] | None,
    ) -> list[tuple[Callable[[Sequence[int]], None], list[int]]] | None:
        """The same; whom to tell of what was given up, or None where something must be and nobody was asked."""
        geometry, bits, size, number = kept.geometry, kept.bits, kept.geometry.length_of(piece), kept.number
        with self._database.changing:
            if wanted is None and not self._space.fits(number, piece, size):
                return None
            begins = not bits.written[piece] or bits.known[piece]
            started = Change([piece], known=False, complete=False, written=True)
            leaving = self._space.make_room(number, piece, size, wanted or {})

            def work(database: sqlite3.Connection) -> None:
                for shelf, pieces, _ in leaving:
                    _delete(database, shelf.row.number, pieces)
                if not kept.made:
                    add_torrent(database, number, kept.info_hash, geometry)
                parts = list(parts_of(number, geometry, piece, begin, length))
                for part, views in zip(parts, cut(buffers, (part.length for part in parts)), strict=True):
                    write_part(database, part, views)
                if begins:
                    change_bits(database, number, [started])

            try:
                self._database.write(work)
            except BaseException:
                self._space.stays(leaving)
                raise
            kept.made = True
            self._space.hold(number, piece, size)
            if begins:
                started.apply(bits, [piece])
            lost = []
            for shelf, pieces, complete in leaving:
                self._lose(shelf.row.number, pieces)
                if complete and shelf.row.number in self._numbered:
                    lost += [(tell, complete) for tell in self._numbered[shelf.row.number].tells]
            return lost

    def _ask(self) -> Mapping[InfoHash, bitarray]:
        """What the clients of all open torrents want; one torrent answers for all of a client. With no lock held."""
        wanted: dict[InfoHash, bitarray] = {}
        for kept in list(self._torrents.values()):
            if kept.info_hash not in wanted:
                for heed in list(kept.heeds):
                    wanted.update(heed())
        return wanted

    def _lose(self, number: int, pieces: Sequence[int]) -> None:
        """After the commit: what was taken away is not known any more."""
        self._space.gone(number, pieces)
        kept = self._numbered.get(number)
        if kept is not None:
            _gone(pieces).apply(kept.bits, pieces)


def _delete(database: sqlite3.Connection, torrent: int, pieces: Sequence[int]) -> None:
    """Within a transaction: take pieces away, of a torrent that is open or not."""
    delete_pieces(database, torrent, pieces)
    change_bits(database, torrent, [_gone(pieces)])


def _gone(pieces: Sequence[int]) -> Change:
    return Change(pieces, known=False, complete=False, written=False)
