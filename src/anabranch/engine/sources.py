"""Where a magnet link says that the .torrent file may be had: it is asked for there while peers are asked, too.

Source: the magnet link's `xs` (exact source) and `as` (acceptable source), as far as they are URLs of HTTP servers.
Whoever wrote the link chose them: a file is believed only if its info dictionary has every hash of the link.
Within a turn, but for read() and named(); sources_io.py asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from anabranch.metainfo import Metainfo, MetainfoError
from anabranch.model import InfoHash, InfoHashV2, InputRefused, TorrentError
from anabranch.net import NetworkFailed, Trouble

from . import events
from .engine import Engine
from .fleet import shown
from .stage import Learning
from .state import TorrentState

MOST = 8  # of a torrent
AT_ONCE = 4  # of the client: each may bring as much as a .torrent file may have
STAGGER = 5.0  # seconds for a source, until the torrent's next one is asked beside it
RETRIES = 3  # after the first failure
FIRST_PAUSE = 60.0  # seconds; doubled each time
_PASSING = frozenset({408, 425, 429})  # request timeout, too early, too many requests (RFC 9110, 8470, 6585)
_HOPELESS = frozenset({Trouble.FORBIDDEN, Trouble.REDIRECT, Trouble.SIZE})


class NotServed(TorrentError):
    """A server answered, but not with a file.

    Args:
        status: What it said; its own words for that are not repeated.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answers {status}")
        self.status = status


@dataclass(slots=True, eq=False)
class MetadataSource:
    """A URL that a link names for a torrent's metadata.

    Args:
        torrent: Whose.
        url: As the link has it: not for logs.
        asked: How often it was.
    """

    torrent: TorrentState
    url: str = field(repr=False)
    asked: int = 0


def named(torrent: TorrentState, urls: Iterable[str]) -> dict[str, MetadataSource]:
    """The sources among what a link names. Needs no turn: nobody knows the torrent yet."""
    found: dict[str, MetadataSource] = {}
    _add(found, torrent, urls)
    return found


def begin(engine: Engine, torrent: TorrentState) -> None:
    """The torrent is known by a link: its sources are asked one after the other, until one has what is missing."""
    stage = torrent.stage
    if engine.config.disable_metadata_sources or not isinstance(stage, Learning):
        return
    agenda, now = engine.due.sources, engine.clock()
    waiting = [source for source in stage.sources.values() if not source.asked and source not in agenda]
    for place, source in enumerate(waiting):
        agenda.put(source, now + place * STAGGER)
    if waiting:
        engine.turn.outbox("sources", engine, engine.network.look_for_peers)


def add(engine: Engine, torrent: TorrentState, urls: Iterable[str]) -> None:
    """Another link to a torrent that is here names these."""
    if isinstance(torrent.stage, Learning) and torrent.stage.fetch is not None:
        _add(torrent.stage.sources, torrent, urls)
        begin(engine, torrent)


def wanted(source: MetadataSource) -> bool:
    """Whether its torrent still lacks what the source may have."""
    stage = source.torrent.stage
    return isinstance(stage, Learning) and stage.fetch is not None and not stage.reading


def take(engine: Engine, now: float, under_way: int) -> list[MetadataSource]:
    """Those that are to be asked now, while so many are being asked."""
    due: list[MetadataSource] = []
    while len(due) < AT_ONCE - under_way and (source := engine.due.sources.due(now)) is not None:
        if wanted(source):
            source.asked += 1
            due.append(source)
    return due


def read(body: bytes, v1: InfoHash | None, v2: InfoHashV2 | None) -> Metainfo:
    """Read what a source sent. Any thread, without the turn: it may take a while.

    Args:
        body: What came.
        v1, v2: The torrent's names, as far as its link has them.

    Raises:
        MetainfoError: it is no .torrent file, or another torrent's.
    """
    metainfo = Metainfo.parse(body)
    info = metainfo.info
    if (v1 is not None and info.v1 != v1) or (v2 is not None and info.v2 != v2):
        raise MetainfoError("what it has is another torrent's file")
    return metainfo


def failed(engine: Engine, source: MetadataSource, error: TorrentError) -> None:
    """A source could not be asked, or has nothing of use: the next one is asked, and this one again later, or never."""
    if not wanted(source):
        return
    now, agenda, pause = engine.clock(), engine.due.sources, inf
    if source.asked <= RETRIES and _may_pass(error):
        pause = FIRST_PAUSE * 2 ** (source.asked - 1)
        agenda.put(source, now + pause)
    torrent = source.torrent
    assert isinstance(torrent.stage, Learning)  # it is wanted
    following = next((one for one in torrent.stage.sources.values() if not one.asked), None)
    if following is not None:
        agenda.put(following, now)
    engine.tell(events.MetadataSourceFailed(torrent.info_hash, shown(source.url), str(error), pause))


def _add(known: dict[str, MetadataSource], torrent: TorrentState, urls: Iterable[str]) -> None:
    """Others than HTTP servers (magnet links, hashes, networks of their own) cannot be asked, and are passed over."""
    for url in urls:
        if len(known) < MOST and url not in known and url.lower().startswith(("http://", "https://")):
            known[url] = MetadataSource(torrent, url)


def _may_pass(error: TorrentError) -> bool:
    """Whether the same question may have another answer later."""
    match error:
        case NotServed(status=status):
            return status >= 500 or status in _PASSING
        case NetworkFailed(trouble=trouble):
            return trouble not in _HOPELESS
        case _:
            return not isinstance(error, InputRefused)
