"""A web seed's bytes on their way: where they land, and what follows when they have come, or do not come.

Network thread. The bytes land where they belong, in the same bounded memory as peers' blocks, and wait in the socket
while there is none. Where each belongs follows from its place in the torrent, never from what came before it.
"""

from __future__ import annotations

from math import inf

from anabranch.model import BLOCK_SIZE, TorrentError
from anabranch.net import NetworkFailed, Trouble
from anabranch.picker import PieceProgress, Run
from anabranch.webseed import LONGEST_REST, BadAnswer, FileMissing, State, TooFast

from . import claiming, convicting, planning
from .asking import buffer_for
from .buffers import Buffer
from .claiming import give_back, open_next
from .engine import Engine
from .fetches import Fetch
from .gaining import gained
from .metrics import WEBSEED_BYTES, WEBSEED_FAILED, WEBSEED_FINISHED, WEBSEED_WASTED
from .state import TorrentState

_SCRAP = memoryview(bytearray(BLOCK_SIZE))  # where bytes go that are of no use
_MOST_GRANT = 256 * 1024  # bytes; of a limited rate at a time. As few as peers go for: else they would take all of it
_PATIENCE = (
    5  # failures of a web seed in a row, after which it is left alone for a while: thousands of torrents may name it
)
_BREAK = 30.0  # seconds
_LONGEST_PAUSE = 1.0  # seconds: the limit may be changed meanwhile


def begin(engine: Engine, fetch: Fetch) -> bool:
    """Its bytes are about to come: know the piece they begin in. False: they are not wanted any more."""
    if fetch.request.state is State.ENDED:
        return False
    engine.due.web.requests.reading(fetch.request)
    return fetch.opened is not None or open_next(fetch, engine.clock()) is not None


def landing(engine: Engine, fetch: Fetch, most: int) -> memoryview | float:
    """Within a turn: memory for the next bytes, up to *most*; or for how long there is none, in seconds.

    Infinity: until the fetch is resumed, if ever.
    """
    _return_grant(engine, fetch)  # memory may be given and nothing come
    progress = fetch.opened
    if fetch.request.state is State.ENDED or progress is None:
        return inf
    torrent = fetch.torrent
    geometry, stretch_blocks = torrent.pieces.geometry, torrent.holding.stretch_blocks
    place = fetch.at - geometry.offset_of(progress.piece)
    block, inside = divmod(place, BLOCK_SIZE)
    stretch = block // stretch_blocks
    if inside:
        here = _memory(torrent, progress, block, stretch)
        if here is None or fetch.landing is not here or fetch.lease != here.lease:
            fetch.landing = None
    elif _wanted(torrent, progress, block):
        fetch.landing = buffer_for(engine, torrent, progress.piece, stretch)
        if fetch.landing is None:
            engine.due.web.thirsty[fetch] = None
            return inf
        fetch.lease = fetch.landing.lease
        progress.last_gain = max(progress.last_gain, fetch.since)
    else:
        fetch.landing = None
    fetch.heard = engine.clock()  # the server has more
    length = geometry.length_of(progress.piece)
    if fetch.landing is None:
        most = min(most, BLOCK_SIZE - inside, length - place)
    else:
        end = min(fetch.stop, (stretch + 1) * stretch_blocks)
        other = progress.got.find(1, block + 1, end)
        most = min(most, min((end if other < 0 else other) * BLOCK_SIZE, length) - place)
    bucket = engine.limits.down
    if bucket.limited:
        now = engine.clock()
        most = min(most, _MOST_GRANT)
        wait = bucket.ready_at(now) - now
        granted = bucket.grant(most, now) if wait <= 0 else 0
        if not granted:
            return min(max(wait, 0.001), _LONGEST_PAUSE)
        fetch.granted = most = granted
    if fetch.landing is None:
        return _SCRAP[inside : inside + most]
    begin = place - stretch * stretch_blocks * BLOCK_SIZE
    return fetch.landing.view[begin : begin + most]


def landed(engine: Engine, fetch: Fetch, count: int) -> bool:
    """Within a turn: so many bytes have come to the memory given last. False: no more of them are wanted."""
    fetch.granted -= min(count, fetch.granted)
    _return_grant(engine, fetch)
    progress, request = fetch.opened, fetch.request
    if request.state is State.ENDED or progress is None:
        return False
    torrent = fetch.torrent
    geometry, now = torrent.pieces.geometry, engine.clock()
    offset, length = geometry.offset_of(progress.piece), geometry.length_of(progress.piece)
    fetch.heard = now
    first = (fetch.at - offset) // BLOCK_SIZE
    fetch.at += count
    place = fetch.at - offset
    done = progress.blocks if place == length else place // BLOCK_SIZE
    fetch.down.add(count, now)
    fetch.seed.down.add(count, now)
    if done == first:
        return True
    run = Run(first, done - first)
    _book(engine, fetch, progress, run, min(done * BLOCK_SIZE, length) - first * BLOCK_SIZE, now)
    request.next = fetch.at
    if done < fetch.stop:
        return fetch.at < request.end
    if open_next(fetch, now) is not None:
        return True
    request.end = min(request.end, fetch.at)
    return False


