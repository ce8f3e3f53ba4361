"""Telling those who wait what has become true.

Signals are set after the turn, perhaps by another thread and after later turns. So what is to be told is looked at
again at that moment: an old truth never sets a signal that a newer turn has taken back.
"""

from __future__ import annotations

from collections.abc import Callable

from .engine import Engine
from .signals_io import Signal
from .state import TorrentState


def settle_complete(engine: Engine, torrent: TorrentState) -> None:
    """Within a turn: `complete` follows what was said of the torrent."""
    signals = torrent.signals
    _settle_after(engine, signals.complete, lambda: signals.said_complete)


def settle_checked(engine: Engine, torrent: TorrentState) -> None:
    """Within a turn: `checked` is set while nothing is to be hashed."""
    disk = torrent.disk
    _settle_after(engine, torrent.signals.checked, lambda: not disk.checks.left and not disk.checks.wished)


def _settle_after(engine: Engine, signal: Signal, truth: Callable[[], bool]) -> None:
    if not truth() and signal.is_set:
        signal.clear()  # at once: whoever made it untrue may wait for it next
    engine.turn.outbox("settle", signal, _settle, signal, truth)


def _settle(signal: Signal, truth: Callable[[], bool]) -> None:
    if truth():
        signal.set()
    if not truth() and signal.is_set:
        signal.clear()
