"""Torrents whose storages share a limited space share one request order (picker.SharedOrder).

Source: the Go engine, which dropped such an order as soon as it was empty: a torrent that needed nothing for the moment
never came back into it. Here an order is there while any torrent uses it, whatever it holds. Before the storage is
open, and after the torrent begins to close, there is none, and whatever is done to it does nothing. How large the space
is, only a worker asks, since that is the user's code; in turns the last answer counts.
"""

from __future__ import annotations

from anabranch.picker import SharedOrder
from anabranch.storage import Capacity

from .engine import Engine
from .state import TorrentState


def enter(engine: Engine, torrent: TorrentState, capacity: object | None, room: int | None) -> None:
    """The torrent's storage is open, perhaps again: all that was in its order is to be put there anew.

    Args:
        engine: The engine.
        torrent: The torrent.
        capacity: The space that its storage shares with others; None for none.
        room: Bytes of that; None for no limit at present.
    """
    leave(engine, torrent)
    ordering = torrent.pieces.ordering
    ordering.kept = True
    ordering.strict = engine.config.debug
    if capacity is None:
        return
    shared = engine.limits.orders.setdefault(id(capacity), SharedOrder(capacity))
    shared.room = room
    shared.enter(torrent.info_hash, torrent.pieces)
    torrent.pieces.share(shared)


def leave(engine: Engine, torrent: TorrentState) -> None:
    """The torrent asks for nothing any more. The room that it leaves is used as soon as the others are looked at."""
    shared = torrent.pieces.ordering.shared
    torrent.pieces.share_no_more()
    if shared is not None:
        shared.leave(torrent.info_hash)
        if not len(shared):
            engine.limits.orders.pop(id(shared.capacity), None)


def look(engine: Engine, torrent: TorrentState) -> None:
    """Each second, and when something was given up: have a worker ask how large the space is now.

    Within a turn. Once for all that share it.
    """
    shared = torrent.pieces.ordering.shared
    if shared is None or shared.looking or not isinstance(shared.capacity, Capacity):
        return
    shared.looking = True

    def told(room: int | None) -> None:
        shared.looking = False
        shared.room = room

    def done(room: int | None) -> None:
        engine.network.run(told, room)

    def failed(_: BaseException) -> None:  # the last answer stays: what cannot be written stops the torrent anyhow
        engine.network.run(told, shared.room)

    submit, ask = engine.workshop.disk.submit, shared.capacity.capacity
    engine.turn.outbox("capacity", shared, submit, ask, done, failed, torrent.owner)
