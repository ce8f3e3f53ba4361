"""What is known of each piece of one torrent, and so which may be asked for.

Three facts decide (the truth table of the completion store): whether the state is known, whether the piece is complete,
and what it is worth. A piece is in the request order exactly while it is known, incomplete, wanted, not being hashed or
written, not kept for a web seed, and some block of it was not asked for yet. Where torrents share a limited space
(orders.py), all pieces are in the order, and which may be asked for is known beside it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import chain, compress

from bitarray import bitarray

from anabranch.model import Geometry, Priority, no_pieces
from anabranch.picker import PieceOrder, PieceProgress, SharedOrder, Standing, StrictOrder

_PRIORITIES = tuple(Priority)


class Ordering:
    """The request order of a torrent's pieces, while there is one.

    Attributes:
        kept: The order follows the table; else it is empty.
        strict: Our mistakes with it are reported.
        shared: What it is a part of; None where the torrent has its space for itself.
        askable: Where all pieces are in the order, those that may be asked for.
    """

    __slots__ = ("_draw", "askable", "kept", "order", "shared", "strict")

    def __init__(self, draw: Callable[[int], int]) -> None:
        self._draw = draw
        self.kept = True
        self.strict = False
        self.order: PieceOrder | None = None
        self.shared: SharedOrder | None = None
        self.askable: bitarray | None = None

    def make(self, piece_count: int) -> PieceOrder:
        """An empty one."""
        kind = StrictOrder if self.strict else PieceOrder
        self.order = kind(piece_count, self._draw, by_index=self.shared is not None)
        return self.order


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
        self.ordering = Ordering(draw)
        self._availability: array[int] | None = None
        self._wanted_length: int | None = None
        self.begun: dict[int, PieceProgress] = {}
        self.busy: set[int] = set()  # being hashed or written
        self._lent: bitarray | None = None
        self.complete_count = 0
        self.missing_wanted = 0
        self.learned = learned  # False: how many pieces there are is not known yet
        self.watch: Callable[[], object] | None = None  # called within the turn after any change (piece_states.py)

    @property
    def order(self) -> PieceOrder:
        """The pieces of which something may be asked for; where the space is shared, all pieces."""
        order = self.ordering.order
        return order if order is not None else self.ordering.make(self.geometry.piece_count)

    @property
    def ordered(self) -> bool:
        """Whether the order follows; if not, refresh() does nothing, and the order is empty."""
        return self.ordering.kept

    @property
    def piece_length(self) -> int:
        """Nominal length of a piece in bytes."""
        return self.geometry.piece_length

    @property
    def availability(self) -> array[int]:
        """Of each piece, the peers that have it beside the seeds, less seeds that lost it."""
        if self._availability is None:
            self._availability = array("h", bytes(2 * self.geometry.piece_count))
        return self._availability

    def disband(self) -> None:
        """There is nobody to be asked: keep no order until it is made anew."""
        self.ordering.kept = False
        self.ordering.order = None

    def share(self, shared: SharedOrder) -> None:
        """All pieces are in the order from now on, as soon as they are refreshed."""
        self.ordering.shared = shared
        self.ordering.askable = no_pieces(self.geometry.piece_count)
        self.ordering.order = None
        self.ordering.kept = True

    def share_no_more(self) -> None:
        """The torrent has nothing to ask any more, or its storage goes."""
        self.disband()
        self.ordering.shared = self.ordering.askable = None

    def standing(self, piece: int) -> Standing:
        """Where in the request order the piece belongs. What readers want comes in the order of the content."""
        worth = _PRIORITIES[self.worth[piece]]
        rarity = 0 if worth >= Priority.READAHEAD else self.availability[piece]
        return Standing(worth, piece in self.begun, rarity)

    def requestable(self, piece: int) -> bool:
        """Whether any block of the piece may be asked for now."""
        if self.complete[piece] or not self.worth[piece] or not self.known[piece] or piece in self.busy:
            return False
        if self._lent is not None and self._lent[piece]:
            return False
        progress = self.begun.get(piece)
        return progress is None or progress.has_free

    @property
    def lent(self) -> bitarray:
        """The pieces not begun that are kept for a web seed: nobody else is asked for them."""
        if self._lent is None:
            self._lent = no_pieces(self.geometry.piece_count)
        return self._lent

    def lend(self, pieces: range, lent: bool) -> None:
        """Keep neighbouring pieces for a web seed, or give them back."""
        if pieces:
            self.lent[pieces.start : pieces.stop] = lent
            for piece in pieces if self.ordering.kept else ():
                self.refresh(piece)

    def free(self) -> bitarray:
        """The pieces of which something may be asked for. O(pieces) at memory's speed, and O(pieces under way)."""
        free = self.known & ~self.complete & self.wanted()
        if self._lent is not None:
            free &= ~self._lent
        for piece in self.busy:
            free[piece] = False
        for piece, progress in self.begun.items():
            if not progress.has_free:
                free[piece] = False
        return free

    def refresh(self, piece: int) -> None:
        """Bring the request order up to date after a change of the piece, and tell who watches."""
        if self.watch is not None:
            self.watch()
        ordering = self.ordering
        if not ordering.kept:
            return
        askable = self.requestable(piece)
        if ordering.askable is not None:
            ordering.askable[piece] = askable
        elif not askable:
            if ordering.order is not None and piece in ordering.order:
                ordering.order.delete(piece)
            return
        order = self.order
        if piece in order:
            order.update(piece, self.standing(piece))
        else:
            order.add(piece, self.standing(piece))

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
        if self.watch is not None:
            self.watch()

    def replace_worth(self, start: int, worth: bytes | bytearray) -> None:
        """Change what neighbouring pieces are worth, at once. The request order follows by refresh() of each."""
        self.worth[start : start + len(worth)] = worth
        self._wanted_length = None
        if self.watch is not None:
            self.watch()
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
        order = self.ordering.order
        if order is not None and piece in order:
            order.update(piece, self.standing(piece))

    @property
    def askable(self) -> bitarray | None:
        """The pieces of which something may be asked for; None while there is no order. Not to be changed."""
        ordering = self.ordering
        if ordering.askable is not None or ordering.order is None:
            return ordering.askable
        return ordering.order.members

    def interesting(self, has: bitarray) -> bool:
        """Whether a peer with these pieces has any that is wanted and missing. O(pieces / 64)."""
        askable = self.askable
        if askable is not None and (askable & has).any():
            return True
        if self._lent is not None and (self._lent & has).any():
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
