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
    GivesUp,
    Groups,
    Hashes,
    LaidFile,
    Layout,
    Mapped,
    PieceStorage,
    ReadsAcross,
    ReadsWarm,
    Room,
    Run,
    Selects,
    Sparse,
    Streams,
    TorrentStorage,
)
from .completion import CompletionStore, MemoryCompletion
from .file_storage_io import FileStorage
from .handles_io import Handles
from .memory import MemoryStorage
from .session import InUse, SavedTorrent, SessionKey
from .session_io import Claim, SessionStore, SqliteCompletion, session_key

__all__ = [
    "Buffer",
    "Bulk",
    "Capacity",
    "Claim",
    "ClientStorage",
    "Completion",
    "CompletionStore",
    "Direct",
    "FileStorage",
    "GivesUp",
    "Groups",
    "Handles",
    "Hashes",
    "InUse",
    "LaidFile",
    "Layout",
    "Mapped",
    "MemoryCompletion",
    "MemoryStorage",
    "PieceStorage",
    "ReadsAcross",
    "ReadsWarm",
    "Room",
    "Run",
    "SavedTorrent",
    "Selects",
    "SessionKey",
    "SessionStore",
    "Sparse",
    "SqliteCompletion",
    "Streams",
    "TorrentStorage",
    "session_key",
]
