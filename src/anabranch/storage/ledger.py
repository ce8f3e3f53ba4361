"""The books of a limited space, a disk cache or a database: what is kept of each torrent, who holds it, and what goes.

A piece that is kept is in one of four states. Complete: recorded, and may go, by last use. In somebody's hands: begun,
written and not recorded yet; it stays while its torrent is open. Left: an earlier run did not record it; the same until
somebody looks at it, but nobody may count on its space. Denied: found wrong, the first to go. Of torrents that are not
open anything may go. A machine without I/O and without a lock; who moves the bytes has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from bitarray import bitarray

from anabranch.model import InfoHash, no_pieces

from .quota import Quota

AT_ONCE = 64  # parts of the space: of what nobody wants so much goes at a time, which makes a record's sync cheap
SPARE = 32  # parts: one is left free where torrents are larger than the space, so that something nobody wants is there
_BITS = 32  # of a key that are the piece
_PIECE = (1 << _BITS) - 1


class Row(NamedTuple):
    """A torrent of the space: its number in the index, its name, and its measures in bytes."""

    number: int
    info_hash: InfoHash
    piece_length: int
    total: int


class Shelf:
    """What the space has of one torrent.

    Attributes:
        row: Its place in the index.
        stride: Bytes between the beginnings of two pieces in its file; what a piece counts with where nobody says less.
        whole: Bytes that all pieces together count with.
        kept: Pieces of which there are bytes.
        complete: Of them, those recorded complete.
        left: Of them, those that an earlier run left unrecorded, and nobody has written to since.
        denied: Of them, those found wrong.
        open: Somebody has it open.
        made: Its file is there.
        dirty: Written to and not synced.
        tell: Who is told what was given up.
        wanted: Knows what is wanted.
    """

    def __init__(self, row: Row, block: int) -> None:
        self.row = row
        self.stride = stride_of(row.piece_length, block)
        count = -(-row.total // row.piece_length)
        self.whole = (count - 1) * self.stride + stride_of(row.total - (count - 1) * row.piece_length, block)
        self.kept = no_pieces(count)
        self.complete = no_pieces(count)
        self.left = no_pieces(count)
        self.denied = no_pieces(count)
        self.open = self.made = self.dirty = False
        self.tell: Callable[[Sequence[int]], None] = lambda pieces: None
        self.wanted: Callable[[], Mapping[InfoHash, bitarray]] = dict

    @property
    def path(self) -> tuple[str, ...]:
        """Of its file, below the cache's directory."""
        return (f"{self.row.info_hash}.cache",)

    def key(self, piece: int) -> int:
        """One number for a piece of any torrent."""
        return self.row.number << _BITS | piece


class Leaving(NamedTuple):
    """Pieces of one torrent that are on their way out: ascending, and those that were complete."""

    shelf: Shelf
    pieces: list[int]
    complete: list[int]


