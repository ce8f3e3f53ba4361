"""A torrent of which only the name is known: its info dictionary comes from peers, then it begins like any other.

Sources: BEP 9 (metadata exchange), BEP 52 (a v2-only torrent needs its piece hashes before anything can be verified).
Whom to ask for what, and whom to believe, is the wire's MetadataFetch. Network thread, within a turn, but for
placeholder().
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha1, sha256
from typing import NamedTuple

from anabranch.metainfo import Body, Info, Magnet, Metainfo, MetainfoError, PieceLayers, compose, safe_name, where_found
from anabranch.model import BLOCK_SIZE, Geometry, InputRefused, Priority, TorrentError, no_pieces
from anabranch.wire import METADATA, Doubt, Judged, MetadataFetch, MetadataRequest, write_metadata

from . import events, exchanging, gossiping
from .announce_list import with_trackers
from .chatter import Chatter
from .engine import Engine
from .failing import fail_for_good
from .files import Worth
from .hashing import HashExchange
from .introducing import introduce
from .opening import open_storage
from .pieces import PieceTable
from .privacy import keep_private
from .stage import Learning, Opening, follow
from .state import Checks, Holding, Peer, TorrentState


@dataclass(frozen=True, slots=True)
class Learned:
    """What a worker made of an info dictionary."""

    metainfo: Metainfo
    pieces: PieceTable
    worth: Worth
    exchange: HashExchange | None


class Selection(NamedTuple):
    """What each file is worth at first, and so each piece."""

    files: list[Priority]
    pieces: bytearray


def placeholder(magnet: Magnet, private: bool = False) -> Metainfo:
    """What stands in for the metainfo of a torrent that is known by a link only: no files, no pieces.

    *private*: it is taken for one until it is known.
    """
    names = magnet.swarm_hashes
    info = Info(
        body=Body(b""),
        start=0,
        raw_size=0,
        hashes_at=0,
        info_hash=names[0],
        v1=magnet.v1,
        v2=magnet.v2,
        name=safe_name(magnet.name) if magnet.name else names[0].hex(),
        files=(),
        geometry=Geometry(0, BLOCK_SIZE),
        private=private,
        source="",
        multi=True,
        renamed=(),
    )
    return Metainfo(
        info=info,
        trackers=tuple((url,) for url in magnet.trackers),
        webseeds=magnet.webseeds,
        nodes=(),
        comment="",
        created_by="",
        creation_date=None,
        warnings=magnet.warnings,
        body=Body(str(magnet).encode()),
        layers={},
    )


def fetch_for(magnet: Magnet) -> MetadataFetch:
    """The fetch of what the link names: an info dictionary is right when it has every hash of the link."""

    def check(raw: bytes) -> bool:
        v1 = magnet.v1 is None or sha1(raw, usedforsecurity=False).digest() == magnet.v1
        return v1 and (magnet.v2 is None or sha256(raw).digest() == magnet.v2)

    return MetadataFetch(check)


def exchange_for(info: Info, metainfo: Metainfo) -> HashExchange | None:
    """What is known of the torrent's v2 hashes; None without a v2 side."""
    if info.v2 is None or not info.files:
        return None
    return HashExchange(PieceLayers(info, metainfo.layers))


def offered(engine: Engine, peer: Peer, now: float) -> None:
    """A peer said in its extended handshake that it has the info dictionary."""
    torrent = peer.torrent
    stage, theirs = torrent.stage, peer.talk.peer_extensions
    if isinstance(stage, Learning) and stage.fetch is not None and theirs.metadata_size and METADATA in theirs.ids:
        stage.fetch.offer(peer, theirs.metadata_size, now)
        look(engine, torrent, now)


def left(torrent: TorrentState, peer: Peer) -> None:
    """A peer is gone: what it was asked for is asked of others."""
    if isinstance(torrent.stage, Learning) and torrent.stage.fetch is not None:
        torrent.stage.fetch.left(peer)
        torrent.stage.fetch.convicted.discard(peer)  # when it comes back it is another Peer
    exchanging.left(torrent, peer)


