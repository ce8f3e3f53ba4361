"""The hashes of v2 pieces: asking peers for those that are missing, and answering peers that ask (BEP 52).

What is asked, and whether an answer is true, is for metainfo's PieceLayers to say. Network thread, within a turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from anabranch.metainfo import Metainfo, Wanted, compose
from anabranch.model import PeerFault
from anabranch.wire import Hashes, HashReject, HashRequest

from .engine import Engine
from .hashing import HashExchange
from .stage import Closing, Dropped, Live
from .state import Peer, TorrentState

PATIENCE = 5.0  # seconds for an answer, after which somebody else is asked; one that comes late is taken as well
MOST_ASKED = 4  # requests under way with one peer: 2,048 hashes
_REST = 30.0  # seconds in which a peer that refused is not asked
_MOST_ANSWERS = 16  # answers to one peer that are being worked out: more are refused


def needed(torrent: TorrentState) -> bool:
    """Whether pieces cannot be verified before hashes have come: in v2 alone."""
    exchange = torrent.exchange
    return exchange is not None and not exchange.layers.complete and torrent.metainfo.info.v1 is None


def of_use(torrent: TorrentState, peer: Peer, now: float) -> bool:
    """Whether the peer may still give hashes that are missing."""
    exchange = torrent.exchange
    if exchange is None or exchange.layers.complete or not peer.profile.v2:
        return False
    return exchange.resting.get(peer, 0.0) <= now


def look(engine: Engine, torrent: TorrentState, now: float) -> None:
    """Ask for what is missing, as far as there are peers for it; called each second and when something came."""
    exchange = torrent.exchange
    if exchange is None or exchange.layers.complete or not torrent.swarm.peers:
        return
    for wanted, (_, since) in list(exchange.asked.items()):
        if since <= now - PATIENCE:
            _call_off(exchange, wanted, now)
    if not exchange.queue and not exchange.asked:
        exchange.queue.extend(exchange.layers.wanted())
    under_way = Counter(peer for peer, _ in exchange.asked.values())
    # Who disappointed us longest ago comes first: however many keep silent, an honest peer has its turn.
    for peer in sorted(torrent.swarm.peers.values(), key=lambda peer: exchange.resting.get(peer, 0.0)):
        if not peer.profile.v2 or exchange.resting.get(peer, 0.0) > now:
            continue
        while exchange.queue and under_way[peer] < MOST_ASKED:
            wanted = exchange.queue.popleft()
            exchange.asked[wanted] = peer, now
            peer.talk.hash_request(HashRequest(*wanted))
            engine.due.touched.add(peer)
            under_way[peer] += 1


def heard(engine: Engine, peer: Peer, said: Hashes, now: float) -> None:
    """Hashes came. They prove themselves: those that come late, when others have been asked, are as good.

    Raises:
        PeerFault: they are wrong, or no answer to anything that is asked of peers of this torrent.
    """
    torrent, exchange = peer.torrent, peer.torrent.exchange
    if exchange is None:
        return
    wanted = Wanted(said.root, said.base_layer, said.index, said.length, said.proof_layers)
    asked = exchange.asked.pop(wanted, None)
    try:
        fresh = exchange.layers.accept(*wanted, said.hashes)
    except PeerFault:
        if asked is not None:
            exchange.queue.append(wanted)
        raise
    if not fresh:
        return  # known by now
    peer.profile.chatter.credit(len(said.hashes))
    exchange.resting.pop(peer, None)
    if asked is None:
        with suppress(ValueError):
            exchange.queue.remove(wanted)
    if exchange.layers.complete:
        _complete(engine, torrent, exchange)
    else:
        look(engine, torrent, now)


def take_layers(engine: Engine, torrent: TorrentState, layers: Mapping[bytes, bytes]) -> None:
    """The user gave hashes that peers have been asked for: they are out of a .torrent file, and right."""
    exchange = torrent.exchange
    if exchange is None or exchange.layers.complete or isinstance(torrent.stage, Closing | Dropped):
        return
    exchange.layers.add(layers)
    exchange.queue.clear()  # it is filled again with what is still missing
    if exchange.layers.complete:
        _complete(engine, torrent, exchange)


def left(torrent: TorrentState, peer: Peer) -> None:
    """A peer is gone: what it was asked for is asked of others."""
    exchange = torrent.exchange
    if exchange is not None:
        exchange.resting.pop(peer, None)
        for wanted in [wanted for wanted, (asked, _) in exchange.asked.items() if asked is peer]:
            del exchange.asked[wanted]
            exchange.queue.append(wanted)


def refused(engine: Engine, peer: Peer, said: HashReject, now: float) -> None:
    """A peer does not have the hashes, or does not give them."""
    exchange = peer.torrent.exchange
    wanted = Wanted(said.root, said.base_layer, said.index, said.length, said.proof_layers)
    if exchange is not None and exchange.asked.get(wanted, (None, 0.0))[0] is peer:
        _call_off(exchange, wanted, now)
        look(engine, peer.torrent, now)


def answer(engine: Engine, peer: Peer, said: HashRequest, now: float) -> None:
    """A peer asks for hashes: a worker looks them up, for large trees take their time."""
    exchange, profile = peer.torrent.exchange, peer.profile
    if (
        exchange is None
        or not isinstance(peer.torrent.stage, Live)
        or profile.answering >= _MOST_ANSWERS
        or not profile.hashes.grant(1, now)
    ):
        _reject(engine, peer, said)
        return
    layers = exchange.layers
    profile.answering += 1

    def job() -> bytes | None:
        return layers.answer(said.root, said.base_layer, said.index, said.length, said.proof_layers)

    def told(hashes: bytes | None) -> None:
        profile.answering -= 1
        if hashes is None:
            _reject(engine, peer, said)
        else:
            peer.talk.hashes(said, hashes)
            engine.due.touched.add(peer)

    def done(hashes: bytes | None) -> None:
        engine.network.run(told, hashes)

    def failed(_: BaseException) -> None:
        engine.network.run(told, None)

    engine.turn.outbox("hashes", said, engine.workshop.cold.submit, job, done, failed)


def _reject(engine: Engine, peer: Peer, said: HashRequest) -> None:
    peer.talk.hash_reject(said)
    engine.due.touched.add(peer)


def _call_off(exchange: HashExchange, wanted: Wanted, now: float) -> None:
    peer, _ = exchange.asked.pop(wanted)
    exchange.resting[peer] = now + _REST
    exchange.queue.append(wanted)


def _complete(engine: Engine, torrent: TorrentState, exchange: HashExchange) -> None:
    """All hashes are known: from now on they are part of the metainfo, for the session store and for users."""
    torrent.exchange = HashExchange(exchange.layers)
    before = torrent.metainfo

    def job() -> Metainfo:
        layers = exchange.layers.known()
        raw = compose(
            before.info.raw,
            trackers=before.trackers,
            webseeds=before.webseeds,
            comment=before.comment,
            created_by=before.created_by,
            creation_date=before.creation_date,
            layers=layers,
        )
        return replace(before, raw=raw, layers=layers)

    def take(whole: Metainfo) -> None:
        torrent.metainfo = replace(torrent.metainfo, raw=whole.raw, layers=whole.layers)
        torrent.disk.dirty = True

    def done(whole: Metainfo) -> None:
        engine.network.run(take, whole)

    def failed(_: BaseException) -> None:
        return  # the worker logged it; the hashes are asked for anew in the next run

    engine.turn.outbox("layers", torrent, engine.workshop.disk.submit, job, done, failed)
