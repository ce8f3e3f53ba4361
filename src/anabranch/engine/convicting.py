"""What a web seed did wrong, and what it is spared for a while because of that.

Source: a bad answer or a bad piece costs 60 s, in the Go engine as here; a server that asks for a pause has done
nothing wrong. There, what was queued was asked nevertheless, later; here it goes to others at once. What runs goes on
after a bad answer, since that may be of one file; after a bad piece nothing more of that web seed is believed.
Within a turn.
"""

from __future__ import annotations

from anabranch.webseed import PENANCE, State, WebSeed

from . import claiming, events
from .engine import Engine
from .metrics import WEBSEED_CONVICTED
from .state import TorrentState
from .webseed_status import webseed_name

SUSPENDED = "suspended"


def convict(engine: Engine, torrent: TorrentState, seed: WebSeed, reason: str, kind: str) -> None:
    """It gave a bad answer, or a bad piece (*kind*): it is asked for nothing new for a minute."""
    if seed.convict(engine.clock(), reason):
        if (metrics := engine.metrics) is not None:
            metrics.add(WEBSEED_CONVICTED, kind)
        tell(engine, torrent, seed, PENANCE)
    unqueue(engine, seed)


def wrong_piece(engine: Engine, torrent: TorrentState, url: str, piece: int) -> None:
    """Blocks of this piece that came from there were wrong."""
    seed = torrent.swarm.webseeds.get(url)
    if seed is None:
        return  # it was removed meanwhile
    convict(engine, torrent, seed, f"sent wrong data for piece {piece}", "bad piece")
    for request in list(engine.due.web.requests.of(seed)):
        if request.state is not State.RESTING:
            claiming.cancel(engine, request, SUSPENDED)
    claiming.plan_soon(engine, torrent, "bad piece")


def unqueue(engine: Engine, seed: WebSeed) -> None:
    """What waits for the web seed waits no longer: others may have it."""
    claiming.cut_all(engine, engine.due.web.requests.unqueue(seed, SUSPENDED))


def tell(engine: Engine, torrent: TorrentState, seed: WebSeed, seconds: float) -> None:
    """Subscribers learn what went wrong last, and for how long the web seed is not asked."""
    told = events.WebSeedFailed(torrent.info_hash, webseed_name(seed.source.url), seed.last_error, seconds)
    engine.tell(told, key=("webseed", seed))
