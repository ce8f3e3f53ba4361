"""What readers need: whether bytes are there, a signal for when they will be, the bytes, and to be heard of.

Called by readers in threads and tasks of their own. What is there is looked for and read without the turn: a bit of a
piece changes in one step, and who reads what was lost a moment later learns it from the storage. Only who has to wait
takes a turn. Where a reader is, it says in passing: see Place.
"""

from __future__ import annotations

from dataclasses import dataclass

from anabranch.model import BLOCK_SIZE, Closed, StorageFailed

from .engine import Runner
from .exact import read
from .resyncing import still_there
from .signals_io import Signal
from .stage import Closing, Dropped, Failed
from .state import TorrentState
from .wanting import read_ahead


@dataclass(frozen=True, slots=True, eq=False)
class Availability:
    """What can be read.

    Args:
        length: Bytes that are there from the position on.
        piece: The piece that is waited for.
        signal: Set when it may be there; None where there is nothing to wait for.
        early: The bytes themselves, where they are not verified yet and lie in memory.
        verified: False for bytes of a begun piece that lie in the storage.
    """

    length: int
    piece: int = -1
    signal: Signal | None = None
    early: bytes | None = None
    verified: bool = True


class Place:
    """Where one reader is. It moves without a turn: the next one, whoever takes it, heeds the last of all moves.

    However often a reader is moved between two turns, the pieces it wants are worked out once. Nothing here waits, so
    that a finaliser may call move(), too.

    Args:
        runner: Whose turn.
        torrent: What is read.
    """

    __slots__ = ("_heeded", "_poked", "_runner", "_torrent", "_where")

    def __init__(self, runner: Runner, torrent: TorrentState) -> None:
        self._runner = runner
        self._torrent = torrent
        self._where: tuple[range, int] = (range(0), -1)
        self._heeded = True  # False: a note lies with the turn
        self._poked = False

    def move(self, window: range, current: int) -> None:
        """The reader wants *window* soon, and waits for *current* (-1 for none)."""
        if self._where != (window, current):
            self._where = (window, current)  # before the flag is looked at: a note that lies there finds it
            if self._heeded:
                self._heeded = False
                self._runner.turn.note(self._heed)

    def hurry(self) -> None:
        """Something of the window is missing, perhaps, and the reader will not take a turn at once: have one taken."""
        window, _ = self._where
        if self._heeded or self._poked or not window:
            return
        if self._torrent.pieces.complete.find(0, window.start, window.stop) >= 0:
            self._poked = True
            self._runner.engine.network.post(self._poke)

    def _poke(self) -> None:
        """The turn this runs in has heeded its notes; perhaps another one had before, without knowing of this."""
        self._poked = False

    def _heed(self) -> None:
        self._poked = False
        self._heeded = True  # before the place is looked at: who moves now leaves another note
        window, current = self._where
        read_ahead(self._runner.engine, self._torrent, self, window, current)


def there(torrent: TorrentState, offset: int, wanted: int) -> int:
    """How many bytes of [offset, offset + wanted) are verified and there, from the front on. Takes no turn.

    Raises:
        Closed: the torrent was dropped.
    """
    if isinstance(torrent.stage, Closing | Dropped):
        raise Closed("the torrent was dropped")
    if torrent.disk.storage is None:  # not yet, or its files are on their way
        return 0
    table = torrent.pieces
    geometry = table.geometry
    wanted = min(wanted, geometry.total - offset)
    pieces = geometry.pieces_of(offset, wanted)
    missing = table.complete.find(0, pieces.start, pieces.stop)
    if missing < 0:
        return wanted
    return max(geometry.offset_of(missing) - offset, 0)  # what lies between two files of v2 reads as zeros


