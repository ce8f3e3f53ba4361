"""A piece of a torrent, as users see it."""

from __future__ import annotations

from dataclasses import dataclass

from anabranch.engine import Core, TorrentState, choose_pieces, want_check
from anabranch.model import Priority, no_pieces


@dataclass(frozen=True, slots=True)
class PieceState:
    """What is known of a piece.

    Args:
        known: Its completion was determined.
        complete: It is verified and written.
        partial: Some of its blocks are here.
        hashing: It is being hashed or written.
        priority: What it is worth.
    """

    known: bool
    complete: bool
    partial: bool
    hashing: bool
    priority: Priority


def state_of(torrent: TorrentState, index: int) -> PieceState:
    """The state of one piece, within a turn."""
    table = torrent.pieces
    progress = table.begun.get(index)
    return PieceState(
        known=bool(table.known[index]),
        complete=bool(table.complete[index]),
        partial=progress is not None and bool(progress.got.any()),
        hashing=index in table.busy,
        priority=Priority(table.worth[index]),
    )


class Piece:
    """One piece. A handle: cheap to make, holds no state of its own."""

    def __init__(self, core: Core, torrent: TorrentState, index: int) -> None:
        self._core = core
        self._torrent = torrent
        self.index = torrent.pieces.geometry.piece(index)

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
