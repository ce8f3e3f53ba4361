"""The storages that a client makes by itself: which kind the configuration names, and one of each for a directory.

Files stand for themselves: each torrent has a storage of its own, and only the open files are shared. Where torrents
share a database or a limited space there is one storage for a directory.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from anabranch.model import InfoHash
from anabranch.storage import (
    CacheStorage,
    ClientStorage,
    CompletionStore,
    FileStorage,
    Handles,
    Maps,
    MemoryStorage,
    MmapStorage,
    ObjectStorage,
    SessionKey,
    SessionStore,
    SqliteStorage,
    Whereabouts,
    session_key,
)

from .config import Config
from .residence_io import Residence

DATABASE, CACHE, STAGING = "anabranch.sqlite", "anabranch.cache", "anabranch.staging"  # below the data directory
CACHE_SIZE = 10 * 1024**3  # bytes, unless somebody says otherwise


def kept_in(kind: str, data_path: str) -> str | None:
    """The database or directory in which that kind keeps what belongs to a data directory; None: elsewhere."""
    name = {"sqlite": DATABASE, "cache": CACHE}.get(kind)
    return os.path.join(data_path, name) if name is not None else None


class Homes:
    """Where torrents live. Its caller lets one thread in at a time.

    Args:
        config: Names the kind.
        sessions: Keeps what is known complete; None: nothing is remembered.
    """

    def __init__(self, config: Config, sessions: SessionStore | None) -> None:
        self._config = config
        self._sessions = sessions
        self._handles = Handles()
        self._maps = Maps()
        self._made: dict[str, ClientStorage] = {}

    def of_torrent(self, key: SessionKey, known: Whereabouts | None) -> ClientStorage:
        """The storage of one torrent: of files, one that can take them elsewhere.

        Args:
            key: What the torrent is known by.
            known: Where earlier runs left its files; None: nobody knows.
        """
        if self._config.storage not in ("file", "mmap"):
            return self._shared(key.data_path)
        incomplete = self._config.incomplete_dir
        elsewhere = session_key(key.info_hash, incomplete).data_path if incomplete is not None else None
        return Residence(key, self._files, self._sessions, known, elsewhere)

    def _shared(self, data_path: str) -> ClientStorage:
        kind = self._config.storage
        if not isinstance(kind, str):
            return kind
        if kind == "memory":
            return MemoryStorage()
        if data_path not in self._made:
            self._made[data_path] = self._make(kind, data_path)
        return self._made[data_path]

    def _files(self, directory: str, completion: Callable[[InfoHash], CompletionStore]) -> ClientStorage:
        whole = self._config.preallocate
        if self._config.storage == "mmap":
            return MmapStorage(directory, completion, self._handles, self._maps, preallocate=whole)
        return FileStorage(directory, completion, self._handles, preallocate=whole)

    def _make(self, kind: str, data_path: str) -> ClientStorage:
        capacity = self._config.storage_capacity
        if kind == "sqlite":
            return SqliteStorage(os.path.join(data_path, DATABASE), capacity)
        if kind == "cache":
            return CacheStorage(os.path.join(data_path, CACHE), CACHE_SIZE if capacity is None else capacity)
        return ObjectStorage(kind, os.path.join(data_path, STAGING))