class Ledger:
    """The books of one space.

    Args:
        limit: Bytes that may be kept.
    """

    def __init__(self, limit: int) -> None:
        self.shelves: dict[int, Shelf] = {}  # by their number in the index
        self._quota: Quota[int] = Quota(limit)
        self._denied: dict[int, None] = {}  # keys, in the order in which they were found wrong
        self._reads: dict[int, int] = {}  # keys of what is being read, and how often
        self._used: dict[int, None] = {}  # keys of what was used and is not saved, the last one last

    @property
    def limit(self) -> int:
        """Bytes that it may take."""
        return self._quota.limit or 0

    @limit.setter
    def limit(self, limit: int) -> None:
        self._quota.limit = limit

    @property
    def used(self) -> int:
        """Bytes that are kept."""
        return self._quota.used

    def opened(self) -> list[Shelf]:
        """The torrents that somebody has open."""
        return [shelf for shelf in self.shelves.values() if shelf.open]

    def room(self) -> int:
        """Bytes of pieces that may be wanted of all open torrents together."""
        shelves = self.opened()
        limit = self.limit
        if sum(shelf.whole for shelf in shelves) <= limit:
            return limit
        longest = max(shelf.stride for shelf in shelves)
        taken = sum(shelf.left.count() * shelf.stride for shelf in shelves) + _whole(limit // SPARE, longest)
        room = max(limit - taken, min(limit, longest))
        return min(room * shelf.row.piece_length // shelf.stride for shelf in shelves)

    def load(self, shelf: Shelf, piece: int, size: int | None = None) -> None:
        """Something of the piece was found on the disk. To be called for what was used longest ago first."""
        self._quota.keep(shelf.key(piece), size or shelf.stride)
        self._quota.settle(shelf.key(piece))

    def enter(self, shelf: Shelf) -> None:
        """Somebody opens the torrent: what of it is not recorded may be what he goes on with."""
        shelf.open = True
        for piece in shelf.left.search(1):
            self._hold(shelf.key(piece))

    def leave(self, shelf: Shelf) -> None:
        """He closes it: all of it may go."""
        shelf.open = False
        shelf.tell, shelf.wanted = lambda pieces: None, dict
        shelf.left = shelf.kept & ~shelf.complete & ~shelf.denied
        for piece in shelf.left.search(1):
            self._quota.settle(shelf.key(piece))

    def keep(self, shelf: Shelf, piece: int, size: int | None = None) -> None:
        """The piece is in somebody's hands. It counts with *size* bytes, or else its stride."""
        shelf.kept[piece] = True
        shelf.left[piece] = shelf.denied[piece] = False
        key = shelf.key(piece)
        self._denied.pop(key, None)
        self._quota.keep(key, size or shelf.stride)

    def settle(self, shelf: Shelf, piece: int) -> None:
        """The piece was recorded complete. What is not kept stays so."""
        if shelf.kept[piece]:
            shelf.complete[piece] = True
            shelf.left[piece] = shelf.denied[piece] = False
            key = shelf.key(piece)
            self._denied.pop(key, None)
            self._quota.settle(key)

    def take(self, shelf: Shelf, pieces: Iterable[int]) -> list[int]:
        """Pieces are to be recorded: those of them that are kept stay until they are. Answers these."""
        there = [piece for piece in pieces if shelf.kept[piece]]
        for piece in there:
            self._hold(shelf.key(piece))
        return there

    def deny(self, shelf: Shelf, piece: int) -> None:
        """The piece was found wrong. What is not kept stays so."""
        if shelf.kept[piece]:
            shelf.complete[piece] = shelf.left[piece] = False
            shelf.denied[piece] = True
            key = shelf.key(piece)
            self._hold(key)  # no more by last use
            self._denied[key] = None

    def begin_reading(self, shelf: Shelf, pieces: range) -> None:
        """Pieces that are kept are being read, and stay until they were."""
        for piece in pieces:
            key = shelf.key(piece)
            self._reads[key] = self._reads.get(key, 0) + 1
        self.use(shelf, pieces)

    def use(self, shelf: Shelf, pieces: Iterable[int]) -> None:
        """Pieces are used now. What is not kept is not concerned."""
        for piece in pieces:
            key = shelf.key(piece)
            if key in self._quota:
                self._quota.use(key)
                self._used.pop(key, None)
                self._used[key] = None

    def end_reading(self, shelf: Shelf, pieces: range) -> None:
        """They were."""
        for piece in pieces:
            key = shelf.key(piece)
            left = self._reads.pop(key) - 1
            if left:
                self._reads[key] = left

    def uses(self) -> list[tuple[int, int]]:
        """What was used since the last time, in that order: torrents' numbers and pieces."""
        used, self._used = self._used, {}
        return [(key >> _BITS, key & _PIECE) for key in used]

    def dismiss(self, more: int, wanted: Mapping[InfoHash, bitarray]) -> list[Leaving]:
        """Choose what goes for *more* bytes to fit: it is not kept any more, though it takes its bytes until gone().

        What was denied goes first, then, in the order of last use, what is not in *wanted*, and then what is.
        """
        over = self.used + more - self.limit
        if over <= 0:
            return []
        victims = self._free_to_go(self._denied, over)
        over -= self._size(victims)
        if over > 0:
            longest = max(shelf.stride for shelf in self.shelves.values())
            ahead = more - self._size(victims) + _whole(self.limit // AT_ONCE, longest)
            cheap = self._unwanted(wanted, ahead)
            victims += cheap
            over -= self._size(cheap)
        if over > 0:
            gone = set(victims)
            victims += self._free_to_go((key for key in self._quota.idle() if key not in gone), over)
        return self._out(victims)

    def dismiss_all(self, shelf: Shelf, pieces: bitarray) -> list[Leaving]:
        """The same of these pieces of a torrent, whoever has them."""
        return self._out([shelf.key(piece) for piece in (shelf.kept & pieces).search(1)])

    def stays(self, leaving: Leaving) -> None:
        """Nothing has happened to these pieces after all."""
        shelf, pieces, complete = leaving
        shelf.kept[pieces] = True
        shelf.complete[complete] = True

    def size_of(self, shelf: Shelf, pieces: Iterable[int]) -> int:
        """Bytes that the pieces take, until they are gone()."""
        return self._size(map(shelf.key, pieces))

    def gone(self, shelf: Shelf, piece: int) -> None:
        """The piece takes no bytes any more."""
        for bits in (shelf.kept, shelf.complete, shelf.left, shelf.denied):
            bits[piece] = False
        key = shelf.key(piece)
        self._quota.remove(key)
        self._denied.pop(key, None)
        self._used.pop(key, None)

    def all_gone(self, shelf: Shelf) -> list[int]:
        """Nothing of the torrent is there. Answers what was complete."""
        complete = list(shelf.complete.search(1))
        for piece in range(len(shelf.kept)):
            self.gone(shelf, piece)
        shelf.made = shelf.dirty = False
        return complete

    def _out(self, keys: list[int]) -> list[Leaving]:
        by_shelf: dict[Shelf, list[int]] = {}
        for key in sorted(keys):
            by_shelf.setdefault(self.shelves[key >> _BITS], []).append(key & _PIECE)
        leaving = []
        for shelf, pieces in by_shelf.items():
            leaving.append(Leaving(shelf, pieces, [piece for piece in pieces if shelf.complete[piece]]))
            shelf.complete[pieces] = shelf.kept[pieces] = False
        return leaving

    def _free_to_go(self, keys: Iterable[int], over: int) -> list[int]:
        """The first of these that nobody reads, until they make up so many bytes."""
        victims = []
        for key in keys:
            if over <= 0:
                break
            if key not in self._reads:
                victims.append(key)
                over -= self._size([key])
        return victims

    def _unwanted(self, wanted: Mapping[InfoHash, bitarray], more: int) -> list[int]:
        """What nobody wants and nobody reads, used longest ago first, for *more* bytes to fit.

        Where that is not more than is needed all of it goes, found without a walk over what is wanted: that is
        everything then, and would be walked over for each piece that comes.
        """
        loose: list[tuple[Shelf, bitarray]] = []
        for shelf in self.shelves.values():
            bits = shelf.complete if shelf.open else shelf.kept & ~shelf.denied
            if shelf.open and shelf.row.info_hash in wanted:
                bits = bits & ~wanted[shelf.row.info_hash]
            loose.append((shelf, bits))
        if sum(bits.count() * shelf.stride for shelf, bits in loose) > self.used + more - self.limit:
            return self._quota.surplus(more, self._dear(wanted))
        keys = (shelf.key(piece) for shelf, bits in loose for piece in bits.search(1))
        return [key for key in keys if key not in self._reads and self._quota.may_go(key)]

    def _dear(self, wanted: Mapping[InfoHash, bitarray]) -> Callable[[int], bool]:
        by_number = {
            number: wanted[shelf.row.info_hash]
            for number, shelf in self.shelves.items()
            if shelf.open and shelf.row.info_hash in wanted
        }

        def dear(key: int) -> bool:
            pieces = by_number.get(key >> _BITS)
            return key in self._reads or (pieces is not None and bool(pieces[key & _PIECE]))

        return dear

    def _size(self, keys: Iterable[int]) -> int:
        return sum(map(self._quota.size, keys))

    def _hold(self, key: int) -> None:
        """What is kept may not go."""
        self._quota.keep(key, self._quota.size(key))


def limit_for(wanted: int, whole: int) -> int:
    """The least limit with room for *wanted* bytes of pieces at a time, of torrents that have *whole* bytes of them."""
    return min(whole, -(-wanted * SPARE // (SPARE - 1)))


def stride_of(piece_length: int, block: int) -> int:
    """Bytes that a piece takes where space is freed in blocks."""
    return -(-piece_length // block) * block


def _whole(size: int, longest: int) -> int:
    """What of it are whole pieces: a part of one would cost all of it."""
    return size // longest * longest
