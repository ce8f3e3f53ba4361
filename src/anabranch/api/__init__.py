"""The public door: a client, its torrents, their files, pieces and readers, and what happens to them."""

from anabranch.engine import Config, PeerStats, Signal, TorrentStats, events
from anabranch.metainfo import Info, Metainfo, MetainfoError, create
from anabranch.model import (
    VERSION,
    Address,
    Closed,
    InfoHash,
    InputRefused,
    Misused,
    Priority,
    StorageFailed,
    TorrentError,
)
from anabranch.net import Identity
from anabranch.streaming import Reader

from .client import Client
from .file import File
from .piece import Piece, PieceState
from .torrent import Torrent

__all__ = [
    "VERSION",
    "Address",
    "Client",
    "Closed",
    "Config",
    "File",
    "Identity",
    "Info",
    "InfoHash",
    "InputRefused",
    "Metainfo",
    "MetainfoError",
    "Misused",
    "PeerStats",
    "Piece",
    "PieceState",
    "Priority",
    "Reader",
    "Signal",
    "StorageFailed",
    "Torrent",
    "TorrentError",
    "TorrentStats",
    "create",
    "events",
]
