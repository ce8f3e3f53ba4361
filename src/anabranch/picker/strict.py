"""The request order that reports misuse: for tests, and for clients that look for our mistakes.

Source: the Go engine's second back end, which ends the program where the first lets a replay pass. Same answers as the
plain order as long as nobody misuses it.
"""

from __future__ import annotations

from anabranch.model import Misused

from .order import PieceOrder, Standing


class StrictOrder(PieceOrder):
    """A PieceOrder of which nothing may be asked in vain."""

    def add(self, piece: int, standing: Standing) -> Standing | None:
        """See PieceOrder.

        Raises:
            Misused: the piece is held under that standing already.
        """
        if self.get(piece) == standing:
            raise Misused(f"added twice: piece {piece}, {standing}")
        return super().add(piece, standing)

    def update(self, piece: int, standing: Standing) -> bool:
        """See PieceOrder.

        Raises:
            Misused: the piece is not held.
        """
        if piece not in self:
            raise Misused(f"updated without being held: piece {piece}, {standing}")
        return super().update(piece, standing)

    def delete(self, piece: int) -> bool:
        """See PieceOrder.

        Raises:
            Misused: the piece is not held.
        """
        if piece not in self:
            raise Misused(f"deleted without being held: piece {piece}")
        return super().delete(piece)
