"""Which pieces a peer says it has (BEP 3, BEP 6, BEP 54), also before we know how many there are (BEP 9).

Who has a magnet link talks to peers without knowing the torrent's measures. What they tell of their pieces is held
until these are known, in a few sets of bits; whether it could be true is seen then.

BEP 3 has the bitfield sent once, as the first message. aria2 1.36 sends one again and again, where that is shorter than
to tell of each new piece, so each is taken for what the peer has from then on.
"""

from __future__ import annotations

from bitarray import bitarray
from bitarray.util import zeros

from anabranch.model import Geometry, Misused, PeerFault, all_pieces, bitfield_from, no_pieces

from .events import Event, PeerHas
from .extensions import DontHave
from .messages import AllowedFast, Bitfield, Have, HaveAll, HaveNone, Suggest

MAX_UNMEASURED = 2 * 1024 * 1024  # pieces, while the measures are unknown; 16 MiB of v1 info tell of 0.8 million
_MAX_ADVICE = 256  # suggested and allowed pieces held; whoever names more wastes our time

Word = Bitfield | HaveAll | HaveNone | Have | DontHave | Suggest | AllowedFast


class Telling:
    """What one peer tells of pieces.

    Args:
        geometry: The torrent's measures; None until learn().
    """

    __slots__ = ("_advice", "_first", "_geometry", "_have", "_lost", "_told")

    def __init__(self, geometry: Geometry | None) -> None:
        self._geometry = geometry
        self._told = False  # it has told anything
        self._first: Bitfield | HaveAll | HaveNone | None = None  # held, as are these:
        self._have = zeros(0, "big")  # told to have since
        self._lost = zeros(0, "big")  # told to have lost since
        self._advice: dict[Suggest | AllowedFast, None] = {}

    def hear(self, said: Word, events: list[Event]) -> None:
        """Add what was said to *events*, or hold it.

        Raises:
            PeerFault: no piece of the torrent, or a bitfield that does not fit it.
        """
        match said:
            case Have(piece) | DontHave(piece):
                self._told = True
                self._check(piece)
            case Suggest(piece) | AllowedFast(piece):
                self._check(piece)
            case _:
                self._told = True
        if self._geometry is None:
            self._hold(said)
        elif isinstance(said, Bitfield):
            events.append(PeerHas(_pieces_of(said, self._geometry.piece_count)))
        else:
            events.append(said)

    def learn(self, geometry: Geometry) -> list[Event]:
        """Judge what was held. Returns what the peer has now, as one event, then what it advised.

        Raises:
            Misused: the measures were known.
            PeerFault: as in hear(); nothing of what was held is told then.
        """
        if self._geometry is not None:
            raise Misused("the measures of a torrent are learned once")
        self._geometry = geometry
        events: list[Event] = []
        for pieces in (self._have, self._lost):
            beyond = pieces.find(True, geometry.piece_count)
            if beyond >= 0:
                self._check(beyond)
        if self._told:
            events.append(self._held(geometry.piece_count))
        for advice in self._advice:
            self.hear(advice, events)
        self._first = None
        self._have = self._lost = zeros(0, "big")
        self._advice = {}
        return events

    def _hold(self, said: Word) -> None:
        match said:
            case Have(piece):
                _mark(self._have, piece, True)
                _mark(self._lost, piece, False)
            case DontHave(piece):
                _mark(self._lost, piece, True)
                _mark(self._have, piece, False)
            case Suggest() | AllowedFast():
                if len(self._advice) < _MAX_ADVICE:
                    self._advice[said] = None
            case _:
                self._first = said
                self._have, self._lost = zeros(0, "big"), zeros(0, "big")

    def _held(self, count: int) -> PeerHas | HaveAll | HaveNone:
        """The bitfield and all that has changed since."""
        changed = self._have.any() or self._lost.any()
        match self._first:
            case HaveAll() | HaveNone() as unchanged if not changed:
                return unchanged
            case HaveAll():
                bits = all_pieces(count)
            case Bitfield() as first:
                bits = _pieces_of(first, count)
            case _:
                bits = no_pieces(count)
        bits |= _fitted(self._have, count)
        bits &= ~_fitted(self._lost, count)
        return PeerHas(bits)

    def _check(self, piece: int) -> None:
        """Admit the number of a piece."""
        if self._geometry is None:
            if piece >= MAX_UNMEASURED:
                raise PeerFault(f"piece {piece} of a torrent that is not known yet, at most {MAX_UNMEASURED} are taken")
            return
        try:
            self._geometry.piece(piece)
        except ValueError as bad:
            raise PeerFault(str(bad)) from bad


def _pieces_of(said: Bitfield, count: int) -> bitarray:
    try:
        return bitfield_from(said.bits, count)
    except ValueError as bad:
        raise PeerFault(str(bad)) from bad


def _mark(pieces: bitarray, piece: int, value: bool) -> None:
    """Put a piece into a set that grows as far as it must, or take it out."""
    if piece < len(pieces):
        pieces[piece] = value
    elif value:
        pieces.extend(zeros(piece + 1 - len(pieces), "big"))
        pieces[piece] = True


def _fitted(pieces: bitarray, count: int) -> bitarray:
    """The set for *count* pieces; those beyond are known to be out of it."""
    return pieces[:count] + zeros(max(0, count - len(pieces)), "big")
