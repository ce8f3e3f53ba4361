"""A storage that somebody else wrote, with the public names and no more than the Protocols ask for."""

from __future__ import annotations

from collections.abc import Sequence

import anabranch
from anabranch.api import Client, Completion, InfoHash, Layout, PieceStorage, StorageFailed
from origin import Origin
from ours import finished

Store = dict[tuple[InfoHash, int], bytearray]


class Shelf:
    """A ClientStorage that keeps pieces in a dict which outlives it."""

    def __init__(self) -> None:
        self.store: Store = {}
        self.complete: set[tuple[InfoHash, int]] = set()

    def open(self, info: Layout, info_hash: InfoHash) -> ShelfTorrent:
        return ShelfTorrent(self, info, info_hash)


class ShelfTorrent:
    """A TorrentStorage without any of the optional abilities."""

    def __init__(self, shelf: Shelf, info: Layout, info_hash: InfoHash) -> None:
        self.shelf = shelf
        self.geometry = info.geometry
        self.info_hash = info_hash

    @property
    def capacity(self) -> object | None:
        return None

    def piece(self, index: int) -> PieceStorage:
        return ShelfPiece(self, self.geometry.piece(index))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class ShelfPiece:
    """A PieceStorage."""

    def __init__(self, torrent: ShelfTorrent, index: int) -> None:
        self.shelf = torrent.shelf
        self.key = (torrent.info_hash, index)
        self.length = torrent.geometry.length_of(torrent.geometry.piece(index))

    def readinto(self, begin: int, buffer: bytearray | memoryview) -> None:
        if self.key not in self.shelf.store:
            raise StorageFailed(f"piece {self.key[1]}", "not on the shelf", 0)
        buffer[:] = self.shelf.store[self.key][begin : begin + len(buffer)]

    def writev(self, begin: int, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        joined = b"".join(buffers)
        self.shelf.store.setdefault(self.key, bytearray(self.length))[begin : begin + len(joined)] = joined

    def mark_complete(self) -> None:
        self.shelf.complete.add(self.key)

    def mark_incomplete(self) -> None:
        self.shelf.complete.discard(self.key)

    def completion(self) -> Completion:
        return Completion.COMPLETE if self.key in self.shelf.complete else Completion.INCOMPLETE


def test_a_storage_of_ones_own_takes_a_download_and_is_believed_by_the_next_client(
    origin: Origin, client: Client
) -> None:
    """Three small classes are enough; dropped and added again, nothing is fetched twice."""
    shelf = Shelf()
    storage: anabranch.ClientStorage = shelf
    torrent = origin.added(client, storage=storage)
    torrent.download_all()
    torrent.add_peers([origin.address])
    finished(torrent)
    pieces = [shelf.store[torrent.info_hash, index] for index in range(torrent.piece_count)]
    assert b"".join(pieces) == origin.content
    with torrent.reader() as reader:
        assert reader.read(100) == origin.content[:100]
    assert torrent.drop().wait(10)
    again = origin.added(client, storage=shelf)
    assert again.stats().pieces_complete == again.piece_count
