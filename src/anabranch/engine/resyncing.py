"""When a reader could not read a piece that counts as complete: what the storage has of it is asked anew.

A storage of limited space may have given the piece up for another, and a user may have removed its file: then the piece
counts as missing, and is fetched again if anybody wants it. Only that piece is looked at. Where the storage says that
it has the piece all the same, the disk is at fault, and the reader is told so.
"""

from __future__ import annotations

from anabranch.model import StorageFailed, no_pieces
from anabranch.storage import Completion

from . import events
from .asking import ask_everybody
from .checking import queue_check
from .engine import Engine, Runner
from .recording import not_complete
from .stage import Closing, Dropped
from .state import TorrentState


def still_there(runner: Runner, torrent: TorrentState, piece: int) -> bool:
    """Whether the piece still counts as complete after the storage was asked, which may take a while: without the turn.

    What is not recorded yet is not known to the storage's records, so that they are no witness against it.

    Raises:
        Closed: the torrent was dropped.
    """
    with runner.turn:
        if not _settled(torrent, piece):
            return bool(torrent.pieces.complete[piece])
    try:
        said = torrent.opened().piece(piece).completion()
    except StorageFailed:
        return True
    if said is Completion.COMPLETE:
        return True
    with runner.turn:
        if _settled(torrent, piece):
            _lose(runner.engine, torrent, piece, known=said is Completion.INCOMPLETE)
        return bool(torrent.pieces.complete[piece])


def _settled(torrent: TorrentState, piece: int) -> bool:
    """Whether the piece counts as complete, and is recorded so."""
    disk = torrent.disk
    return bool(torrent.pieces.complete[piece]) and piece not in (*disk.recording, *disk.unrecorded)


def _lose(engine: Engine, torrent: TorrentState, piece: int, *, known: bool) -> None:
    """The piece is not there any more; unless that is *known*, it is hashed first."""
    if isinstance(torrent.stage, Closing | Dropped):
        return
    table = torrent.pieces
    if known:
        table.set_complete(piece, complete=False)
    else:
        table.set_unknown(piece)
    torrent.evidence.forget(piece)
    engine.tell(events.PieceChanged(torrent.info_hash, piece, False), (torrent.info_hash, piece))
    not_complete(engine, torrent)
    engine.due.lively.add(torrent)

    def tell() -> None:
        for peer in torrent.swarm.peers.values() if not table.complete[piece] else ():
            peer.talk.dont_have(piece)
            engine.due.touched.add(peer)
        if not table.known[piece]:
            doubtful = no_pieces(table.geometry.piece_count)
            doubtful[piece] = True
            queue_check(engine, torrent, doubtful)
        ask_everybody(engine, torrent, engine.clock())

    engine.turn.outbox("lost", tell, engine.network.post, tell)
    engine.turn.outbox("dial", engine, engine.network.look_for_peers)
