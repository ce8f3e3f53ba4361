"""The hashes of v2 pieces: asking peers for those that are missing, and answering peers that ask (BEP 52).

What is asked, and whether an answer is true, is for metainfo's PieceLayers to say. Hashes of blocks are asked for in
doubting.py; peers are told them out of the blocks on disk. Network thread, within a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from anabranch.metainfo import Metainfo, Wanted, compose
from anabranch.model import PeerFault, StorageFailed
from anabranch.net import Bucket
from anabranch.wire import Hashes, HashReject, HashRequest

from . import doubting
from .engine import Engine
from .hashing import READ_BURST, Answers, HashExchange, Lane
from .jobs import read_leaves
from .rereading import fail_reading
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
_READ_RATE = 2 * 1024 * 1024  # bytes per second that are read to tell one peer the hashes of blocks, after a burst
_MOST_KEPT = 64 * 1024  # bytes of the hashes of blocks that were read, for others who ask for the same


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
    doubting.look(engine, torrent, now)
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
    if doubting.heard(engine, peer, wanted, said.hashes):
        return
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
    doubting.left(torrent, peer)
    exchange = torrent.exchange
    if exchange is not None:
        if exchange.answers is not None and not torrent.swarm.peers:
            exchange.answers.recent.clear()
        exchange.resting.pop(peer, None)
        for wanted in [wanted for wanted, (asked, _) in exchange.asked.items() if asked is peer]:
            del exchange.asked[wanted]
            exchange.queue.append(wanted)


def refused(engine: Engine, peer: Peer, said: HashReject, now: float) -> None:
    """A peer does not have the hashes, or does not give them."""
    exchange = peer.torrent.exchange
    wanted = _words(said)
    if doubting.refused(engine, peer, wanted):
        return
    if exchange is not None and exchange.asked.get(wanted, (None, 0.0))[0] is peer:
        _call_off(exchange, wanted, now)
        look(engine, peer.torrent, now)


def answer(engine: Engine, peer: Peer, said: HashRequest, now: float) -> None:
    """A peer asks for hashes: a worker looks them up, for large trees take their time, and blocks have to be read."""
    torrent, exchange, profile = peer.torrent, peer.torrent.exchange, peer.profile
    if exchange is None or not isinstance(torrent.stage, Live):
        _reject(engine, peer, said)
        return
    wanted = _words(said)
    below = exchange.layers.pieces_below(wanted)
    blocks = sum(map(torrent.pieces.geometry.blocks_of, below[0])) if below else 0
    size = max(said.length, min(blocks, _MOST_ANSWERED), _LEAST_ANSWERED)
    if profile.answering + size > _MOST_ANSWERED or not _granted(exchange, profile, now):
        _reject(engine, peer, said)
        return
    profile.answering += size
    if exchange.answers is None:
        exchange.answers = Answers()
    answers = exchange.answers
    lane = answers.read if below else answers.known

    def told(hashes: bytes | None) -> None:
        profile.answering -= size
        lane.taken = False
        if hashes is None:
            _reject(engine, peer, said)
        else:
            peer.talk.hashes(said, hashes)
            engine.due.touched.add(peer)

    def begin() -> None:
        if torrent.swarm.peers.get(peer.address) is not peer or not isinstance(torrent.stage, Live):
            told(None)
        elif below:
            _read(engine, peer, wanted, below, answers, told)
        else:
            _work_out(engine, torrent, lambda: exchange.layers.answer(*wanted), told, lane)

    lane.waiting.append(begin)
    _go_on(lane)


def _go_on(lane: Lane) -> None:
    """Begin the next answers, until a worker is at one."""
    while lane.waiting and not lane.taken:
        lane.taken = True
        lane.waiting.popleft()()


def _work_out(
    engine: Engine,
    torrent: TorrentState,
    job: Callable[[], bytes | None],
    told: Callable[[bytes | None], None],
    lane: Lane,
    lost: Callable[[BaseException], None] = lambda _: None,
) -> None:
    """Have a worker do it, then go on with the next."""

    def take(hashes: bytes | None) -> None:
        told(hashes)
        _go_on(lane)

    def break_off(error: BaseException) -> None:
        lost(error)
        take(None)

    def done(hashes: bytes | None) -> None:
        engine.network.run(take, hashes)

    def failed(error: BaseException) -> None:
        engine.network.run(break_off, error)

    engine.turn.outbox("hashes", job, engine.workshop.cold.submit, job, done, failed, torrent.owner)


def _read(
    engine: Engine,
    peer: Peer,
    wanted: Wanted,
    below: Sequence[range],
    answers: Answers,
    told: Callable[[bytes | None], None],
) -> None:
    """Have the blocks read and hashed that the answer is made of, if they are here and the peer may cost us that."""
    torrent, layers, recent = peer.torrent, peer.torrent.layers, answers.recent
    complete = torrent.pieces.complete
    pieces = next((one for one in below if complete[one.start : one.stop].all()), None)
    if layers is None or pieces is None or not torrent.policy.upload:
        told(None)
        return
    known = {piece: recent[piece] for piece in pieces if piece in recent}
    lengths = {piece: layers.content_of(piece) for piece in pieces if piece not in known}
    if not _may_read(engine, peer.profile, sum(lengths.values())):
        told(None)
        return
    storage = torrent.opened()
    read: dict[int, bytes] = {}

    def job() -> bytes | None:
        for piece, length in lengths.items():
            read[piece] = read_leaves(storage, piece, length)
        leaves = known | read
        return layers.answer_below(wanted, pieces, [leaves[piece] for piece in pieces])

    def keep(hashes: bytes | None) -> None:
        if hashes is not None:
            recent.update(read)
            while sum(map(len, recent.values())) > _MOST_KEPT:
                del recent[next(iter(recent))]
        told(hashes)

    def lost(error: BaseException) -> None:
        if isinstance(error, StorageFailed):
            fail_reading(engine, torrent, pieces.start, error)

    _work_out(engine, torrent, job, keep, answers.read, lost)


def _may_read(engine: Engine, profile: Profile, length: int) -> bool:
    """Whether so many bytes may be read for this peer, of which all torrents together read only so many."""
    if profile.reads is None:
        profile.reads = Bucket(_READ_RATE, READ_BURST, engine.limits.reads)
    now = engine.clock()
    granted = profile.reads.grant(length, now)
    if granted < length:
        profile.reads.give_back(granted, now)
    return granted == length


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
    exchange.queue.clear()
    exchange.asked.clear()
    exchange.resting.clear()
    before = torrent.metainfo

    def job() -> Metainfo:
        layers = exchange.layers.known()
        raw = compose(
            before.info.raw,
            trackers=before.trackers,
            webseeds=before.webseeds,
            httpseeds=before.httpseeds,
            comment=before.comment,
            created_by=before.created_by,
            creation_date=before.creation_date,
            layers=layers,
        )
        return before.rewritten(raw, layers)

    def take(whole: Metainfo) -> None:
        torrent.metainfo = replace(whole, trackers=torrent.metainfo.trackers)  # it may have got some meanwhile
        torrent.disk.dirty = True

    def done(whole: Metainfo) -> None:
        engine.network.run(take, whole)

    def failed(_: BaseException) -> None:
        return  # the worker logged it; the hashes are asked for anew in the next run

    engine.turn.outbox("layers", torrent, engine.workshop.disk.submit, job, done, failed, torrent.owner)
