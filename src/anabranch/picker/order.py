"""The order in which a torrent's pieces are asked for.

Source: the Go engine's request order (priority, then pieces already begun, then the rarest). Here, what no leecher has
comes before begun pieces that some have: only seeds can give it, and their lines are what a young swarm waits for. It
breaks ties by index; here they fall at random, so that not all fetch the same piece. What a reader waits for comes by
index; so does all of a torrent whose storage is bounded (shared.py), where the Go engine's order is kept as it is.

Pieces of equal standing share a bucket, and a change costs O(1) in the number of pieces: one that is random is an array
from which a piece leaves by changing places with the last, one by index is a set of bits. A piece costs some 20 bytes,
because torrents have 350,000 of them. Of which torrent the pieces are is not known here; strict.py is the twin that
reports misuse.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from itertools import chain, groupby, islice
from typing import NamedTuple

from bitarray import bitarray
from bitarray.util import count_n

from anabranch.model import Priority, no_pieces

SKIP = 512  # pieces that a peer may lack before sets are compared
DENSE = 8  # and for each one found, so many more: who has an eighth of all is walked along with, at little cost
SOME = 1024  # pieces that are put in order at a time, once sets were compared

_RARITY_BITS = 24
_MIDDLE = 1 << (_RARITY_BITS - 1)  # an availability counts from the seeds, and may be negative
_MOST = int(max(Priority))


class Standing(NamedTuple):
    """What decides a piece's place. *availability*: leechers that have it; how many seeds there are is left out."""

    priority: Priority
    partial: bool
    availability: int

    @property
    def key(self) -> tuple[int, bool, bool, int]:
        """Sorts by the order of asking: higher priority, then what no leecher has, begun pieces, rarer pieces first."""
        return (-self.priority, self.availability > 0, not self.partial, self.availability)

    @property
    def plain_key(self) -> tuple[int, bool, int]:
        """The same where ties come by index: the documented order, in which nothing goes before begun pieces."""
        return (-self.priority, not self.partial, self.availability)


def rank_of(standing: Standing) -> int:
    """A number that sorts as *key* does."""
    priority, partial, availability = standing
    shelf = (_MOST - priority) << 2 | (availability > 0) << 1 | (not partial)
    return (shelf << _RARITY_BITS) + _MIDDLE + availability


def plain_rank_of(standing: Standing) -> int:
    """A number that sorts as *plain_key* does."""
    priority, partial, availability = standing
    return (((_MOST - priority) << 2 | 2 | (not partial)) << _RARITY_BITS) + _MIDDLE + availability


def shelf_of(rank: int) -> int:
    """What ranks have in common that differ by their availability, in the last bits."""
    return rank >> _RARITY_BITS


def nobodys_rank(rank: int) -> int:
    """Behind all of its shelf."""
    return rank | ((1 << _RARITY_BITS) - 1)


def kept_rank(rank: int) -> int:
    """Before all of its priority."""
    return rank >> (_RARITY_BITS + 2) << (_RARITY_BITS + 2)


def is_urgent(shelf: int) -> bool:
    """Whether readers want these pieces, in the order of the content."""
    return _MOST - (shelf >> 2) >= Priority.READAHEAD


class Shuffled:
    """Pieces of equal standing in random order. *places*, where each piece is, belongs to all such buckets."""

    __slots__ = ("_draw", "_places", "pieces", "rank", "standing")

    def __init__(self, standing: Standing, rank: int, places: array[int], draw: Callable[[int], int]) -> None:
        self.standing = standing
        self.rank = rank
        self.pieces = array("i")
        self._places = places
        self._draw = draw

    def __len__(self) -> int:
        return len(self.pieces)

    def put(self, piece: int) -> None:
        """Take the piece in: one step of a shuffle, the newcomer takes any place and its holder goes to the end."""
        pieces, places = self.pieces, self._places
        last = len(pieces)
        place = self._draw(last + 1)
        if place == last:
            pieces.append(piece)
        else:
            moved = pieces[place]
            pieces.append(moved)
            places[moved] = last
            pieces[place] = piece
        places[piece] = place

    def take(self, piece: int) -> None:
        """Let the piece go."""
        pieces, place = self.pieces, self._places[piece]
        moved = pieces.pop()
        if moved != piece:
            pieces[place] = moved
            self._places[moved] = place


class ByIndex:
    """Pieces of equal standing in the order of the content."""

    __slots__ = ("_count", "bits", "rank", "standing")

    def __init__(self, standing: Standing, rank: int, piece_count: int) -> None:
        self.standing = standing
        self.rank = rank
        self.bits: bitarray = no_pieces(piece_count)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, piece: int) -> None:
        """Take the piece in."""
        self.bits[piece] = True
        self._count += 1

    def take(self, piece: int) -> None:
        """Let the piece go."""
        self.bits[piece] = False
        self._count -= 1


