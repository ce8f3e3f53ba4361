"""A piece of a torrent, as users see it."""

from __future__ import annotations

from anabranch.engine import Core, PieceState, TorrentState, choose_pieces, state_of, want_check
from anabranch.model import Priority, no_pieces


class Piece:
    """One piece. A handle: cheap to make, holds no state of its own."""

    def __init__(self, core: Core, torrent: TorrentState, index: int) -> None:
        self._core = core
        self._torrent = torrent
        self.index = torrent.pieces.geometry.piece(index)

    def __repr__(self) -> str:
        return f"<Piece {self.index} length={self.length}>"

    @property
    def hash(self) -> bytes:
        """The SHA-1 its content must have: 20 bytes; empty in a torrent of v2 alone."""
        return self._torrent.metainfo.info.hash_of(self.index)

    @property
    def root(self) -> bytes | None:
        """The root of its tree of SHA-256 (BEP 52), 32 bytes; None in v1, and while no peer has told it."""
        exchange = self._torrent.exchange
        return None if exchange is None else exchange.layers.hash_of(self.index)

    @property
    def length(self) -> int:
        """Its length in bytes."""
        return self._torrent.pieces.geometry.length_of(self.index)

    @property
    def state(self) -> PieceState:
        """What is known of it now."""
        with self._core.turn:
            return state_of(self._torrent, self.index)

    @property
    def priority(self) -> Priority:
        """What it is worth: the most of its files', its own, and the readers' wishes."""
        return self.state.priority

    @priority.setter
    def priority(self, priority: Priority) -> None:
        """Give it a worth of its own, beside its files'."""
        wish = Priority(priority)
        with self._core.turn:
            choose_pieces(self._core.engine, self._torrent, range(self.index, self.index + 1), wish)

    def verify(self) -> None:
        """Have it hashed. `torrent.checked` tells when that is done."""
        pieces = no_pieces(self._torrent.pieces.geometry.piece_count)
        pieces[self.index] = True
        with self._core.turn:
            want_check(self._core.engine, self._torrent, pieces)
