"""Telling trackers that we are there, and whom of them to ask for peers, and when.

Sources: BEP 3, BEP 12 (a tier's trackers one after the other, then the next tier; who answers becomes the first of its
tier), BEP 31 (when to ask again), BEP 52 (a hybrid announces each of its names). Floors and back-off are those of a
fork of the Go engine. Within a turn; announcer_io.py asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import inf

from anabranch.metainfo import Metainfo
from anabranch.model import InfoHash, InputRefused
from anabranch.net import parse_url
from anabranch.tracker import AnnounceReply, AnnounceRequest, Event, FaultKind, TrackerFault

from . import events
from .directory import names_of
from .engine import Engine
from .pieces import length_in
from .stage import Learning, Live
from .state import TorrentState

FLOOR = 60.0  # seconds between two announces to a tracker, whatever it says, but to tell it that we have got everything
AT_ONCE = 32  # announces under way
PER_URL = 2  # of them to one tracker
MOST_TRACKERS = 500  # of a torrent: a list of 300,000 would have us ask somebody's server again and again
_WORST = 3  # failures up to which the pause is doubled: 2, 4, 8 minutes
_NUMWANT = 200
_UNKNOWN_LEFT = 2**63 - 1  # bytes; some trackers take -1 amiss
_LOOKED_AT = 256  # of those that are due, in one turn
_SOON = 1.0  # seconds

Farewell = tuple[str, InfoHash]  # a tracker's URL, and by which name the torrent leaves


@dataclass(slots=True, eq=False)
class Tracker:
    """One announce URL, for one name of a torrent.

    Args:
        url: As it was given.
        port: Where we listen, as it was told last.
        knows: It was told that we are there.
        fails: Failures in a row.
        not_before: When it may be asked again; infinity for never.
        tracker_id: What it wants to hear again.
        told_complete: It was told that we have got everything, or need not be.
        hears_complete: It is being told just that.
    """

    url: str
    port: int = 0
    knows: bool = False
    fails: int = 0
    not_before: float = 0.0
    tracker_id: bytes = b""
    told_complete: bool = True
    hears_complete: bool = False


@dataclass(slots=True, eq=False)
class Tiers:
    """A torrent's trackers, for one of its names.

    Args:
        torrent: Whose they are.
        name: The name.
        tiers: The trackers, best tier first.
        uploaded, downloaded: The torrent's totals when we began: trackers are told what came since.
        busy: One of them is being asked.
        counted: That we have got everything was told, or nobody has to be told: we had it when we began.
    """

    torrent: TorrentState
    name: InfoHash
    tiers: list[list[Tracker]]
    uploaded: int
    downloaded: int
    busy: bool = False
    counted: bool = False

    def every(self) -> list[Tracker]:
        """All of them, first tier first."""
        return [one for tier in self.tiers for one in tier]


@dataclass(frozen=True, slots=True, eq=False)
class Announce:
    """One announce to be made, as it was when it became due; *last*: the torrent leaves."""

    tiers: Tiers
    tracker: Tracker
    request: AnnounceRequest
    due: float
    last: bool = False

    @property
    def key(self) -> Farewell:
        """Where it goes, and about whom."""
        return self.tracker.url, self.tiers.name


def with_trackers(metainfo: Metainfo, tiers: Sequence[Sequence[str]]) -> Metainfo:
    """The metainfo, and behind its own trackers those of *tiers* that it has not."""
    known = {url for tier in metainfo.trackers for url in tier}
    fresh = [tuple(url for url in tier if url not in known) for tier in tiers]
    return replace(metainfo, trackers=metainfo.trackers + tuple(filter(None, fresh)))


def begin(engine: Engine, torrent: TorrentState) -> None:
    """The torrent takes part in its swarm, or there are more trackers or names: announce each name."""
    if engine.config.disable_trackers or not torrent.metainfo.trackers:
        return
    known = {tiers.name: tiers for tiers in torrent.swarm.trackers}
    for name in names_of(torrent):
        tiers = known.get(name)
        if tiers is None:
            tiers = Tiers(torrent, name, [], torrent.totals.uploaded, torrent.totals.downloaded)
            torrent.swarm.trackers.append(tiers)
        if torrent.pieces.is_seed and torrent.totals.downloaded == tiers.downloaded:
            tiers.counted = True
        _take_new(engine, tiers)
        if not tiers.busy:
            engine.due.announces.put(tiers, engine.clock())
    engine.turn.outbox("announce", engine, engine.network.look_for_peers)


def take(
    engine: Engine, now: float, port: int, under_way: Sequence[str] = (), leaving: Collection[Farewell] = ()
) -> list[Announce]:
    """The announces to be made now.

    Args:
        engine: The engine.
        now: The time.
        port: Where we listen.
        under_way: URLs that are being asked, one for each announce.
        leaving: Who is still to be told that a torrent leaves: if it is back already, that must be told afterwards.
    """
    agenda, asked = engine.due.announces, Counter(under_way)
    room = AT_ONCE - len(under_way)
    due: list[Announce] = []
    if room <= 0:
        return due
    for tiers in islice(_ready(engine, now, asked), _LOOKED_AT):
        if not isinstance(tiers.torrent.stage, Live | Learning):
            continue  # begin() is called when it is
        tracker = min(tiers.every(), key=lambda tracker: max(tracker.not_before, now))
        if tracker.not_before > now:
            agenda.put(tiers, tracker.not_before)
        elif (tracker.url, tiers.name) in leaving:
            agenda.put(tiers, now + _SOON)
        elif asked[tracker.url] >= PER_URL:
            agenda.queue(tiers, tracker.url)
        else:
            tiers.busy = True
            tracker.port = port
            asked[tracker.url] += 1
            event = _event(tracker)
            tracker.hears_complete = event is Event.COMPLETED
            due.append(_announce(engine, tiers, tracker, event))
            if len(due) == room:
                break
    return due


def told(engine: Engine, one: Announce, reply: AnnounceReply) -> None:
    """A tracker answered."""
    tiers, tracker, now = one.tiers, one.tracker, engine.clock()
    torrent = tiers.torrent
    tiers.busy = False
    tracker.fails = 0
    tracker.tracker_id = reply.tracker_id or tracker.tracker_id
    tracker.knows = one.request.event is not Event.STOPPED
    tracker.hears_complete = False
    if one.request.event is Event.COMPLETED:
        tracker.told_complete = True
    if not _is_here(engine, torrent):
        if one.request.event in (Event.STARTED, Event.COMPLETED):  # stop() left the rest to this answer
            _say_goodbye(engine, tiers, tracker)
        return
    for tier in tiers.tiers:
        if tracker in tier:
            tier.remove(tracker)
            tier.insert(0, tracker)
    for address in reply.peers:
        torrent.swarm.candidates.add(address, "tracker")
    engine.due.lively.add(torrent)
    engine.turn.outbox("dial", engine, engine.network.look_for_peers)
    at = now
    if _event(tracker) is not Event.COMPLETED:
        at += max(FLOOR, reply.interval, reply.min_interval or 0.0)
    for other in tiers.every():  # while this one answers, the others are left alone
        other.not_before = max(other.not_before, at)
    tracker.not_before = at
    engine.due.announces.put(tiers, at)
    engine.tell(
        events.TrackerReplied(torrent.info_hash, shown(tracker.url), len(reply.peers), reply.seeders, reply.leechers)
    )


def failed(engine: Engine, one: Announce, fault: TrackerFault) -> None:
    """A tracker could not be asked, or refused: it is the next one's turn."""
    tiers, tracker, now = one.tiers, one.tracker, engine.clock()
    torrent = tiers.torrent
    tiers.busy = tracker.hears_complete = False
    if not _is_here(engine, torrent):
        if one.request.event is Event.COMPLETED and not one.last:
            _say_goodbye(engine, tiers, tracker)
        return
    tracker.fails += 1
    pause = FLOOR * 2 ** min(tracker.fails, _WORST)
    if fault.kind is FaultKind.URL:  # it will not become a better one
        pause = inf
    tracker.not_before = now + max(pause, fault.retry_in or 0.0)
    engine.due.announces.put(tiers, max(now, min(other.not_before for other in tiers.every())))
    engine.tell(events.TrackerFailed(torrent.info_hash, shown(tracker.url), str(fault)))


