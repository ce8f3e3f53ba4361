"""The moment from which a torrent takes part in its swarm."""

from __future__ import annotations

from . import announcing, events, seeking, webseeding
from .asking import ask_everybody
from .engine import Engine
from .recording import look_complete
from .stage import Live, follow
from .state import TorrentState
from .unchoking import rechoke


def set_live(engine: Engine, torrent: TorrentState) -> None:
    """Nothing stands against it: ask, serve and dial."""
    torrent.stage = follow(torrent.stage, Live())
    engine.tell(events.StageChanged(torrent.info_hash, "live"))
    engine.due.lively.add(torrent)
    now = engine.clock()
    ask_everybody(engine, torrent, now)
    rechoke(engine, torrent, now)
    look_complete(engine, torrent)
    announcing.begin(engine, torrent)
    seeking.begin(engine, torrent)
    webseeding.begin(engine, torrent)
    engine.turn.outbox("dial", engine, engine.network.look_for_peers)
