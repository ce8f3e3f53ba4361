"""An engine in virtual time: the real turn and the real wire, no sockets, no threads, no clock but ours.

Posted actions, workers' jobs and bytes between peers wait until settle() lets them happen, one after the other; run()
lets time pass. Peers are scripted (remotes.py) or other engines of the same world. What is not here: sockets and their
limits (link_io), dialing itself (network_io).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, Protocol, TypeVar

from anabranch.engine import (
    adding,
    asking,
    closing,
    learning,
    membership,
    planning,
    receiving,
    saving,
    serving,
    ticking,
    wanting,
)
from anabranch.engine.buffers import POOL_SIZE, BufferPool
from anabranch.engine.candidates import Candidate
from anabranch.engine.config import Config
from anabranch.engine.engine import Engine, Limits, Workshop
from anabranch.engine.events import Event
from anabranch.engine.feed_io import Feed, Feeds
from anabranch.engine.fetches import Fetch
from anabranch.engine.ourselves import Ourselves
from anabranch.engine.scraping import Scrape
from anabranch.engine.state import Peer, Policy, TorrentState
from anabranch.engine.trackers import Announce
from anabranch.engine.turn_io import SLICE, Turn
from anabranch.metainfo import Magnet, Metainfo
from anabranch.model import Address, Closed, Geometry, PeerFault, Priority
from anabranch.net import Bucket
from anabranch.storage import ClientStorage, MemoryStorage, SessionKey, SessionStore, session_key
from anabranch.wire import Handshake
from engine.by_hand import Jobs
from engine.clocks import Clock, ThinTurn
from engine.samples import Held, Sample, sample

T = TypeVar("T")
MOST_STEPS = 200_000  # of one settle(): more is a loop


class Loop:
    """The network thread without a thread. Any thread may post; what is posted waits for settle()."""

    engine: Engine

    def __init__(self) -> None:
        self.calls: deque[Callable[[], None]] = deque()
        self.ourselves = Ourselves()
        self.asked_to_dial = 0
        self.announced: list[Announce] = []
        self.scraped: list[Scrape] = []
        self.fetches: dict[Fetch, None] = {}  # what web seeds are being asked for

    def call(self, action: Callable[..., None], *args: object) -> None:
        self.calls.append(partial(action, *args))

    def post(self, action: Callable[..., None], *args: object) -> None:
        self.calls.append(partial(self.run, action, *args))

    def run(self, action: Callable[..., None], *args: object) -> None:
        with self.engine.turn:
            action(*args)
        self.flush_touched()

    def flush_touched(self) -> None:
        while self.engine.due.touched:
            touched, self.engine.due.touched = self.engine.due.touched, set()
            for peer in sorted(touched, key=lambda peer: peer.address):
                peer.link.flush()

    def look_at_idle(self) -> None:
        """What the network thread does ten times a second where anybody is idle."""
        idle, self.engine.due.idle = self.engine.due.idle, set()
        for peer in sorted(idle, key=lambda peer: peer.address):
            self.run(asking.ask_again, self.engine, peer, self.engine.clock())

    def look_for_peers(self) -> None:
        self.asked_to_dial += 1

    def plan(self) -> None:
        self.post(planning.run, self.engine)

    def fetch(self, fetch: Fetch) -> None:
        self.fetches[fetch] = None

    def cut(self, fetch: Fetch) -> None:
        self.fetches.pop(fetch, None)

    def announce(self, last: Announce) -> None:
        self.announced.append(last)

    def scrape(self, scrapes: list[Scrape], done: Callable[[], None]) -> None:
        self.scraped += scrapes
        done()


class End(Protocol):
    """One end of a connection."""

    inbox: bytearray

    def tick(self) -> None:
        """A second has passed."""

    def deliver(self) -> bool:
        """Take in what has come. Says whether there was anything."""

    def hang_up(self) -> None:
        """The other end is gone."""


class NodeLink:
    """A node's end of a connection: a Link whose socket is a bytearray."""

    peer: Peer

    def __init__(self, node: Node, other: End) -> None:
        self.inbox = bytearray()
        self.closed = ""  # why
        self.blocked = False  # the socket takes nothing
        self.paused = False
        self.hung_up = False  # the other end did; nobody has looked yet
        self.node = node
        self._other = other

    def flush(self) -> None:
        engine, peer = self.node.engine, self.peer
        while not self.closed:
            serving.fill(engine, peer)
            if self.blocked:
                return
            data = b"".join(peer.talk.outgoing(self.node.allowance))
            if not data:
                return
            self.node.allowance -= len(data)
            payload = peer.talk.sent(len(data), engine.clock())
            peer.flow.up.add(payload, engine.clock())
            peer.torrent.totals.uploaded += payload
            self._other.inbox += data

    def close(self, reason: str) -> None:
        if self.closed:
            return
        self.closed = reason
        with self.node.engine.turn:
            membership.leave(self.node.engine, self.peer, reason)
        self._other.hang_up()

    def ended(self) -> bool:
        return self.hung_up

    def flush_soon(self) -> None:
        self.node.loop.call(self.flush)

    def reaches(self, other: End) -> None:
        self._other = other

    def pause_reading(self, paused: bool) -> None:
        self.paused = paused

    def learn(self, geometry: Geometry) -> None:
        if self.closed:
            return
        try:
            events = self.peer.talk.learn(geometry)
            with self.node.engine.turn:
                receiving.take(self.node.engine, self.peer, events, self.node.engine.clock())
        except PeerFault as fault:
            self.close(str(fault))
        self.node.loop.flush_touched()

    def hang_up(self) -> None:
        self.close("closed by the peer")

    def deliver(self) -> bool:
        """Receive a part of what has come, where it belongs or the plain way, as the cut falls."""
        if self.closed or self.paused or not self.inbox:
            return False
        node, talk = self.node, self.peer.talk
        now = node.engine.clock()
        cut = node.cuts.choice((len(self.inbox), len(self.inbox), node.cuts.randint(1, len(self.inbox))))
        views = talk.landing(cut) if node.cuts.random() < 0.9 else []
        try:
            if views:
                room = min(cut, sum(map(len, views)))
                self._scatter(views, room)
                events = talk.landed(room, now)
            else:
                data = bytes(self.inbox[:cut])
                del self.inbox[:cut]
                events = talk.receive(data, now)
            if events:
                with node.engine.turn:
                    receiving.take(node.engine, self.peer, events, now)
        except PeerFault as fault:
            self.close(str(fault))
        node.loop.flush_touched()
        return True

    def tick(self) -> None:
        if self.closed or self.node.engine.clock() < self.peer.talk.deadline():
            return
        try:
            self.peer.talk.tick(self.node.engine.clock())
        except PeerFault as fault:
            self.close(str(fault))
        self.flush()

    def _scatter(self, views: list[memoryview], room: int) -> None:
        at = 0
        for view in views:
            count = min(len(view), room - at)
            view[:count] = self.inbox[at : at + count]
            at += count
        del self.inbox[:room]