def completed(engine: Engine, torrent: TorrentState) -> None:
    """Everything that is wanted has come: trackers count how often that happens, where it was not there before."""
    now = engine.clock()
    for tiers in torrent.swarm.trackers:
        if tiers.counted or not torrent.pieces.is_seed or torrent.totals.downloaded <= tiers.downloaded:
            continue
        tiers.counted = True
        for tracker in tiers.every():
            tracker.told_complete = False
            if tracker.knows and not tracker.fails:
                tracker.not_before = now
        if not tiers.busy:
            engine.due.announces.put(tiers, now)
            engine.turn.outbox("announce", engine, engine.network.look_for_peers)


def stop(engine: Engine, torrent: TorrentState) -> None:
    """The torrent leaves: tell the trackers that know of it, and before that it is whole, if they have not heard."""
    for tiers in torrent.swarm.trackers:
        engine.due.announces.forget(tiers)
        for tracker in tiers.every():
            if tracker.knows and not tracker.hears_complete:
                _say_goodbye(engine, tiers, tracker)
    torrent.swarm.trackers.clear()


def shown(url: str) -> str:
    """A tracker's URL without what must not be told: scheme, host and port."""
    try:
        return str(parse_url(url, ("http", "https", "udp", "ws", "wss")))
    except InputRefused:
        return "not a URL"


