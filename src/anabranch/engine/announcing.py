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
from itertools import chain, islice
from math import inf

from anabranch.metainfo import Metainfo
from anabranch.model import InfoHash
from anabranch.tracker import Announced, AnnounceRequest, Event, FaultKind, Offer, TrackerFault

from . import events
from .directory import names_of
from .engine import Engine
from .fleet import AT_ONCE, PER_URL, Busy, Quiet, shown
from .membership import is_full
from .metrics import ANNOUNCED
from .pieces import length_in
from .privacy import forget
from .stage import Learning, Live
from .state import Snapshot, TorrentState
from .tracker_status import endpoints_of
from .trackers import FLOOR, Announce, Farewell, Heard, Line, Tiers, Tracker

MOST_TRACKERS = 500  # of a torrent: a list of 300,000 would have us ask somebody's server again and again
LOW_WATER = 50  # candidates that could be dialed, above which nobody is hungry
_WORST = 3  # failures up to which the pause is doubled: 2, 4, 8 minutes
_BARREN = 10  # answers that told of nobody new, up to which the pause is doubled; the tracker's interval ends it before
_NUMWANT = 200
_UNKNOWN_LEFT = 2**63 - 1  # bytes; some trackers take -1 amiss
_LOOKED_AT = 256  # of those that are due, in one turn
_SOON = 1.0  # seconds
_MOST_OFFERS = 64  # WebRTC peers of a torrent that are kept


def with_trackers(metainfo: Metainfo, tiers: Sequence[Sequence[str]]) -> Metainfo:
    """The metainfo, and behind its own trackers those of *tiers* that it has not."""
    known = {url for tier in metainfo.trackers for url in tier}
    fresh = [tuple(url for url in dict.fromkeys(tier) if url not in known) for tier in tiers]
    return replace(metainfo, trackers=metainfo.trackers + tuple(filter(None, fresh)))


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
        and not is_full(torrent)
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
        _take_list(engine, tiers)
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
                told = tracker.heard.least if fault is None else fault.retry_in
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
    torrent.metainfo = with_trackers(replace(torrent.metainfo, trackers=()), tiers)
    trackers.chosen = torrent.metainfo.trackers
    if torrent.metainfo.info.private and before.isdisjoint(trackers.trusted):
        forget(engine, torrent, frozenset({"tracker", "incoming"}), "it is private, and has other trackers now")
    _begin_anew(engine, torrent)


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
            event = _event(tracker)
            tracker.hears_complete = event is Event.COMPLETED
            due.append(_announce(engine, line, tracker, event))
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
            _say_goodbye(engine, line, tracker)
        return
    for tier in tiers.tiers:
        if tracker in tier:
            tier.remove(tracker)
            tier.insert(0, tracker)
    new = sum([torrent.swarm.candidates.add(address, "tracker") for address in reply.peers])
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
    if _event(tracker) is Event.COMPLETED:  # it became so meanwhile
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
            _say_goodbye(engine, line, tracker)
        return
    tracker.fails += 1
    pause = FLOOR * 2 ** min(tracker.fails, _WORST)
    if fault.kind is FaultKind.URL:  # it will not become a better one
        pause = inf
    pause = max(pause, fault.retry_in or 0.0)
    tracker.wait(now, pause, pause)
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
            _leave(engine, tiers, tracker)
        tiers.tiers = []
    torrent.swarm.trackers.clear()


def _begin_anew(engine: Engine, torrent: TorrentState) -> None:
    torrent.swarm.trackers.snapshot = Snapshot()
    if torrent.swarm.trackers or isinstance(torrent.stage, Learning | Live):
        begin(engine, torrent)


def _take_list(engine: Engine, tiers: Tiers) -> None:
    """Have the trackers that the metainfo has, in its tiers: those that are new, and no others.

    Within a tier who answered stays before who did not; the new ones are shuffled, that not all ask the same (BEP 12).
    """
    wanted = tiers.torrent.metainfo.trackers
    urls = set(islice(filter(_counts, chain.from_iterable(wanted)), MOST_TRACKERS))
    known = {tracker.url: tracker for tracker in tiers.every()}
    for url, tracker in known.items():
        if url not in urls:
            for line in tiers.lines:
                if line.asking is tracker:
                    line.asking = None
            _leave(engine, tiers, tracker)
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


def _counts(url: str) -> bool:
    """Whether a URL is meant to be asked: some programs mark those that the user switched off by a star."""
    return not url.startswith("*")


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


def _leave(engine: Engine, tiers: Tiers, tracker: Tracker) -> None:
    if tracker.knows and not tracker.hears_complete:
        line = next((one for one in tiers.lines if one.only in (None, tracker)), None) or Line(tiers, tracker)
        _say_goodbye(engine, line, tracker)


def _say_goodbye(engine: Engine, line: Line, tracker: Tracker) -> None:
    if engine.due.fleet.left_alone(tracker.url, engine.clock()) is not None:
        return  # nobody answers there, and others have their farewells to say
    event = Event.STOPPED if tracker.told_complete or tracker.fails else Event.COMPLETED
    last = replace(_announce(engine, line, tracker, event), last=True)
    engine.turn.outbox("stop", tracker, engine.network.announce, last)


def _event(tracker: Tracker) -> Event:
    if not tracker.knows:
        return Event.STARTED
    return Event.NONE if tracker.told_complete else Event.COMPLETED


def _announce(engine: Engine, line: Line, tracker: Tracker, event: Event) -> Announce:
    tiers = line.tiers
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
    trusted = tracker.url in tiers.torrent.swarm.trackers.trusted
    return Announce(line, tracker, request, engine.clock(), trusted)


def _left(torrent: TorrentState) -> int:
    table = torrent.pieces
    if not table.learned:
        return _UNKNOWN_LEFT
    return length_in(table.geometry, ~table.complete)
