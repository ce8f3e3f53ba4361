"""The state of torrents and peers, as it lies. Who changes it, and why, is in the files named after the policies.

All of it belongs to whoever holds the turn; what concerns one connection is touched by the network thread only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bitarray import bitarray

from anabranch.metainfo import Body, Metainfo, PieceLayers
from anabranch.model import BLOCK_SIZE, Address, Closed, Geometry, InfoHash, RateMeter, StorageFailed
from anabranch.net import Bucket
from anabranch.picker import PieceProgress, RequestWindow
from anabranch.storage import Claim, ClientStorage, TorrentStorage
from anabranch.wire import Connection, MetadataRation, RequestRun

from .banning import Evidence
from .buffers import Buffer
from .candidates import Candidate, Candidates
from .chatter import Chatter
from .files import Worth
from .hashing import HashExchange
from .pieces import PieceTable
from .signals_io import Signal
from .stage import Closing, Dropped, Opening, Stage

if TYPE_CHECKING:
    from .announcing import Tiers
    from .stats import TorrentStats


class Link(Protocol):
    """The socket of a peer, as the policies see it. Network thread only."""

    def flush(self) -> None:
        """Send what is queued, as far as the socket takes it."""

    def close(self, reason: str) -> None:
        """End the connection. Closing twice does nothing."""

    def flush_soon(self) -> None:
        """Flush, but not before the caller is through: for those who may have the turn."""

    def pause_reading(self, paused: bool) -> None:
        """Stop or go on taking what the peer sends."""

    def learn(self, geometry: Geometry) -> None:
        """The torrent's measures are known now: act on what the peer has said of pieces before."""


@dataclass(slots=True)
class Flow:
    """When and how fast a peer gave and took."""

    connected_at: float
    down: RateMeter = field(default_factory=RateMeter)
    up: RateMeter = field(default_factory=RateMeter)
    last_block: float = 0.0  # when a block we could use arrived
    asked_at: float = 0.0  # when it last had reason to answer: asked while nothing was outstanding, or it unchoked us
    unchoked_at: float = float("-inf")  # when we last unchoked it
    up_at_round: int = 0  # bytes it had from us when the slots were last given
    down_at_round: int = 0  # bytes we had from it
    idle_since: float | None = None  # since when it has nothing to do although something is missing
    wasted: int = 0  # bytes that we had already, or never asked for
    snubbed: bool = False
    resting_until: float = 0.0  # it rejected what we asked: it is not asked again at once


@dataclass(slots=True)
class Serving:
    """What a peer asked for and did not get yet."""

    queue: deque[RequestRun] = field(default_factory=deque)
    blocks: int = 0  # in the queue
    reading: bool = False  # a worker reads for it
    searched: int = 0  # runs looked at for cancels
    searched_since: float = 0.0  # when the count began


@dataclass(slots=True)
class Profile:
    """What a peer says about itself."""

    peer_id: bytes
    chatter: Chatter
    v2: bool = False  # it knows the hash messages of BEP 52
    reqq: int = 250  # requests it queues, until its extended handshake says better
    client: str = ""
    ration: MetadataRation | None = None  # how much metadata it may have; None before it asked
    hashes: Bucket | None = None  # requests for hashes that are answered; None before it asked
    answering: int = 0  # hashes, of the requests that are being worked out
    reads: Bucket | None = None  # bytes that are read to tell it hashes of blocks; None before it asked


@dataclass(slots=True, eq=False)
class Peer:
    """One connection after the handshake."""

    address: Address
    profile: Profile
    outgoing: bool
    torrent: TorrentState
    talk: Connection
    link: Link
    flow: Flow
    has: bitarray
    candidate: Candidate | None
    has_all: bool = False
    among_seeds: bool = False  # counted as having everything, less what it has lost since
    counted: int = 0  # pieces below this one are in the availability
    window: RequestWindow = field(default_factory=RequestWindow)
    serving: Serving = field(default_factory=Serving)


@dataclass(slots=True)
class Swarm:
    """Who a torrent speaks to, and could speak to."""

    peers: dict[Address, Peer] = field(default_factory=dict)
    candidates: Candidates = field(default_factory=Candidates)
    dialing: int = 0
    optimistic: Peer | None = None
    optimistic_until: float = 0.0
    rechoke_at: float = 0.0
    trackers: list[Tiers] = field(default_factory=list)  # one for each of the torrent's names


@dataclass(slots=True)
class Policy:
    """What the user allows."""

    download: bool = True
    upload: bool = True
    most_connections: int = 50
    check: bool = True  # hash what is on disk and unknown, at start


