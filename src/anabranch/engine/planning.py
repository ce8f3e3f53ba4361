"""What web seeds are asked for next: every five seconds, and at once when something changed.

Source: the Go engine's planner (section by section in webseed/planner.py, which decides). Here is what it needs to know
of torrents and pieces, and what follows: blocks are reserved with their request, so that nothing is planned twice, and
what is queued is looked at again before it is begun. Torrents are gone through in slices over several turns, and so are
the reservations. Network thread, within a turn.
"""

from __future__ import annotations

from collections.abc import Iterator

from bitarray import bitarray

from anabranch.model import BLOCK_SIZE, Priority, no_pieces
from anabranch.net import Bucket
from anabranch.webseed import (
    DEPRIORITIZED,
    HOST_REQUESTS,
    NOT_WANTED,
    PLAN_EVERY,
    STARTERS,
    Candidate,
    Key,
    Request,
    Standing,
    State,
    WebSeed,
    first_of_slices,
    partial_slices,
    pieces_per_slice,
    plan,
    spread,
)

from . import claiming, resting
from .asking import take_back
from .claiming import blocks_left, cancel, claim, run_at
from .engine import Engine
from .fetches import Fetch
from .metrics import WEBSEED_PLANNED, WEBSEED_PLANS, WEBSEED_STARTED
from .stage import Live
from .state import Peer, TorrentState
from .stealing import pace as pace_of

_MANY = 2000  # candidates, after which each torrent offers one more only: a plan must not be a long turn
_AT_ONCE = 4  # torrents looked at, or requests reserved, in one turn: 4,096 pieces leave a peers' order in 4 ms
_CROWD = 100  # torrents with something to ask for, with which planning waits a second where nobody waits for it
_PATIENT = frozenset({"failed", "missing", "proven", "rested", "web seeds added"})
_SOON = 1.0  # seconds to the next plan, where all that is missing is on its way and may be late
_LATE = 2.0  # seconds that a peer may need for what it owes before an idle web seed is asked for it
_STALLED = 1.0  # seconds without gain after which a piece that peers owe us is asked of an idle web seed
_BREAKS = 2.0  # times a second that requests which have begun make place for others, in a torrent,
_BREAKS_AT_ONCE = 10.0  # and after a pause
_FAST = 128e6  # bytes per second of a connection; where each brings that, more would only cost, a fifth of the CPU
_PRIORITIES = tuple(sorted(Priority, reverse=True))


def look(engine: Engine, now: float) -> None:
    """Each second: end the rests that are over, and plan when it is time."""
    web = engine.due.web
    for request in web.requests.rested(now):
        claiming.plan_soon(engine, request.attachment.torrent, "rested")
    if now >= web.next_at and (web.torrents or len(web.requests)):
        run(engine, "timer")
    rates: dict[str, float] = {}
    for request in web.requests.live():
        host, rate = request.seed.host, request.attachment.down.rate(now)
        rates[host] = rates.get(host, 0.0) + rate
    for host, rate in rates.items():
        if rate < _FAST * web.requests.used_up(host):
            web.requests.widen(host)
        pump(engine, host)  # what was paused, or had no connection


def run(engine: Engine, why: str = "") -> None:
    """Plan for all torrents, in several turns where there are many. While that lasts it is not begun anew."""
    web = engine.due.web
    if web.planning:
        web.why = web.why or why  # looked at when this one is through
        return
    reason, web.why = why or web.why, ""
    if reason in _PATIENT and len(web.torrents) > _CROWD:
        web.next_at = min(web.next_at, engine.clock() + _SOON)
        return
    web.planning = True
    web.next_at = engine.clock() + PLAN_EVERY
    if (metrics := engine.metrics) is not None:
        metrics.add(WEBSEED_PLANS, reason)
    engine.turn.sliced("plan web seeds", web, _steps(engine), lambda step: step.take(), _AT_ONCE)


class _Look:
    """Find out what the web seeds of a torrent could be asked for."""

    def __init__(self, engine: Engine, torrent: TorrentState, found: list[Candidate]) -> None:
        self._with = engine, torrent, found

    def take(self) -> None:
        engine, torrent, found = self._with
        if not torrent.pieces.missing_wanted:  # whoever wants more says so
            engine.due.web.torrents.pop(torrent, None)
            return
        most = HOST_REQUESTS if len(found) < _MANY else 1
        found += candidates(engine, torrent, engine.clock(), most)


