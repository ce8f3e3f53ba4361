"""What a client tells of itself: the numbers of all its torrents together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from anabranch.engine import Core, Sums, TorrentState, TorrentStats, stats_of

_SLICE = 64  # torrents whose numbers are taken in one turn: some 0.3 ms, so that few threads lose the interpreter in it


@dataclass(frozen=True, slots=True)
class ClientStats:
    """A client's numbers. Lengths in bytes, rates in bytes per second.

    Args:
        torrents: How many it has.
        stages: How many of them are in each stage; those are named as in TorrentStats, and only those that occur.
        peers: Connections in all.
        half_open: Dials under way.
        rate_down, rate_up: Block bytes per second.
        downloaded, uploaded: Block bytes since the client was made, of torrents that it has no more, too.
        wasted, corrupt: The same, of block bytes received in vain, and of pieces with a wrong hash.
        unverified: Memory in use for pieces that are not verified yet.
        banned: Addresses that sent wrong data.
    """

    torrents: int
    stages: Mapping[str, int]
    peers: int
    half_open: int
    rate_down: float
    rate_up: float
    downloaded: int
    uploaded: int
    wasted: int
    corrupt: int
    unverified: int
    banned: frozenset[str]


def every_stats(core: Core) -> list[TorrentStats]:
    """The numbers of all torrents, a turn per slice."""
    with core.turn:
        states = list(core.engine.torrents.values())
    return list(_in_slices(core, states))


def client_stats(core: Core) -> ClientStats:
    """The client's numbers, a turn per slice."""
    engine = core.engine
    sums = Sums()
    with core.turn:  # what leaves from here on is counted where it is now
        states, closing = list(engine.torrents.values()), list(engine.due.closing)
        sums.add(engine.torrents.past)
        half_open, unverified, banned = engine.due.half_open, engine.pool.lent, frozenset(engine.banned)
    every = list(_in_slices(core, states))
    for state in (*states, *closing):
        sums.count(state.totals)
    return ClientStats(
        torrents=len(every),
        stages=Counter(one.stage for one in every),
        peers=sum(one.peers for one in every),
        half_open=half_open,
        rate_down=sum(one.rate_down for one in every),
        rate_up=sum(one.rate_up for one in every),
        downloaded=sums.downloaded,
        uploaded=sums.uploaded,
        wasted=sums.wasted,
        corrupt=sums.corrupt,
        unverified=unverified,
        banned=banned,
    )


def _in_slices(core: Core, states: list[TorrentState]) -> Iterable[TorrentStats]:
    for first in range(0, len(states), _SLICE):
        with core.turn:
            pictures = [stats_of(core.engine, state) for state in states[first : first + _SLICE]]
        yield from pictures
