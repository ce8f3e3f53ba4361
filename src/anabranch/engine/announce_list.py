"""Which trackers a torrent has, in which order, and whom of them one is asked at a time.

Source: BEP 12. Within a turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, islice

from anabranch.metainfo import Metainfo

from .engine import Engine
from .telling import leave
from .trackers import Line, Tiers, Tracker

MOST_TRACKERS = 500  # of a torrent: a list of 300,000 would have us ask somebody's server again and again


def with_trackers(metainfo: Metainfo, tiers: Sequence[Sequence[str]]) -> Metainfo:
    """The metainfo, and behind its own trackers those of *tiers* that it has not."""
    known = dict.fromkeys(url for tier in metainfo.trackers for url in tier)
    fresh = []
    for tier in tiers:
        fresh.append(tuple(url for url in dict.fromkeys(tier) if url not in known))
        known.update(dict.fromkeys(tier))
    return replace(metainfo, trackers=metainfo.trackers + tuple(filter(None, fresh)))


def take_list(engine: Engine, tiers: Tiers) -> None:
    """Have the trackers that the metainfo has, in its tiers: those that are new, and no others.

    Within a tier who answered stays before who did not; the new ones are shuffled, that not all ask the same (BEP 12).
    """
    wanted = tiers.torrent.metainfo.trackers
    urls = set(islice((url for url in chain.from_iterable(wanted) if _counts(engine, url)), MOST_TRACKERS))
    known = {tracker.url: tracker for tracker in tiers.every()}
    for url, tracker in known.items():
        if url not in urls:
            for line in tiers.lines:
                if line.asking is tracker:
                    line.asking = None
            leave(engine, tiers, tracker)
    fresh = not urls <= known.keys()
    tiers.tiers = []
    for listed in wanted:
        here = urls.intersection(listed)
        urls -= here
        new = [Tracker(url) for url in dict.fromkeys(listed) if url in here and url not in known]
        kept = [tracker for url, tracker in known.items() if url in here]
        tiers.tiers.append(kept + sorted(new, key=lambda _: engine.draw(1 << 30)))
    tiers.tiers = [tier for tier in tiers.tiers if tier]
    _line_up(engine, tiers, fresh)


def _counts(engine: Engine, url: str) -> bool:
    """Whether a URL is meant to be asked: some programs mark those that the user switched off by a star."""
    unwanted = ("*", "ws:", "wss:") if engine.config.disable_webtorrent else "*"
    return not url.lower().startswith(unwanted)


def _line_up(engine: Engine, tiers: Tiers, fresh: bool) -> None:
    """Say whom of them one is asked at a time."""
    here = tiers.every()
    if not engine.config.announce_to_all:
        if not tiers.lines:
            tiers.lines.append(Line(tiers))
        [line] = tiers.lines
        if fresh or line.current not in here:
            line.current = None  # the new ones are asked at once
        return
    kept = [line for line in tiers.lines if line.only in here]
    for line in tiers.lines:
        if line not in kept:
            engine.due.announces.forget(line)
    lined = {line.only for line in kept}
    tiers.lines = kept + [Line(tiers, tracker) for tracker in here if tracker not in lined]
