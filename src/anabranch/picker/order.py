"""The order in which a torrent's pieces are asked for.

Source: the Go engine's request order (priority, then pieces already begun, then the rarest), with ties broken at random
so that the peers of a young swarm do not all fetch the same piece. Held are the pieces of which something may be asked
now; whoever asks skips what the peer lacks.

Pieces of equal standing share a bucket: an array in random order, from which a piece leaves by changing places with the
last. A change costs O(1) in the number of pieces, and a piece some 12 bytes, because torrents have 350,000 of them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bitarray import bitarray

from anabranch.model import Priority, no_pieces


class Standing(NamedTuple):
    """What decides a piece's place. Ascending order of *key* is the order of asking."""

    priority: Priority
    partial: bool
    availability: int

    @property
    def key(self) -> tuple[int, bool, int]:
        """Higher priority first, begun pieces first, rarer pieces first."""
        return (-self.priority, not self.partial, self.availability)


class _Bucket:
    __slots__ = ("pieces", "standing")

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.pieces = array("i")


class PieceOrder:
    """The pieces of one torrent that may be asked for, best first.

    Adding what is there already moves it; deleting what is not there does nothing: replays are harmless.

    Args:
        piece_count: Number of pieces in the torrent.
        draw: Gives a random integer in [0, n); fixed in tests.
    """

    def __init__(self, piece_count: int, draw: Callable[[int], int]) -> None:
        self._draw = draw
        self._places = array("i", bytes(4 * piece_count))  # where in its bucket a piece is
        self._bucket_of: list[_Bucket | None] = [None] * piece_count
        self._buckets: dict[Standing, _Bucket] = {}
        self._keys: list[tuple[int, bool, int]] = []
        self._by_key: dict[tuple[int, bool, int], _Bucket] = {}
        self.members: bitarray = no_pieces(piece_count)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, piece: int) -> bool:
        return self._bucket_of[piece] is not None

    def get(self, piece: int) -> Standing | None:
        """The standing under which the piece is held, if it is."""
        bucket = self._bucket_of[piece]
        return bucket.standing if bucket else None

    def add(self, piece: int, standing: Standing) -> None:
        """Hold the piece, or move it to its new standing."""
        bucket = self._bucket_of[piece]
        if bucket is not None:
            if bucket.standing == standing:
                return
            self._take_out(piece, bucket)
        else:
            self._count += 1
            self.members[piece] = True
        self._put_in(piece, self._bucket_for(standing))

    def delete(self, piece: int) -> bool:
        """Hold the piece no longer. Tells whether it was held."""
        bucket = self._bucket_of[piece]
        if bucket is None:
            return False
        self._take_out(piece, bucket)
        self._bucket_of[piece] = None
        self.members[piece] = False
        self._count -= 1
        return True

    def scan(self) -> Iterator[int]:
        """The pieces held, best first. The order must not change while this is read.

        Of what a reader waits for, equals come by index; of the rest in random order.
        """
        for key in self._keys:
            bucket = self._by_key[key]
            if bucket.standing.priority >= Priority.READAHEAD:
                yield from sorted(bucket.pieces)
            else:
                yield from bucket.pieces

    def _bucket_for(self, standing: Standing) -> _Bucket:
        bucket = self._buckets.get(standing)
        if bucket is None:
            bucket = self._buckets[standing] = self._by_key[standing.key] = _Bucket(standing)
            insort(self._keys, standing.key)
        return bucket

    def _put_in(self, piece: int, bucket: _Bucket) -> None:
        pieces, places = bucket.pieces, self._places
        last = len(pieces)
        place = self._draw(last + 1)
        if place == last:
            pieces.append(piece)
        else:  # one step of a shuffle: the newcomer takes any place, its holder goes to the end
            moved = pieces[place]
            pieces.append(moved)
            places[moved] = last
            pieces[place] = piece
        places[piece] = place
        self._bucket_of[piece] = bucket

    def _take_out(self, piece: int, bucket: _Bucket) -> None:
        pieces, place = bucket.pieces, self._places[piece]
        moved = pieces.pop()
        if moved != piece:
            pieces[place] = moved
            self._places[moved] = place
        if not pieces:
            key = bucket.standing.key
            del self._buckets[bucket.standing], self._by_key[key], self._keys[bisect_left(self._keys, key)]
