"""The public door: a client, its torrents with files, pieces and readers, events, and what a storage is."""

from anabranch.dht import Announcing, DhtFault, DhtStats, Item, Looked, NodeStats, NodeSummary, Pong, Samples
from anabranch.engine import (
    Config,
    Encryption,
    EndpointStatus,
    Feed,
    LockDebug,
    PeerStats,
    PieceState,
    PieceStateRun,
    Signal,
    TorrentStats,
    TrackerStatus,
    WebSeedStatus,
    events,
)
from anabranch.metainfo import Info, Magnet, Metainfo, MetainfoError, create
from anabranch.model import (
    VERSION,
    Address,
    Closed,
    InfoHash,
    InfoHashV2,
    InputRefused,
    Misused,
    Priority,
    StorageFailed,
    TorrentError,
)
from anabranch.net import Blocklist, Identity
from anabranch.storage import ClientStorage, Completion, Layout, PieceStorage, TorrentStorage
from anabranch.streaming import Reader

from .client import Client
from .client_stats import ClientStats
from .dht import Dht, Question
from .extensions import Extensions
from .file import File
from .piece import Piece
from .piece_changes import PieceChange, PieceChanges
from .source import Source, resolve
from .torrent import Torrent

__all__ = [
    "VERSION",
    "Address",
    "Announcing",
    "Blocklist",
    "Client",
    "ClientStats",
    "ClientStorage",
    "Closed",
    "Completion",
    "Config",
    "Dht",
    "DhtFault",
    "DhtStats",
    "Encryption",
    "EndpointStatus",
    "Extensions",
    "Feed",
    "File",
    "Identity",
    "Info",
    "InfoHash",
    "InfoHashV2",
    "InputRefused",
    "Item",
    "Layout",
    "LockDebug",
    "Looked",
    "Magnet",
    "Metainfo",
    "MetainfoError",
    "Misused",
    "NodeStats",
    "NodeSummary",
    "PeerStats",
    "Piece",
    "PieceChange",
    "PieceChanges",
    "PieceState",
    "PieceStateRun",
    "PieceStorage",
    "Pong",
    "Priority",
    "Question",
    "Reader",
    "Samples",
    "Signal",
    "Source",
    "StorageFailed",
    "Torrent",
    "TorrentError",
    "TorrentStats",
    "TorrentStorage",
    "TrackerStatus",
    "WebSeedStatus",
    "create",
    "events",
    "resolve",
]
