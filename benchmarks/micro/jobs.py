"""The steps that are measured: reading, the wire, the picker, the turn, the engine's events, numbers, RC4.

What belongs to the engine is done in the tests' engine in virtual time (tests/engine/rig.py): no sockets, no threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count, cycle, islice
from random import Random
from typing import TYPE_CHECKING

from anabranch.bencode import decode
from anabranch.crypto import stream
from anabranch.engine import TorrentState, receiving, snapshots, stats
from anabranch.engine.turn_io import Turn
from anabranch.metainfo import Metainfo
from anabranch.model import BLOCK_SIZE, Geometry, Priority
from anabranch.picker import PieceOrder, Standing
from anabranch.wire import Block, Connection, Have, Request, encode

from ..testbed import open_tests
from ..usual import usual_torrent
from . import dht_jobs, waiting_jobs, webseed_jobs
from .job import Job, Work

if TYPE_CHECKING:
    from engine.remotes import Remote
    from engine.rig import Node

RUN = 64  # blocks, requests or messages in a piece of work
SMALL, LARGE = 3_500, 350_000  # pieces: what grows with their number shows between the two
_MIB = 1024 * 1024  # bytes
_RUN_LENGTH = RUN * (13 + BLOCK_SIZE)  # bytes, with the headers


def jobs() -> Sequence[Job]:
    """All of them."""
    return [
        Job("decode bencode", "torrent", 1, _decode),
        Job("read metainfo", "torrent", 1, _metainfo),
        Job("wire: ask for a run", "block", RUN, _ask_run),
        Job("wire: land a run", "block", RUN, _land_run),
        Job("wire: read a run the plain way", "block", RUN, _plain_run),
        Job("wire: read requests", "request", RUN, _requests),
        Job("wire: read haves", "have", RUN, _haves),
        Job(f"picker: move in {SMALL} pieces", "piece", RUN, partial(_move, SMALL)),
        Job(f"picker: move in {LARGE} pieces", "piece", RUN, partial(_move, LARGE)),
        Job(f"picker: first of {LARGE} pieces", "piece", RUN, _scan),
        Job("turn: take and release", "turn", RUN, _turn),
        Job("turn: with a deferred action", "turn", RUN, _turn_deferred),
        Job("turn: with an effect", "turn", RUN, _turn_effect),
        Job("engine: a run lands", "block", RUN, _engine_run),
        Job(f"engine: have of {SMALL} pieces", "have", RUN, partial(_engine_haves, SMALL)),
        Job(f"engine: have of {LARGE} pieces", "have", RUN, partial(_engine_haves, LARGE)),
        Job("engine: stats", "torrent", 1, _stats),
        Job("engine: cached stats", "torrent", 1, _cached_stats),
        *waiting_jobs.jobs(),
        *webseed_jobs.jobs(),
        *dht_jobs.jobs(),
        Job("crypto: RC4", "MiB", 1, _rc4),
    ]


# Reading.


def _decode() -> Callable[[], Work]:
    torrent = usual_torrent(1)
    return lambda: partial(decode, torrent)


def _metainfo() -> Callable[[], Work]:
    torrent = usual_torrent(1)
    return lambda: partial(Metainfo.parse, torrent)


# The wire.


def _connection() -> Connection:
    return Connection(Geometry(1 << 40, _MIB), fast=True, extended=True, now=0.0)


class _Expecting:
    """A conversation in which a run of blocks is asked for, again and again, and what a peer sends for it."""

    def __init__(self) -> None:
        self.talk = _connection()
        self.views = [memoryview(bytearray(BLOCK_SIZE)) for _ in range(RUN)]
        self.pieces = count()
        self.file = os.memfd_create("blocks")

    def __del__(self) -> None:
        os.close(self.file)

    def ask(self) -> int:
        """Ask for a whole piece. Gives its number."""
        piece = next(self.pieces)
        self.talk.request(piece, 0, self.views, "token")
        self.talk.sent(sum(map(len, self.talk.outgoing(1 << 20))), 0.0)
        return piece

    def answer(self, piece: int) -> bytes:
        """What comes then."""
        return b"".join(encode(Block(piece, at * BLOCK_SIZE, bytes(BLOCK_SIZE))) for at in range(RUN))

    def land(self) -> None:
        """Receive it where it belongs: a file stands for the socket."""
        left = _RUN_LENGTH
        while left:  # in a few steps at first
            got = os.preadv(self.file, self.talk.landing(left), _RUN_LENGTH - left)
            left -= got
            self.talk.landed(got, 0.0)

    def ready_to_land(self) -> Work:
        os.pwrite(self.file, self.answer(self.ask()), 0)
        return self.land

    def ready_to_read(self) -> Work:
        return partial(self.talk.receive, self.answer(self.ask()), 0.0)


def _ask_run() -> Callable[[], Work]:
    world = _Expecting()

    def ready() -> Work:
        world.talk.drop_expected()
        return partial(world.talk.request, next(world.pieces), 0, world.views, "token")

    return ready


def _land_run() -> Callable[[], Work]:
    return _Expecting().ready_to_land


def _plain_run() -> Callable[[], Work]:
    return _Expecting().ready_to_read


def _requests() -> Callable[[], Work]:
    wire = b"".join(encode(Request(7, at * BLOCK_SIZE, BLOCK_SIZE)) for at in range(RUN))
    return lambda: partial(_connection().receive, wire, 0.0)


def _haves() -> Callable[[], Work]:
    wire = b"".join(encode(Have(piece)) for piece in range(RUN))
    return lambda: partial(_connection().receive, wire, 0.0)


# The picker.


def _order(pieces: int) -> PieceOrder:
    draw = Random(pieces)
    order = PieceOrder(pieces, draw.randrange)
    for piece in range(pieces):
        order.add(piece, Standing(Priority.NORMAL, False, draw.randrange(30)))
    return order


def _move(pieces: int) -> Callable[[], Work]:
    order = _order(pieces)
    draw = Random(pieces + 1)

    def move(some: Sequence[tuple[int, Standing]]) -> None:
        for piece, standing in some:
            order.add(piece, standing)

    def ready() -> Work:
        some = [draw.randrange(pieces) for _ in range(RUN)]
        return partial(move, [(piece, Standing(Priority.NORMAL, False, draw.randrange(30))) for piece in some])

    return ready


def _scan() -> Callable[[], Work]:
    order = _order(LARGE)

    def scan() -> None:
        for _ in islice(order.scan(), RUN):
            pass

    return lambda: scan


# The turn.


def _turn() -> Callable[[], Work]:
    turn = Turn()

    def work() -> None:
        for _ in range(RUN):
            with turn:
                pass

    return lambda: work


def _turn_deferred() -> Callable[[], Work]:
    turn, target = Turn(), object()

    def work() -> None:
        for _ in range(RUN):
            with turn:
                turn.defer("nothing", target, _nothing)
                turn.defer("nothing", target, _nothing)

    return lambda: work


def _turn_effect() -> Callable[[], Work]:
    turn, target = Turn(), object()

    def work() -> None:
        for _ in range(RUN):
            with turn:
                turn.outbox("nothing", target, _nothing)

    return lambda: work


def _nothing() -> None:
    return


# The engine.


class _Downloading:
    """An engine that downloads pieces of 64 blocks from one peer; what comes waits until it is let in."""

    def __init__(self) -> None:
        open_tests()
        from engine.clocks import Clock
        from engine.remotes import Remote
        from engine.rig import Node
        from engine.samples import sample

        self._clock = Clock()
        self._node = Node(self._clock)
        content = sample(pieces=40, blocks=RUN)
        torrent = self._node.add(content)
        self._node.settle()
        self._remote = Remote(self._node, torrent, content)
        self._file = os.memfd_create("blocks")
        while not self.go_on():  # the window grows with what arrives
            while self._remote.link.inbox:
                self._remote.link.deliver()
            if torrent.signals.complete.is_set:
                raise RuntimeError("the window did not grow")

    def __del__(self) -> None:
        os.close(self._file)

    def go_on(self) -> bool:
        """Let happen what is due, but for the arrival of blocks. Says whether two runs of them are there."""
        node = self._node
        self._clock.now += 0.01
        moved = True
        while moved:
            node.loop.flush_touched()
            moved = self._remote.deliver()
            while node.loop.calls:
                node.loop.calls.popleft()()
                moved = True
            while any(jobs.run_one() for jobs in (node.disk, node.cold, node.record)):
                moved = True
        return len(self._remote.link.inbox) >= 2 * _RUN_LENGTH

    def ready(self) -> Work:
        """The next run is where the work finds it."""
        inbox = self._remote.link.inbox
        os.pwrite(self._file, inbox[:_RUN_LENGTH], 0)
        del inbox[:_RUN_LENGTH]
        return self._land

    def _land(self) -> None:
        """What the network thread does when a socket can be read."""
        engine, peer, now = self._node.engine, self._remote.peer, self._clock.now
        left = _RUN_LENGTH
        while left:
            got = os.preadv(self._file, peer.talk.landing(left), _RUN_LENGTH - left)
            left -= got
            events = peer.talk.landed(got, now)
            with engine.turn:
                receiving.take(engine, peer, events, now)


def _engine_run() -> Callable[[], Work]:
    worlds = [_Downloading()]

    def ready() -> Work:
        if not worlds[0].go_on():
            worlds[0] = _Downloading()
        return worlds[0].ready()

    return ready


def _engine_haves(pieces: int) -> Callable[[], Work]:
    open_tests()
    from engine.clocks import Clock
    from engine.remotes import Remote
    from engine.rig import Node
    from engine.samples import huge

    content = huge(pieces)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    names = cycle(Random(pieces).sample(range(pieces), pieces // RUN * RUN))
    remotes: list[Remote] = []
    left = 0

    def ready() -> Work:
        nonlocal left
        if not left:  # it has told all: another one comes
            remotes[:] = [Remote(node, torrent, content, pieces=())]
            node.settle()
            left = pieces // RUN
        left -= 1
        return partial(_hear, node, remotes[0], b"".join(encode(Have(piece)) for piece in islice(names, RUN)))

    return ready


def _hear(node: Node, remote: Remote, wire: bytes) -> None:
    """What the network thread does with words."""
    engine, peer, now = node.engine, remote.peer, node.engine.clock()
    events = peer.talk.receive(wire, now)
    with engine.turn:
        receiving.take(engine, peer, events, now)


def _torrent() -> tuple[Node, TorrentState]:
    open_tests()
    from engine.clocks import Clock
    from engine.remotes import Remote
    from engine.rig import Node
    from engine.samples import sample

    node = Node(Clock())
    content = sample(pieces=1000, blocks=1)
    torrent = node.add(content)
    node.settle()
    for _ in range(4):
        Remote(node, torrent, content, pieces=())
    node.settle()
    return node, torrent


def _stats() -> Callable[[], Work]:
    node, torrent = _torrent()
    return lambda: partial(stats.stats_of, node.engine, torrent)


def _cached_stats() -> Callable[[], Work]:
    node, torrent = _torrent()
    return lambda: partial(snapshots.picture_of, node, torrent)


# Encryption.


def _rc4() -> Callable[[], Work]:
    cipher, view = stream(b"0123456789abcdef"), memoryview(bytearray(_MIB))
    return lambda: partial(cipher.apply, view)
