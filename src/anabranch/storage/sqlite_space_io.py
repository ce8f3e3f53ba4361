"""The limited space of a database: which pieces it has room for, and which go first, over all runs.

One for all torrents of a database, open or not; the books are ledger.py's. What is not complete is given up only if its
torrent is not open: then it is in nobody's hands. Uses are counted in memory and saved with the next group and at the
end, so that to read writes nothing; of a run that was killed some are lost.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence

from bitarray import bitarray

from anabranch.model import Geometry, InfoHash

from .ledger import Leaving, Ledger, Row, Shelf
from .sqlite_rows_io import all_torrents, load_bits, load_uses, of_key, piece_key


class SharedSpace:
    """A Capacity. Safe from any thread, and never waits for a disk but in load().

    Torrents go by their numbers in the database. What room() has chosen is not kept any more; gone() or stays() is
    next, before anybody else asks for room.

    Args:
        limit: Bytes of pieces that it has room for; None for no limit, then nothing is counted.

    Attributes:
        limit: As above.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._guard = threading.Lock()
        self._ledger = Ledger(limit or 0)
        self._turn = 0

    def capacity(self) -> int | None:
        """See Capacity: how much may be wanted at a time, in bytes of pieces."""
        if self.limit is None:
            return None
        with self._guard:
            return self._ledger.room() if self._ledger.opened() else self.limit

    def load(self, database: sqlite3.Connection) -> None:
        """Begin with what the database holds."""
        if self.limit is None:
            return
        ledger, turn = Ledger(self.limit), 0
        for number, info_hash, total, piece_length in all_torrents(database):
            shelf = _shelf(number, InfoHash(info_hash), total, piece_length)
            bits = load_bits(database, number, len(shelf.kept))
            ledger.shelves[number] = shelf
            shelf.kept, shelf.complete = bits.written, bits.written & bits.complete
            shelf.left = bits.written & ~bits.known
            for piece in shelf.kept.search(1):
                # never too little; the uses know it exactly, but not of pieces that were not complete
                ledger.load(shelf, piece, min(piece_length, total - piece * piece_length))
        for key, length, last in load_uses(database):
            number, piece = of_key(key)
            used = ledger.shelves.get(number)
            if used is not None and piece < len(used.kept) and used.kept[piece]:
                ledger.load(used, piece, length)
            turn = last
        for shelf in ledger.shelves.values():
            for piece in (shelf.kept & ~shelf.complete & ~shelf.left).search(1):
                ledger.deny(shelf, piece)
        with self._guard:
            self._ledger, self._turn = ledger, turn

    def enter(self, torrent: int, info_hash: InfoHash, geometry: Geometry) -> None:
        """Somebody opens a torrent."""
        if self.limit is None:
            return
        with self._guard:
            shelf = self._ledger.shelves.get(torrent)
            if shelf is None:
                shelf = _shelf(torrent, info_hash, geometry.total, geometry.piece_length)
                self._ledger.shelves[torrent] = shelf
            for piece in shelf.left.search(1):
                self._ledger.load(shelf, piece, geometry.length_of(piece))  # which was not known before
            self._ledger.enter(shelf)

    def leave(self, torrent: int) -> None:
        """He closes it."""
        if self.limit is None:
            return
        with self._guard:
            ledger, shelf = self._ledger, self._ledger.shelves[torrent]
            ledger.leave(shelf)
            ledger.use(shelf, shelf.left.search(1))  # or else it would be the first to be given up in the next run
            if not shelf.kept.any():
                del ledger.shelves[torrent]

    def fits(self, torrent: int, piece: int, size: int) -> bool:
        """Whether nothing has to be given up for a piece to be written."""
        if self.limit is None:
            return True
        with self._guard:
            return bool(self._ledger.shelves[torrent].kept[piece]) or self._ledger.used + size <= self.limit

    def make_room(self, torrent: int, piece: int, size: int, wanted: Mapping[InfoHash, bitarray]) -> list[Leaving]:
        """Choose what goes for a piece to be written. What is unfinished never does, and may go beyond the limit."""
        if self.limit is None:
            return []
        with self._guard:
            ledger = self._ledger
            if ledger.shelves[torrent].kept[piece]:
                return []
            return ledger.dismiss(size, wanted)

    def stays(self, leaving: Iterable[Leaving]) -> None:
        """Nothing has happened to them after all."""
        with self._guard:
            for one in leaving:
                self._ledger.stays(one)

    def gone(self, torrent: int, pieces: Iterable[int]) -> None:
        """They are not there any more."""
        if self.limit is None:
            return
        with self._guard:
            shelf = self._ledger.shelves[torrent]
            for piece in pieces:
                self._ledger.gone(shelf, piece)

    def hold(self, torrent: int, piece: int, size: int) -> None:
        """It was written to: not to be given up until it is settled."""
        if self.limit is None:
            return
        with self._guard:
            shelf = self._ledger.shelves[torrent]
            self._ledger.keep(shelf, piece, size)
            shelf.complete[piece] = False

    def settle(self, torrent: int, complete: Sequence[int], wrong: Sequence[int]) -> None:
        """What is there of these was recorded."""
        if self.limit is None:
            return
        with self._guard:
            shelf = self._ledger.shelves[torrent]
            for piece in complete:
                self._ledger.settle(shelf, piece)
            for piece in wrong:
                self._ledger.deny(shelf, piece)

    def use(self, torrent: int, pieces: Iterable[int]) -> None:
        """They were read now."""
        if self.limit is None:
            return
        with self._guard:
            shelf = self._ledger.shelves.get(torrent)
            if shelf is not None:
                self._ledger.use(shelf, pieces)

    def uses(self) -> list[tuple[int, int, int]]:
        """Uses to be saved: key, length and turn. They are not told again."""
        with self._guard:
            ledger = self._ledger
            used = []
            for torrent, piece in ledger.uses():
                self._turn += 1
                used.append((piece_key(torrent, piece), ledger.size_of(ledger.shelves[torrent], [piece]), self._turn))
            return used


def _shelf(torrent: int, info_hash: InfoHash, total: int, piece_length: int) -> Shelf:
    return Shelf(Row(torrent, info_hash, piece_length, total), 1)
