"""Telling trackers that we are there, and whom of them to ask for peers, and when.

Sources: BEP 3, BEP 12 (a tier's trackers one after the other, then the next tier; who answers becomes the first of its
tier), BEP 52 (a hybrid announces each of its names). Floors and back-off are those of a fork of the Go engine. Within
a turn; announcer_io.py asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf, isfinite

from anabranch.model import InfoHash
from anabranch.tracker import AnnounceReply, AnnounceRequest, Event, TrackerFault

from . import events
from .directory import names_of
from .engine import Engine
from .pieces import length_in
from .stage import Learning, Live
from .state import TorrentState

FLOOR = 60.0  # seconds between two announces to a tracker, whatever it says
_WORST = 3  # failures up to which the pause is doubled: 2, 4, 8 minutes
_NUMWANT = 200
_UNKNOWN_LEFT = 2**63 - 1  # bytes; some trackers take -1 amiss
_AT_ONCE = 32  # announces under way
_PER_URL = 2
_LATER = 1.0  # seconds until one is looked at again that there was no room for


@dataclass(slots=True, eq=False)
class Tracker:
    """One announce URL, for one name of a torrent.

    Args:
        url: As it was given.
        knows: It was told that we are there.
        fails: Failures in a row.
        not_before: When it may be asked again.
        tracker_id: What it wants to hear again.
        told_complete: It was told that we have got everything, or need not be.
    """

    url: str
    knows: bool = False
    fails: int = 0
    not_before: float = 0.0
    tracker_id: bytes = b""
    told_complete: bool = True


@dataclass(slots=True, eq=False)
class Tiers:
    """A torrent's trackers, for one of its names."""

    name: InfoHash
    tiers: list[list[Tracker]]
    uploaded: int  # the torrent's totals when we began: trackers are told what came since
    downloaded: int
    busy: bool = False

    def every(self) -> list[Tracker]:
        """All of them, first tier first."""
        return [one for tier in self.tiers for one in tier]


@dataclass(order=True, slots=True)
class Appointment:
    """When a torrent's trackers are to be looked at."""

    at: float
    torrent: TorrentState = field(compare=False)
    tiers: Tiers = field(compare=False)


@dataclass(frozen=True, slots=True)
class Announce:
    """One announce to be made."""

    torrent: TorrentState
    tiers: Tiers
    tracker: Tracker
    request: AnnounceRequest


def begin(engine: Engine, torrent: TorrentState) -> None:
    """The torrent wants peers, or has something to give: announce each name that is not announced yet."""
    if engine.config.disable_trackers or not torrent.metainfo.trackers:
        return
    announced = {tiers.name for tiers in torrent.swarm.trackers}
    totals = torrent.totals
    for name in names_of(torrent):
        if name not in announced:
            urls = [[Tracker(url) for url in tier] for tier in torrent.metainfo.trackers]
            tiers = Tiers(name, urls, totals.uploaded, totals.downloaded)
            torrent.swarm.trackers.append(tiers)
            heappush(engine.due.announces, Appointment(engine.clock(), torrent, tiers))
            engine.turn.outbox("announce", engine, engine.network.look_for_peers)


def take(engine: Engine, now: float, under_way: Sequence[str], port: int) -> list[Announce]:
    """The announces to be made now.

    Args:
        engine: The engine.
        now: The time.
        under_way: URLs that are being asked, one for each announce.
        port: Where we listen.
    """
    asked = list(under_way)
    due: list[Announce] = []
    queue = engine.due.announces
    while queue and queue[0].at <= now and len(asked) < _AT_ONCE:
        one = heappop(queue)
        if not isinstance(one.torrent.stage, Live | Learning):
            if one.torrent.info_hash in engine.torrents and not one.tiers.busy:  # failed, or checking: it comes back
                heappush(queue, Appointment(now + FLOOR, one.torrent, one.tiers))
            continue
        if one.tiers.busy:
            continue
        tracker = min(one.tiers.every(), key=lambda tracker: max(tracker.not_before, now))
        if tracker.not_before > now:
            heappush(queue, Appointment(tracker.not_before, one.torrent, one.tiers))
        elif asked.count(tracker.url) >= _PER_URL:
            heappush(queue, Appointment(now + _LATER, one.torrent, one.tiers))
        else:
            one.tiers.busy = True
            asked.append(tracker.url)
            due.append(_announce(engine, one.torrent, one.tiers, tracker, _event(tracker), port))
    return due


