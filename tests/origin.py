"""A torrent of small files and a client that has all of it, for tests of those who read and download."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trees
from anabranch.api import Address, Client, Metainfo, Torrent, create
from anabranch.model import Geometry
from ours import KIB, address_of, make_client

PIECE = 64 * KIB
LENGTHS = {"a.bin": 1_000_001, "deep/b.bin": 1_400_000, "deep/c empty.txt": 0, "d ü.txt": 5}


@dataclass(frozen=True)
class Origin:
    """Who has everything.

    Args:
        client: The seeder, on a loopback address of its own.
        torrent: The .torrent file's bytes.
        path: The torrent's folder on disk.
        content: All bytes, in the torrent's order.
    """

    client: Client
    torrent: bytes
    path: Path
    content: bytes

    @property
    def address(self) -> Address:
        """Where it listens."""
        return address_of(self.client)

    @property
    def metainfo(self) -> Metainfo:
        """The torrent, read."""
        return Metainfo.parse(self.torrent)

    @property
    def geometry(self) -> Geometry:
        """The torrent's measures."""
        return self.metainfo.info.geometry

    def added(self, client: Client, **options: object) -> Torrent:
        """The torrent in another client, which knows nobody yet."""
        torrent = client.add(self.torrent, **options)  # type: ignore[arg-type]  # they are whatever add() takes
        assert torrent.checked.wait(30)
        return torrent

    def served(self, client: Client) -> Torrent:
        """The same, and it knows who has everything."""
        torrent = self.added(client)
        torrent.add_peers([self.address])
        return torrent

    def copied(self, client: Client) -> Torrent:
        """The torrent in another client, which has everything, too."""
        torrent = self.served(client)
        torrent.download_all()
        assert torrent.complete.wait(30)
        return torrent


@contextmanager
def seeded(place: Path, piece_length: int = PIECE) -> Iterator[Origin]:
    """Make the content below *place* and serve it for as long as the block."""
    path = place / "data" / "content"
    for number, (name, length) in enumerate(LENGTHS.items(), 1):
        trees.make_file(path / name, length, seed=number)
    torrent = create(path, piece_length=piece_length)
    files = Metainfo.parse(torrent).info.files
    content = b"".join((place / "data" / "/".join(file.path)).read_bytes() for file in files)
    with make_client(place, "127.0.7.1") as client:
        assert client.add(torrent).checked.wait(30)
        yield Origin(client, torrent, path, content)
