"""What is known of each piece of one torrent, and so which may be asked for.

Three facts decide (the truth table of the completion store): whether the state is known, whether the piece is complete,
and what it is worth. A piece is in the request order exactly while it is known, incomplete, wanted, not being hashed or
written, and some block of it was not asked for yet.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import chain, compress

from bitarray import bitarray

from anabranch.model import Geometry, Priority, no_pieces
from anabranch.picker import PieceOrder, PieceProgress, Standing

_PRIORITIES = tuple(Priority)


class PieceTable:
    """The pieces of one torrent. Every change of one piece costs O(1) or O(log n).

    What is needed for peers only, the request order and the numbers of copies, is made when the first one comes: most
    torrents of a client that has thousands have nobody.
    """

    def __init__(self, geometry: Geometry, draw: Callable[[int], int], *, learned: bool = True) -> None:
        count = geometry.piece_count
        self.geometry = geometry
        self.complete: bitarray = no_pieces(count)
        self.known: bitarray = no_pieces(count)
        self.worth = bytearray(count)  # Priority of each piece
        self.seeds = 0  # peers that have everything, or had it
        self.ordered = True  # False: refresh() does nothing, and the order is empty
        self._order: PieceOrder | None = None
        self._availability: array[int] | None = None
        self._draw = draw
        self._wanted_length: int | None = None
        self.begun: dict[int, PieceProgress] = {}
        self.busy: set[int] = set()  # being hashed or written
        self.complete_count = 0
        self.missing_wanted = 0
        self.learned = learned  # False: how many pieces there are is not known yet

    @property
    def order(self) -> PieceOrder:
        """The pieces of which something may be asked for."""
        if self._order is None:
            self._order = PieceOrder(self.geometry.piece_count, self._draw)
        return self._order

    @property
    def availability(self) -> array[int]:
        """Of each piece, the peers that have it beside the seeds, less seeds that lost it."""
        if self._availability is None:
            self._availability = array("h", bytes(2 * self.geometry.piece_count))
        return self._availability

    def disband(self) -> None:
        """There is nobody to be asked: keep no order until it is made anew."""
        self.ordered = False
        self._order = None

    def standing(self, piece: int) -> Standing:
        """Where in the request order the piece belongs. What readers want comes in the order of the content."""
        worth = _PRIORITIES[self.worth[piece]]
        rarity = 0 if worth >= Priority.READAHEAD else self.availability[piece]
        return Standing(worth, piece in self.begun, rarity)

    def requestable(self, piece: int) -> bool:
        """Whether any block of the piece may be asked for now."""
        if self.complete[piece] or not self.worth[piece] or not self.known[piece] or piece in self.busy:
            return False
        progress = self.begun.get(piece)
        return progress is None or progress.has_free

    def refresh(self, piece: int) -> None:
        """Bring the request order up to date after a change of the piece."""
        if not self.ordered:
            return
        if self.requestable(piece):
            self.order.add(piece, self.standing(piece))
        elif self._order is not None and piece in self._order:
            self._order.delete(piece)

    def set_worth(self, piece: int, priority: int) -> bool:
        """Change what the piece is worth. Tells whether it changed."""
        before = self.worth[piece]
        if before == priority:
            return False
        self.worth[piece] = priority
        self._wanted_length = None
        if not self.complete[piece]:
            self.missing_wanted += bool(priority) - bool(before)
        self.refresh(piece)
        return True

    def set_complete(self, piece: int, complete: bool) -> bool:
        """Book what a check or a finished download found. Tells whether it changed."""
        self.known[piece] = True
        changed = bool(self.complete[piece]) != complete
        if changed:
            self.complete[piece] = complete
            step = 1 if complete else -1
            self.complete_count += step
            if self.worth[piece]:
                self.missing_wanted -= step
        self.refresh(piece)
        return changed

    def set_unknown(self, piece: int) -> None:
        """Forget what is known: the piece is neither served nor asked for until it was hashed."""
        self.set_complete(piece, complete=False)
        self.known[piece] = False
        self.refresh(piece)

    def start(self, known: bitarray, complete: bitarray) -> None:
        """Take over what the completion store knows of all pieces, before anybody sees the table."""
        self.known = known.copy()
        self.complete = complete & known
        self.complete_count = self.complete.count()
        self._count_missing()

    def replace_worth(self, start: int, worth: bytes | bytearray) -> None:
        """Change what neighbouring pieces are worth, at once. The request order follows by refresh() of each."""
        self.worth[start : start + len(worth)] = worth
        self._wanted_length = None
        self._count_missing()

    def wanted(self) -> bitarray:
        """The pieces that are worth anything, complete ones included. O(pieces), at memory's speed."""
        wanted: bitarray = bitarray(endian="big")
        wanted.pack(bytes(self.worth))
        return wanted

    @property
    def wanted_length(self) -> int:
        """Length in bytes of these pieces. Worked out anew only after a change."""
        if self._wanted_length is None:
            self._wanted_length = length_in(self.geometry, self.wanted())
        return self._wanted_length

    def _count_missing(self) -> None:
        self.missing_wanted = (self.wanted() & ~self.complete).count()

    def count_have(self, piece: int, step: int) -> None:
        """One more peer (or one fewer) has the piece."""
        self.availability[piece] += step
        if self._order is not None and piece in self._order:
            self._order.add(piece, self.standing(piece))

    def interesting(self, has: bitarray) -> bool:
        """Whether a peer with these pieces has any that is wanted and missing. O(pieces / 64)."""
        if (self.order.members & has).any():
            return True
        under_way = chain(self.begun, self.busy)
        return any(has[piece] and self.worth[piece] and not self.complete[piece] for piece in under_way)

    @property
    def is_seed(self) -> bool:
        """Whether every piece is complete."""
        return self.learned and self.complete_count == self.geometry.piece_count


def length_in(geometry: Geometry, pieces: bitarray) -> int:
    """Length in bytes of all these pieces together. O(pieces / 64), and O(files) where each file has a short piece."""
    if pieces.all():
        return geometry.content
    short = pieces[list(geometry.short)]  # no loop in Python: there may be as many as files, and users poll
    return (pieces.count() - short.count()) * geometry.piece_length + sum(compress(geometry.short.values(), short))
