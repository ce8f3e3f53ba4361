"""Whether the request order says what is true of the pieces: for clients that look for our mistakes (Config.debug).

Source: the Go engine's check of the same name, which looked at all pieces whenever connections were decided about, and
ended the program where downloading was not allowed. Here some pieces are looked at each second, and what does not fit
is told to the log. While the order is being brought up to date it says nothing yet. Off, none of this is called.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from anabranch.picker import Standing

from .complaints_io import complain
from .engine import Engine
from .stage import Closing, Dropped
from .state import TorrentState

SAMPLE = 64  # pieces of a torrent that are looked at each second, beside those that are begun


class Difference(NamedTuple):
    """A piece about which the order and the table disagree; None is "not in the order"."""

    piece: int
    held: Standing | None
    due: Standing | None


def look(engine: Engine, torrent: TorrentState) -> list[Difference]:
    """Within a turn: compare some pieces, tell the log what does not fit, and answer it."""
    count = torrent.pieces.geometry.piece_count
    some = {engine.draw(count) for _ in range(min(SAMPLE, count))}
    found = differences(torrent, sorted(some.union(torrent.pieces.begun)))
    if found:
        told = [f"piece {piece}: held as {held}, due as {due}" for piece, held, due in found]
        engine.turn.outbox("complain", torrent, complain, torrent.info_hash, told)
    return found


def differences(torrent: TorrentState, pieces: Iterable[int]) -> list[Difference]:
    """Of these pieces, those of which the order says something else than the table."""
    table, ordering = torrent.pieces, torrent.pieces.ordering
    unsettled = not table.learned or torrent.worth.sweeps or isinstance(torrent.stage, Closing | Dropped)
    if unsettled or not ordering.kept:
        return []
    order, askable = ordering.order, ordering.askable
    found: list[Difference] = []
    for piece in pieces:
        requestable = table.requestable(piece)
        due = table.standing(piece) if requestable or askable is not None else None
        held = order.get(piece) if order is not None else None
        if held != due or (askable is not None and bool(askable[piece]) != requestable):
            found.append(Difference(piece, held, due))
    return found
