"""The hashes of v2 pieces: asking peers for those that are missing, and answering peers that ask (BEP 52).

What is asked, and whether an answer is true, is for metainfo's PieceLayers to say. Network thread, within a turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from anabranch.metainfo import Metainfo, Wanted, compose
from anabranch.model import PeerFault
from anabranch.net import Bucket
from anabranch.wire import Hashes, HashReject, HashRequest

from .engine import Engine
from .hashing import HashExchange
from .stage import Closing, Dropped, Live
from .state import Peer, Profile, TorrentState

PATIENCE = 5.0  # seconds for an answer, after which somebody else is asked; one that comes late is taken as well
MOST_ASKED = 16  # requests under way with one peer, for files of few pieces; we ourselves refuse more
MOST_HASHES = 2048  # hashes that these are for together, unless a single one is for more
_LINED_UP = 1024  # requests that wait in the queue: making those of 20,000 files at once would be a long turn
_REST = 30.0  # seconds in which a peer that refused is not asked
_MOST_ANSWERED = 8192  # hashes of one peer's requests that are being worked out: more are refused
_LEAST_ANSWERED = 512  # as which a request for fewer counts
_ANSWERED = 64  # requests of one peer in a second that are answered, after a burst
_REQUEST_SIZE = 53  # bytes of a request on the wire


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
    # Who disappointed us longest ago comes first: however many keep silent, an honest peer has its turn.
    for peer in sorted(torrent.swarm.peers.values(), key=lambda peer: exchange.resting.get(peer, 0.0)):
        _ask(engine, exchange, peer, now)


def _ask(engine: Engine, exchange: HashExchange, peer: Peer, now: float) -> None:
    """Ask one peer for as much as may be under way with it."""
    if not peer.profile.v2 or exchange.resting.get(peer, 0.0) > now:
        return
    if not exchange.queue and len(exchange.asked) < exchange.layers.missing:
        first = exchange.layers.wanted(_LINED_UP + len(exchange.asked))
        exchange.queue.extend(wanted for wanted in first if wanted not in exchange.asked)
    lengths = [wanted.length for wanted, (asked, _) in exchange.asked.items() if asked is peer]
    requests, hashes = len(lengths), sum(lengths)
    while exchange.queue and requests < MOST_ASKED and hashes < MOST_HASHES:
        wanted = exchange.queue.popleft()
        exchange.asked[wanted] = peer, now
        peer.talk.hash_request(HashRequest(*wanted))
        engine.due.touched.add(peer)
        requests += 1
        hashes += wanted.length


def heard(engine: Engine, peer: Peer, said: Hashes, now: float) -> None:
    """Hashes came. They prove themselves: those that come late, when others have been asked, are as good.

    Raises:
        PeerFault: they are wrong, or no answer to anything that is asked of peers of this torrent.
    """
    torrent, exchange = peer.torrent, peer.torrent.exchange
    if exchange is None:
        return
    wanted = _words(said)
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
        _ask(engine, exchange, peer, now)


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
    wanted = _words(said)
    if exchange is not None and exchange.asked.get(wanted, (None, 0.0))[0] is peer:
        _call_off(exchange, wanted, now)
        look(engine, peer.torrent, now)


def answer(engine: Engine, peer: Peer, said: HashRequest, now: float) -> None:
    """A peer asks for hashes: a worker looks them up, for large trees take their time."""
    exchange, profile = peer.torrent.exchange, peer.profile
    size = max(said.length, _LEAST_ANSWERED)
    if (
        exchange is None
        or not isinstance(peer.torrent.stage, Live)
        or profile.answering + size > _MOST_ANSWERED
        or not _granted(exchange, profile, now)
    ):
        _reject(engine, peer, said)
        return
    layers = exchange.layers
    profile.answering += size

    def job() -> bytes | None:
        return layers.answer(*_words(said))

    def told(hashes: bytes | None) -> None:
        profile.answering -= size
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


def _words(said: HashRequest | Hashes | HashReject) -> Wanted:
    """What a message is about."""
    return Wanted(said.root, said.base_layer, said.index, said.length, said.proof_layers)


def _granted(exchange: HashExchange, profile: Profile, now: float) -> bool:
    """Whether the peer has not asked for too much: in a burst it may have all that there is, twice."""
    if profile.hashes is None:
        profile.hashes = Bucket(_ANSWERED, 1024 + 2 * exchange.layers.requests)
    granted = profile.hashes.grant(1, now) > 0
    if granted:
        profile.chatter.credit(_REQUEST_SIZE)  # they are held down here
    return granted


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
