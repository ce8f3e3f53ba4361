"""The bytes of a torrent's metainfo rest in the session store while nobody needs them, and are read when somebody does.

They are nine tenths of an idle torrent's memory. What was read once from the store, or saved to it, may be let go of;
whoever needs it within a turn (hashes of pieces, the info dictionary for peers) has it woken first and comes back when
it is there: within a turn nobody reads a disk. Any other thread may look at once, and waits for the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1, sha256

from anabranch.metainfo import Body, Info
from anabranch.model import InfoHash, InfoHashV2, StorageFailed
from anabranch.storage import SessionKey, SessionStore

from .engine import Engine
from .failing import attempt
from .stage import Closing, Dropped, Live
from .state import TorrentState

_MOST_WAITING = 64  # for one torrent: whoever comes later has to come again


def is_awake(torrent: TorrentState) -> bool:
    """Whether nothing has to be read."""
    return torrent.metainfo.body.here


def saved(torrent: TorrentState, body: Body) -> None:
    """The session store has these bytes now."""
    torrent.disk.rest.stored = body


def rest(engine: Engine, torrent: TorrentState) -> None:
    """Within a turn: keep the metainfo's bytes no longer, if the store has them and nothing goes on."""
    sessions, disk, metainfo = engine.workshop.sessions, torrent.disk, torrent.metainfo
    if sessions is None or not metainfo.body.here or disk.rest.stored is not metainfo.body:
        return
    busy = (
        torrent.swarm.peers
        or torrent.swarm.dialing
        or torrent.swarm.webseeds.fetches
        or disk.checks.left
        or torrent.pieces.busy
    )
    if busy or disk.storage is None or not isinstance(torrent.stage, Live):
        return
    disk.rest.stored = kept = kept_by(sessions, SessionKey(torrent.info_hash, torrent.data_path), metainfo.info)
    torrent.metainfo = metainfo.resting_on(kept)


def kept_by(sessions: SessionStore, key: SessionKey, info: Info) -> Body:
    """The bytes of a .torrent file that the store has under that key; *info* is what it must say."""
    return Body(None, _Kept(sessions, key, info.start, info.start + info.raw_size, info.v2 or info.v1))


@dataclass(frozen=True, slots=True)
class _Kept:
    """How to get them. One for each torrent that rests: one object, where a closure would be nine."""

    sessions: SessionStore
    key: SessionKey
    begin: int  # where in the file the info dictionary is
    end: int
    due: InfoHash | InfoHashV2 | None  # what that has to hash to

    def __call__(self) -> bytes:
        data = self.sessions.metainfo(self.key)
        raw = data[self.begin : self.end]
        v2 = isinstance(self.due, InfoHashV2)
        if (sha256(raw) if v2 else sha1(raw, usedforsecurity=False)).digest() != self.due:
            raise StorageFailed(f"torrent {self.key.info_hash}", "what is remembered of it has changed")
        return data


def wake(engine: Engine, torrent: TorrentState, then: Callable[[], None]) -> bool:
    """Within a turn: have the metainfo's bytes in memory, and then do *then*, within a turn of the network thread.

    If they are there already, *then* is done at once. Tells whether it is done at all: too many may wait.
    """
    if is_awake(torrent):
        then()
        return True
    waking = torrent.disk.rest.waking
    if waking is not None:
        if len(waking) < _MOST_WAITING:
            waking.append(then)
        return len(waking) < _MOST_WAITING
    torrent.disk.rest.waking = [then]
    _read(engine, torrent)
    return True


def _read(engine: Engine, torrent: TorrentState) -> None:
    body = torrent.metainfo.body

    def settle(data: bytes) -> None:
        waiting, torrent.disk.rest.waking = torrent.disk.rest.waking, None
        if torrent.metainfo.body is body:
            awake = Body(data)
            torrent.metainfo = torrent.metainfo.resting_on(awake)
            saved(torrent, awake)
        if not isinstance(torrent.stage, Closing | Dropped):
            for then in waiting or ():
                then()

    def again() -> None:
        _read(engine, torrent)

    attempt(engine, torrent, body.read, settle, again, worker=engine.workshop.cold)
