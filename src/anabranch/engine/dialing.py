"""Whom to dial now: within the limits of each torrent, of the client, and of dials per second.

Any thread may ask, within a turn; the network thread dials.
"""

from __future__ import annotations

from dataclasses import dataclass

from .candidates import Candidate, half_open_limit
from .engine import Engine
from .stage import Live
from .state import TorrentState


@dataclass(frozen=True, slots=True)
class Dial:
    """One dial to be made, and how long it may take in seconds."""

    torrent: TorrentState
    candidate: Candidate
    timeout: float


def wants_peers(engine: Engine, torrent: TorrentState) -> bool:
    """Whether the torrent has any use for more peers."""
    if not isinstance(torrent.stage, Live) or len(torrent.swarm.peers) >= torrent.policy.most_connections:
        return False
    hungry = torrent.policy.download and torrent.pieces.missing_wanted > 0
    serving = torrent.policy.upload and engine.config.seed and torrent.pieces.complete_count > 0
    return hungry or serving or engine.config.always_want_connections


def choose(engine: Engine, now: float) -> list[Dial]:
    """The dials to make now. Their candidates count as engaged from here on."""
    dials: list[Dial] = []
    if not engine.config.dial_peers:
        return dials
    room = engine.config.total_half_open_connections - sum(one.swarm.dialing for one in engine.due.lively)
    for torrent in list(engine.due.lively):
        if room <= 0:
            break
        if not torrent.swarm.candidates or not wants_peers(engine, torrent):
            continue
        for dial in _of_torrent(engine, torrent, now, room):
            dials.append(dial)
            room -= 1
    return dials


def ended(torrent: TorrentState, candidate: Candidate, now: float) -> None:
    """A dial did not become a peer."""
    torrent.swarm.dialing -= 1
    torrent.swarm.candidates.lost(candidate, now, served=False)


def _of_torrent(engine: Engine, torrent: TorrentState, now: float, room: int) -> list[Dial]:
    swarm, config = torrent.swarm, engine.config
    waiting = swarm.candidates.waiting()
    limit = half_open_limit(
        torrent.policy.most_connections, len(swarm.peers), len(swarm.candidates), config.half_open_connections
    )
    timeout = max(config.min_dial_timeout, config.nominal_dial_timeout / max(1, (waiting + 25) // 25))
    dials: list[Dial] = []
    while len(dials) < room and swarm.dialing < limit:
        candidate = swarm.candidates.next(now, seeds_too=not torrent.pieces.is_seed)
        if candidate is None:
            break
        left_out = config.disable_ipv6 if candidate.address.is_v6 else config.disable_ipv4
        if left_out or candidate.address.host in engine.banned:
            swarm.candidates.forget(candidate)
            continue
        if not engine.limits.dials.grant(1, now):
            break
        candidate.engaged = True
        swarm.dialing += 1
        dials.append(Dial(torrent, candidate, timeout))
    return dials
