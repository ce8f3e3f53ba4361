"""What is told about a torrent and its peers: frozen pictures, made within a turn and read without one."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from anabranch.model import Address, InfoHash

from .engine import Engine
from .pieces import length_in
from .residence_io import Residence
from .stage import Checking, Failed, Moving
from .state import Peer, TorrentState


@dataclass(frozen=True, slots=True)
class PeerStats:
    """One connection.

    Args:
        address: The peer's.
        client: What it calls itself, "" before it said so.
        outgoing: We dialed it.
        rate_down, rate_up: Block bytes per second.
        downloaded, uploaded: Block bytes on this connection.
        pieces: How many it has.
        choking, interested: What it does to us.
        choked, interesting: What we do to it.
        outstanding: Blocks it owes us.
    """

    address: Address
    client: str
    outgoing: bool
    rate_down: float
    rate_up: float
    downloaded: int
    uploaded: int
    pieces: int
    choking: bool
    interested: bool
    choked: bool
    interesting: bool
    outstanding: int


class TorrentStats(NamedTuple):
    """One torrent. Lengths in bytes, rates in bytes per second.

    (A tuple, since it is made five times as fast as a frozen record of so many fields: there are ten thousand to make.)

    Args:
        info_hash: Whose numbers these are.
        name: The torrent's name.
        stage: "learning", "opening", "checking", "live", "moving", "failed", "closing" or "dropped".
        error: Why it failed, else "".
        final: It failed for good: nothing can be made of it.
        length: All content.
        wanted: Pieces' bytes that are wanted or were, complete ones included.
        wanted_left: Of the wanted pieces, bytes not verified yet.
        pieces, pieces_complete: Numbers of pieces.
        checked: Part of the pieces to be hashed at start that is through, 0 to 1.
        check_left: Pieces that wait to be hashed, at start or because the user wished it.
        downloaded, uploaded: Block bytes, over all runs.
        wasted, corrupt: Block bytes received in vain, and of pieces with a wrong hash.
        rate_down, rate_up: Block bytes per second; down also what web seeds give.
        peers, seeds: Connected peers, and those of them that have everything.
        half_open: Dials under way.
        candidates: Addresses known.
        at: When the picture was made, on the engine's clock: its age is `time.monotonic() - at`.
        pending: Of the addresses known, those that are neither connected nor being dialed.
        total_peers: Everybody: connected, being dialed, pending.
        hashed: Bytes hashed, in this run.
        moved: Bytes of files that have gone where they are moving to; 0 while they are not.
        webseeds: Web seeds that give something now.
        rate_webseeds: What they give, in bytes per second.
    """

    info_hash: InfoHash
    name: str
    stage: str
    error: str
    final: bool
    length: int
    wanted: int
    wanted_left: int
    pieces: int
    pieces_complete: int
    checked: float
    check_left: int
    downloaded: int
    uploaded: int
    wasted: int
    corrupt: int
    rate_down: float
    rate_up: float
    peers: int
    seeds: int
    half_open: int
    candidates: int
    at: float
    pending: int
    total_peers: int
    hashed: int
    moved: int
    webseeds: int
    rate_webseeds: float

    @property
    def complete(self) -> bool:
        """Whether nothing that is wanted is missing."""
        return not self.wanted_left


def stats_of(engine: Engine, torrent: TorrentState) -> TorrentStats:
    """Make the picture of one torrent. O(peers + pieces / 64); pieces are not looked at one by one."""
    now = engine.clock()
    table, stage, swarm, totals = torrent.pieces, torrent.stage, torrent.swarm, torrent.totals
    geometry = table.geometry
    peers = list(swarm.peers.values())
    down = up = 0.0
    for peer in peers:
        down += peer.flow.down.rate(now)
        up += peer.flow.up.rate(now)
    given = [rate for seed in swarm.webseeds.values() if (rate := seed.down.rate(now))]
    pending = max(len(swarm.candidates) - swarm.dialing - sum([peer.candidate is not None for peer in peers]), 0)
    failed = stage if isinstance(stage, Failed) else None
    return TorrentStats(
        info_hash=torrent.info_hash,
        name=torrent.metainfo.info.name,
        stage=type(stage).__name__.lower(),
        error=str(failed.error) if failed is not None else "",
        final=failed is not None and failed.retry_at == inf,
        length=geometry.content,
        wanted=table.wanted_length,
        wanted_left=length_in(geometry, table.wanted() & ~table.complete) if table.missing_wanted else 0,
        pieces=geometry.piece_count,
        pieces_complete=table.complete_count,
        checked=max(1.0 - torrent.disk.checks.left / stage.total, 0.0) if isinstance(stage, Checking) else 1.0,
        check_left=torrent.disk.checks.left,
        downloaded=totals.downloaded,
        uploaded=totals.uploaded,
        wasted=totals.wasted,
        corrupt=totals.corrupt,
        rate_down=down + sum(given),
        rate_up=up,
        peers=len(peers),
        seeds=sum([peer.has_all for peer in peers]) if peers else 0,
        half_open=swarm.dialing,
        candidates=len(swarm.candidates),
        at=now,
        pending=pending,
        total_peers=pending + swarm.dialing + len(peers),
        hashed=totals.hashed,
        moved=torrent.disk.home.moved if isinstance(stage, Moving) and isinstance(torrent.disk.home, Residence) else 0,
        webseeds=len(given),
        rate_webseeds=sum(given, 0.0),
    )


def peer_stats(engine: Engine, peer: Peer) -> PeerStats:
    """Make the picture of one connection."""
    now, talk, flow = engine.clock(), peer.talk, peer.flow
    return PeerStats(
        address=peer.address,
        client=peer.profile.client,
        outgoing=peer.outgoing,
        rate_down=flow.down.rate(now),
        rate_up=flow.up.rate(now),
        downloaded=flow.down.total,
        uploaded=flow.up.total,
        pieces=peer.has.count(),
        choking=talk.peer_choking,
        interested=talk.peer_interested,
        choked=talk.am_choking,
        interesting=talk.am_interested,
        outstanding=talk.outstanding,
    )


def bytes_completed(torrent: TorrentState, offset: int, length: int) -> int:
    """How many bytes of [offset, offset + length) lie in complete pieces."""
    table = torrent.pieces
    geometry = table.geometry
    pieces = geometry.pieces_of(offset, length)
    if not pieces:
        return 0
    total = int(table.complete.count(1, pieces.start, pieces.stop)) * geometry.piece_length
    if table.complete[pieces.start]:
        total -= offset - geometry.offset_of(pieces.start)
    last = pieces.stop - 1
    if table.complete[last]:
        total -= geometry.offset_of(last) + geometry.piece_length - (offset + length)
    return total
