"""Telling trackers that we are there, and whom of them to ask for peers, and when.

Sources: BEP 3, BEP 12 (tiers; who answers becomes the first of its tier), BEP 31 (when to ask again), BEP 52 (a hybrid
announces each of its names). Floors, back-off and the shortening for who wants peers are those of a fork of the Go
engine. Ours: only who lacks something is hungry (a seed is found by those who look for it, and thousands of seeds would
ask each minute), and who learns of nobody new asks less and less often. Within a turn; announcer_io.py asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from math import inf

from anabranch.model import InfoHash
from anabranch.tracker import Announced, Event, FaultKind, Offer, TrackerFault

from . import events
from .announce_list import take_list, with_trackers
from .directory import names_of
from .engine import Engine
from .fleet import AT_ONCE, PER_URL, Busy, Quiet, shown
from .metrics import ANNOUNCED
from .privacy import forget
from .stage import Learning, Live
from .state import Snapshot, TorrentState
from .telling import announce_for, event_of, leave, say_goodbye
from .tracker_status import endpoints_of
from .trackers import FLOOR, Announce, Farewell, Heard, Line, Tiers, Tracker, barred_for

LOW_WATER = 50  # candidates that could be dialed, above which nobody is hungry
_WORST = 3  # failures up to which the pause is doubled: 2, 4, 8 minutes
_BARREN = 10  # answers that told of nobody new, up to which the pause is doubled; the tracker's interval ends it before
_LOOKED_AT = 256  # of those that are due, in one turn
_SOON = 1.0  # seconds
_MOST_OFFERS = 64  # WebRTC peers of a torrent that are kept


def is_hungry(engine: Engine, torrent: TorrentState) -> bool:
    """Whether trackers are asked as often as they allow: it lacks something, and knows few whom it could dial.

    Never for a private torrent, whose tracker says how often; nor as long as that is not known.
    """
    swarm = torrent.swarm
    return (
        torrent.pieces.learned
        and not torrent.metainfo.info.private
        and engine.config.dial_peers
        and torrent.policy.download
        and torrent.pieces.missing_wanted > 0
        and swarm.candidates.ready <= LOW_WATER
        and not torrent.is_full
    )


def begin(engine: Engine, torrent: TorrentState) -> None:
    """The torrent takes part in its swarm, or there are other trackers or names: announce each name."""
    if engine.config.disable_trackers:
        return
    known = {tiers.name: tiers for tiers in torrent.swarm.trackers}
    for name in names_of(torrent):
        tiers = known.get(name)
        if tiers is None:
            if not torrent.metainfo.trackers:
                continue
            tiers = Tiers(torrent, name, [], torrent.totals.uploaded, torrent.totals.downloaded)
            torrent.swarm.trackers.append(tiers)
        if torrent.pieces.is_seed and torrent.totals.downloaded == tiers.downloaded:
            tiers.counted = True
        take_list(engine, tiers)
        _schedule(engine, tiers)
    engine.turn.outbox("announce", engine, engine.network.look_for_peers)


def look(engine: Engine, torrent: TorrentState) -> None:
    """Each second of a torrent that has something going on, and when its wishes change: it may be hungry now."""
    for tiers in torrent.swarm.trackers:
        if tiers.hungry != is_hungry(engine, torrent):
            _schedule(engine, tiers)


def again(engine: Engine, torrent: TorrentState) -> None:
    """The user wants its trackers asked as soon as they allow it: those that failed a minute after they did."""
    for tiers in torrent.swarm.trackers:
        for tracker in tiers.every():
            if tracker.heard is None or tracker.pause == inf:
                continue
            tracker.held = 0.0
            engine.due.fleet.forgive(tracker.url)
            if tracker.asked is not None:
                fault = tracker.heard.fault
                told = tracker.heard.least if fault is None else barred_for(fault)
                allowed = max(FLOOR, told or 0.0)
                tracker.wait(tracker.asked, min(tracker.pause, allowed), min(tracker.hurry, allowed))
        _schedule(engine, tiers)
    engine.turn.outbox("announce", engine, engine.network.look_for_peers)


def add(engine: Engine, torrent: TorrentState, tiers: Sequence[Sequence[str]]) -> None:
    """The user names more trackers, which are trusted: they may be in our own network."""
    trackers = torrent.swarm.trackers
    trackers.trusted = trackers.trusted | {url for tier in tiers for url in tier}
    torrent.metainfo = with_trackers(torrent.metainfo, tiers)
    trackers.chosen = torrent.metainfo.trackers
    _begin_anew(engine, torrent)


def replace_all(engine: Engine, torrent: TorrentState, tiers: Sequence[Sequence[str]]) -> None:
    """The user names the trackers that it is to have. BEP 27: a private torrent leaves the peers of the former ones."""
    before = {url for tier in torrent.metainfo.trackers for url in tier}
    trackers = torrent.swarm.trackers
    trackers.trusted = {url for tier in tiers for url in tier}
    trackers.alone = True
    torrent.metainfo = with_trackers(replace(torrent.metainfo, trackers=()), tiers)
    trackers.chosen = torrent.metainfo.trackers
    if torrent.metainfo.info.private and before.isdisjoint(trackers.trusted):
        forget(engine, torrent, frozenset({"tracker", "incoming"}), "it is private, and has other trackers now")
    _begin_anew(engine, torrent)


def know_more(engine: Engine, torrent: TorrentState, tiers: Sequence[Sequence[str]], *, owns: bool = False) -> None:
    """A file or link has these; where the user said whom to have and nobody else, they are not wanted.

    Args:
        engine: The engine.
        torrent: Whose.
        tiers: What the file or link has.
        owns: It is the file of a private torrent that was known by a link: those that only the link named, which
            anybody can have written, are left with the peers that they told of. Those that the user named stay.
    """
    trackers = torrent.swarm.trackers
    if trackers.alone:
        return
    if owns:
        named = [tuple(url for url in tier if url in trackers.trusted) for tier in torrent.metainfo.trackers]
        kept = {url for tier in (*tiers, *named) for url in tier}
        if any(url not in kept for tier in torrent.metainfo.trackers for url in tier):
            forget(engine, torrent, frozenset({"tracker"}), "the torrent is private, and that is not its tracker")
        tiers = [*tiers, *named]
        torrent.metainfo = replace(torrent.metainfo, trackers=())
    torrent.metainfo = with_trackers(torrent.metainfo, tiers)
    if trackers.chosen is not None:
        trackers.chosen = torrent.metainfo.trackers


def take(
    engine: Engine, now: float, port: int, under_way: Sequence[str] = (), leaving: Collection[Farewell] = ()
) -> list[Announce]:
    """The announces to be made now.

    Args:
        engine: The engine.
        now: The time.
        port: Where we listen.
        under_way: URLs that are being asked, one for each announce.
        leaving: Who is still to be told that a torrent leaves, or is being asked about it: if it is back already, that
            must be told afterwards, or the tracker would forget it.
    """
    agenda, fleet = engine.due.announces, engine.due.fleet
    busy = Busy(under_way, fleet.known)
    room = AT_ONCE - len(under_way)
    due: list[Announce] = []
    if room <= 0:
        return due
    for line, waited in islice(_ready(engine, now, busy), _LOOKED_AT):
        tiers = line.tiers
        if not isinstance(tiers.torrent.stage, Live | Learning):
            continue  # begin() is called when it is
        hungry = is_hungry(engine, tiers.torrent)
        if tiers.hungry != hungry:
            _schedule(engine, tiers)  # the other lines, too
            agenda.forget(line)
        tracker = line.next(now, hungry)
        if tracker is None:
            agenda.put(line, line.due(hungry))
        elif (quiet := fleet.left_alone(tracker.url, now)) is not None:
            _hold(line, tracker, quiet)
            agenda.put(line, line.due(hungry))
        elif (tracker.url, tiers.name) in leaving:
            agenda.put(line, now + _SOON)
        elif not fleet.admits(tracker.url, now, busy) or (agenda.queued and not waited):
            agenda.queue(line, shown(tracker.url))  # not by the URL: there may be one for each torrent
        else:
            fleet.begins(tracker.url, now)
            busy.add(tracker.url)
            line.asking = tracker
            tracker.port = port
            event = event_of(tracker)
            tracker.hears_complete = event is Event.COMPLETED
            due.append(announce_for(engine, line, tracker, event))
            if len(due) == room:
                break
    return due


def told(engine: Engine, one: Announce, answer: Announced) -> None:
    """A tracker answered."""
    line, tiers, tracker, now, reply = one.line, one.tiers, one.tracker, engine.clock(), answer.reply
    torrent = tiers.torrent
    _asked(line, tracker)
    if (metrics := engine.metrics) is not None:
        metrics.add(ANNOUNCED, "answered")
    engine.due.fleet.answered(tracker.url)
    tracker.fails = 0
    tracker.tracker_id = reply.tracker_id or tracker.tracker_id
    tracker.knows = one.request.event is not Event.STOPPED
    tracker.hears_complete = False
    if one.request.event is Event.COMPLETED:
        tracker.told_complete = True
    if not _is_of(engine, tiers, tracker):
        if one.request.event in (Event.STARTED, Event.COMPLETED):  # stop() left the rest to this answer
            say_goodbye(engine, line, tracker)
        return
    for tier in tiers.tiers:
        if tracker in tier:
            tier.remove(tracker)
            tier.insert(0, tracker)
    ours, banned = engine.network.ourselves, engine.banned
    others = [one for one in reply.peers if one not in ours and one.host not in banned]
    new = sum([torrent.swarm.candidates.add(address, "tracker") for address in others])
    engine.due.lively.add(torrent)
    engine.turn.outbox("dial", engine, engine.network.look_for_peers)
    tracker.barren = 0 if new else min(tracker.barren + 1, _BARREN)
    tracker.heard = Heard(
        seconds=now - one.due,
        peers=len(reply.peers),
        seeders=reply.seeders,
        leechers=reply.leechers,
        downloaded=reply.downloaded,
        interval=reply.interval,
        least=reply.min_interval,
        warning=reply.warning,
        endpoints=endpoints_of(tiers.name, answer.endpoints),
    )
    line.current = tracker
    least = max(FLOOR, reply.min_interval or 0.0)
    pause = max(least, reply.interval)
    hurry = max(least, FLOOR * 2 ** max(tracker.barren - 1, 0))
    tracker.wait(now, pause, hurry)
    if event_of(tracker) is Event.COMPLETED:  # it became so meanwhile
        tracker.wait(now, 0.0, 0.0)
    _go_on(engine, line)
    for endpoint in answer.endpoints:
        if endpoint.reply is not None and endpoint.reply.external_ip and endpoint.address is not None:
            engine.network.ourselves.told(endpoint.reply.external_ip, endpoint.address.host)
    engine.tell(
        events.TrackerReplied(
            torrent.info_hash, shown(tracker.url), len(reply.peers), reply.seeders, reply.leechers, reply.warning
        )
    )


def failed(engine: Engine, one: Announce, fault: TrackerFault) -> None:
    """A tracker could not be asked, or refused: it is the next one's turn."""
    line, tiers, tracker, now = one.line, one.tiers, one.tracker, engine.clock()
    _asked(line, tracker)
    if (metrics := engine.metrics) is not None:
        metrics.add(ANNOUNCED, str(fault.error_type))
    tracker.hears_complete = False
    engine.due.fleet.failed(tracker.url, fault, now)
    if not _is_of(engine, tiers, tracker):
        if one.request.event is Event.COMPLETED and not one.last:
            say_goodbye(engine, line, tracker)
        return
    tracker.fails += 1
    pause = FLOOR * 2 ** min(tracker.fails, _WORST)
    if fault.kind is FaultKind.URL:  # it will not become a better one
        pause = inf
    pause = max(pause, barred_for(fault))
    tracker.wait(now, pause, pause)
    fault.with_traceback(None)  # else who asked, and what with, stays in memory
    tracker.heard = Heard(now - one.due, fault, endpoints=endpoints_of(tiers.name, fault.endpoints))
    if line.current is tracker:
        line.current = None
    _go_on(engine, line)
    engine.tell(events.TrackerFailed(tiers.torrent.info_hash, shown(tracker.url), str(fault), str(fault.error_type)))


