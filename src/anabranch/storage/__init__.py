"""Where a torrent's bytes, and what is known of them, are kept: back end Protocols, files, memory, the session.

Synchronous code for worker threads; it knows no event loop and nothing of peers or hashes.
"""

from .backend import (
    Buffer,
    Bulk,
    Capacity,
    ClientStorage,
    Completion,
    Direct,
    Finds,
    GivesUp,
    Groups,
    Hashes,
    Heeds,
    LaidFile,
    Layout,
    Loses,
    Mapped,
    PieceStorage,
    ReadsAcross,
    ReadsWarm,
    Removes,
    Room,
    Run,
    Selects,
    Sparse,
    Streams,
    Surveys,
    TorrentStorage,
)
from .cache_storage_io import CacheStorage
from .completion import CompletionStore, MemoryCompletion
from .file_storage_io import FileStorage
from .handles_io import Handles
from .layout import Place, renamed
from .ledger import limit_for, stride_of
from .mapped_io import Maps, MmapStorage
from .memory import MemoryStorage
from .object_storage_io import ObjectStorage
from .relocation_io import check_source, check_target, relocate, remove_data
from .session import (
    Intent,
    InUse,
    Relocating,
    Removing,
    SavedTorrent,
    SavedTrackers,
    SavedWebSeed,
    SessionKey,
    Whereabouts,
)
from .session_io import Claim, SessionStore, SqliteCompletion, session_key
from .sqlite_storage_io import SqliteStorage

__all__ = [
    "Buffer",
    "Bulk",
    "CacheStorage",
    "Capacity",
    "Claim",
    "ClientStorage",
    "Completion",
    "CompletionStore",
    "Direct",
    "FileStorage",
    "Finds",
    "GivesUp",
    "Groups",
    "Handles",
    "Hashes",
    "Heeds",
    "InUse",
    "Intent",
    "LaidFile",
    "Layout",
    "Loses",
    "Mapped",
    "Maps",
    "MemoryCompletion",
    "MemoryStorage",
    "MmapStorage",
    "ObjectStorage",
    "PieceStorage",
    "Place",
    "ReadsAcross",
    "ReadsWarm",
    "Relocating",
    "Removes",
    "Removing",
    "Room",
    "Run",
    "SavedTorrent",
    "SavedTrackers",
    "SavedWebSeed",
    "Selects",
    "SessionKey",
    "SessionStore",
    "Sparse",
    "SqliteCompletion",
    "SqliteStorage",
    "Streams",
    "Surveys",
    "TorrentStorage",
    "Whereabouts",
    "check_source",
    "check_target",
    "limit_for",
    "relocate",
    "remove_data",
    "renamed",
    "session_key",
    "stride_of",
]
