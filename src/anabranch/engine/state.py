"""The state of torrents and peers, as it lies. Who changes it, and why, is in the files named after the policies.

All of it belongs to whoever holds the turn; what concerns one connection is touched by the network thread only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from weakref import ref

from bitarray import bitarray

from anabranch.metainfo import Body, Metainfo, PieceLayers
from anabranch.model import BLOCK_SIZE, Address, Closed, Geometry, InfoHash, RateMeter, StorageFailed
from anabranch.net import Bucket
from anabranch.picker import PieceProgress, RequestWindow
from anabranch.storage import Claim, ClientStorage, TorrentStorage
from anabranch.wire import Connection, MetadataRation, RequestRun

from .advice import Advice
from .banning import Evidence
from .buffers import Buffer
from .candidates import Candidate, Candidates
from .chatter import Chatter
from .checksums import Checksums
from .files import Worth
from .hashing import HashExchange
from .lodging import Lodging
from .pieces import PieceTable
from .signals_io import Signal
from .stage import Closing, Dropped, Opening, Stage

if TYPE_CHECKING:
    from anabranch.discovery import PexFeed, PexTalk
    from anabranch.tracker import Offer as WebRtcOffer
    from anabranch.webseed import Source, WebSeed

    from .fetches import Fetch
    from .stats import TorrentStats
    from .tracker_status import TrackerStatus
    from .trackers import Tiers
    from .webseed_status import WebSeedStatus

T = TypeVar("T")


class Link(Protocol):
    """The socket of a peer, as the policies see it. Network thread only."""

    def flush(self) -> None:
        """Send what is queued, as far as the socket takes it."""

    def close(self, reason: str) -> None:
        """End the connection. Closing twice does nothing."""

    def ended(self) -> bool:
        """Whether the peer has hung up, which may not have been taken in yet."""

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
    excused_at: float = -1.0  # when it last had more time for what it owed, as it had choked us meanwhile
    unchoked_at: float = float("-inf")  # when it last was not choked, as far as the rounds of choking saw it
    up_at_round: int = 0  # bytes it had from us when the slots were last given
    down_at_round: int = 0  # bytes we had from it
    idle_since: float | None = None  # since when it has nothing to do although something is missing
    wasted: int = 0  # bytes that we had already, or never asked for
    unasked: int = 0  # those of them that we never asked for
    robbed_at: float = -1.0  # when others took over what it was asked for
    snubbed: bool = False
    resting_until: float = 0.0  # it rejected what we asked: it is not asked again at once


@dataclass(slots=True)
class Serving:
    """What a peer asked for and did not get yet, and on which terms it is served."""

    queue: deque[RequestRun] = field(default_factory=deque)
    blocks: int = 0  # in the queue
    lent: deque[RequestRun] = field(default_factory=deque)  # what is being sent from mapped pages
    reading: bool = False  # a worker reads for it
    searched: int = 0  # runs looked at for cancels
    searched_since: float = 0.0  # when the count began
    allowed: dict[int, int] = field(default_factory=dict)  # piece -> blocks that its address may have while choked
    on_credit: bool = False  # it has no slot, and is served while it gives us as much
    throttle: Bucket | None = None  # its address took more than its share; None: it is served as fast as it takes
    shown: bitarray | None = None  # the only pieces that it may have, as it knows of no others; None: all that we have


@dataclass(slots=True)
class Profile:
    """What a peer says about itself."""

    peer_id: bytes
    chatter: Chatter
    advice: Advice = field(default_factory=Advice)
    v2: bool = False  # it knows the hash messages of BEP 52
    reqq: int = 250  # requests it queues, until its extended handshake says better
    client: str = ""
    extensions: frozenset[str] = frozenset()  # those it named (BEP 10)
    ration: MetadataRation | None = None  # how much metadata it may have; None before it asked
    hashes: Bucket | None = None  # requests for hashes that are answered; None before it asked
    answering: int = 0  # hashes, of the requests that are being worked out
    reads: Bucket | None = None  # bytes that are read to tell it hashes of blocks; None before it asked
    told_upload_only: bool = False  # we said that we want nothing
    told_exchange: bool = False  # we said that we take peer exchange
    tells: bool = False  # it told of single pieces that it got, or shows now
    useless_since: float | None = None  # since when neither has any use for the other


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
    gossip: PexTalk | None = None  # peer exchange with it


@dataclass(slots=True)
class Taker:
    """What an address took of a torrent."""

    taken: int = 0  # bytes, by connections that have ended
    together: int = 1  # peers of different ids that were seen there at the same time
    bucket: Bucket | None = None  # what all of them share, once they took too much


@dataclass(slots=True)
class Offer:
    """The piece that a super-seeded peer was shown last, to be spread by it."""

    piece: int
    made_at: float
    known: bool  # others had it before
    elsewhere: int  # pieces that the peer had by then, and was not shown


@dataclass(slots=True)
class Offers:
    """What is shown to whom while super-seeding."""

    fresh: bitarray  # pieces that nobody was shown, or is known to have
    open: dict[Peer, Offer] = field(default_factory=dict)  # to be spread; of each peer the last
    of_piece: dict[int, set[Peer]] = field(default_factory=dict)  # who was shown it last


@dataclass(slots=True)
class Knocks:
    """What was found lately for callers that knock where all places are taken."""

    until: float = 0.0  # is forgotten then
    looked_at: int = 0  # peers
    places: dict[str, bool] = field(default_factory=dict)  # network -> whether somebody would leave for its callers


@dataclass(slots=True)
class Suggestions:
    """What is suggested to whom while we seed."""

    fresh: bitarray  # pieces that nobody was suggested or asked us for, or was seen to have
    open: dict[Peer, set[int]] = field(default_factory=dict)  # what a peer was suggested and did not ask for yet


@dataclass(slots=True)
class Snapshot(Generic[T]):
    """The last picture of something that was given out."""

    picture: T | None = None
    at: float = 0.0  # when it was made
    due: bool = False  # a new one is on its way


class Trackers(list["Tiers"]):
    """The trackers of a torrent that takes part in its swarm, for each of its names.

    Attributes:
        snapshot: What was told of them last.
        offers: WebRTC peers that they told of, the latest, for the transport that will take them: some KiB each.
        chosen: The announce list, if the user changed it.
        alone: The user said whom to have, and no others.
        trusted: Those of them that the user named.
    """

    __slots__ = ("alone", "chosen", "offers", "snapshot", "trusted")

    def __init__(self) -> None:
        super().__init__()
        self.snapshot: Snapshot[list[TrackerStatus]] = Snapshot()
        self.offers: deque[WebRtcOffer] | None = None
        self.chosen: tuple[tuple[str, ...], ...] | None = None
        self.alone = False
        self.trusted: Set[str] = frozenset()


class WebSeeds(dict[str, "WebSeed"]):
    """The web seeds of a torrent that is open, by URL.

    Attributes:
        sources: All that are known of, by URL: what the torrent, links and the user say.
        snapshot: What was told of them last.
        fetches: What they are being asked for.
        downloaded: Bytes from them that were of use, in this run.
        breaks: How often what comes may be broken off for something more urgent; None: it was not yet.
    """

    __slots__ = ("breaks", "downloaded", "fetches", "snapshot", "sources")

    def __init__(self) -> None:
        super().__init__()
        self.sources: dict[str, Source] = {}
        self.snapshot: Snapshot[list[WebSeedStatus]] = Snapshot()
        self.fetches: dict[Fetch, None] = {}
        self.downloaded = 0
        self.breaks: Bucket | None = None


@dataclass(slots=True)
class Slots:
    """Who has an upload slot of what kind, and when they are given anew."""

    optimistic: Peer | None = None
    optimistic_until: float = 0.0
    rechoke_at: float = 0.0
    vacancy: bool = False  # a slot became free since the slots were given


class Search(Protocol):
    """A look-up in the DHT that is under way. Network thread only."""

    def cancel(self, now: float) -> None:
        """End it; whom it was begun for is told that it has ended."""


@dataclass(slots=True)
class Seeking:
    """How peers are looked for without a tracker."""

    wanted: bool | None = None  # whether connections were wanted when that was looked at last; None: it never was
    searches: list[Search] = field(default_factory=list)  # under way
    searched_at: float = float("-inf")  # when the last ones began
    failures: int = 0  # searches in a row that nobody answered
    told_at: float = float("-inf")  # when the local network was told last
    gossip: PexFeed | None = None  # what peers are told of each other; None before there is anything to tell
    enrolled: dict[Peer, Address] = field(default_factory=dict)  # whom the others are told of, and by which address
    gossip_rests_until: float = 0.0  # what peers tell of others is not taken before
    hearsay: dict[str, dict[Address, None]] = field(default_factory=dict)  # what they told meanwhile, by who told it


@dataclass(slots=True)
class Swarm:
    """Who a torrent speaks to, and could speak to."""

    peers: dict[Address, Peer] = field(default_factory=dict)
    candidates: Candidates = field(default_factory=Candidates)
    dialing: int = 0
    slots: Slots = field(default_factory=Slots)
    seeking: Seeking = field(default_factory=Seeking)
    trackers: Trackers = field(default_factory=Trackers)
    takers: dict[str, Taker] = field(default_factory=dict)  # what addresses took, the latest that left last
    offers: Offers | None = None  # what is shown to whom while super-seeding
    suggestions: Suggestions | None = None  # what is suggested to whom; None until anybody is
    given: dict[str, dict[int, int]] = field(default_factory=dict)  # address -> see Serving.allowed
    knocks: Knocks = field(default_factory=Knocks)
    lends: bool = True  # blocks are sent from mapped pages, where the storage has them
    webseeds: WebSeeds = field(default_factory=WebSeeds)


@dataclass(slots=True)
class Policy:
    """What the user allows."""

    download: bool = True
    upload: bool = True
    most_connections: int = 50
    check: bool = True  # hash what is on disk and unknown, at start
    super_seed: bool = False  # show newcomers one piece at a time, while everything is here
    trust: bool = True  # believe what an earlier run recorded as complete


@dataclass(slots=True)
class Totals:
    """Bytes, over all runs where the session store kept them; and when the torrent was added, in seconds since 1970."""

    added: float = 0.0
    downloaded: int = 0  # block data that was of use
    uploaded: int = 0
    wasted: int = 0  # block data received in vain
    corrupt: int = 0  # block data of pieces that failed their hash
    hashed: int = 0
    before: tuple[int, int] = (0, 0)  # downloaded and uploaded, when this run of ours began


@dataclass(slots=True)
class Sums:
    """Bytes of this run, of several torrents; see Totals."""

    downloaded: int = 0
    uploaded: int = 0
    wasted: int = 0
    corrupt: int = 0

    def count(self, totals: Totals) -> None:
        """Add what one torrent has moved in this run."""
        self.downloaded += totals.downloaded - totals.before[0]
        self.uploaded += totals.uploaded - totals.before[1]
        self.wasted += totals.wasted
        self.corrupt += totals.corrupt

    def add(self, other: Sums) -> None:
        """Add other sums."""
        self.downloaded += other.downloaded
        self.uploaded += other.uploaded
        self.wasted += other.wasted
        self.corrupt += other.corrupt


@dataclass(slots=True)
class Kept:
    """What the session store knows of begun pieces, for the case that we are killed."""

    blocks: dict[int, bitarray] = field(default_factory=dict)  # piece -> blocks that are durable
    next_at: float = 0.0  # when it is looked at again


@dataclass(slots=True)
class Holding:
    """Where the bytes of begun pieces are."""

    stretch_size: int
    buffers: dict[tuple[int, int], Buffer] = field(default_factory=dict)  # (piece, stretch) -> memory
    written: dict[int, bitarray] = field(default_factory=dict)  # piece -> blocks that are on disk
    writing: dict[int, int] = field(default_factory=dict)  # piece -> writes under way
    under_way: dict[int, bitarray] = field(default_factory=dict)  # piece -> blocks that these write
    sums: dict[int, Checksums] = field(default_factory=dict)  # piece -> of the blocks that are on disk, as they came
    finishing: dict[int, PieceProgress] = field(default_factory=dict)  # being hashed
    whole: list[PieceProgress] = field(default_factory=list)  # those of them that are in memory and wait for a worker
    hashing: int = 0  # jobs under way with such
    kept: Kept = field(default_factory=Kept)

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
    anew: bool = False  # a user wishes it: first the storage shall look at what is there now
    looking: bool = False  # it does
    doubted: set[int] = field(default_factory=set)  # were being hashed and written when a sync failed
    distrusted: bitarray | None = None  # recorded complete, not believed and not hashed yet; None: there are none


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
    recording: Sequence[int] = ()  # pieces that are being recorded
    selecting: bool = False  # the storage is learning which files are wanted
    partial: Mapping[int, bytes] = field(default_factory=dict)  # from the session store, until the storage is open
    again: list[Callable[[], None]] = field(default_factory=list)  # what failed and is tried again
    trying: int = 0  # jobs under way that began while it was failed
    dirty: bool = False  # the session store is behind
    lodging: Lodging = field(default_factory=Lodging)
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
    watchers: tuple[ref[Signal], ...] = ()  # of those who watch all pieces (piece_states.py)
    missing_of_file: dict[int, int] = field(default_factory=dict)  # file -> none of its pieces before this is missing


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
    snapshot: Snapshot[TorrentStats] = field(default_factory=Snapshot)
    exchange: HashExchange | None = None  # of a torrent that has a v2 side

    @property
    def owner(self) -> tuple[Hashable, Hashable]:
        """Whose jobs its jobs are, and the place that it shares with others: when that is slow, so are they."""
        return self, (type(self.disk.home), self.data_path)

    @property
    def is_full(self) -> bool:
        """Whether it has as many connections as it may have."""
        return len(self.swarm.peers) >= self.policy.most_connections

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