def wait_for(runner: Runner, torrent: TorrentState, offset: int, wanted: int, responsive: bool) -> Availability:
    """Look what is there of [offset, offset + wanted); takes a turn if nothing is.

    Raises:
        Closed: the torrent was dropped.
        StorageFailed: the torrent's disk failed, and the bytes are not there.
    """
    if wanted <= 0:
        return Availability(0)
    if length := there(torrent, offset, wanted):
        return Availability(length)
    with runner.turn:
        if length := there(torrent, offset, wanted):
            return Availability(length)
        if isinstance(torrent.stage, Failed):
            raise torrent.stage.error
        geometry = torrent.pieces.geometry
        piece = offset // geometry.piece_length
        if responsive:
            begin = offset - geometry.offset_of(piece)
            if early := peek(torrent, piece, begin, wanted):
                return Availability(len(early), early=early)
            if torrent.disk.storage is not None and (length := written(torrent, piece, begin, wanted)):
                return Availability(length, verified=False)
        signal = Signal(runner.forbidden)
        torrent.signals.of_piece.setdefault(piece, set()).add(signal)
        return Availability(0, piece, signal)


def stop_waiting(runner: Runner, torrent: TorrentState, found: Availability) -> None:
    """The wait ended, perhaps for another reason. Takes a turn only where that is not known."""
    if found.signal is None or found.signal not in torrent.signals.of_piece.get(found.piece, ()):
        return  # nobody but this reader would have put it there
    with runner.turn:
        waiting = torrent.signals.of_piece.get(found.piece)
        if waiting is not None:
            waiting.discard(found.signal)
            if not waiting:
                del torrent.signals.of_piece[found.piece]


def read_found(runner: Runner, torrent: TorrentState, found: Availability, offset: int, view: memoryview) -> int:
    """Read what was found at *offset*, from the storage in the caller's thread, without a turn.

    Returns:
        How many bytes were read: fewer than asked for in front of a piece that fails; 0 where the first piece is not
        there any more, and is to be waited for again.

    Raises:
        StorageFailed: the disk is at fault.
        Closed: the torrent was dropped.
    """
    if found.early is not None:
        view[:] = found.early[: len(view)]
        return len(view)
    storage, geometry = torrent.disk.storage, torrent.pieces.geometry
    if storage is None:
        if isinstance(torrent.stage, Closing | Dropped):
            raise Closed("the torrent was dropped")
        return 0
    done = 0
    while done < len(view):
        piece, begin = divmod(offset + done, geometry.piece_length)
        room = view[done : done + geometry.piece_length - begin]
        length = min(len(room), geometry.length_of(piece) - begin)
        if length <= 0:  # behind the end of a v2 file: the next one begins with the next piece
            room[:] = bytes(len(room))
            done += len(room)
            continue
        try:
            read(storage, piece, begin, room[:length])
        except (StorageFailed, Closed):
            if isinstance(torrent.stage, Closing | Dropped):
                raise Closed("the torrent was dropped") from None
            if torrent.disk.storage is not storage:  # it was closed, as the files go elsewhere
                return done
            if not done and (not found.verified or still_there(runner, torrent, piece)):
                raise
            return done
        done += length
    return done


def peek(torrent: TorrentState, piece: int, begin: int, wanted: int) -> bytes:
    """Bytes of a begun piece that lie in memory, from *begin* on; b"" for none. Within a turn."""
    progress = torrent.pieces.begun.get(piece) or torrent.holding.finishing.get(piece)
    holding = torrent.holding
    block, inside = divmod(begin, BLOCK_SIZE)
    stretch, place = divmod(block, holding.stretch_blocks)
    buffer = holding.buffers.get((piece, stretch))
    on_disk = holding.written.get(piece)
    if (
        progress is None
        or buffer is None
        or block >= progress.blocks
        or not progress.got[block]
        or (on_disk is not None and on_disk[block])
    ):
        return b""
    length = torrent.pieces.geometry.block_length(piece, block)
    return bytes(buffer.blocks[place][inside : min(length, inside + wanted)])


def written(torrent: TorrentState, piece: int, begin: int, wanted: int) -> int:
    """How many bytes of a begun piece lie in the storage, from *begin* on, of which nothing is verified. Within a turn.

    What is still being written is not there yet.
    """
    holding, geometry = torrent.holding, torrent.pieces.geometry
    on_disk = holding.written.get(piece)
    if on_disk is None or begin >= geometry.length_of(piece):
        return 0
    under_way = holding.under_way.get(piece)
    here = on_disk if under_way is None else on_disk & ~under_way
    missing = here.find(0, begin // BLOCK_SIZE)
    end = geometry.length_of(piece) if missing < 0 else missing * BLOCK_SIZE
    return min(max(end - begin, 0), wanted)
