"""The web seeds of a torrent: from when on they are asked, and what is told about them. Within a turn."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from anabranch.webseed import Source, web_seed

from . import claiming, convicting
from .engine import Engine
from .stage import Live
from .state import TorrentState
from .webseed_status import WebSeedStatus, status_of, unasked


def begin(engine: Engine, torrent: TorrentState) -> None:
    """The torrent is live, or has more web seeds than it had: ask those that there are."""
    webseeds = torrent.swarm.webseeds
    if engine.config.disable_webseeds or not webseeds.sources or not isinstance(torrent.stage, Live):
        return
    for source in webseeds.sources.values():
        known = webseeds.get(source.url)
        if known is not None and known.source == source:
            continue
        if known is not None:
            claiming.cut_all(engine, engine.due.web.requests.close(known))
        seed = webseeds[source.url] = web_seed(source, torrent.metainfo.info)
        if seed.unusable:
            convicting.tell(engine, torrent, seed, inf)
    claiming.plan_soon(engine, torrent, "web seeds added")


def add(engine: Engine, torrent: TorrentState, sources: Iterable[Source]) -> list[Source]:
    """Know these too. Answers those that are new: a URL that the user names too is believed more from then on."""
    known, fresh = torrent.swarm.webseeds.sources, []
    for source in sources:
        before = known.get(source.url)
        if before is None or (source.trusted and source != before):
            known[source.url] = source
            fresh.append(source)
    if fresh:
        torrent.swarm.webseeds.snapshot.picture = None  # who asks now sees them
        torrent.disk.dirty = True
        begin(engine, torrent)
    return fresh


def remove(engine: Engine, torrent: TorrentState, url: str) -> bool:
    """Ask this one no more. Tells whether it was known."""
    webseeds, url = torrent.swarm.webseeds, url.strip()
    source, seed = webseeds.sources.pop(url, None), webseeds.pop(url, None)
    if seed is not None:
        claiming.cut_all(engine, engine.due.web.requests.close(seed))
        claiming.plan_soon(engine, torrent, "web seed removed")
    webseeds.snapshot.picture = None
    torrent.disk.dirty = True
    return source is not None


def statuses(engine: Engine, torrent: TorrentState) -> list[WebSeedStatus]:
    """What is known of each. O(web seeds and their requests)."""
    webseeds, now, off = torrent.swarm.webseeds, engine.clock(), engine.config.disable_webseeds
    book = engine.due.web.requests
    return [
        unasked(source, now, off=off) if seed is None else status_of(seed, book.of(seed), now)
        for source in webseeds.sources.values()
        for seed in [webseeds.get(source.url)]
    ]
