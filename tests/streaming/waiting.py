"""Seeing that somebody waits for data."""

from __future__ import annotations

from anabranch.api import Priority, Torrent
from ours import until


def readers_wait(torrent: Torrent, many: int = 1) -> None:
    """Come back when that many readers wait for a piece of the torrent."""
    waiting = torrent._state.signals.of_piece
    until(lambda: sum(map(len, list(waiting.values()))) == many, what=f"{many} waiting readers")


def nobody_waits(torrent: Torrent) -> bool:
    """Whether no reader waits, and none is remembered as waiting."""
    return not torrent._state.signals.of_piece


def wishes(torrent: Torrent) -> dict[int, Priority]:
    """What pieces are worth, those that are worth nothing left out."""
    states = torrent.piece_states()
    return {piece: state.priority for piece, state in enumerate(states) if state.priority}
