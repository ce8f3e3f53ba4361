"""Programs that meet by a tracker alone, in a network of their own: one seeds, one downloads, many pairs at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from anabranch.api import Client, Metainfo, Torrent
from ours import finished, make_client, until

from .aria2_peer import Aria2Peer
from .libtorrent_peer import LibtorrentPeer
from .matrix import Content, bytes_below, make_content
from .npm_tracker import NpmTracker
from .opentracker import Opentracker
from .our_tracker import OurTracker
from .own_network import PREFIX
from .real_tracker import RealTracker
from .transmission_peer import TransmissionPeer

TRACKERS: Mapping[str, type[RealTracker]] = {"opentracker": Opentracker, "npm": NpmTracker, "ours": OurTracker}
OTHERS = ("libtorrent", "aria2", "transmission")
PROGRAMS = ("ours", *OTHERS)
PATIENCE = 60.0  # seconds; Transmission looks after its peers every ten
_LIBTORRENT = {
    "min_reconnect_time": 1,  # seconds, not 60: Transmission takes one handshake from an address at a time
    "close_redundant_connections": False,
}

Case = tuple[str, str, str]  # the tracker's protocol, who seeds, who downloads


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Args:
        failure: What went wrong; "" where nothing did.
        seen: How programs that are not ours called the peer that they had: its name, or in aria2 its peer id.
    """

    failure: str
    seen: frozenset[str]


class Party(Protocol):
    """A program with many torrents."""

    def add(self, torrent: bytes, save_path: Path) -> Any: ...
    def stats(self, torrent: Any) -> dict[str, Any]: ...
    def wait_finished(self, timeout: float, torrent: Any) -> None: ...


class Ours:
    """Our client in that manner."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def add(self, torrent: bytes, save_path: Path) -> Torrent:
        """Add, check and, if something is missing, download."""
        added = self._client.add(torrent, data_dir=save_path)
        assert added.checked.wait(30)
        added.download_all()
        return added

    def stats(self, torrent: Torrent) -> dict[str, Any]:
        """Whether it is complete, and what else there is to say."""
        more = {"stats": torrent.stats(), "trackers": torrent.tracker_statuses()}
        return {"finished": torrent.complete.is_set, "peers": [], **more}

    def wait_finished(self, timeout: float, torrent: Torrent) -> None:
        """Wait until all is there."""
        finished(torrent, timeout)


@dataclass
class _Meeting:
    """One case under way."""

    content: Content
    copy: Path
    ends: dict[str, Any] = field(default_factory=dict)  # by program, its name for the torrent; the downloader's last
    seen: set[str] = field(default_factory=set)

    @property
    def info_hash(self) -> bytes:
        return bytes(Metainfo.parse(self.content.torrent).info.info_hash)


def meet(
    kind: str, cases: Sequence[Case], place: Path, ours: Mapping[str, Mapping[str, Any]] = {"ours": {}}
) -> dict[Case, Outcome]:
    """Have them all meet by a tracker of that kind, and tell what became of each. Call it in_own_network().

    Args:
        kind: One of TRACKERS.
        cases: Who meets.
        place: A directory for it all.
        ours: Clients of ours: what they are called in *cases*, and their Config's fields.
    """
    with ExitStack() as open_ones:
        tracker = open_ones.enter_context(TRACKERS[kind](place / "tracker", f"{PREFIX}2"))
        parties: dict[str, Party] = {
            "libtorrent": open_ones.enter_context(LibtorrentPeer(f"{PREFIX}3", settings=_LIBTORRENT)),
            "aria2": open_ones.enter_context(Aria2Peer(place / "aria2", f"{PREFIX}4")),
            "transmission": open_ones.enter_context(TransmissionPeer(place / "transmission", f"{PREFIX}5")),
        }
        for host, (name, settings) in enumerate(ours.items(), 6):
            client = make_client(place / name, f"{PREFIX}{host}", drop_mutually_complete_peers=False, **settings)
            parties[name] = Ours(open_ones.enter_context(client))
        meetings = {case: _prepared(tracker, case, place) for case in cases}
        for (_, seeder, _), meeting in meetings.items():
            meeting.ends[seeder] = parties[seeder].add(meeting.content.torrent, meeting.content.path.parent)
        for case, meeting in meetings.items():
            try:
                until(partial(_has_seeder, tracker, meeting.info_hash), 30, f"{case}: a seeder that the tracker knows")
            except TimeoutError as late:
                late.add_note(f"{case[1]} says {parties[case[1]].stats(meeting.ends[case[1]])}")
                raise
        for (_, _, leecher), meeting in meetings.items():
            meeting.ends[leecher] = parties[leecher].add(meeting.content.torrent, meeting.copy.parent)
        return _outcomes(parties, meetings)


def _has_seeder(tracker: RealTracker, info_hash: bytes) -> bool:
    return tracker.swarm(info_hash)[0] > 0


def _prepared(tracker: RealTracker, case: Case, place: Path) -> _Meeting:
    """Content that no other case has, and its torrent, which the tracker serves."""
    name = " ".join(case)
    content = make_content(place / name / "seed", name, trackers=(getattr(tracker, case[0]),))
    meeting = _Meeting(content, place / name / "leech" / name)
    tracker.allow(meeting.info_hash)
    return meeting


def _outcomes(parties: Mapping[str, Party], meetings: Mapping[Case, _Meeting]) -> dict[Case, Outcome]:
    """Look at everybody's peers until all are done, or nobody will be."""
    waiting = dict(meetings)
    deadline = time.monotonic() + PATIENCE
    while waiting and time.monotonic() < deadline:
        for case, meeting in list(waiting.items()):
            told = {name: parties[name].stats(torrent) for name, torrent in meeting.ends.items()}
            meeting.seen.update(map(_called, (peer for name in OTHERS if name in told for peer in told[name]["peers"])))
            if told[case[2]]["finished"]:
                del waiting[case]
        time.sleep(0.05)
    return {
        case: Outcome(_failure(parties, case, meeting), frozenset(meeting.seen)) for case, meeting in meetings.items()
    }


def _called(peer: Mapping[str, Any]) -> str:
    """The name of a peer, as another program than ours shows it."""
    return str(peer["client"]) if "client" in peer else unquote(peer["peer_id"], "latin-1")


def _failure(parties: Mapping[str, Party], case: Case, meeting: _Meeting) -> str:
    """What went wrong, if anything."""
    party, torrent = parties[case[2]], meeting.ends[case[2]]
    if not party.stats(torrent)["finished"]:
        return "; ".join(f"{name}: {parties[name].stats(end)}" for name, end in meeting.ends.items())
    party.wait_finished(10, torrent)  # what is complete may not be on disk yet
    return "" if bytes_below(meeting.copy) == bytes_below(meeting.content.path) else "other bytes"