@dataclass(slots=True)
class Totals:
    """Bytes, over all runs where the session store kept them; and when the torrent was added, in seconds since 1970."""

    added: float = 0.0
    downloaded: int = 0  # block data that was of use
    uploaded: int = 0
    wasted: int = 0  # block data received in vain
    corrupt: int = 0  # block data of pieces that failed their hash
    hashed: int = 0


@dataclass(slots=True)
class Holding:
    """Where the bytes of begun pieces are."""

    stretch_size: int
    buffers: dict[tuple[int, int], Buffer] = field(default_factory=dict)  # (piece, stretch) -> memory
    written: dict[int, bitarray] = field(default_factory=dict)  # piece -> blocks that are on disk
    writing: dict[int, int] = field(default_factory=dict)  # piece -> writes under way
    finishing: dict[int, PieceProgress] = field(default_factory=dict)  # being hashed
    whole: list[PieceProgress] = field(default_factory=list)  # those of them that are in memory and wait for a worker
    hashing: int = 0  # jobs under way with such

    @property
    def stretch_blocks(self) -> int:
        """Blocks in a stretch."""
        return -(-self.stretch_size // BLOCK_SIZE)

    def stretches(self, blocks: int) -> range:
        """The stretches of a piece of that many blocks."""
        return range(-(-blocks // self.stretch_blocks))


@dataclass(slots=True)
class Checks:
    """Pieces that are to be hashed from disk."""

    queued: bitarray
    jobs: int = 0  # under way
    left: int = 0  # pieces not yet through
    wished: bool = False  # more is about to be added to these


@dataclass(slots=True)
class Rest:
    """Whether the bytes of the torrent's metainfo are in memory, or rest in the session store."""

    stored: Body | None = None  # what the session store has
    waking: list[Callable[[], None]] | None = None  # what waits until they are read; None: nobody reads them
    saving: bool = False  # what the session store shall have is on its way


@dataclass(slots=True)
class Disk:
    """The torrent's storage and what is under way there."""

    home: ClientStorage
    checks: Checks
    storage: TorrentStorage | None = None
    claim: Claim | None = None
    unrecorded: list[int] = field(default_factory=list)  # verified and written, not yet durable
    recording: bool = False
    selecting: bool = False  # the storage is learning which files are wanted
    partial: Mapping[int, bytes] = field(default_factory=dict)  # from the session store, until the storage is open
    vouched: bitarray | None = None  # complete by resume data that no store keeps
    again: list[Callable[[], None]] = field(default_factory=list)  # what failed and is tried again
    trying: int = 0  # jobs under way that began while it was failed
    dirty: bool = False  # the session store is behind
    forget: bool = False  # at the end, nothing shall be remembered
    letting_go: bool = False
    rest: Rest = field(default_factory=Rest)


@dataclass(slots=True)
class Signals:
    """What users wait for."""

    got_info: Signal
    checked: Signal
    complete: Signal
    closed: Signal
    said_complete: bool = False  # Completed was told, and is still true
    of_piece: dict[int, set[Signal]] = field(default_factory=dict)  # readers that wait for a piece


@dataclass(slots=True)
class Snapshot:
    """The last picture of a torrent that was given out."""

    stats: TorrentStats | None = None
    due: bool = False  # a new one is on its way


@dataclass(slots=True, eq=False)
class TorrentState:
    """One torrent."""

    info_hash: InfoHash
    metainfo: Metainfo
    data_path: str
    pieces: PieceTable
    worth: Worth
    holding: Holding
    signals: Signals
    disk: Disk
    stage: Stage = field(default_factory=Opening)
    swarm: Swarm = field(default_factory=Swarm)
    policy: Policy = field(default_factory=Policy)
    totals: Totals = field(default_factory=Totals)
    evidence: Evidence = field(default_factory=Evidence)
    snapshot: Snapshot = field(default_factory=Snapshot)
    exchange: HashExchange | None = None  # of a torrent that has a v2 side

    @property
    def owner(self) -> tuple[Hashable, Hashable]:
        """Whose jobs its jobs are, and the place that it shares with others: when that is slow, so are they."""
        return self, (type(self.disk.home), self.data_path)

    @property
    def layers(self) -> PieceLayers | None:
        """The v2 hashes; None without a v2 side."""
        return self.exchange.layers if self.exchange is not None else None

    def opened(self) -> TorrentStorage:
        """The storage, which is there in every stage but Opening."""
        if self.disk.storage is None:
            if isinstance(self.stage, Closing | Dropped):
                raise Closed("the torrent was dropped")
            raise StorageFailed(self.data_path, "the storage is not open")
        return self.disk.storage
