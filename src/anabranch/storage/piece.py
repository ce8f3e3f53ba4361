"""A piece as a handle on its torrent's storage: what the file and the memory back end share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .backend import Buffer, Completion, Room


class ByPiece(Protocol):
    """A torrent storage whose calls take the piece's number."""

    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        """See PieceStorage."""

    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        """See PieceStorage."""

    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        """See Groups."""

    def completion(self, piece: int) -> Completion:
        """See PieceStorage."""


class PieceHandle:
    """A PieceStorage."""

    __slots__ = ("_index", "_torrent")

    def __init__(self, torrent: ByPiece, index: int) -> None:
        self._torrent = torrent
        self._index = index

    def readinto(self, begin: int, buffer: Room) -> None:
        """See PieceStorage."""
        self._torrent.readinto(self._index, begin, buffer)

    def writev(self, begin: int, buffers: Sequence[Buffer]) -> None:
        """See PieceStorage."""
        self._torrent.writev(self._index, begin, buffers)

    def mark_complete(self) -> None:
        """See PieceStorage."""
        self._torrent.record([self._index])

    def mark_incomplete(self) -> None:
        """See PieceStorage."""
        self._torrent.record((), [self._index])

    def completion(self) -> Completion:
        """See PieceStorage."""
        return self._torrent.completion(self._index)
