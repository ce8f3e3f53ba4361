"""What trackers are told of a torrent: how it stands now, and that it leaves.

Source: BEP 3. Totals are those since we began; who leaves before the tracker was told that it is whole says that first,
and its answer is followed by the farewell. Within a turn; announcing.py says when, announcer_io.py makes it.
"""

from __future__ import annotations

from dataclasses import replace

from anabranch.tracker import AnnounceRequest, Event

from .engine import Engine
from .pieces import length_in
from .state import TorrentState
from .trackers import Announce, Line, Tiers, Tracker

_NUMWANT = 200
_UNKNOWN_LEFT = 2**63 - 1  # bytes; some trackers take -1 amiss


def leave(engine: Engine, tiers: Tiers, tracker: Tracker) -> None:
    """The torrent is no more that tracker's: it is told so, if it knows of it and will not hear of it by an answer."""
    if tracker.knows and not tracker.hears_complete:
        line = next((one for one in tiers.lines if one.only in (None, tracker)), None) or Line(tiers, tracker)
        say_goodbye(engine, line, tracker)


def say_goodbye(engine: Engine, line: Line, tracker: Tracker) -> None:
    """Tell it, and before that it is whole, if it has not heard."""
    if engine.due.fleet.left_alone(tracker.url, engine.clock()) is not None:
        return  # nobody answers there, and others have their farewells to say
    event = Event.STOPPED if tracker.told_complete or tracker.fails else Event.COMPLETED
    last = replace(announce_for(engine, line, tracker, event), last=True)
    engine.turn.outbox("stop", tracker, engine.network.announce, last)


def event_of(tracker: Tracker) -> Event:
    """What the next announce is to say."""
    if not tracker.knows:
        return Event.STARTED
    return Event.NONE if tracker.told_complete else Event.COMPLETED


def announce_for(engine: Engine, line: Line, tracker: Tracker, event: Event) -> Announce:
    """The announce to be made now."""
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
