"""Making a torrent's state of its metainfo and of what earlier runs left.

No turn is needed before register(): nobody knows the torrent yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from anabranch.metainfo import Magnet, Metainfo, MetainfoError
from anabranch.model import InfoHash, InputRefused, Priority, no_pieces
from anabranch.storage import Claim, ClientStorage, SavedTorrent, SessionKey, SessionStore, Whereabouts
from anabranch.webseed import Kind, Source

from . import announcing, events, exchanging, learning, resting, seeking, sources, webseeding
from .engine import Engine
from .opening import open_storage
from .residence_io import Residence, remove_all
from .signals_io import Signal
from .stage import Closing, Dropped, Learning, Live
from .state import Checks, Disk, Holding, Policy, Signals, TorrentState

MOST_WEBSEEDS = 100  # of a torrent or link: each costs a little, and lists of thousands are nobody's

_PRIORITIES = tuple(Priority)


def parse_source(saved: SavedTorrent, name: InfoHash) -> Metainfo | Magnet:
    """What a session remembers the torrent of that name by.

    Raises:
        MetainfoError: it is damaged, or another torrent's.
    """
    known: Metainfo | Magnet
    body = saved.metainfo or b""
    if body.startswith(b"magnet:"):
        known = Magnet.parse(body.decode(errors="replace"))
        names = known.swarm_hashes
    else:
        known = Metainfo.parse(body)
        names = known.info.swarm_hashes
    if name not in names:
        raise MetainfoError(f"what is remembered of torrent {name} is another torrent's")
    return known


def better_known(source: Metainfo | Magnet, saved: SavedTorrent, name: InfoHash) -> Metainfo | Magnet:
    """What an earlier run has learned of a torrent that is added again by its name, or without its piece layers."""
    if isinstance(source, Metainfo) and source.info.v2 is None:
        return source  # all of it is known
    try:
        known = parse_source(saved, name)
    except MetainfoError:
        return source  # nothing can be learned from what is damaged
    if isinstance(known, Magnet):
        return source
    return known if isinstance(source, Magnet) or len(known.layers) > len(source.layers) else source


def known_place(saved: SavedTorrent | None, where: Whereabouts) -> Whereabouts | None:
    """Where earlier runs left a torrent's files; None: they never knew that it has any, so the disk is to be asked."""
    never = saved is None or (saved.metainfo or b"").startswith(b"magnet:")
    return None if never and where.place is None and where.intent is None else where


def finish_removal(sessions: SessionStore, home: ClientStorage, key: SessionKey, saved: SavedTorrent | None) -> None:
    """Remove what an earlier run began to remove, and forget it. Raises StorageFailed."""
    with suppress(MetainfoError):  # nobody knows any more what its files are
        source = parse_source(saved, key.info_hash) if saved is not None else None
        if isinstance(source, Metainfo):
            known = learning.read(source, directory_of(home, key), lambda _: 0)
            remove_all(home, None, known.metainfo.info, key.info_hash)
    sessions.forget(key)


def directory_of(home: ClientStorage, key: SessionKey) -> str:
    """Where to look for a torrent's files."""
    return home.place.directory if isinstance(home, Residence) else key.data_path


def make(
    source: Metainfo | Magnet,
    key: SessionKey,
    home: ClientStorage,
    engine: Engine,
    forbidden: Callable[[], bool],
    policy: Policy,
) -> TorrentState:
    """A torrent that nothing is known of but what the source says. Looks at the disk."""
    magnet = source if isinstance(source, Magnet) else None
    metainfo = source if isinstance(source, Metainfo) else learning.placeholder(source, engine.config.assume_private)
    known = learning.read(metainfo, directory_of(home, key), engine.draw)
    known.pieces.learned = magnet is None
    torrent = TorrentState(
        info_hash=key.info_hash,
        metainfo=known.metainfo,
        data_path=key.data_path,
        pieces=known.pieces,
        worth=known.worth,
        holding=Holding(engine.pool.stretch_size(known.pieces.geometry)),
        signals=Signals(Signal(forbidden), Signal(forbidden), Signal(forbidden), Signal(forbidden)),
        disk=Disk(home, Checks(no_pieces(known.pieces.geometry.piece_count))),
        policy=policy,
        exchange=known.exchange,
    )
    torrent.swarm.candidates.metrics = engine.metrics
    for webseed in sources_of(source):
        torrent.swarm.webseeds.sources.setdefault(webseed.url, webseed)
    if magnet is not None:
        torrent.stage = Learning(
            learning.fetch_for(magnet), magnet.select, sources=sources.named(torrent, magnet.sources)
        )
    elif exchanging.needed(torrent):
        torrent.stage = Learning(None)
    return torrent


