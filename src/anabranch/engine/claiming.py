"""Which blocks are kept for a web seed, and how they become free again.

Source: the Go engine let peers and web seeds fetch the same blocks; here each block is asked of one of them. A web seed
is promised a run of neighbours, up to a slice, which it goes through from the front. A peer that finds nothing else to
ask for takes pieces from the end of such a run, where they would be late: so they meet in the middle.

Within a turn. Memory is taken only when bytes come (fetching.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bitarray import bitarray

from anabranch.model import BLOCK_SIZE, Priority
from anabranch.picker import PieceProgress, Run
from anabranch.webseed import Candidate, Request, State, WebSeed, slice_range

from .engine import Engine
from .fetches import Fetch
from .metrics import WEBSEED_CANCELLED
from .stage import Closing, Dropped, Live
from .state import Peer, TorrentState
from .stealing import SOON, TRIAL, share

REPLACED = "replaced by a more urgent one"
_STALLED = 2.0  # seconds without gain after which an idle web seed is asked for what another one was
_UNANSWERED = 5.0  # the same where nothing has come yet
_TOO_SLOW = 5.0  # seconds for a single piece that another could give
_FASTER = 2.0  # times as fast as another is who is to begin anew what that one has nearly done
_WORTH_SHARING = 2.0  # seconds that a web seed must need for what it is asked for, before another helps it
_URGENT = bytes(worth >= Priority.READAHEAD for worth in range(256))
_FEW = 64  # pieces that find their way back into the order at once
_SILENT = 1.0  # seconds without anything, after which a web seed is taken for slow


def plan_soon(engine: Engine, torrent: TorrentState | None, reason: str) -> None:
    """Within a turn of any thread: something changed for web seeds. The first reason is kept until it was looked at."""
    web = engine.due.web
    if torrent is not None and torrent not in web.torrents:
        if not (torrent.swarm.webseeds and torrent.pieces.missing_wanted and isinstance(torrent.stage, Live)):
            return
        web.torrents[torrent] = None
    if web.why:
        return
    web.why = reason
    engine.turn.outbox("plan", web, engine.network.plan)


def run_at(torrent: TorrentState, start: int) -> Run | None:
    """The first free blocks of the piece at that offset; None where nothing of it may be asked for."""
    table = torrent.pieces
    piece = start // table.piece_length
    if not table.requestable(piece):
        return None
    progress = table.begun.get(piece)
    blocks = table.geometry.blocks_of(piece)
    return Run(0, blocks) if progress is None else progress.free_run(blocks, blocks)


def claim(
    engine: Engine, torrent: TorrentState, chosen: Candidate, within: bitarray | None, old: Request | None = None
) -> Fetch | None:
    """Reserve what was chosen, to the end of its slice at the latest; None if nothing of it is free any more.

    Args:
        engine: The engine.
        torrent: Whose it is.
        chosen: Where to begin.
        within: The pieces there is room for; None for all.
        old: The request whose place it takes, or which ends where that is not possible.
    """
    book = engine.due.web.requests
    if old is not None:
        _cut(engine, old)  # what it had is free for the new one
    found = _free_at(torrent, chosen, within)
    if found is None:
        if old is not None:
            cancel(engine, old, REPLACED)
        return None
    run, lent, end = found
    geometry = torrent.pieces.geometry
    piece = chosen.start // geometry.piece_length
    begin = geometry.offset_of(piece) + run.first * BLOCK_SIZE
    if old is not None:
        request = book.replace(old, chosen.key, begin, end, chosen.priority)
        _count_cancelled(engine, old)
    else:
        request = book.reserve(chosen.seed, chosen.key, begin, end, chosen.priority)
    if request is None:
        return None
    fetch = request.attachment = Fetch(torrent, request, begin, lent)
    progress = torrent.pieces.begun.get(piece)
    if progress is not None:
        progress.ask(run)
        fetch.opened, fetch.stop = progress, run.first + run.blocks
        torrent.pieces.refresh(piece)
    torrent.pieces.lend(lent, True)
    torrent.swarm.webseeds.fetches[fetch] = None
    return fetch


def _free_at(torrent: TorrentState, chosen: Candidate, within: bitarray | None) -> tuple[Run, range, int] | None:
    """From there on: the blocks of the first piece, the pieces that nobody has begun, and the offset where they end."""
    table, geometry, seed = torrent.pieces, torrent.pieces.geometry, chosen.seed
    run = run_at(torrent, chosen.start)
    piece = chosen.start // geometry.piece_length
    if run is None or not seed.may_give(piece):
        return None
    first = stop = piece + (piece in table.begun)
    if run.first + run.blocks == geometry.blocks_of(piece):
        last = slice_range(geometry, chosen.key.slice).stop
        while stop < last and stop not in table.begun and table.requestable(stop) and seed.may_give(stop):
            if within is not None and not within[stop]:
                break
            stop += 1
    if stop == piece:
        return None  # there is no room for it any more
    if stop > first:
        end = geometry.offset_of(stop - 1) + geometry.length_of(stop - 1)
    else:
        end = geometry.offset_of(piece) + min((run.first + run.blocks) * BLOCK_SIZE, geometry.length_of(piece))
    return run, range(first, stop), end


def open_next(fetch: Fetch, now: float) -> PieceProgress | None:
    """Go on with the next piece that is kept for it; None where there is none, or it is not wanted any more."""
    table = fetch.torrent.pieces
    fetch.opened = None
    if not fetch.lent:
        return None
    piece = fetch.lent.start
    progress = PieceProgress(piece, table.geometry.blocks_of(piece), now)
    table.lent[piece] = False
    if piece in table.begun or not table.requestable(piece):
        table.lent[piece] = True  # it is given back with the others
        return None
    fetch.lent = fetch.lent[1:]
    progress.ask(Run(0, progress.blocks))
    table.begun[piece] = fetch.opened = progress
    fetch.stop = progress.blocks
    fetch.at = table.geometry.offset_of(piece)
    fetch.landing = None
    table.refresh(piece)
    return progress


def give_back(engine: Engine, fetch: Fetch) -> None:
    """Others may be asked for what has not come. Doing it twice does nothing."""
    torrent = fetch.torrent
    table = torrent.pieces
    progress, fetch.opened = fetch.opened, None
    if progress is not None and table.begun.get(progress.piece) is progress:
        begun = (fetch.at - table.geometry.offset_of(progress.piece)) // BLOCK_SIZE
        if begun < fetch.stop:
            progress.give_back(Run(begun, fetch.stop - begun))
        table.refresh(progress.piece)
    if fetch.down.total and fetch in torrent.swarm.webseeds.fetches:
        fetch.seed.pace = fetch.down.rate(engine.clock())
    lent, fetch.lent = fetch.lent, range(0)
    _free(engine, torrent, lent)
    if fetch.granted:  # memory was given, and nothing came
        engine.limits.down.give_back(fetch.granted, engine.clock())
        fetch.granted = 0
    torrent.swarm.webseeds.fetches.pop(fetch, None)
    engine.due.web.thirsty.pop(fetch, None)


def _free(engine: Engine, torrent: TorrentState, pieces: range) -> None:
    """Give pieces back that were lent. Many find their way into the order of peers in slices: 25 requests may end."""
    table, sweeps = torrent.pieces, torrent.worth.sweeps
    if len(pieces) <= _FEW or not table.ordered:
        table.lend(pieces, False)
        return
    table.lent[pieces.start : pieces.stop] = False
    sweeps.append(pieces)
    if len(sweeps) == 1:
        engine.turn.sliced("order", torrent, _swept(torrent), table.refresh)


def _swept(torrent: TorrentState) -> Iterator[int]:
    sweeps = torrent.worth.sweeps
    while sweeps and not isinstance(torrent.stage, Closing | Dropped):
        yield from sweeps[0]
        sweeps.popleft()


def cancel(engine: Engine, request: Request, reason: str) -> None:
    """End a request at once, whatever has come of it; nothing of it lands any more."""
    if engine.due.web.requests.end(request, reason):
        cut_all(engine, [request])


def cut_all(engine: Engine, requests: Iterable[Request]) -> None:
    """These were taken out of the book: nothing of them lands any more."""
    for request in requests:
        _count_cancelled(engine, request)
        _cut(engine, request)


def stop(engine: Engine, torrent: TorrentState, reason: str) -> None:
    """Ask the web seeds of a torrent for nothing any more, at once. Within a turn of any thread."""
    engine.due.web.torrents.pop(torrent, None)
    cut_all(engine, engine.due.web.requests.drop(torrent.info_hash, reason))


def _count_cancelled(engine: Engine, request: Request) -> None:
    if (metrics := engine.metrics) is not None:
        metrics.add(WEBSEED_CANCELLED, request.reason)


def _cut(engine: Engine, request: Request) -> None:
    fetch = request.attachment
    if isinstance(fetch, Fetch):
        give_back(engine, fetch)
        engine.turn.outbox("cut", fetch, engine.network.cut, fetch)


def give_way(engine: Engine, thief: Peer, room: int, now: float) -> bool:
    """A peer finds nothing to be asked for: free pieces at the end of what a web seed is asked for.

    Of those whose last pieces the peer has, it is the one that will need longest. As many pieces change hands as make
    both end at the same time, as among peers; of one that has not begun to come, all that the peer has room for.
    """
    torrent = thief.torrent
    fetches = [one for one in torrent.swarm.webseeds.fetches if one.lent and _has(thief, one.lent.stop - 1)]
    if not fetches:
        return False
    slowest = max(fetches, key=lambda one: blocks_left(one) / (pace(one, now) or 0.001))
    my_pace, its_pace = thief.window.pace(now), pace(slowest, now)
    left = blocks_left(slowest)
    if its_pace and left < SOON * its_pace:
        return False
    most = share(thief.talk.outstanding, left, my_pace, its_pace, later=True)
    if not its_pace and slowest.request.state is State.RESERVED:
        most = left
    return _take_tail(torrent, slowest, min(most, room if my_pace else TRIAL), lambda piece: _has(thief, piece)) > 0


def share_with(engine: Engine, torrent: TorrentState, fetch: Fetch, seed: WebSeed, now: float) -> bool:
    """An idle web seed helps another that will need long: half of what is left becomes free for it, from the end.

    The piece that comes next stays, so that two that are idle by turns do not pass the last one to and fro; but where
    that alone would take long, or nothing came for long, the other gives up all of it.
    """
    if fetch.opened is None and not fetch.lent:
        return False  # others have taken all of it, and it is about to end
    first = fetch.opened.piece if fetch.opened is not None else fetch.lent.start
    if not (seed.may_give(first) or (fetch.lent and seed.may_give(fetch.lent.stop - 1))):
        return False  # what was freed would be planned for the other one again
    left, its_pace = blocks_left(fetch), pace(fetch, now)
    waited = now - max(fetch.gain, fetch.since) if fetch.since else 0.0
    if not its_pace and fetch.since:
        late = waited > (_STALLED if fetch.gain else _UNANSWERED)
        if late:
            fetch.seed.fail(f"{fetch.seed} gave nothing for {waited:.0f} s")
    elif not fetch.lent and left > _TOO_SLOW * its_pace > 0:
        if _share_piece(fetch, left, its_pace):
            return True
        late = seed.pace > _FASTER * its_pace * BLOCK_SIZE  # two that are slow would pass a block to and fro for ever
    else:
        late = False
    if late:
        cancel(engine, fetch.request, "stalled")
        return True
    if (fetch.since and left < _WORTH_SHARING * its_pace) or (fetch.since and not its_pace):
        return False
    kept = 0 if fetch.opened is not None else 1
    return _take_tail(torrent, fetch, share(0, left, its_pace, its_pace, later=True), seed.may_give, kept) > 0


def _share_piece(fetch: Fetch, left: int, its_pace: float) -> bool:
    """Free half of what is left of the last piece, where its blocks do come, if slowly."""
    progress = fetch.opened
    if progress is None or left < 2 or its_pace * _TOO_SLOW < 1:
        return False
    kept = fetch.stop - left // 2
    progress.give_back(Run(kept, fetch.stop - kept))
    fetch.stop = kept
    fetch.request.end = _end_of(fetch)
    fetch.torrent.pieces.refresh(progress.piece)
    return True


def _take_tail(torrent: TorrentState, fetch: Fetch, blocks: int, has: Callable[[int], bool], kept: int = 0) -> int:
    """Free pieces at the end that somebody has, for that many blocks, but for the first *kept*. Answers how many."""
    geometry = torrent.pieces.geometry
    first = fetch.lent.stop
    if blocks <= 0:
        return 0
    while first > fetch.lent.start + kept and blocks > 0 and has(first - 1):
        first -= 1
        blocks -= geometry.blocks_of(first)
    freed = range(first, fetch.lent.stop)
    if not freed:
        return 0
    fetch.lent = range(fetch.lent.start, first)
    fetch.request.end = _end_of(fetch)
    torrent.pieces.lend(freed, False)
    return len(freed)


def cut_for_readers(fetch: Fetch) -> None:
    """What a reader waits for further on, behind pieces that none waits for, is free for who can give it sooner."""
    table, lent = fetch.torrent.pieces, fetch.lent
    urgent = bitarray(endian="big")
    urgent.pack(bytes(table.worth[lent.start : lent.stop]).translate(_URGENT))
    between = urgent.find(0)
    first = urgent.find(1, between) if between >= 0 else -1
    if first >= 0:
        fetch.lent, freed = lent[:first], lent[first:]
        fetch.request.end = _end_of(fetch)
        table.lend(freed, False)


def pace(fetch: Fetch, now: float) -> float:
    """Blocks a second that come; 0 while that cannot be said."""
    rate = fetch.down.rate(now) / BLOCK_SIZE
    waited = now - max(fetch.gain, fetch.since)
    if not fetch.since or waited < _SILENT:
        return rate
    return min(rate, 1 / waited)


def blocks_left(fetch: Fetch) -> int:
    """Blocks that are to come, about."""
    return -(-max(fetch.request.end - fetch.at, 0) // BLOCK_SIZE)


def _end_of(fetch: Fetch) -> int:
    geometry = fetch.torrent.pieces.geometry
    if fetch.lent:
        last = fetch.lent.stop - 1
        return geometry.offset_of(last) + geometry.length_of(last)
    if fetch.opened is not None:
        piece = fetch.opened.piece
        return geometry.offset_of(piece) + min(fetch.stop * BLOCK_SIZE, geometry.length_of(piece))
    return fetch.at


def _has(peer: Peer, piece: int) -> bool:
    return peer.has_all or bool(peer.has[piece])