def offered(engine: Engine, offer: Offer) -> None:
    """A WebSocket tracker told of a WebRTC peer: the latest are kept for the transport that will take them."""
    torrent = engine.directory.find([InfoHash(offer.info_hash)])
    if torrent is not None:
        trackers = torrent.swarm.trackers
        if trackers.offers is None:
            trackers.offers = deque(maxlen=_MOST_OFFERS)
        trackers.offers.append(offer)


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
                tracker.wait(now, 0.0, 0.0)
        _schedule(engine, tiers)
        engine.turn.outbox("announce", engine, engine.network.look_for_peers)


def stop(engine: Engine, torrent: TorrentState) -> None:
    """The torrent leaves: tell the trackers that know of it, and before that it is whole, if they have not heard."""
    for tiers in torrent.swarm.trackers:
        for line in tiers.lines:
            engine.due.announces.forget(line)
        for tracker in tiers.every():
            leave(engine, tiers, tracker)
        tiers.tiers = []
    torrent.swarm.trackers.clear()


def _begin_anew(engine: Engine, torrent: TorrentState) -> None:
    torrent.swarm.trackers.snapshot = Snapshot()
    if torrent.swarm.trackers or isinstance(torrent.stage, Learning | Live):
        begin(engine, torrent)


def _schedule(engine: Engine, tiers: Tiers) -> None:
    """Give those an appointment who are not being asked."""
    tiers.hungry = is_hungry(engine, tiers.torrent)
    for line in tiers.lines:
        _appoint(engine, line)