def sources_of(source: Metainfo | Magnet) -> list[Source]:
    """The web seeds that a torrent or link names."""
    scripts = source.httpseeds if isinstance(source, Metainfo) else ()
    folders = [Source(url) for url in source.webseeds[:MOST_WEBSEEDS]]
    return folders + [Source(url, Kind.HTTP_SEEDS) for url in scripts[: MOST_WEBSEEDS - len(folders)]]


def enrich(engine: Engine, torrent: TorrentState, source: Metainfo | Magnet) -> None:
    """Within a turn: a torrent that is here was added again: what the source knows beyond us is of use, in this run."""
    private = torrent.pieces.learned and torrent.metainfo.info.private  # not one that is only assumed to be
    if isinstance(source, Metainfo):
        learning.take_metainfo(engine, torrent, source)
        tiers = source.trackers
    else:
        sources.add(engine, torrent, source.sources)
        tiers = tuple((url,) for url in source.trackers)
    if not private:  # anybody can write a link to a private one, whose content and peers are its tracker's matter
        webseeding.add(engine, torrent, sources_of(source))
        owns = isinstance(source, Metainfo) and source.info.private and bool(tiers)
        announcing.know_more(engine, torrent, tiers, owns=owns)
    if torrent.swarm.trackers or isinstance(torrent.stage, Learning | Live):
        announcing.begin(engine, torrent)


def take_over(torrent: TorrentState, saved: SavedTorrent, sessions: SessionStore) -> None:
    """Go on where an earlier run stopped. What the session store has of the metainfo need not be in memory, too."""
    body = saved.metainfo or b""
    if torrent.pieces.learned and torrent.metainfo.body.here and torrent.metainfo.raw == body:
        key = SessionKey(torrent.info_hash, torrent.data_path)
        kept = resting.kept_by(sessions, key, torrent.metainfo.info)
        torrent.metainfo = torrent.metainfo.resting_on(kept)
        resting.saved(torrent, kept)
    torrent.policy.download &= saved.downloading_allowed  # who adds it now may forbid more, as long as it is here
    torrent.policy.upload &= saved.uploading_allowed
    torrent.totals.uploaded = saved.uploaded
    torrent.totals.downloaded = saved.downloaded
    torrent.totals.before = saved.downloaded, saved.uploaded
    torrent.totals.added = saved.added
    torrent.disk.partial = saved.partial
    for webseed in saved.webseeds:
        with suppress(ValueError, InputRefused):  # of a kind, or with headers, that this version does not have
            source = Source(webseed.url, Kind(webseed.kind), trusted=True, headers=webseed.headers)
            torrent.swarm.webseeds.sources[source.url] = source
    if saved.trackers is not None:
        trackers = torrent.swarm.trackers
        trackers.chosen, trackers.trusted = saved.trackers.tiers, saved.trackers.trusted
        own = {url for tier in torrent.metainfo.trackers for url in tier}
        trackers.alone = not own.issubset(url for tier in trackers.chosen for url in tier)  # some are not wanted
        torrent.metainfo = replace(torrent.metainfo, trackers=trackers.chosen)
    if not torrent.pieces.learned:
        torrent.worth.when_known = any(saved.priorities)
    elif body.startswith(b"magnet:"):
        if any(saved.priorities):
            with suppress(MetainfoError):  # a damaged link selects nothing
                ranges = Magnet.parse(body.decode(errors="replace")).select
                learning.select(torrent, learning.selection(torrent.worth, ranges))
    elif len(saved.priorities) == len(torrent.worth.of_file):
        prefer(torrent, [_PRIORITIES[min(number, Priority.HIGH)] for number in saved.priorities])


def prefer(torrent: TorrentState, priorities: Sequence[Priority]) -> None:
    """Give the files their first priorities."""
    learning.select(torrent, learning.Selection(list(priorities), torrent.worth.of_all(priorities)))


def remember(engine: Engine, torrent: TorrentState) -> None:
    """Within a turn: what is new of the torrent is saved soon, with that of others."""
    torrent.disk.dirty = True
    if not isinstance(torrent.stage, Closing | Dropped):
        engine.due.unsaved[torrent] = None


def register(engine: Engine, torrent: TorrentState, claim: Claim | None) -> None:
    """Within a turn: the torrent becomes known, and its storage is opened."""
    torrent.disk.claim = claim
    engine.torrents[torrent.info_hash] = torrent
    engine.directory.add(torrent)
    engine.tell(events.TorrentAdded(torrent.info_hash))
    if torrent.pieces.learned:
        engine.turn.outbox("signal", torrent.signals.got_info, torrent.signals.got_info.set)
    if isinstance(torrent.stage, Learning):
        engine.due.lively.add(torrent)
        announcing.begin(engine, torrent)
        seeking.begin(engine, torrent)
        sources.begin(engine, torrent)
        engine.turn.outbox("dial", engine, engine.network.look_for_peers)
    else:
        open_storage(engine, torrent)
