"""The errors that the project raises on purpose: who is at fault decides what is done about it.

Rooms add leaves to this tree, never a root. The text says what was found against what was due, in words for the
person who reads it on the command line.
"""

from __future__ import annotations


class TorrentError(Exception):
    """Base of every error raised on purpose."""


class InputRefused(TorrentError):
    """What the user gave (a .torrent, an address, an option) cannot be used: tell the user, change nothing."""


class PeerFault(TorrentError):
    """A peer broke the protocol: drop the peer, keep the torrent."""


class StorageFailed(TorrentError):
    """The disk said no: stop the torrent, keep the client.

    Args:
        path: The file or directory concerned, as the system knows it.
        reason: The system's own words, for example "No space left on device".
        errno: The system's error number, 0 where there is none (a short read).
    """

    def __init__(self, path: str, reason: str, errno: int = 0) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.errno = errno

    @classmethod
    def from_os(cls, error: OSError, path: str) -> StorageFailed:
        """Put an OSError into the project's words, keeping the system's."""
        return cls(str(error.filename or path), error.strerror or str(error), error.errno or 0)


class Closed(TorrentError):
    """The client or torrent was closed or dropped before the wish could be fulfilled."""


class Misused(TorrentError):
    """The program that uses the engine broke one of its rules: a turn inside a turn, a wait on the engine's thread."""