def _book(engine: Engine, fetch: Fetch, progress: PieceProgress, run: Run, length: int, now: float) -> None:
    """Whole blocks have come: to the piece's memory, or in vain."""
    torrent, seed = fetch.torrent, fetch.seed
    if fetch.landing is None:  # a single block
        wasted = length
        if torrent.pieces.begun.get(progress.piece) is progress:
            progress.give_back(run)
            torrent.pieces.refresh(progress.piece)
    else:
        wasted = gained(engine, torrent, progress, run, length, seed, now)
        fetch.gain = now
        engine.due.lively.add(torrent)
    torrent.totals.wasted += wasted
    seed.wasted += wasted
    if wasted < length and not seed.proven:
        seed.failures = 0
        claiming.plan_soon(engine, torrent, "proven")  # it may be asked for more from now on
    seed.downloaded += length - wasted
    torrent.swarm.webseeds.downloaded += length - wasted
    if (metrics := engine.metrics) is not None:
        metrics.add(WEBSEED_BYTES, count=length)
        if wasted:
            metrics.add(WEBSEED_WASTED, count=wasted)


def _return_grant(engine: Engine, fetch: Fetch) -> None:
    """What a limited rate allowed and was not used is for others."""
    if fetch.granted:
        engine.limits.down.give_back(fetch.granted, engine.clock())
        fetch.granted = 0


def _wanted(torrent: TorrentState, progress: PieceProgress, block: int) -> bool:
    return torrent.pieces.begun.get(progress.piece) is progress and not progress.got[block]


def _memory(torrent: TorrentState, progress: PieceProgress, block: int, stretch: int) -> Buffer | None:
    """The memory that the rest of a block belongs to, if that is still of use."""
    if not _wanted(torrent, progress, block):
        return None
    return torrent.holding.buffers.get((progress.piece, stretch))


def finished(engine: Engine, fetch: Fetch) -> None:
    """Within a turn: all that was wanted has come."""
    _part(engine, fetch)
    if engine.due.web.requests.end(fetch.request):
        if (metrics := engine.metrics) is not None:
            metrics.add(WEBSEED_FINISHED)
        _look_on(engine, fetch, succeeded=True)


def broken(engine: Engine, fetch: Fetch, error: TorrentError) -> None:
    """Within a turn: not all of it came. Its place is taken for a while, so that it is not tried again at once."""
    _part(engine, fetch)
    request, torrent, seed = fetch.request, fetch.torrent, fetch.seed
    if request.state is State.ENDED:
        return
    book, now = engine.due.web.requests, engine.clock()
    kind, told, lacked = "network", seed.last_error, seed.lacks is not None
    match error:
        case FileMissing():
            kind = "missing file"
            seed.lose(torrent.metainfo.info, error.file)
            seed.fail(str(error))
        case TooFast():
            kind = "too fast"
            seed.fail(str(error))
            if error.retry_after:
                seed.pause(now + error.retry_after)
                engine.due.web.next_at = min(engine.due.web.next_at, seed.pause_until)
                convicting.unqueue(engine, seed)
        case BadAnswer():
            kind = "bad answer"
            convicting.convict(engine, torrent, seed, str(error), kind)
        case _:
            seed.fail(str(error))
            forbidden = isinstance(error, NetworkFailed) and error.trouble is Trouble.FORBIDDEN
            if forbidden or seed.failures > _PATIENCE:
                seed.pause(now + _BREAK)
                convicting.unqueue(engine, seed)
    if (metrics := engine.metrics) is not None:
        metrics.add(WEBSEED_FAILED, kind)
    if kind == "missing file":  # of those that it lacks one is told: where the URL is wrong it lacks them all
        told = seed.last_error if lacked else told
    if kind != "bad answer" and seed.last_error != told:
        convicting.tell(engine, torrent, seed, max(seed.pause_until - now, 0.0))
    if kind == "missing file":  # not to be tried again
        book.end(request, "missing file")
    else:
        book.rest(request, now + engine.draw(int(LONGEST_REST * 1000)) / 1000)
    _look_on(engine, fetch, succeeded=False)


def _part(engine: Engine, fetch: Fetch) -> None:
    fetch.flow = None
    give_back(engine, fetch)


def _look_on(engine: Engine, fetch: Fetch, *, succeeded: bool) -> None:
    """A request ended: others may have its place, and peers its blocks."""
    host = fetch.seed.host
    if not succeeded:
        claiming.plan_soon(engine, fetch.torrent, "failed")
    elif fetch.gain and engine.due.web.requests.low_water(host, succeeded):
        claiming.plan_soon(engine, fetch.torrent, "low water")
    engine.turn.defer("pump", host, planning.pump, engine, host)
