"""When a piece that we have cannot be read: a file was cut short, removed, or its disk is failing.

The torrent stops until the piece can be read again; then everything around it is hashed, because whoever put the file
back may have put back another one. A storage whose space is limited may have given the piece up for another one: that
alone stops nobody.
"""

from __future__ import annotations

from anabranch.model import TorrentError, no_pieces

from .checking import queue_check
from .engine import Engine
from .failing import attempt, fail
from .jobs import read_through
from .stage import Closing, Dropped, Failed, Moving
from .state import TorrentState


def fail_reading(engine: Engine, torrent: TorrentState, piece: int, error: TorrentError) -> None:
    """A piece that we have could not be read."""
    if torrent.pieces.ordering.shared is not None:  # hash it: what is not there is missing, worse stops the torrent
        given_up = no_pieces(torrent.pieces.geometry.piece_count)
        given_up[piece] = True
        queue_check(engine, torrent, given_up)
        return
    length = torrent.pieces.geometry.length_of(piece)

    def again() -> None:
        if not torrent.pieces.complete[piece]:
            return  # it was lost in the middle of a download, and is fetched again; or the user had it checked
        storage = torrent.opened()
        attempt(engine, torrent, lambda: read_through(storage, piece, length), readable, again)

    def readable(_: None) -> None:
        around = no_pieces(torrent.pieces.geometry.piece_count)
        for file in torrent.worth.files_of(piece):
            pieces = torrent.worth.pieces_of(file)
            around[pieces.start : pieces.stop] = True
        queue_check(engine, torrent, around & torrent.pieces.complete)

    # One witness is enough; who leaves reads nothing.
    if not isinstance(torrent.stage, Failed | Moving | Closing | Dropped):
        fail(engine, torrent, error, again)
