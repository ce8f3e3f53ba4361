"""What a session remembers of its torrents: the values, and the error for a torrent that somebody else runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from anabranch.model import InfoHash, InputRefused


class InUse(InputRefused):
    """The same torrent in the same directory is open already, in this program or in another."""


@dataclass(frozen=True, slots=True)
class SessionKey:
    """What a torrent is remembered by: the same torrent in two directories is two torrents.

    Args:
        info_hash: Which torrent.
        data_path: Its data directory, resolved (session_key() does it).
    """

    info_hash: InfoHash
    data_path: str


@dataclass(frozen=True, slots=True)
class SavedTorrent:
    """One torrent as a session left it.

    Args:
        metainfo: The .torrent file's bytes, or what else the engine can start the torrent from; None: what is
            remembered stays (of a torrent that is remembered it is never None).
        priorities: A Priority's number for each file, 0 to 255.
        downloading_allowed: Whether data may come in.
        uploading_allowed: Whether data may go out.
        uploaded: Bytes sent in all sessions.
        downloaded: Bytes received in all sessions.
        added: When the torrent was added, in seconds since 1970.
        partial: For pieces that are not complete: bitmaps of the blocks that are on the disk.
    """

    metainfo: bytes | None
    priorities: tuple[int, ...]
    downloading_allowed: bool
    uploading_allowed: bool
    uploaded: int
    downloaded: int
    added: float
    partial: Mapping[int, bytes] = field(default_factory=dict)
