"""What the policies of the engine share: the turn, the torrents, the memory, the workers, the way to the network.

No decision is made here; each policy is a file of its own and takes the engine as its first argument.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from anabranch.model import InfoHash
from anabranch.net import Bucket
from anabranch.picker import SharedOrder
from anabranch.storage import SessionStore

from .agenda import Agenda
from .banning import Banned
from .buffers import BufferPool
from .config import Config
from .directory import Directory
from .events import Event
from .fetches import Fetch, Web
from .fleet import Fleet
from .handlers import Extensions
from .hashing import READ_BURST, READ_RATE
from .metrics import Metrics
from .ourselves import Ourselves
from .seekers import Seekers
from .sending import SendPool
from .state import Peer, Sums, TorrentState
from .turn_io import Turn

if TYPE_CHECKING:
    from .scraping import Scrape
    from .sources import MetadataSource
    from .trackers import Announce, Line

T = TypeVar("T")


class Work(Protocol):
    """Threads that do what may block. Answers come back on the network thread, outside of turns."""

    def submit(
        self,
        job: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[BaseException], None],
        owner: tuple[Hashable, Hashable] = ...,
    ) -> None:
        """Have *job* done, then *done* called with what it gave or *failed* with what it raised.

        Jobs of one owner, or of one place (the second), hold up each other at most; see TorrentState.owner.
        """


class Network(Protocol):
    """The network thread, as the policies see it."""

    @property
    def ourselves(self) -> Ourselves:
        """Our own addresses. Network thread only."""

    def post(self, action: Callable[..., None], *args: object) -> None:
        """Run the action on the network thread, within a turn, and then send what it queued. Any thread may call."""

    def call(self, action: Callable[..., None], *args: object) -> None:
        """Run the action on the network thread, outside of turns. Any thread may call."""

    def run(self, action: Callable[..., None], *args: object) -> None:
        """The same, at once. Network thread, outside of turns."""

    def flush_touched(self) -> None:
        """Send what turns have queued. Network thread, outside of turns."""

    def look_for_peers(self) -> None:
        """Candidates, room for them or trackers to ask came up: do so when the limits allow. Any thread may call."""

    def plan(self) -> None:
        """Decide soon what web seeds are asked for. Any thread may call."""

    def fetch(self, fetch: Fetch) -> None:
        """Begin to read from a web seed, unless that was cut off meanwhile. Any thread may call."""

    def cut(self, fetch: Fetch) -> None:
        """Read no more of it. Any thread may call; cutting twice, or what was not begun, does nothing."""

    def announce(self, last: Announce) -> None:
        """Tell a tracker that a torrent leaves. Any thread may call."""

    def scrape(self, scrapes: list[Scrape], done: Callable[[], None]) -> None:
        """Ask trackers for numbers, then call *done*. Any thread may call."""


class Publisher(Protocol):
    """Where events go."""

    def publish(self, key: Hashable | None, event: Event) -> None:
        """Tell everybody who listens. Never blocks."""

    def wants(self, kind: type[Event]) -> bool:
        """Whether anybody listens to events of this type."""


@dataclass(slots=True)
class Workshop:
    """Who does what may block."""

    disk: Work  # hash, write, check
    cold: Work  # reads that a peer waits for
    record: Work  # syncs and the session store; one at a time of each torrent
    sessions: SessionStore | None  # None: nothing is remembered
    sending: SendPool = field(default_factory=SendPool)  # memory for what is read for peers
    extensions: Extensions = field(default_factory=Extensions)  # messages that the user's handlers take
    moves: Work | None = None  # takes files elsewhere, which may last hours; None: who records does it


@dataclass(slots=True)
class Limits:
    """Of the whole client, rates: bytes in and out, dials, bytes read for hashes of blocks that peers ask for."""

    down: Bucket
    up: Bucket
    dials: Bucket
    reads: Bucket = field(default_factory=lambda: Bucket(READ_RATE, READ_BURST))
    orders: dict[int, SharedOrder] = field(default_factory=dict)  # of torrents in one space, by its capacity's id()


class Lively(set[TorrentState]):
    """Torrents that have something to do each second. Who is added may have somebody to dial, too.

    Attributes:
        dials: Those that may have, at once (who dialed longest ago first) or when a candidate's pause ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dials: Agenda[TorrentState] = Agenda()

    def add(self, torrent: TorrentState) -> None:
        """It has something to do."""
        super().add(torrent)
        if len(torrent.swarm.candidates):
            self.dials.put(torrent, torrent.swarm.candidates.taken_at)

    def rest(self, torrent: TorrentState) -> None:
        """It has nothing to do until somebody comes, or is to be dialed."""
        self.discard(torrent)
        if torrent not in self.dials:
            self.dials.put(torrent, torrent.swarm.candidates.rests_until())

    def leave(self, torrent: TorrentState) -> None:
        """It has nothing to do any more."""
        self.discard(torrent)
        self.dials.forget(torrent)


class Torrents(dict[InfoHash, TorrentState]):
    """The torrents that the client has.

    Attributes:
        past: What those moved in this run that it has no more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.past = Sums()


@dataclass(slots=True)
class Due:
    """Who is to be looked at soon."""

    touched: set[Peer] = field(default_factory=set)  # network thread: have bytes to send
    starved: set[Peer] = field(default_factory=set)  # network thread: could ask if the pool had memory
    idle: set[Peer] = field(default_factory=set)  # network thread: may be asked for copies soon
    lively: Lively = field(default_factory=Lively)
    half_open: int = 0  # dials under way
    unsaved: dict[TorrentState, None] = field(default_factory=dict)  # added, and not remembered yet
    closing: set[TorrentState] = field(default_factory=set)
    leaving: Directory = field(default_factory=Directory)  # the same, by name
    announces: Agenda[Line] = field(default_factory=Agenda)
    fleet: Fleet = field(default_factory=Fleet)
    web: Web = field(default_factory=Web)
    seekers: Seekers = field(default_factory=Seekers)
    sources: Agenda[MetadataSource] = field(default_factory=Agenda)  # of metadata, as magnet links name them


@dataclass(slots=True, eq=False)
class Engine:
    """Everything that is shared."""

    config: Config
    turn: Turn
    clock: Callable[[], float]
    draw: Callable[[int], int]
    peer_id: bytes
    limits: Limits
    workshop: Workshop
    network: Network
    publisher: Publisher
    pool: BufferPool = field(default_factory=BufferPool)
    torrents: Torrents = field(default_factory=Torrents)
    directory: Directory = field(default_factory=Directory)
    banned: Banned = field(default_factory=Banned)
    due: Due = field(default_factory=Due)
    metrics: Metrics | None = None  # None: nothing is counted

    def tell(self, event: Event, key: Hashable | None = None) -> None:
        """Publish an event after the turn. Events of one key replace each other while unread."""
        if self.publisher.wants(type(event)):
            self.turn.outbox("event", event, self.publisher.publish, key, event)


class Runner(Protocol):
    """What is needed of Core by those who take turns of their own."""

    turn: Turn
    engine: Engine

    def forbidden(self) -> bool:
        """Whether the caller must not wait."""