class _Reserve:
    """Reserve what was chosen, if it is free still."""

    def __init__(self, engine: Engine, chosen: Candidate, old: Request | None = None) -> None:
        self._with = engine, chosen, old

    def take(self) -> None:
        engine, chosen, old = self._with
        torrent = engine.torrents.get(chosen.key.torrent)
        if torrent is None or torrent not in engine.due.web.torrents or chosen.seed.suspended(engine.clock()):
            return
        if torrent.swarm.webseeds.get(chosen.seed.source.url) is not chosen.seed:  # the torrent was added anew
            return
        if not resting.is_awake(torrent):
            resting.wake(engine, torrent, lambda: claiming.plan_soon(engine, torrent, "woken"))
            return
        if old is not None and old.state in (State.RESTING, State.ENDED):
            return
        if claim(engine, torrent, chosen, _room(torrent), old) is not None:
            if (metrics := engine.metrics) is not None:
                metrics.add(WEBSEED_PLANNED)
            pump(engine, chosen.seed.host)


def _steps(engine: Engine) -> Iterator[_Look | _Reserve]:
    web = engine.due.web
    found: list[Candidate] = []
    for torrent in list(web.torrents):
        yield _Look(engine, torrent, found)
    try:
        decided = plan(web.requests, found, _worth, now=engine.clock(), standing_of=_standing)
        for request, reason in decided.cancel:
            if reason != DEPRIORITIZED or _may_break(engine, request):
                cancel(engine, request, reason)
            if reason == NOT_WANTED:
                web.why = web.why or "not wanted"  # but what was kept for it behind that may be
        for request, chosen in decided.replace:
            if _may_break(engine, request):
                yield _Reserve(engine, chosen, request)
        for chosen in decided.start:
            yield _Reserve(engine, chosen)
        idle = {one.seed for one in found if not web.requests.of(one.seed)}
        if any(web.requests.at_host(seed.host) < HOST_REQUESTS for seed in idle):  # it may help another out soon
            web.next_at = min(web.next_at, engine.clock() + _SOON)
    finally:
        web.planning = False
        if web.why:
            engine.turn.outbox("plan", web, engine.network.plan)
    if engine.config.debug:
        web.requests.check()


def _may_break(engine: Engine, request: Request) -> bool:
    """Whether a request may make place for another: that costs a connection where it has begun.

    A player that seeks thirty times a second would have as many made and broken. What has to wait waits a second.
    """
    if request.state not in (State.STARTING, State.READING):
        return True
    webseeds, now = request.attachment.torrent.swarm.webseeds, engine.clock()
    if webseeds.breaks is None:
        webseeds.breaks = Bucket(_BREAKS, _BREAKS_AT_ONCE)
    if webseeds.breaks.grant(1, now):
        return True
    engine.due.web.next_at = min(engine.due.web.next_at, now + _SOON)
    return False


def candidates(engine: Engine, torrent: TorrentState, now: float, most: int = HOST_REQUESTS) -> list[Candidate]:
    """What each web seed of a torrent could be asked for, up to *most*. O(pieces) at memory's speed, without a loop."""
    if not may_fetch(torrent):
        return []
    seeds = [seed for seed in torrent.swarm.webseeds.values() if _may_be_asked(seed, now)]
    if not seeds:
        return []
    if torrent.worth.readers:
        for fetch in list(torrent.swarm.webseeds.fetches):
            claiming.cut_for_readers(fetch)
    free = torrent.pieces.free()
    if (room := _room(torrent)) is not None:
        free &= room
    idle = [seed for seed in seeds if not seed.failures and not engine.due.web.requests.of(seed)]
    idle = [seed for seed in idle if not (free if seed.lacks is None else free & ~seed.lacks).any()]
    if idle:
        engine.due.web.next_at = min(engine.due.web.next_at, now + _SOON)
    for seed in idle:
        if _help_out(engine, torrent, seed, now):
            return candidates_of(engine, torrent, [seed], torrent.pieces.free(), now, most)
    return candidates_of(engine, torrent, seeds, free, now, most)


def candidates_of(
    engine: Engine, torrent: TorrentState, seeds: list[WebSeed], free: bitarray, now: float, most: int
) -> list[Candidate]:
    """The same of these web seeds and pieces."""
    table, geometry = torrent.pieces, torrent.pieces.geometry
    per_slice = pieces_per_slice(geometry)
    chosen: dict[WebSeed, dict[int, int]] = {}
    for turn, seed in enumerate(seeds):
        has = free if seed.lacks is None else free & ~seed.lacks
        number = most if seed.proven else min(max(STARTERS - len(engine.due.web.requests.of(seed)), 0), most)
        chosen[seed] = _best_of_slices(torrent, has, per_slice, number * len(seeds), turn, len(seeds))
    slices = {number for starts in chosen.values() for number in starts}
    partial = partial_slices(geometry, torrent.metainfo.info.files, slices, table.complete, table.begun)
    peers, name = len(torrent.swarm.peers), torrent.metainfo.info.name
    found: list[Candidate] = []
    for seed, starts in chosen.items():
        for number, piece in starts.items():
            run = run_at(torrent, geometry.offset_of(piece))
            if run is None:
                continue
            progress = table.begun.get(piece)
            found.append(
                Candidate(
                    Key(seed.source.url, torrent.info_hash, number),
                    seed,
                    geometry.offset_of(piece) + run.first * BLOCK_SIZE,
                    table.worth[piece],
                    asked=progress is not None and progress.free_count < progress.missing,
                    partial=number in partial,
                    peers=peers,
                    name=name,
                )
            )
    return found


