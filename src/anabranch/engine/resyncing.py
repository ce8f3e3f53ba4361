"""When what counts as complete is not there any more: the storage gave it up for something else, or a user removed it.

A storage that gives up pieces by itself says so, and is told what is still wanted of it before it does (GivenUp); one
that misses files says that. What no storage says turns out when a reader cannot read a piece: then the storage is asked
about that piece anew. Either way it counts as missing, and is fetched again if anybody wants it. Where the storage says
that it has the piece all the same, the disk is at fault, and the reader is told so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from bitarray import bitarray

from anabranch.model import InfoHash, StorageFailed, no_pieces
from anabranch.storage import Completion, GivesUp, Groups, Heeds, Loses, TorrentStorage

from . import orders
from .asking import ask_everybody
from .checking import MOST_WORDS, queue_check
from .engine import Engine, Runner
from .failing import attempt
from .filing import piece_changed
from .jobs import read_through
from .recording import not_complete, record
from .stage import Closing, Dropped, Live, Opening
from .state import TorrentState
from .unfinished import release


class GivenUp:
    """What a torrent's storage gave up by itself since it was opened, until the engine has heeded it.

    What is not recorded yet nobody gives up: a note about such a piece is an old one, of what was fetched again since,
    or the record came too late. There the storage is asked, once all that is to be recorded was.
    """

    def __init__(self, engine: Engine, torrent: TorrentState) -> None:
        self._engine = engine
        self._torrent = torrent
        self._pieces: deque[int] = deque()

    def listen(self, storage: TorrentStorage) -> None:
        """Have the storage tell, if it is of that kind. In a worker, before it is asked for what it has."""
        if isinstance(storage, Heeds):
            storage.heed(self._wanted)
        if isinstance(storage, GivesUp):
            storage.on_given_up(self._tell)
        if isinstance(storage, Loses):
            storage.on_lost(lambda pieces: self._engine.network.post(self._lost, pieces))

    def look(self) -> None:
        """Lose what was given up, as much as a turn has time for. Network thread, within a turn.

        Before the torrent has begun nothing can be lost; whoever begins it looks again.
        """
        engine, torrent = self._engine, self._torrent
        if torrent.disk.storage is None or isinstance(torrent.stage, Opening):
            return
        most = max(1, MOST_WORDS // (len(torrent.swarm.peers) + 1))
        group = {self._pieces.popleft() for _ in range(min(most, len(self._pieces)))}
        complete = [piece for piece in sorted(group) if torrent.pieces.complete[piece]]
        late = {*torrent.disk.recording, *torrent.disk.unrecorded}.intersection(complete)
        lose(engine, torrent, [piece for piece in complete if piece not in late], known=True)
        orders.look(engine, torrent)  # the space may have shrunk
        if late:
            self._ask(torrent.disk.storage, sorted(late))
        if self._pieces:
            engine.network.post(self.look)

    def _tell(self, pieces: Sequence[int]) -> None:
        self._pieces.extend(pieces)
        self._engine.network.post(self.look)

    def _lost(self, pieces: Sequence[int]) -> None:
        """Somebody removed files. While more is fetched that is, too; of what was complete nothing is taken back.

        There whoever reads stops the torrent until the files are back (rereading.py): a disk may only be unmounted.
        """
        if not self._torrent.signals.said_complete:
            self._pieces.extend(pieces)
            self.look()

    def _ask(self, storage: TorrentStorage, pieces: list[int]) -> None:
        """Behind everything that is being recorded. A refusal is none of ours: then who records has failed, too."""
        engine, torrent = self._engine, self._torrent

        def job() -> list[int]:
            return [piece for piece in pieces if storage.piece(piece).completion() is not Completion.COMPLETE]

        def done(gone: list[int]) -> None:
            if gone:
                self._tell(gone)

        record(engine, torrent)
        submit = engine.workshop.record.submit
        engine.turn.outbox("given up", self, submit, job, done, lambda error: None, torrent.owner)

    def _wanted(self) -> Mapping[InfoHash, bitarray]:
        """Of all torrents that share the space the pieces that it is for. Any thread, outside of turns.

        Who asks is short of room: what is verified is recorded now, since only then it may go.
        """
        engine, shared = self._engine, self._torrent.pieces.ordering.shared
        if shared is None:
            return {}
        with engine.turn:
            wanted = shared.wanted()
            for name in wanted:
                if (torrent := engine.torrents.get(name)) is not None:
                    record(engine, torrent)
        return wanted


def forget_begun(engine: Engine, torrent: TorrentState) -> None:
    """Each second, within a turn: blocks of begun pieces that the space has no room for any more are not kept in it.

    Readers that jump about leave pieces behind that nobody goes on with; the storage gives up none that is in hand.
    """
    table, holding, storage = torrent.pieces, torrent.holding, torrent.disk.storage
    shared = table.ordering.shared
    if shared is None or shared.room is None or not isinstance(storage, Groups) or not isinstance(torrent.stage, Live):
        return
    in_memory = {piece for piece, _ in holding.buffers}
    idle = [
        piece
        for piece, progress in table.begun.items()
        if piece in holding.written
        and piece not in in_memory
        and not holding.writing.get(piece)
        and progress.free_count == progress.missing
    ]
    if not idle:
        return
    room = no_pieces(table.geometry.piece_count)
    for fits in shared.within(torrent.info_hash):
        room |= fits
    gone = [piece for piece in idle if not room[piece]]
    for piece in gone:
        del table.begun[piece]
        release(engine, torrent, piece)
        table.set_unknown(piece)  # nobody is to begin it before the storage has let go of it

    def settle(_: object) -> None:
        for piece in gone:
            if not table.known[piece]:
                table.set_complete(piece, complete=False)

    if gone:
        attempt(
            engine,
            torrent,
            lambda: storage.record((), gone),
            settle,
            worker=engine.workshop.record,
            refused=lambda: settle(None),
        )


def still_there(runner: Runner, torrent: TorrentState, piece: int) -> bool:
    """Whether a piece that could not be read counts as complete after the storage was asked, which may take a while.

    Without the turn.

    What is not recorded yet is not known to the storage's records, so that they are no witness against it.

    Raises:
        Closed: the torrent was dropped.
    """
    storage = torrent.opened()
    if isinstance(storage, GivesUp) and _readable(torrent, storage, piece):
        return False  # it was given up and fetched again since: to be looked for anew
    with runner.turn:
        if not _settled(torrent, piece):
            return bool(torrent.pieces.complete[piece])
    try:
        said = storage.piece(piece).completion()
    except StorageFailed:
        return True
    if said is Completion.COMPLETE:
        return True
    with runner.turn:
        if _settled(torrent, piece):
            lose(runner.engine, torrent, [piece], known=said is Completion.INCOMPLETE)
        return bool(torrent.pieces.complete[piece])


def _settled(torrent: TorrentState, piece: int) -> bool:
    """Whether the piece counts as complete, and is recorded so."""
    disk = torrent.disk
    return bool(torrent.pieces.complete[piece]) and piece not in (*disk.recording, *disk.unrecorded)


def _readable(torrent: TorrentState, storage: TorrentStorage, piece: int) -> bool:
    try:
        read_through(storage, piece, torrent.pieces.geometry.length_of(piece))
    except StorageFailed:
        return False
    return True


def lose(engine: Engine, torrent: TorrentState, pieces: Sequence[int], *, known: bool) -> None:
    """Pieces are not there any more; unless that is *known*, they are hashed first. Within a turn."""
    if isinstance(torrent.stage, Closing | Dropped) or not pieces:
        return
    table = torrent.pieces
    for piece in pieces:
        if known:
            table.set_complete(piece, complete=False)
        else:
            table.set_unknown(piece)
        torrent.evidence.forget(piece)
        piece_changed(engine, torrent, piece, False)
    not_complete(engine, torrent)
    engine.due.lively.add(torrent)

    def tell() -> None:
        lost = [piece for piece in pieces if not table.complete[piece]]
        for peer in torrent.swarm.peers.values() if lost else ():
            for piece in lost:
                peer.talk.dont_have(piece)
            engine.due.touched.add(peer)
        doubtful = no_pieces(table.geometry.piece_count)
        doubtful[[piece for piece in lost if not table.known[piece]]] = True
        if doubtful.any():
            queue_check(engine, torrent, doubtful)
        ask_everybody(engine, torrent, engine.clock())

    engine.turn.outbox("lost", tell, engine.network.post, tell)
    engine.turn.outbox("dial", engine, engine.network.look_for_peers)
