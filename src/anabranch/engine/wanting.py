"""Changes of what is wanted: files, pieces, readers, permission to download.

Any thread, within a turn. What pieces are worth changes at once; the request order of a large torrent follows in slices
over several turns, and the peers are asked by the network thread after each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import index

from anabranch.model import Priority
from anabranch.storage import Selects

from . import claiming
from .asking import ask_everybody, show_interest, take_back_all
from .engine import Engine
from .failing import attempt
from .recording import look_complete, not_complete
from .stage import Closing, Dropped
from .state import TorrentState
from .unchoking import choke_everybody, rechoke
from .worst import worst_first


def choose_files(
    engine: Engine, torrent: TorrentState, priorities: Sequence[Priority], worth: bytes | bytearray
) -> None:
    """Change what all files are worth; *worth* is what Worth.of_all() made of it."""
    torrent.worth.of_file[:] = priorities
    table = torrent.pieces
    special = [(piece, torrent.worth.of(piece)) for piece in _special(torrent)]
    table.replace_worth(0, worth)
    for piece, priority in special:
        table.set_worth(piece, priority)
    tell_storage(engine, torrent)
    refresh_all(engine, torrent)


def choose_file(engine: Engine, torrent: TorrentState, file: int, priority: Priority) -> None:
    """Change what one file is worth."""
    if torrent.worth.of_file[file] == priority:
        return
    torrent.worth.of_file[file] = priority
    pieces = torrent.worth.pieces_of(file)
    if len(pieces) > 2:  # the inner pieces hold nothing else
        inner = range(pieces.start + 1, pieces.stop - 1)
        torrent.pieces.replace_worth(inner.start, bytes([priority]) * len(inner))
        weigh(torrent, [piece for piece in _special(torrent) if piece in inner])
    weigh(torrent, {*pieces[:1], *pieces[-1:]})
    tell_storage(engine, torrent)
    _sweep(engine, torrent, pieces)


def choose_pieces(engine: Engine, torrent: TorrentState, pieces: range, priority: Priority) -> None:
    """Change what pieces are worth by themselves, beside the files they are in."""
    own = torrent.worth.of_piece
    for piece in pieces:
        if priority:
            own[piece] = priority
        else:
            own.pop(piece, None)
    weigh(torrent, pieces)
    _sweep(engine, torrent, pieces)


def read_ahead(engine: Engine, torrent: TorrentState, reader: object, window: range, current: int) -> None:
    """A reader moved: it waits for *current* (-1 for none) and will soon want *window*."""
    worth, table = torrent.worth, torrent.pieces
    missing = False
    for piece in worth.read(reader, window, current):
        if table.set_worth(piece, worth.of(piece)):
            missing = missing or not table.complete[piece]
    if missing and not isinstance(torrent.stage, Closing | Dropped):
        _wake(engine, torrent)


def weigh(torrent: TorrentState, pieces: Iterable[int]) -> None:
    """Work out anew what pieces are worth."""
    for piece in pieces:
        torrent.pieces.set_worth(piece, torrent.worth.of(piece))


def refresh_all(engine: Engine, torrent: TorrentState) -> None:
    """Bring the whole request order up to date, in slices; not while there is nobody who could be asked."""
    torrent.worth.sweeps.clear()
    _sweep(engine, torrent, range(torrent.pieces.geometry.piece_count))


def allow_download(engine: Engine, torrent: TorrentState, allowed: bool) -> None:
    """Allow or forbid asking for data."""
    torrent.policy.download = allowed
    torrent.disk.dirty = True
    engine.due.lively.add(torrent)

    def apply() -> None:
        for peer in torrent.swarm.peers.values():
            if not allowed:
                take_back_all(engine, peer)
            show_interest(engine, peer)
        if allowed:
            ask_everybody(engine, torrent, engine.clock())

    if not allowed:
        claiming.cut_all(engine, engine.due.web.requests.drop(torrent.info_hash, "not allowed"))
    claiming.plan_soon(engine, torrent, "download allowed")
    engine.turn.outbox("download allowed", torrent, engine.network.post, apply)
    engine.turn.outbox("dial", engine, engine.network.look_for_peers)


def allow_upload(engine: Engine, torrent: TorrentState, allowed: bool) -> None:
    """Allow or forbid serving data."""
    torrent.policy.upload = allowed
    torrent.disk.dirty = True
    engine.due.lively.add(torrent)

    def apply() -> None:
        if allowed:
            rechoke(engine, torrent, engine.clock())
        else:
            choke_everybody(engine, torrent)

    engine.turn.outbox("upload allowed", torrent, engine.network.post, apply)


def _special(torrent: TorrentState) -> set[int]:
    """Pieces whose worth does not come from files alone."""
    worth = torrent.worth
    return {*worth.of_piece, *worth.windows}


def tell_storage(engine: Engine, torrent: TorrentState) -> None:
    """The storage learns which files are wanted, before their bytes come: until it knows, nobody is asked for any."""
    disk = torrent.disk
    disk.dirty = True
    storage = disk.storage
    if disk.selecting or not isinstance(storage, Selects) or isinstance(torrent.stage, Closing | Dropped):
        return
    selected = torrent.worth.selected()
    disk.selecting = True

    def ended() -> None:
        disk.selecting = False

    def settle(_: None) -> None:
        ended()
        if torrent.worth.selected() != selected:  # chosen anew meanwhile
            tell_storage(engine, torrent)
        else:
            ask_everybody(engine, torrent, engine.clock())
            claiming.plan_soon(engine, torrent, "wanted")

    def again() -> None:
        tell_storage(engine, torrent)

    attempt(engine, torrent, lambda: storage.select(selected), settle, again, refused=ended)


def make_order(engine: Engine, torrent: TorrentState) -> None:
    """Somebody came who may be asked: make the request order, unless there is one."""
    if not torrent.pieces.ordered:
        torrent.pieces.ordering.kept = True
        refresh_all(engine, torrent)


def forget_order(engine: Engine, torrent: TorrentState) -> None:
    """There is nobody to be asked. Those who share their space with others keep what they have in it."""
    if torrent.pieces.ordering.shared is not None:
        return
    engine.turn.stop_sliced("order", torrent)
    torrent.worth.sweeps.clear()
    torrent.pieces.disband()


def _sweep(engine: Engine, torrent: TorrentState, pieces: range) -> None:
    """Have the request order follow for these pieces."""
    sweeps = torrent.worth.sweeps
    if not torrent.pieces.ordered:
        _wake(engine, torrent)
        return
    sweeps.append(pieces)
    if len(sweeps) == 1:
        engine.turn.sliced("order", torrent, _swept(engine, torrent), torrent.pieces.refresh)
    _wake(engine, torrent)


def _swept(engine: Engine, torrent: TorrentState) -> Iterator[int]:
    sweeps = torrent.worth.sweeps
    while sweeps and not isinstance(torrent.stage, Closing | Dropped):
        yield from sweeps[0]
        sweeps.popleft()
    _wake(engine, torrent)


def _wake(engine: Engine, torrent: TorrentState) -> None:
    """Peers are looked at anew by the network thread, once."""
    not_complete(engine, torrent)
    engine.due.lively.add(torrent)

    def look() -> None:
        look_complete(engine, torrent)
        ask_everybody(engine, torrent, engine.clock())

    claiming.plan_soon(engine, torrent, "wanted")
    engine.turn.outbox("wanted", torrent, engine.network.post, look)
    engine.turn.outbox("dial", engine, engine.network.look_for_peers)


def set_max_connections(engine: Engine, torrent: TorrentState, most: int) -> None:
    """Change how many connections the torrent may have; those of the least use end where there are too many."""
    torrent.policy.most_connections = max(index(most), 0)
    engine.due.lively.add(torrent)

    def apply() -> None:
        peers = worst_first(torrent.swarm.peers.values(), engine.clock(), engine.network.ourselves)
        for peer in peers[: max(len(peers) - torrent.policy.most_connections, 0)]:
            engine.turn.outbox("close", peer, engine.network.call, peer.link.close, "fewer connections are allowed")

    engine.turn.outbox("connections allowed", torrent, engine.network.post, apply)
    engine.turn.outbox("dial", engine, engine.network.look_for_peers)
