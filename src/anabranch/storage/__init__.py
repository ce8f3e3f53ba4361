"""Where a torrent's bytes, and what is known of them, are kept: back end Protocols, files, memory, the session.

Synchronous code for worker threads; it knows no event loop and nothing of peers or hashes.
"""

from .backend import (
    Buffer,
    Bulk,
    Capacity,
    ClientStorage,
    Completion,
    Groups,
    LaidFile,
    Layout,
    PieceStorage,
    ReadsAcross,
    ReadsWarm,
    Room,
    Selects,
    Sparse,
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
    "FileStorage",
    "Groups",
    "Handles",
    "InUse",
    "LaidFile",
    "Layout",
    "MemoryCompletion",
    "MemoryStorage",
    "PieceStorage",
    "ReadsAcross",
    "ReadsWarm",
    "Room",
    "SavedTorrent",
    "Selects",
    "SessionKey",
    "SessionStore",
    "Sparse",
    "SqliteCompletion",
    "TorrentStorage",
    "session_key",
]
