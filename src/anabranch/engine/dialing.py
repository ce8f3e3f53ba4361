"""Whom to dial now: within the limits of each torrent, of the client, and of dials per second.

Any thread may ask, within a turn; the network thread dials.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from anabranch.model import InfoHash

from .candidates import Candidate, half_open_limit
from .directory import names_of
from .engine import Engine
from .membership import leaves_for
from .metrics import DIALS_FAILED
from .stage import Closing, Dropped, Learning, Live
from .state import TorrentState

_LOOKED_AT = 512  # torrents that may dial, and peers of full ones that might give way, in one turn: a few ms


@dataclass(frozen=True, slots=True)
class Dial:
    """One dial to be made, how long it may take in seconds, by which name, and whether to begin obfuscated."""

    torrent: TorrentState
    candidate: Candidate
    timeout: float
    name: InfoHash
    obfuscated: bool


def wants_peers(engine: Engine, torrent: TorrentState) -> bool:
    """Whether the torrent has any use for more peers."""
    if not isinstance(torrent.stage, Live | Learning):
        return False
    learning = isinstance(torrent.stage, Learning)
    hungry = learning or (torrent.policy.download and torrent.pieces.missing_wanted > 0)
    serving = torrent.policy.upload and engine.config.seed and torrent.pieces.complete_count > 0
    if not (hungry or serving or engine.config.always_want_connections):
        return False
    return not torrent.is_full or leaves_for(engine, torrent, "", dialed=True) is not None


def able(engine: Engine, torrent: TorrentState, now: float) -> bool:
    """Whether the torrent has somebody to dial now, and a use for him."""
    return torrent.swarm.candidates.due(now, seeds_too=not torrent.pieces.is_seed) and wants_peers(engine, torrent)


def choose(engine: Engine, now: float, room: int | None = None) -> list[Dial]:
    """The dials to make now. Their candidates count as engaged from here on.

    The torrents take turns, who dialed longest ago first: none waits until others have nobody left to dial.

    Args:
        engine: The engine.
        now: The time.
        room: Connections that the client may still have; None for any number.
    """
    dials: list[Dial] = []
    config, budget = engine.config, engine.limits.dials
    if not config.dial_peers or config.disable_tcp or budget.ready_at(now) > now:
        return dials
    most = config.total_half_open_connections - engine.due.half_open
    if room is not None:
        most = min(most, room)
    agenda = engine.due.lively.dials
    queue: deque[TorrentState] = deque()
    looked_at = 0
    while len(queue) < most and looked_at < _LOOKED_AT and (first := agenda.due(now)) is not None:
        looked_at += 1 + (len(first.swarm.peers) if first.is_full else 0)
        if able(engine, first, now):
            queue.append(first)
        else:
            _rest(engine, first, now)
    if looked_at >= _LOOKED_AT:
        engine.turn.outbox("dial", engine, engine.network.look_for_peers)
    while queue and len(dials) < most:
        torrent = queue.popleft()
        candidate = _next(engine, torrent, now)
        if candidate is None:
            _rest(engine, torrent, now)
            continue
        if not candidate.misunderstood and not budget.grant(1, now):  # a candidate counts once, in however many ways
            queue.append(torrent)
            break
        timeout = _timeout(engine, torrent)
        torrent.swarm.candidates.engage(candidate, now)
        torrent.swarm.dialing += 1
        engine.due.half_open += 1
        dials.append(Dial(torrent, candidate, timeout, *_ways(engine, torrent)[candidate.way]))
        if (metrics := engine.metrics) is not None:
            metrics.dialed(candidate.address, obfuscated=dials[-1].obfuscated, fallback=candidate.way > 0)
        queue.append(torrent)
    for torrent in queue:
        agenda.put(torrent, torrent.swarm.candidates.taken_at)
    return dials


def _rest(engine: Engine, torrent: TorrentState, now: float) -> None:
    """It cannot dial now. What else may change that puts it into the agenda again, or its next tick does."""
    at = torrent.swarm.candidates.rests_until()
    if at > now:
        engine.due.lively.dials.put(torrent, at)


def ended(engine: Engine, torrent: TorrentState, candidate: Candidate, *, misunderstood: bool = False) -> None:
    """A dial did not become a peer. Where we were not understood it is made again, in another way."""
    now = engine.clock()
    if (metrics := engine.metrics) is not None:
        metrics.add(DIALS_FAILED)
    torrent.swarm.dialing -= 1
    engine.due.half_open -= 1
    if _is_there(torrent, candidate):
        return  # it had come by itself meanwhile
    if misunderstood and candidate.way + 1 < len(_ways(engine, torrent)):
        candidate.way += 1
        torrent.swarm.candidates.again(candidate)
    else:
        candidate.way = 0
        torrent.swarm.candidates.lost(candidate, now, served=False)
    if not isinstance(torrent.stage, Closing | Dropped):
        engine.due.lively.add(torrent)


def _is_there(torrent: TorrentState, candidate: Candidate) -> bool:
    """Whether somebody is connected whom a dial to the candidate would reach: it stays engaged until that one is lost.

    A peer is known by where it says that it listens, if the connection that was refused for it did not tell.
    """
    host, port = candidate.address
    for peer in torrent.swarm.peers.values():
        if peer.candidate is candidate:
            return True
        if peer.candidate is None and peer.address.host == host and peer.talk.peer_extensions.port == port:
            peer.candidate = candidate
            return True
    return False


def _ways(engine: Engine, torrent: TorrentState) -> list[tuple[InfoHash, bool]]:
    """How to dial, as long as the peer does not answer. Of a hybrid, some know only the one name and some the other."""
    return [(name, obfuscated) for name in names_of(torrent) for obfuscated in engine.config.encrypts.ways]


def _next(engine: Engine, torrent: TorrentState, now: float) -> Candidate | None:
    """Whom the torrent is to dial now, if its budget allows a dial. Those that may not be dialed are forgotten."""
    swarm, config, ourselves = torrent.swarm, engine.config, engine.network.ourselves
    limit = half_open_limit(
        torrent.policy.most_connections, len(swarm.peers), len(swarm.candidates), config.half_open_connections
    )
    while swarm.dialing < limit:
        candidate = swarm.candidates.next(now, not torrent.pieces.is_seed, ourselves)
        if candidate is None:
            break
        address = candidate.address
        left_out = config.disable_ipv6 if address.is_v6 else config.disable_ipv4
        if not left_out and address.host not in engine.banned and address not in ourselves:
            return candidate
        swarm.candidates.forget(candidate)
    return None


def _timeout(engine: Engine, torrent: TorrentState) -> float:
    """Seconds a dial may take: the more candidates wait, the fewer."""
    waiting = torrent.swarm.candidates.waiting()
    return max(engine.config.min_dial_timeout, engine.config.nominal_dial_timeout / max(1, (waiting + 25) // 25))
