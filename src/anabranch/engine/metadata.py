"""Giving the info dictionary to peers that know only its hash (BEP 9), within reason.

Network thread, within a turn.
"""

from __future__ import annotations

from functools import partial

from anabranch.wire import (
    METADATA,
    MetadataData,
    MetadataRation,
    MetadataReject,
    MetadataRequest,
    metadata_slice,
    read_metadata,
    write_metadata,
)

from . import learning, resting
from .engine import Engine
from .stage import Learning
from .state import Peer


def heard(engine: Engine, peer: Peer, payload: bytes, now: float) -> None:
    """A metadata message came.

    Raises:
        PeerFault: it is none.
    """
    stage = peer.torrent.stage
    fetch = stage.fetch if isinstance(stage, Learning) else None
    match read_metadata(payload):
        case MetadataRequest(piece):
            _answer(engine, peer, piece, now)
        case MetadataData(piece, total_size, data) if fetch is not None:
            unasked = fetch.wasted.get(peer, 0)
            fetch.data(peer, piece, total_size, data, now)
            if fetch.wasted.get(peer, 0) == unasked:
                peer.profile.chatter.credit(len(data))
            learning.look(engine, peer.torrent, now)
        case MetadataReject(piece) if fetch is not None:
            fetch.rejected(peer, piece, now)
            learning.look(engine, peer.torrent, now)
        case _:
            return  # too late, or of a kind that nobody knows yet


def _answer(engine: Engine, peer: Peer, piece: int, now: float) -> None:
    torrent, profile, talk = peer.torrent, peer.profile, peer.talk
    if not resting.is_awake(torrent):
        if not resting.wake(engine, torrent, partial(_answer_late, engine, peer, piece)):
            talk.send_extended(METADATA, write_metadata(MetadataReject(piece)))
        return
    raw = torrent.metainfo.info.view
    answer = metadata_slice(raw, piece)
    if isinstance(answer, MetadataData):
        if profile.ration is None:
            profile.ration = MetadataRation(len(raw), now)
        if not profile.ration.grant(talk.pending - talk.pending_payload, now):
            answer = MetadataReject(piece)
    talk.send_extended(METADATA, write_metadata(answer))
    engine.due.touched.add(peer)


def _answer_late(engine: Engine, peer: Peer, piece: int) -> None:
    """The info dictionary had to be read first."""
    if peer.torrent.swarm.peers.get(peer.address) is peer:
        _answer(engine, peer, piece, engine.clock())