def _best_of_slices(
    torrent: TorrentState, has: bitarray, per_slice: int, most: int, turn: int, seeds: int
) -> dict[int, int]:
    """The first piece of the highest priority of some slices: slice -> piece.

    There are few of a web seed that has not shown yet that it gives anything: they would be kept from others in vain.
    """
    worth = torrent.pieces.worth
    chosen: dict[int, int] = {}
    for priority in _PRIORITIES:
        if priority is Priority.NONE or len(chosen) >= most:
            break
        if worth.find(priority) < 0:
            continue
        level: bitarray = bitarray(endian="big")
        level.pack(worth.translate(_IS[priority]))
        pieces = first_of_slices(has & level, per_slice, chosen, most - len(chosen))
        order = spread(pieces, seeds)[turn] if seeds > 1 else pieces
        chosen |= {piece // per_slice: piece for piece in order[: max(most // seeds, 1)]}
    return chosen


_IS = {priority: bytes(number == priority for number in range(256)) for priority in Priority}


def may_fetch(torrent: TorrentState) -> bool:
    """Whether the torrent wants data now."""
    return _wants_data(torrent) and not torrent.disk.selecting and torrent.pieces.missing_wanted > 0


def _wants_data(torrent: TorrentState) -> bool:
    return isinstance(torrent.stage, Live) and torrent.policy.download


def _may_be_asked(seed: WebSeed, now: float) -> bool:
    return not (seed.closed or seed.unusable or seed.suspended(now))


def _room(torrent: TorrentState) -> bitarray | None:
    """The pieces that a limited space has room for; None where it is not limited."""
    shared = torrent.pieces.ordering.shared
    if shared is None:
        return None
    room = no_pieces(torrent.pieces.geometry.piece_count)
    for fits in shared.within(torrent.info_hash):
        room |= fits
    return room


def _worth(request: Request) -> int | None:
    """What the piece is worth that a request has come to; None where it is worth nothing any more."""
    fetch = request.attachment
    if not isinstance(fetch, Fetch) or not _wants_data(fetch.torrent):
        return None
    table = fetch.torrent.pieces
    return table.worth[min(fetch.at // table.piece_length, table.geometry.piece_count - 1)] or None


def _standing(request: Request) -> Standing:
    torrent = request.attachment.torrent
    return Standing(len(torrent.swarm.peers), False, torrent.metainfo.info.name)


def _help_out(engine: Engine, torrent: TorrentState, seed: WebSeed, now: float) -> bool:
    """All that is missing is on its way, and this web seed has nothing to do: take over what would come late.

    Tells whether anything became free.
    """
    freed = False
    late = [peer for peer in torrent.swarm.peers.values() if peer.talk.outstanding and _is_late(peer, now)]
    for progress in list(torrent.pieces.begun.values()):
        if seed.may_give(progress.piece) and (late or progress.last_gain < now - _STALLED):
            slow = late or [peer for peer in torrent.swarm.peers.values() if peer.talk.outstanding]
            for peer in slow:
                freed |= take_back(engine, peer, progress.piece)
    for fetch in list(torrent.swarm.webseeds.fetches):
        if fetch.seed is seed:
            continue
        freed |= claiming.share_with(engine, torrent, fetch, seed, now)
    return freed


def _is_late(peer: Peer, now: float) -> bool:
    pace_now = pace_of(peer, now)
    return peer.talk.outstanding > _LATE * pace_now if pace_now else now - peer.flow.asked_at > _LATE


def pump(engine: Engine, host: str) -> None:
    """Begin what waits for this host, as far as it may be; what is not wanted any more goes."""
    web, now = engine.due.web, engine.clock()
    for seed in web.requests.waiting(host):
        while not seed.suspended(now) and (request := web.requests.take(seed)) is not None:
            fetch = request.attachment
            if _worth(request) is None or blocks_left(fetch) == 0:
                if fetch.lent:
                    claiming.plan_soon(engine, fetch.torrent, "not wanted")
                cancel(engine, request, "not wanted any more")
                continue
            fetch.since = now
            if (metrics := engine.metrics) is not None:
                metrics.add(WEBSEED_STARTED)
            engine.turn.outbox("fetch", fetch, engine.network.fetch, fetch)
