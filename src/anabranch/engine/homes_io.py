"""The storages that a client makes by itself: which kind the configuration names, and one of each for a directory.

Files stand for themselves: each torrent has a storage of its own, and only the open files are shared. Where torrents
share a database or a limited space there is one storage for a directory.
"""

from __future__ import annotations

from collections.abc import Callable

from anabranch.model import InfoHash, InputRefused
from anabranch.storage import (
    ClientStorage,
    CompletionStore,
    FileStorage,
    Handles,
    MemoryCompletion,
    MemoryStorage,
    SessionKey,
    SessionStore,
)

from .config import Config


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
        self._made: dict[str, ClientStorage] = {}

    def of(self, data_path: str) -> ClientStorage:
        """The storage of that data directory. Raises InputRefused where there is no such kind."""
        kind = self._config.storage
        if not isinstance(kind, str):
            return kind
        if kind == "memory":
            return MemoryStorage()
        if kind == "file":
            return FileStorage(data_path, self._completion(data_path), self._handles)
        if data_path not in self._made:
            self._made[data_path] = self._make(kind, data_path)
        return self._made[data_path]

    def _make(self, kind: str, data_path: str) -> ClientStorage:
        raise InputRefused(f"storage {kind!r} is not there; there are file and memory")

    def _completion(self, data_path: str) -> Callable[[InfoHash], CompletionStore]:
        def completion(info_hash: InfoHash) -> CompletionStore:
            if self._sessions is None:
                return MemoryCompletion()
            return self._sessions.completion(SessionKey(info_hash, data_path))

        return completion
