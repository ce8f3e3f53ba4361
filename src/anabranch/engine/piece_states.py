"""The states of all pieces of a torrent, as users see them: one byte for each, taken and compared at memory's speed.

A turn only copies what is known (some 60 us for 350,000 pieces); to put it together, and to find runs and changes, is
for whoever asked, without the turn: integers as long as the torrent has pieces, and no loop over these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from weakref import ref

from bitarray import bitarray

from anabranch.model import Priority

from .engine import Engine
from .signals_io import Signal
from .stage import Dropped
from .state import TorrentState

_KNOWN, _COMPLETE, _PARTIAL, _HASHING, _QUEUED = 0x08, 0x10, 0x20, 0x40, 0x80  # the lower three bits are the priority


@dataclass(frozen=True, slots=True)
class PieceState:
    """What is known of a piece.

    Args:
        known: Its completion was determined.
        complete: It is verified and written.
        partial: Some of its blocks are here.
        hashing: It was received and is being hashed or written.
        priority: What it is worth.
        queued: It waits to be hashed from the disk, because nobody knows it or the user wishes it.
    """

    known: bool
    complete: bool
    partial: bool
    hashing: bool
    priority: Priority
    queued: bool = False


class PieceStateRun(NamedTuple):
    """So many neighbouring pieces that are in the same state."""

    length: int
    state: PieceState


@dataclass(frozen=True, slots=True)
class PieceFacts:
    """What a turn copies of a torrent's pieces."""

    worth: bytes
    known: bitarray
    complete: bitarray
    queued: bitarray
    partial: Sequence[int]
    hashing: Sequence[int]


class Watcher(Signal):
    """Set when a state may have changed. Who forgets it watches no more."""

    __slots__ = ("__weakref__",)


def _state(code: int) -> PieceState:
    return PieceState(
        known=bool(code & _KNOWN),
        complete=bool(code & _COMPLETE),
        partial=bool(code & _PARTIAL),
        hashing=bool(code & _HASHING),
        priority=Priority(code & 7),
        queued=bool(code & _QUEUED),
    )


_STATES = [_state(code) if code & 7 <= max(Priority) else None for code in range(256)]


def state_in(codes: bytes | bytearray, piece: int) -> PieceState:
    """What a byte of codes_of() says."""
    state = _STATES[codes[piece]]
    assert state is not None  # no piece is worth more than a Priority
    return state


def state_of(torrent: TorrentState, piece: int) -> PieceState:
    """The state of one piece. Within a turn."""
    table = torrent.pieces
    progress = table.begun.get(piece)
    return PieceState(
        known=bool(table.known[piece]),
        complete=bool(table.complete[piece]),
        partial=progress is not None and bool(progress.got.any()),
        hashing=piece in table.busy,
        priority=Priority(table.worth[piece]),
        queued=bool(torrent.disk.checks.queued[piece]),
    )


def facts_of(torrent: TorrentState) -> PieceFacts:
    """Copy what is known of all pieces. Within a turn: O(pieces under way), and memory's speed for the others."""
    table = torrent.pieces
    return PieceFacts(
        worth=bytes(table.worth),
        known=table.known.copy(),
        complete=table.complete.copy(),
        queued=torrent.disk.checks.queued.copy(),
        partial=[piece for piece, progress in table.begun.items() if progress.got.any()],
        hashing=list(table.busy),
    )


def codes_of(facts: PieceFacts) -> bytearray:
    """A byte for each piece, which is another for each state. O(pieces) at memory's speed; needs no turn."""
    both = int.from_bytes(facts.worth)
    for bits, flag in ((facts.known, _KNOWN), (facts.complete, _COMPLETE), (facts.queued, _QUEUED)):
        if bits.any():
            both |= int.from_bytes(bits.unpack(b"\0", bytes([flag])))
    codes = bytearray(both.to_bytes(len(facts.worth)))
    for pieces, flag in ((facts.partial, _PARTIAL), (facts.hashing, _HASHING)):
        for piece in pieces:
            codes[piece] |= flag
    return codes


def runs_of(codes: bytes | bytearray) -> list[PieceStateRun]:
    """The states as runs of equal neighbours. O(runs), and O(pieces) at memory's speed; needs no turn."""
    if not codes:
        return []
    number = int.from_bytes(codes)
    starts = _marked(number ^ (number >> 8), len(codes))  # each piece against the one before it
    starts[0] = True
    begins = list(starts.search(1))
    return [
        PieceStateRun(end - begin, state_in(codes, begin))
        for begin, end in zip(begins, [*begins[1:], len(codes)], strict=True)
    ]


def changed_pieces(before: bytes | bytearray, after: bytes | bytearray) -> list[int]:
    """The pieces whose state is another. O(those), and O(pieces) at memory's speed; needs no turn."""
    if before == after:
        return []
    return list(_marked(int.from_bytes(before) ^ int.from_bytes(after), len(after)).search(1))


def has_ended(torrent: TorrentState) -> bool:
    """Whether no state will change any more."""
    return isinstance(torrent.stage, Dropped)


def watch_pieces(engine: Engine, torrent: TorrentState, watcher: Watcher) -> None:
    """Have *watcher* set after every turn in which a state changes, for as long as its owner keeps it. Within a turn.

    Nothing is looked at, and nothing kept, for pieces of a torrent that nobody watches.
    """
    table, signals = torrent.pieces, torrent.signals
    signals.watchers = (*_alive(signals.watchers), ref(watcher))

    def tell() -> None:
        for reference in signals.watchers:
            if (one := reference()) is not None:
                one.set()

    def soon() -> None:
        signals.watchers = _alive(signals.watchers)
        if signals.watchers:
            engine.turn.outbox("piece states", torrent, tell)
        else:
            table.watch = None

    table.watch = soon


def tell_watchers(torrent: TorrentState) -> None:
    """Something has changed that the table of pieces does not know. Within a turn."""
    if torrent.pieces.watch is not None:
        torrent.pieces.watch()


def _alive(watchers: tuple[ref[Signal], ...]) -> tuple[ref[Signal], ...]:
    return tuple([one for one in watchers if one() is not None])


def _marked(number: int, pieces: int) -> bitarray:
    """A bit for each byte that is not zero."""
    marks: bitarray = bitarray(endian="big")
    marks.pack(number.to_bytes(pieces))
    return marks