def _go_on(engine: Engine, line: Line) -> None:
    """Its tracker was asked. There may be hundreds of lines, whose appointments stay where nothing else has changed."""
    tiers = line.tiers
    if tiers.hungry != is_hungry(engine, tiers.torrent):
        _schedule(engine, tiers)
    else:
        _appoint(engine, line)


def _appoint(engine: Engine, line: Line) -> None:
    if line.asking is None:
        engine.due.announces.put(line, max(line.due(line.tiers.hungry), engine.clock()))


def _hold(line: Line, tracker: Tracker, quiet: Quiet) -> None:
    """Nobody answers there, others say: it need not be found out by this torrent, too."""
    tracker.held = quiet.until
    tracker.heard = Heard(fault=quiet.fault)
    if line.current is tracker:
        line.current = None


def _ready(engine: Engine, now: float, busy: Busy) -> Iterator[tuple[Line, bool]]:
    """Those whose time has come, then those who wait for trackers that may be asked again, or are not to be.

    With each whether it waited: who comes now goes behind those who wait, or they would wait for ever where more come
    than are served. Many that come leave time to serve some.
    """
    agenda, fleet = engine.due.announces, engine.due.fleet
    for _ in range(_LOOKED_AT // 2):
        line = agenda.due(now)
        if line is None:
            break
        yield line, False
    for place in agenda.places():
        while fleet.has_room(place, now, busy) or fleet.left_alone(place, now) is not None:
            line = agenda.peek(place)
            if line is None or (
                (tracker := line.next(now, line.tiers.hungry)) is not None
                and busy.urls[tracker.url] >= PER_URL
                and not fleet.left_alone(place, now)
            ):
                break
            agenda.first(place)
            yield line, True


def _is_of(engine: Engine, tiers: Tiers, tracker: Tracker) -> bool:
    """Whether the torrent was not dropped, and has that tracker; its name may be another one's by now."""
    torrent = tiers.torrent
    return engine.torrents.get(torrent.info_hash) is torrent and any(tracker in tier for tier in tiers.tiers)


def _asked(line: Line, tracker: Tracker) -> None:
    if line.asking is tracker:  # and not another one, since this one was taken from the list
        line.asking = None
