"""What readers need: whether bytes are there, a signal for when they will be, and the bytes.

Called by readers in threads and tasks of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from anabranch.model import BLOCK_SIZE, Closed

from .engine import Runner
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
    """

    length: int
    piece: int = -1
    signal: Signal | None = None
    early: bytes | None = None


def wait_for(runner: Runner, torrent: TorrentState, offset: int, wanted: int, responsive: bool) -> Availability:
    """Look what is there of [offset, offset + wanted).

    Raises:
        Closed: the torrent was dropped.
        StorageFailed: the torrent's disk failed, and the bytes are not there.
    """
    if wanted <= 0:
        return Availability(0)
    table = torrent.pieces
    geometry = table.geometry
    with runner.turn:
        if isinstance(torrent.stage, Closing | Dropped):
            raise Closed("the torrent was dropped")
        piece = offset // geometry.piece_length
        end = offset
        for index in range(piece, geometry.piece_count):
            if not table.complete[index] or end >= offset + wanted:
                break
            end = min(geometry.offset_of(index + 1), geometry.total)  # what lies between two files of v2 reads as zeros
        if end > offset:
            return Availability(min(end - offset, wanted))
        if isinstance(torrent.stage, Failed):
            raise torrent.stage.error
        if responsive:
            early = peek(torrent, piece, offset - geometry.offset_of(piece), wanted)
            if early:
                return Availability(len(early), early=early)
        signal = Signal(runner.forbidden)
        torrent.signals.of_piece.setdefault(piece, set()).add(signal)
        return Availability(0, piece, signal)


def stop_waiting(runner: Runner, torrent: TorrentState, found: Availability) -> None:
    """The wait ended, perhaps for another reason."""
    with runner.turn:
        waiting = torrent.signals.of_piece.get(found.piece)
        if waiting is not None and found.signal is not None:
            waiting.discard(found.signal)
            if not waiting:
                del torrent.signals.of_piece[found.piece]


def read_verified(torrent: TorrentState, offset: int, view: memoryview) -> None:
    """Read verified bytes from the storage. Raises StorageFailed."""
    storage, geometry = torrent.opened(), torrent.pieces.geometry
    while view:
        piece = offset // geometry.piece_length
        begin = offset - geometry.offset_of(piece)
        length = min(len(view), geometry.length_of(piece) - begin)
        if length > 0:
            storage.piece(piece).readinto(begin, view[:length])
        else:  # behind the end of a v2 file: the next one begins with the next piece
            length = min(len(view), geometry.piece_length - begin)
            view[:length] = bytes(length)
        view = view[length:]
        offset += length


def peek(torrent: TorrentState, piece: int, begin: int, wanted: int) -> bytes:
    """Bytes of a begun piece that lie in memory, from *begin* on; b"" for none. Within a turn."""
    progress = torrent.pieces.begun.get(piece) or torrent.holding.finishing.get(piece)
    holding = torrent.holding
    block, inside = divmod(begin, BLOCK_SIZE)
    stretch, place = divmod(block, holding.stretch_blocks)
    buffer = holding.buffers.get((piece, stretch))
    written = holding.written.get(piece)
    if (
        progress is None
        or buffer is None
        or block >= progress.blocks
        or not progress.got[block]
        or (written is not None and written[block])
    ):
        return b""
    length = torrent.pieces.geometry.block_length(piece, block)
    return bytes(buffer.blocks[place][inside : min(length, inside + wanted)])


def move_reader(runner: Runner, torrent: TorrentState, reader: object, window: range, current: int) -> None:
    """A reader is elsewhere now. May be called with the turn or without it."""
    if runner.turn.held_by_me:
        read_ahead(runner.engine, torrent, reader, window, current)
    else:
        with runner.turn:
            read_ahead(runner.engine, torrent, reader, window, current)
