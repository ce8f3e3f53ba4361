"""What subscribers hear of pieces, and of the files that become complete with them.

Every change of a piece comes here, from a download or from a check. A file costs O(1) for each of its pieces: where the
first one is that is missing is remembered, and looked for from there on. Empty files have no piece, and no event.
"""

from __future__ import annotations

from . import events
from .engine import Engine
from .residence_io import path_of
from .state import TorrentState


def piece_changed(engine: Engine, torrent: TorrentState, piece: int, complete: bool) -> None:
    """Tell that a piece became complete, or turned out not to be; and which files are complete by it."""
    engine.tell(events.PieceChanged(torrent.info_hash, piece, complete), (torrent.info_hash, piece))
    if not complete:
        piece_lost(torrent, piece)
    elif engine.publisher.wants(events.FileCompleted):
        _look_at_files(engine, torrent, piece)


def piece_lost(torrent: TorrentState, piece: int) -> None:
    """What was complete is not any more, or nobody knows."""
    missing = torrent.signals.missing_of_file
    if missing:
        for file in torrent.worth.files_of(piece):
            if missing.get(file, -1) > piece:
                missing[file] = piece


def _look_at_files(engine: Engine, torrent: TorrentState, piece: int) -> None:
    missing, complete = torrent.signals.missing_of_file, torrent.pieces.complete
    for file in torrent.worth.files_of(piece):
        pieces = torrent.worth.pieces_of(file)
        first = missing.get(file, pieces.start)
        if not complete[first]:
            continue
        first = complete.find(0, first, pieces.stop)
        if first >= 0:
            missing[file] = first
            continue
        missing.pop(file, None)
        path = "/".join(path_of(torrent.disk.home, torrent.metainfo.info, file))
        engine.tell(events.FileCompleted(torrent.info_hash, file, path), (torrent.info_hash, "file", file))
