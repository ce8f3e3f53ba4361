"""Torrents in an object store, and what is known of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from anabranch.storage import TorrentStorage
from anabranch.storage.object_storage_io import ObjectStorage, ObjectTorrent
from storage.flaky_store import FlakyStore
from storage.small_torrents import HASH, SmallTorrent, named, torrent

KIB = 1024
SMALL = torrent(100, named("t/a", 250), named("t/b", 180))  # five pieces, the last of 30 bytes
WIDE = torrent(16 * KIB, named("t", 160 * KIB))


def storage_of(store: FlakyStore, place: Path, **settings: Any) -> ObjectStorage:
    return ObjectStorage(cast(Any, store), place, **settings)


def opened(store: FlakyStore, place: Path, small: SmallTorrent = SMALL, **settings: Any) -> ObjectTorrent:
    return storage_of(store, place, **settings).open(small, HASH)


def key(piece: int, prefix: str = "") -> str:
    return f"{prefix}{HASH}/{piece:08}"


def states(storage: TorrentStorage, small: SmallTorrent = SMALL) -> str:
    """A letter a piece: complete, incomplete or unknown."""
    count = small.geometry.piece_count
    return "".join(storage.piece(piece).completion().value[0] for piece in range(count))


def files_of(place: Path) -> list[str]:
    return sorted(path.name for path in place.rglob("*") if path.is_file())