class PieceOrder:
    """The pieces of one torrent that may be asked for, best first.

    Adding what is there already moves it; updating or deleting what is not there does nothing: replays are harmless.

    Args:
        piece_count: Number of pieces in the torrent.
        draw: Gives a random integer in [0, n); fixed in tests.
        by_index: Ties come by index, all of them. Costs a bit of each piece for every standing that there is.
    """

    def __init__(self, piece_count: int, draw: Callable[[int], int], *, by_index: bool = False) -> None:
        self._draw = draw
        self._by_index = by_index
        self._rank_of = plain_rank_of if by_index else rank_of
        self._places = array("i", bytes(0 if by_index else 4 * piece_count))  # where in its bucket a piece is
        self._bucket_of: list[Shuffled | ByIndex | None] = [None] * piece_count
        self._buckets: dict[int, Shuffled | ByIndex] = {}  # by rank
        self._keys: list[int] = []  # the ranks, ascending
        self._shelves: dict[int, bitarray] = {}  # of each shelf that is in random order, the pieces
        self.members: bitarray = no_pieces(piece_count)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, piece: int) -> bool:
        return self._bucket_of[piece] is not None

    def get(self, piece: int) -> Standing | None:
        """The standing under which the piece is held, if it is."""
        bucket = self._bucket_of[piece]
        return bucket.standing if bucket is not None else None

    def add(self, piece: int, standing: Standing) -> Standing | None:
        """Hold the piece, or move it to its new standing. Answers the one that it had."""
        before = self._bucket_of[piece]
        rank = self._rank_of(standing)
        if before is None:
            self._count += 1
            self.members[piece] = True
            self._put_in(piece, rank, standing)
            self._mark(piece, shelf_of(rank), True)
            return None
        if before.rank != rank:
            self._move(piece, before, rank, standing)
        return before.standing

    def update(self, piece: int, standing: Standing) -> bool:
        """Move a piece that is held to its new standing. Tells whether it is held and had another one."""
        before = self._bucket_of[piece]
        if before is None or before.rank == (rank := self._rank_of(standing)):
            return False
        self._move(piece, before, rank, standing)
        return True

    def delete(self, piece: int) -> bool:
        """Hold the piece no longer. Tells whether it was held."""
        bucket = self._bucket_of[piece]
        if bucket is None:
            return False
        self._take_out(piece, bucket)
        self._mark(piece, shelf_of(bucket.rank), False)
        self._bucket_of[piece] = None
        self.members[piece] = False
        self._count -= 1
        return True

    def scan(self, has: bitarray | None = None) -> Iterator[int]:
        """The pieces held, best first; only those in *has*, if that is given.

        The order must not change while this is read. What is not in *has* costs little, wherever it stands: after
        some steps in vain sets are compared, once for each shelf. From there on, of a peer that has
        more than SOME pieces there, any SOME are put in order at a time: that is rarest first but for those left out.
        """
        for shelf, ranks in groupby(self._keys, shelf_of):
            several = [self._buckets[rank] for rank in ranks]
            if has is None or self._by_index or is_urgent(shelf):
                for bucket in several:
                    if isinstance(bucket, Shuffled):
                        yield from bucket.pieces
                    else:
                        yield from (bucket.bits if has is None else bucket.bits & has).search(1)
            else:
                yield from self._on_shelf(shelf, several, has)

    def buckets(self) -> Iterator[Shuffled | ByIndex]:
        """The buckets, best first."""
        return (self._buckets[rank] for rank in self._keys)

    def _on_shelf(self, shelf: int, several: list[Shuffled | ByIndex], has: bitarray) -> Iterator[int]:
        found: list[int] = []
        patience = SKIP
        for piece in chain.from_iterable(bucket.pieces for bucket in several if isinstance(bucket, Shuffled)):
            if has[piece]:
                found.append(piece)
                patience += DENSE
                yield piece
            elif patience:
                patience -= 1
            else:
                break
        else:
            return
        rest = self._shelves[shelf] & has
        rest[found] = False
        while left := rest.count():
            start = count_n(rest, self._draw(left)) if left > SOME else 0
            some = list(islice(chain(rest.search(1, start), rest.search(1, 0, start)), SOME))
            rest[some] = False
            some.sort(key=self._place_of)
            yield from some

    def _place_of(self, piece: int) -> tuple[int, int]:
        bucket = self._bucket_of[piece]
        return (bucket.rank if bucket is not None else 0, self._places[piece])

    def _move(self, piece: int, before: Shuffled | ByIndex, rank: int, standing: Standing) -> None:
        self._take_out(piece, before)
        self._put_in(piece, rank, standing)
        if before.rank >> _RARITY_BITS != rank >> _RARITY_BITS:
            self._mark(piece, shelf_of(before.rank), False)
            self._mark(piece, shelf_of(rank), True)

    def _mark(self, piece: int, shelf: int, held: bool) -> None:
        pieces = self._shelves.get(shelf)
        if pieces is not None:
            pieces[piece] = held

    def _put_in(self, piece: int, rank: int, standing: Standing) -> None:
        bucket = self._buckets.get(rank)
        if bucket is None:
            bucket = self._buckets[rank] = self._make(rank, standing)
            insort(self._keys, rank)
        bucket.put(piece)
        self._bucket_of[piece] = bucket

    def _make(self, rank: int, standing: Standing) -> Shuffled | ByIndex:
        shelf = shelf_of(rank)
        if self._by_index or is_urgent(shelf):
            return ByIndex(standing, rank, len(self._bucket_of))
        if shelf not in self._shelves:
            self._shelves[shelf] = no_pieces(len(self._bucket_of))
        return Shuffled(standing, rank, self._places, self._draw)

    def _take_out(self, piece: int, bucket: Shuffled | ByIndex) -> None:
        bucket.take(piece)
        if not bucket:
            del self._buckets[bucket.rank], self._keys[bisect_left(self._keys, bucket.rank)]
