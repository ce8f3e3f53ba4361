"""The end of a torrent: it leaves its swarm at once, what is under way comes to its end, then everything is let go.

Closing is the same for a torrent that is dropped and for all of them when the client closes. Nobody waits within a
turn: look() is called again and again by the network thread until a torrent has nothing under way.
"""

from __future__ import annotations

from dataclasses import replace

from anabranch.model import Closed, TorrentError
from anabranch.storage import Removing, TorrentStorage

from . import announcing, claiming, doubting, events, orders, relocating
from .engine import Engine
from .finishing import spill
from .membership import leave
from .piece_states import tell_watchers
from .privacy import stop_seeking
from .recording import record_group
from .residence_io import Residence, remove_all
from .saving import key_of, picture
from .stage import Closing, Dropped, Moving, Opening, follow
from .state import TorrentState
from .unfinished import release


def begin(engine: Engine, torrent: TorrentState, *, forget: bool, erase: bool = False) -> None:
    """Within a turn of any thread: nobody finds the torrent any more. Beginning twice does nothing.

    Args:
        engine: The engine.
        torrent: Which one.
        forget: Nothing shall be remembered of it.
        erase: Nor shall anything be left of its data.
    """
    before = torrent.stage
    if isinstance(before, Closing | Dropped):
        return
    opening = isinstance(before, Opening) or (isinstance(before, Moving) and before.under_way)
    torrent.stage = follow(before, Closing(opening=opening))
    torrent.disk.lodging.forget, torrent.disk.lodging.erase = forget or erase, erase
    if engine.torrents.get(torrent.info_hash) is torrent:
        del engine.torrents[torrent.info_hash]
        engine.directory.remove(torrent)
    engine.due.closing.add(torrent)
    engine.due.leaving.add(torrent)
    engine.due.unsaved.pop(torrent, None)
    engine.due.lively.leave(torrent)
    announcing.stop(engine, torrent)
    stop_seeking(engine, torrent)
    claiming.stop(engine, torrent, "closed")
    ended = Closed("the torrent was dropped")
    relocating.give_up(engine, torrent, ended)
    for signal in (torrent.signals.got_info, torrent.signals.complete, torrent.signals.checked):
        if not signal.is_set:
            engine.turn.outbox("signal fail", signal, signal.fail, ended)
    for waiting in [signal for signals in torrent.signals.of_piece.values() for signal in signals]:
        engine.turn.outbox("signal fail", waiting, waiting.fail, ended)
    torrent.signals.of_piece.clear()
    engine.turn.stop_sliced("order", torrent)
    orders.leave(engine, torrent)
    engine.tell(events.StageChanged(torrent.info_hash, "closing"))
    engine.turn.outbox("leave", torrent, engine.network.post, _leave, engine, torrent)


def look(engine: Engine, torrent: TorrentState) -> None:
    """Network thread, within a turn: let go of everything, once nothing is under way."""
    holding, disk, stage = torrent.holding, torrent.disk, torrent.stage
    if not isinstance(stage, Closing) or stage.opening or not stage.left:
        return
    if holding.finishing or holding.writing or disk.recording or disk.selecting or disk.checks.jobs or disk.letting_go:
        return
    if disk.rest.saving:  # what is remembered at the end must come last
        return
    for piece in {piece for piece, _ in holding.buffers}:
        release(engine, torrent, piece)
    disk.letting_go = True
    sessions, storage, claim = engine.workshop.sessions, disk.storage, disk.claim
    group, disk.unrecorded = disk.unrecorded, []
    key, saved, forget, erase = key_of(torrent), picture(torrent, stopped=True), disk.lodging.forget, disk.lodging.erase
    home, info = disk.home, torrent.metainfo.info
    dirty = disk.dirty or bool(saved.partial or torrent.holding.kept.blocks)

    def write_and_close(storage: TorrentStorage) -> None:
        try:
            if group:
                record_group(storage, group)
            storage.flush()
        finally:
            storage.close()

    def erase_all() -> None:
        if sessions is not None and not isinstance(home, Residence):
            sessions.intend(key, Removing())
        remove_all(home, storage, info, key.info_hash)

    def let_go() -> None:
        durable = False
        try:
            if erase and info.files:
                erase_all()
            elif storage is not None:
                write_and_close(storage)
            durable = True
        finally:
            try:
                if sessions is not None and forget and (durable or not erase):  # else the next run tries to remove it
                    sessions.forget(key)
                elif sessions is not None and dirty and not erase:
                    sessions.save(key, saved if durable else replace(saved, partial={}))
            finally:
                if isinstance(home, Residence):
                    home.leave()
                if claim is not None:
                    claim.release()

    def done(_: None) -> None:
        engine.network.run(_gone, engine, torrent, None)

    def failed(error: BaseException) -> None:
        engine.network.run(_gone, engine, torrent, error)

    engine.turn.outbox("let go", torrent, engine.workshop.record.submit, let_go, done, failed, torrent.owner)


def _leave(engine: Engine, torrent: TorrentState) -> None:
    for peer in list(torrent.swarm.peers.values()):
        leave(engine, peer, "the torrent was closed")
        engine.turn.outbox("close", peer, engine.network.call, peer.link.close, "the torrent was closed")
    doubting.end(torrent)
    disk = torrent.disk
    disk.checks.queued.setall(False)
    if disk.storage is not None and not disk.lodging.forget:
        for progress in list(torrent.pieces.begun.values()):
            spill(engine, torrent, progress)
    again, disk.again = disk.again, []
    if disk.storage is None:
        torrent.holding.finishing.clear()  # what waited for a disk, and waits for its files now, is lost
        again.clear()
    for action in again:  # the last time: what fails now is given up
        action()
    if isinstance(torrent.stage, Closing):
        torrent.stage = replace(torrent.stage, left=True)


def _gone(engine: Engine, torrent: TorrentState, error: BaseException | None) -> None:
    torrent.stage = follow(torrent.stage, Dropped())
    torrent.disk.storage = None
    torrent.disk.claim = None
    torrent.disk.letting_go = False
    engine.due.closing.discard(torrent)
    engine.torrents.past.count(torrent.totals)
    engine.due.leaving.remove(torrent)
    closed = torrent.signals.closed
    if isinstance(error, TorrentError):
        engine.tell(events.Failed(torrent.info_hash, error))
    engine.tell(events.StageChanged(torrent.info_hash, "dropped"))
    engine.turn.outbox("signal", closed, closed.set)
    tell_watchers(torrent)