def told(engine: Engine, one: Announce, reply: AnnounceReply) -> None:
    """A tracker answered."""
    torrent, tiers, tracker, now = one.torrent, one.tiers, one.tracker, engine.clock()
    tiers.busy = False
    tracker.fails = 0
    tracker.tracker_id = reply.tracker_id or tracker.tracker_id
    tracker.knows = one.request.event is not Event.STOPPED
    if one.request.event is Event.COMPLETED:
        tracker.told_complete = True
    for tier in tiers.tiers:
        if tracker in tier:
            tier.remove(tracker)
            tier.insert(0, tracker)
    if torrent.info_hash not in engine.torrents:
        return
    for address in reply.peers:
        torrent.swarm.candidates.add(address, "tracker")
    engine.due.lively.add(torrent)
    engine.turn.outbox("dial", engine, engine.network.look_for_peers)
    pause = max(FLOOR, reply.interval, reply.min_interval or 0.0)
    tracker.not_before = now + pause
    at = now if _event(tracker) is Event.COMPLETED else now + pause
    for other in tiers.every():  # while this one answers, the others are left alone
        if other is not tracker:
            other.not_before = max(other.not_before, at)
    if at == now:
        tracker.not_before = now
    heappush(engine.due.announces, Appointment(at, torrent, tiers))
    engine.tell(
        events.TrackerReplied(torrent.info_hash, shown(tracker.url), len(reply.peers), reply.seeders, reply.leechers)
    )


def failed(engine: Engine, one: Announce, fault: TrackerFault) -> None:
    """A tracker could not be asked, or refused: it is the next one's turn."""
    torrent, tiers, tracker, now = one.torrent, one.tiers, one.tracker, engine.clock()
    tiers.busy = False
    if torrent.info_hash not in engine.torrents:
        return
    tracker.fails += 1
    pause = FLOOR * 2 ** min(tracker.fails, _WORST)
    tracker.not_before = now + (pause if fault.retry_in is None else max(pause, fault.retry_in))
    at = min(other.not_before for other in tiers.every())
    if isfinite(at):
        heappush(engine.due.announces, Appointment(max(at, now), torrent, tiers))
    engine.tell(events.TrackerFailed(torrent.info_hash, shown(tracker.url), str(fault)))


def completed(engine: Engine, torrent: TorrentState) -> None:
    """Everything that is wanted has come: trackers count how often that happens, where it was not there before."""
    now = engine.clock()
    for tiers in torrent.swarm.trackers:
        if not torrent.pieces.is_seed or torrent.totals.downloaded <= tiers.downloaded:
            continue
        for tracker in tiers.every():
            tracker.told_complete = False
            if tracker.knows:
                tracker.not_before = now
        heappush(engine.due.announces, Appointment(now, torrent, tiers))
        engine.turn.outbox("announce", engine, engine.network.look_for_peers)


def stop(engine: Engine, torrent: TorrentState) -> None:
    """The torrent leaves: tell the trackers that know of it."""
    for tiers in torrent.swarm.trackers:
        for tracker in tiers.every():
            if tracker.knows:
                last = _announce(engine, torrent, tiers, tracker, Event.STOPPED, 0)
                engine.turn.outbox("stop", tracker, engine.network.announce, last)
    torrent.swarm.trackers.clear()


def next_look(engine: Engine) -> float:
    """When take() is next due."""
    return engine.due.announces[0].at if engine.due.announces else inf


def shown(url: str) -> str:
    """A tracker's URL without what must not be told: scheme, host and port."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"


def _event(tracker: Tracker) -> Event:
    if not tracker.knows:
        return Event.STARTED
    return Event.NONE if tracker.told_complete else Event.COMPLETED


def _announce(
    engine: Engine, torrent: TorrentState, tiers: Tiers, tracker: Tracker, event: Event, port: int
) -> Announce:
    totals, config = torrent.totals, engine.config
    wants = engine.config.dial_peers and event is not Event.STOPPED
    request = AnnounceRequest(
        info_hash=tiers.name,
        peer_id=engine.peer_id,
        port=port,
        uploaded=totals.uploaded - tiers.uploaded,
        downloaded=totals.downloaded - tiers.downloaded,
        left=_left(torrent),
        event=event,
        numwant=_NUMWANT if wants else 0,
        key=int.from_bytes(engine.peer_id[-4:], "big"),
        tracker_id=tracker.tracker_id,
        supports_encryption=config.encrypts.takes_obfuscated,
        requires_encryption=not config.encrypts.takes_plain,
        corrupt=totals.corrupt,
        redundant=totals.wasted,
    )
    return Announce(torrent, tiers, tracker, request)


def _left(torrent: TorrentState) -> int:
    table = torrent.pieces
    if not table.learned:
        return _UNKNOWN_LEFT
    return length_in(table.geometry, ~table.complete)