def _take_new(engine: Engine, tiers: Tiers) -> None:
    """Add what the metainfo has and we have not: each tier shuffled, that not all ask the same tracker (BEP 12)."""
    known = {tracker.url for tracker in tiers.every()}
    for tier in tiers.torrent.metainfo.trackers:
        room = MOST_TRACKERS - len(known)
        if room <= 0:
            return
        fresh = list(islice((url for url in tier if url not in known), room))
        known.update(fresh)
        if fresh:
            tiers.tiers.append(sorted(map(Tracker, fresh), key=lambda _: engine.draw(1 << 30)))


def _ready(engine: Engine, now: float, asked: Counter[str]) -> Iterator[Tiers]:
    """Those whose time has come, then those who wait for trackers that may be asked again."""
    agenda = engine.due.announces
    while (tiers := agenda.due(now)) is not None:
        yield tiers
    for url in agenda.places():
        while asked[url] < PER_URL and (tiers := agenda.first(url)) is not None:
            yield tiers


def _is_here(engine: Engine, torrent: TorrentState) -> bool:
    """Whether the torrent was not dropped; its name may be another one's by now."""
    return engine.torrents.get(torrent.info_hash) is torrent


def _say_goodbye(engine: Engine, tiers: Tiers, tracker: Tracker) -> None:
    event = Event.STOPPED if tracker.told_complete or tracker.fails else Event.COMPLETED
    last = replace(_announce(engine, tiers, tracker, event), last=True)
    engine.turn.outbox("stop", tracker, engine.network.announce, last)


def _event(tracker: Tracker) -> Event:
    if not tracker.knows:
        return Event.STARTED
    return Event.NONE if tracker.told_complete else Event.COMPLETED


def _announce(engine: Engine, tiers: Tiers, tracker: Tracker, event: Event) -> Announce:
    totals, policy, config = tiers.torrent.totals, tiers.torrent.policy, engine.config
    wants_peers = config.dial_peers and (policy.download or policy.upload)
    request = AnnounceRequest(
        info_hash=tiers.name,
        peer_id=engine.peer_id,
        port=tracker.port,
        uploaded=totals.uploaded - tiers.uploaded,
        downloaded=totals.downloaded - tiers.downloaded,
        left=_left(tiers.torrent),
        event=event,
        numwant=_NUMWANT if wants_peers else 0,
        key=int.from_bytes(engine.peer_id[-4:], "big"),
        tracker_id=tracker.tracker_id,
        supports_encryption=config.encrypts.takes_obfuscated,
        requires_encryption=not config.encrypts.takes_plain,
        corrupt=totals.corrupt,
        redundant=totals.wasted,
    )
    return Announce(tiers, tracker, request, engine.clock())


def _left(torrent: TorrentState) -> int:
    table = torrent.pieces
    if not table.learned:
        return _UNKNOWN_LEFT
    return length_in(table.geometry, ~table.complete)
