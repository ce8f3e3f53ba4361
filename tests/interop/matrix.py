"""What the matrices of real clients have in common: a small folder, its torrents, and how connections are made."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trees
from anabranch.api import Torrent
from interop.libtorrent_peer import make_magnet, make_torrent
from ours import KIB, MIB

VERSIONS = ("v1", "v2", "hybrid")
SOURCES = ("torrent", "magnet")
LINES = {"plain": ("off", "allow"), "rc4": ("require", "require")}  # what we are told, what the other side is told
PIECE = 64 * KIB
_LENGTHS = {"empty.bin": 0, "deep/short ü.bin": 5_000, "long.bin": MIB + 1, "middle.bin": 300 * KIB}


@dataclass(frozen=True)
class Content:
    """What is moved: where it lies, and its .torrent by libtorrent."""

    path: Path
    torrent: bytes

    def source(self, kind: str) -> bytes | str:
        """What a client is given: the .torrent or its magnet link."""
        return self.torrent if kind == "torrent" else make_magnet(self.torrent)


def make_content(place: Path, name: str, version: str = "v1", trackers: tuple[str, ...] = ()) -> Content:
    """A folder of that name below *place*: four files, 1.3 MiB. Other names have other bytes, so other hashes."""
    for number, (file, length) in enumerate(_LENGTHS.items()):
        trees.make_file(place / name / file, length, seed=sum(name.encode()) + number)
    return Content(place / name, make_torrent(place / name, PIECE, trackers, version=version))


def bytes_below(folder: Path) -> dict[str, str]:
    """The files below it and what is in them; without empty ones, which not every client makes."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    return {path.relative_to(folder).as_posix(): trees.digest(path) for path in files}


def fetch(torrent: Torrent, seeder: tuple[str, int] | None = None, timeout: float = 60) -> None:
    """Download all of it, from the metadata on where that is missing, beginning with that peer."""
    if seeder:
        torrent.add_peers([seeder])
    assert torrent.got_info.wait(timeout), f"no metadata within {timeout} s: {torrent.peers()}"
    torrent.download_all()
    assert torrent.complete.wait(timeout), f"not complete within {timeout} s: {torrent.stats()} {torrent.peers()}"


def dial_until(is_so: Callable[[], object], torrent: Torrent, peer: tuple[str, int], timeout: float = 60) -> None:
    """Tell our client of the peer until it is so.

    aria2 and Transmission hang up once they have a magnet link's metadata, and have nobody to come back to but those
    whom a tracker told them of.
    """
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, f"not within {timeout} s: {torrent.stats()} {torrent.peers()}"
        torrent.add_peers([peer])
        time.sleep(0.5)