class Node:
    """One engine with everything around it made of lists."""

    def __init__(
        self,
        clock: Clock,
        number: int = 0,
        *,
        pool: int = POOL_SIZE,
        sessions: SessionStore | None = None,
        slice_size: int = SLICE,
        **config: Any,
    ) -> None:
        self.loop = Loop()
        self.cuts = Random(number)
        self.disk, self.cold, self.record = Jobs(), Jobs(), Jobs()
        self.ends: list[End] = []
        self.line = self.allowance = 1 << 30  # bytes that it can send in a tenth of a second, and of this one
        self.feeds: Feeds[Event] = Feeds()
        self.slices = ThinTurn(clock, slice_size)
        self.turn: Turn = self.slices
        self.engine = Engine(
            config=Config(**config),
            turn=self.turn,
            clock=clock,
            draw=Random(number).randrange,
            peer_id=b"-DE211s-" + f"{number:012}".encode(),
            limits=Limits(Bucket(None), Bucket(None), Bucket(10.0, 10.0)),
            workshop=Workshop(self.disk, self.cold, self.record, sessions),
            network=self.loop,
            publisher=self.feeds,
            pool=BufferPool(pool),
        )
        self.loop.engine = self.engine
        self.engine.turn.slices_run_by(self.loop.call)
        self.feed: Feed[Event] = self.feeds.subscribe(1_000_000)

    def forbidden(self) -> bool:
        """With `turn` and `engine`: what readers need of Core."""
        return self.engine.turn.held_by_me

    def add(
        self,
        content: Sample,
        storage: ClientStorage | None = None,
        *,
        want: Priority | None = Priority.NORMAL,
        policy: Policy | None = None,
    ) -> TorrentState:
        """Add a torrent as Core does, and want all of it; nothing has happened before settle()."""
        torrent = self.prepare(content, storage, policy=policy)
        if want is not None:
            self.want(torrent, [want] * len(content.metainfo.info.files))
        return torrent

    def prepare(
        self,
        content: Sample,
        storage: ClientStorage | None = None,
        *,
        policy: Policy | None = None,
        partial: Mapping[int, bytes] | None = None,
        source: Magnet | None = None,
    ) -> TorrentState:
        """Add a torrent, perhaps by its link, of which earlier runs left something."""
        engine, home = self.engine, storage or MemoryStorage()
        name = source.swarm_hashes[0] if source is not None else content.info_hash
        key = SessionKey(name, "/data")
        sessions = engine.workshop.sessions
        claim = saved = None
        known: Metainfo | Magnet = source or content.metainfo
        if sessions is not None:
            key = session_key(name, "/data")
            claim = sessions.claim(key)
            saved = sessions.load(key)
        if saved is not None:
            known = adding.better_known(known, saved, key.info_hash)
        torrent = adding.make(known, key, home, engine, self.forbidden, policy or Policy())
        torrent.disk.partial = partial or {}
        if sessions is not None and saved is not None:
            adding.take_over(torrent, saved, sessions)
            sessions.save_partial(key, {piece: bits for piece, bits in torrent.disk.partial.items() if bits})
        with engine.turn:
            adding.register(engine, torrent, claim)
            adding.remember(engine, torrent)
        return torrent

    def learn(self, source: Magnet, storage: ClientStorage | None = None, *, want: bool = True) -> TorrentState:
        """Add a torrent by its link, and want what that names."""
        torrent = self.prepare(sample(), storage, source=source)
        if want:
            with self.engine.turn:
                learning.want_when_known(torrent)
        return torrent

    def seed(self, content: Sample) -> TorrentState:
        torrent = self.add(content, Held(content))
        self.settle()
        return torrent

    def want(self, torrent: TorrentState, priorities: list[Priority]) -> None:
        worth = torrent.worth.of_all(priorities)
        with self.engine.turn:
            wanting.choose_files(self.engine, torrent, priorities, worth)

    def make_order(self, torrent: TorrentState) -> None:
        """As if somebody had come who may be asked."""
        with self.engine.turn:
            wanting.make_order(self.engine, torrent)
        self.settle()

    def drop(self, torrent: TorrentState, *, forget: bool = True) -> None:
        with self.engine.turn:
            closing.begin(self.engine, torrent, forget=forget)

    def join(
        self, torrent: TorrentState, other: End, address: Address, theirs: Handshake, candidate: Candidate | None = None
    ) -> NodeLink:
        """Make a peer of the other end. Raises PeerFault where it may not join."""
        link = NodeLink(self, other)
        with self.engine.turn:
            met = membership.Met(address, theirs, candidate, None)
            link.peer = membership.join(self.engine, torrent, link, met, 42069)
        self.ends.append(link)
        self.loop.flush_touched()
        return link

    def step(self) -> bool:
        """Let one thing happen, if anything is due."""
        if self.loop.calls:
            self.loop.calls.popleft()()
            return True
        if any(jobs.run_one() for jobs in (self.disk, self.cold, self.record)):
            return True
        if any(end.deliver() for end in list(self.ends)):
            return True
        before = len(self.record.waiting) + len(self.engine.due.closing)
        for torrent in list(self.engine.due.closing):
            self.loop.run(closing.look, self.engine, torrent)
        return len(self.record.waiting) + len(self.engine.due.closing) != before

    def settle(self, check: Callable[[], None] | None = None) -> None:
        """Let everything happen that is due now; *check* is called after each step."""
        for _ in range(MOST_STEPS):
            if not self.step():
                return
            if check is not None:
                check()
        raise AssertionError("it never settles")

    def begin_tenth(self) -> None:
        """A tenth of a second has passed."""
        self.allowance = self.line
        for end in self.cuts.sample(self.ends, len(self.ends)):
            if isinstance(end, NodeLink):
                end.flush()
        self.loop.look_at_idle()

    def tick(self) -> None:
        """What the network thread does each second."""
        now = self.engine.clock()
        for torrent in list(self.engine.due.lively):
            self.loop.run(ticking.tick, self.engine, torrent, now)
        for end in list(self.ends):
            if isinstance(end, NodeLink):
                end.tick()
        for torrent in list(self.engine.torrents.values()):
            if torrent.disk.dirty:
                self.loop.run(saving.save, self.engine, [torrent])
        self.loop.run(ticking.tick_client, self.engine)

    def told(self) -> list[Event]:
        """The events since the last time this was asked."""
        events: list[Event] = []
        with suppress(TimeoutError, Closed):
            while len(self.feed):
                events.append(self.feed.get(0))
        return events


