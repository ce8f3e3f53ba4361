"""When a piece that we have cannot be read: a file was cut short, removed, or its disk is failing.

The torrent stops until the piece can be read again; then everything around it is hashed, because whoever put the file
back may have put back another one.
"""

from __future__ import annotations

from anabranch.model import TorrentError

from .checking import queue_check
from .engine import Engine
from .failing import attempt, fail
from .jobs import read_through
from .stage import Failed
from .state import TorrentState


def fail_reading(engine: Engine, torrent: TorrentState, piece: int, error: TorrentError) -> None:
    """A piece that we have could not be read."""
    length = torrent.pieces.geometry.length_of(piece)

    def again() -> None:
        storage = torrent.opened().piece(piece)
        attempt(engine, torrent, lambda: read_through(storage, length), readable, again)

    def readable(_: None) -> None:
        around = {other for file in torrent.worth.files_of(piece) for other in torrent.worth.pieces_of(file)}
        queue_check(engine, torrent, sorted(other for other in around if torrent.pieces.complete[other]))

    if not isinstance(torrent.stage, Failed):  # one witness is enough
        fail(engine, torrent, error, again)