def look(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Ask for what is to be asked for, take what has come, end with those who lied."""
    stage = torrent.stage
    if not isinstance(stage, Learning) or stage.fetch is None or stage.reading:
        return
    fetch = stage.fetch
    fetch.tick(now)
    for peer, piece in fetch.requests(now):
        if isinstance(peer, Peer):
            peer.talk.send_extended(METADATA, write_metadata(MetadataRequest(piece)))
            engine.due.touched.add(peer)
    for peer in fetch.convicted:
        if isinstance(peer, Peer) and torrent.swarm.peers.get(peer.address) is peer:
            engine.turn.outbox("close", peer, engine.network.call, peer.link.close, "sent wrong metadata")
    for doubt in fetch.doubts():
        _have_judged(engine, torrent, doubt)
    if fetch.result is not None:
        learn(engine, torrent, fetch.result)


def _have_judged(engine: Engine, torrent: TorrentState, doubt: Doubt) -> None:
    """All of it has come, as somebody says: have a worker see whether it has the torrent's hash."""

    def settle(judged: Judged) -> None:
        stage, now = torrent.stage, engine.clock()
        if isinstance(stage, Learning) and stage.fetch is not None:
            stage.fetch.judged(doubt, judged, now)
            look(engine, torrent, now)

    def done(judged: Judged) -> None:
        engine.network.run(settle, judged)

    def failed(error: BaseException) -> None:
        engine.network.run(_useless, engine, torrent, error)

    engine.turn.outbox("judge", doubt, engine.workshop.disk.submit, doubt.judge, done, failed, torrent.owner)


def learn(engine: Engine, torrent: TorrentState, raw: bytes) -> None:
    """The info dictionary is here: have it read, then begin."""
    before, data_path, draw = torrent.metainfo, torrent.data_path, engine.draw

    def job() -> Learned:
        metainfo = Metainfo.parse(
            compose(raw, trackers=before.trackers, webseeds=before.webseeds, httpseeds=before.httpseeds)
        )
        if metainfo.info.raw != raw:
            raise MetainfoError("what has the torrent's hash is more than an info dictionary")
        return read(metainfo, data_path, draw)

    _have_read(engine, torrent, job)


def take_metainfo(engine: Engine, torrent: TorrentState, metainfo: Metainfo) -> None:
    """The user gave the .torrent file of a torrent that is here: of use where peers would have to be asked."""
    stage = torrent.stage
    if isinstance(stage, Learning) and stage.fetch is not None:
        data_path, draw = torrent.data_path, engine.draw
        _have_read(engine, torrent, lambda: read(metainfo, data_path, draw))
    else:
        exchanging.take_layers(engine, torrent, metainfo.layers)
        engine.turn.outbox("layers taken", torrent, engine.network.post, go_on, engine, torrent)


def read(metainfo: Metainfo, data_path: str, draw: Callable[[int], int]) -> Learned:
    """Make what a torrent needs of its metainfo. Looks at the disk: not within a turn."""
    info = where_found(metainfo.info, data_path) if metainfo.info.files else metainfo.info
    if info is not metainfo.info:
        metainfo = replace(metainfo, info=info)
    return Learned(
        metainfo, PieceTable(info.geometry, draw), Worth(info.geometry, info.files), exchange_for(info, metainfo)
    )


def _have_read(engine: Engine, torrent: TorrentState, job: Callable[[], Learned]) -> None:
    ranges = torrent.stage.select if isinstance(torrent.stage, Learning) else None

    def work() -> tuple[Learned, Selection]:
        found = job()
        return found, selection(found.worth, ranges)  # of 300,000 files it would be a long turn

    def done(found: tuple[Learned, Selection]) -> None:
        engine.network.run(_begin, engine, torrent, *found)

    def failed(error: BaseException) -> None:
        engine.network.run(_useless, engine, torrent, error)

    if isinstance(torrent.stage, Learning):
        torrent.stage = follow(torrent.stage, replace(torrent.stage, reading=True))
    engine.turn.outbox("read metadata", torrent, engine.workshop.disk.submit, work, done, failed, torrent.owner)


def _useless(engine: Engine, torrent: TorrentState, error: BaseException) -> None:
    """The hash is right, and yet nothing can be made of it: no other copy would be better."""
    stage = torrent.stage
    if not isinstance(stage, Learning) or stage.fetch is None:
        return
    known = error if isinstance(error, TorrentError) else TorrentError(f"unexpected {type(error).__name__}: {error}")
    fail_for_good(engine, torrent, known)


def _begin(engine: Engine, torrent: TorrentState, found: Learned, selected: Selection) -> None:
    stage = torrent.stage
    if not isinstance(stage, Learning) or stage.fetch is None:  # the file and the peers were both read
        exchanging.take_layers(engine, torrent, found.metainfo.layers)
        go_on(engine, torrent)
        return
    engine.directory.remove(torrent)
    twin = engine.directory.find(found.metainfo.info.swarm_hashes)
    if twin is not None:
        if isinstance(twin.stage, Learning) and twin.stage.fetch is not None:
            learn(engine, twin, found.metainfo.info.raw)  # it need not look for it any more
        _useless(engine, torrent, InputRefused(f"this torrent is here already, as {twin.info_hash}"))
        return
    wanted = torrent.worth.when_known
    torrent.pieces, torrent.worth, torrent.exchange = found.pieces, found.worth, found.exchange
    geometry = found.pieces.geometry
    torrent.holding = Holding(engine.pool.stretch_size(geometry))
    torrent.disk.checks = Checks(no_pieces(geometry.piece_count))
    torrent.disk.dirty = True
    # Last: users read it without the turn, and what belongs to it must be there. It may have got trackers meanwhile.
    metainfo, trackers = found.metainfo, torrent.metainfo.trackers
    if metainfo.info.private or torrent.swarm.trackers.chosen is not None:  # some may have been left meanwhile
        metainfo = replace(metainfo, trackers=())
    torrent.metainfo = with_trackers(metainfo, trackers)
    engine.directory.add(torrent)
    if wanted:
        select(torrent, selected)
    keep_private(engine, torrent)
    for peer in list(torrent.swarm.peers.values()):
        _tell(engine, peer)
        if engine.config.assume_private:  # they may be told of each other from now on, if it is not
            gossiping.enrol(engine, peer)
    engine.turn.outbox("signal", torrent.signals.got_info, torrent.signals.got_info.set)
    engine.tell(events.GotInfo(torrent.info_hash))
    torrent.stage = follow(stage, Learning(None))
    engine.due.lively.add(torrent)
    go_on(engine, torrent)


def go_on(engine: Engine, torrent: TorrentState) -> None:
    """Open the storage, once there is something to verify pieces by."""
    if not isinstance(torrent.stage, Learning) or torrent.stage.fetch is not None:
        return
    exchanging.look(engine, torrent, engine.clock())
    if exchanging.needed(torrent):
        return
    torrent.stage = follow(torrent.stage, Opening())
    engine.tell(events.StageChanged(torrent.info_hash, "opening"))
    open_storage(engine, torrent)


def want_when_known(torrent: TorrentState) -> bool:
    """Any thread: have all of it, or what its link selects, downloaded once there are files. False: there are."""
    if torrent.pieces.learned:
        return False
    torrent.worth.when_known = True
    torrent.disk.dirty = True
    return True


def selection(worth: Worth, ranges: tuple[tuple[int, int], ...] | None) -> Selection:
    """All files, or those that a magnet link selects (BEP 53). Needs no turn."""
    count = len(worth.of_file)
    files = [Priority.NORMAL if ranges is None else Priority.NONE] * count
    for first, last in ranges or ():
        files[first : last + 1] = [Priority.NORMAL] * len(files[first : last + 1])
    return Selection(files, worth.of_all(files))


def select(torrent: TorrentState, selected: Selection) -> None:
    """Want these files."""
    torrent.worth.of_file[:] = selected.files
    torrent.pieces.replace_worth(0, selected.pieces)


def _tell(engine: Engine, peer: Peer) -> None:
    """A peer that came before the info did: what it said about pieces counts from now on."""
    geometry = peer.torrent.pieces.geometry
    peer.has = no_pieces(geometry.piece_count)
    peer.counted = geometry.piece_count
    peer.profile.chatter = Chatter(geometry.piece_count, engine.clock())
    introduce(engine, peer)
    engine.turn.outbox("learn", peer, engine.network.call, peer.link.learn, geometry)