def settle(*nodes: Node) -> None:
    """Let everything happen that is due now, at all nodes in turn."""
    for _ in range(MOST_STEPS):
        if not sum(node.step() for node in nodes):
            return
    raise AssertionError("they never settle")


def run(clock: Clock, nodes: Node | Iterable[Node], seconds: float, check: Callable[[], None] | None = None) -> None:
    """Let time pass, a second at a time; *check* is called after each."""
    every = [nodes] if isinstance(nodes, Node) else list(nodes)
    for _ in range(round(seconds)):
        for _tenth in range(10):
            clock.now += 0.1
            for node in every:
                node.begin_tenth()
            settle(*every)
        for node in every:
            for end in node.ends:
                if not isinstance(end, NodeLink):
                    end.tick()
            node.tick()
        settle(*every)
        if check is not None:
            check()


def until(clock: Clock, nodes: Node | Iterable[Node], true: Callable[[], bool], most: int = 600) -> int:
    """Let time pass until something is true. Answers the seconds that took."""
    every = [nodes] if isinstance(nodes, Node) else list(nodes)
    settle(*every)
    for second in range(most):
        if true():
            return second
        run(clock, every, 1)
    raise AssertionError(f"it did not come about in {most} s")


def connect(one: Node, one_torrent: TorrentState, two: Node, two_torrent: TorrentState) -> tuple[NodeLink, NodeLink]:
    """Join two engines."""
    host_of_one, host_of_two = (f"10.1.0.{node.engine.peer_id[-3:].decode().lstrip('0') or 0}" for node in (one, two))
    far = Nobody()
    from_one, _ = membership.our_greeting(one.engine, one_torrent, one_torrent.info_hash)
    from_two, _ = membership.our_greeting(two.engine, two_torrent, two_torrent.info_hash)
    near = one.join(one_torrent, far, Address(host_of_two, 42069), from_two)
    back = two.join(two_torrent, near, Address(host_of_one, 42069), from_one)
    back.inbox += far.inbox
    near.reaches(back)
    return near, back


class Nobody:
    """Stands in for an end that does not matter, or is about to be made."""

    def __init__(self) -> None:
        self.inbox = bytearray()

    def deliver(self) -> bool:
        return False

    def hang_up(self) -> None:
        return

    def tick(self) -> None:
        return
