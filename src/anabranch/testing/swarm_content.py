"""A torrent to simulate with, and a storage for it that many nodes share: of each only what is wrong takes memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from bitarray import bitarray

from anabranch.bencode import encode
from anabranch.metainfo import Metainfo
from anabranch.model import InfoHash, no_pieces
from anabranch.storage import Buffer, Completion, Layout, Room


@dataclass(frozen=True)
class SimulatedContent:
    """A torrent of one file and all its bytes."""

    metainfo: Metainfo
    data: bytes

    def of_piece(self, piece: int) -> memoryview:
        """A piece's bytes."""
        geometry = self.metainfo.info.geometry
        start = geometry.offset_of(piece)
        return memoryview(self.data)[start : start + geometry.length_of(piece)]


@lru_cache(maxsize=4)
def simulated_content(length: int, piece_length: int, seed: int = 0) -> SimulatedContent:
    """A torrent of so many random bytes, the same for the same seed."""
    data = Random(seed).randbytes(length)
    hashes = b"".join(hashlib.sha1(data[at : at + piece_length]).digest() for at in range(0, length, piece_length))
    info = {b"name": f"simulated {seed}".encode(), b"piece length": piece_length, b"pieces": hashes, b"length": length}
    return SimulatedContent(Metainfo.parse(encode({b"info": info})), data)


class SharedStorage:
    """A ClientStorage whose right bytes are those of the content.

    Args:
        content: The torrent.
        complete: It is all there at first.
    """

    def __init__(self, content: SimulatedContent, *, complete: bool) -> None:
        self._content = content
        self._complete = complete

    def open(self, info: Layout, info_hash: InfoHash) -> SharedTorrent:
        """See ClientStorage."""
        return SharedTorrent(self._content, complete=self._complete)


class SharedTorrent:
    """A TorrentStorage, with ReadsWarm, Groups and Bulk. To be read is only what was written before.

    Attributes:
        wrong: Pieces of which wrong bytes were written, as they lie.
        done: Pieces recorded complete.
    """

    def __init__(self, content: SimulatedContent, *, complete: bool) -> None:
        self._content = content
        count = content.metainfo.info.geometry.piece_count
        self.wrong: dict[int, bytearray] = {}
        self.done = no_pieces(count)
        self.done.setall(complete)

    @property
    def capacity(self) -> object | None:
        """No limit."""
        return None

    def piece(self, index: int) -> SharedPiece:
        """See TorrentStorage."""
        return SharedPiece(self, index)

    def flush(self) -> None:
        """Nothing is ever durable here."""

    def close(self) -> None:
        """Nothing was opened."""

    def bytes_of(self, piece: int) -> memoryview:
        """A piece as it lies here."""
        held = self.wrong.get(piece)
        return memoryview(held) if held is not None else self._content.of_piece(piece)

    def write(self, piece: int, begin: int, data: memoryview) -> None:
        """Keep what is written, where it is not what the content has."""
        held = self.wrong.get(piece)
        right = self._content.of_piece(piece)
        if held is None:
            if right[begin : begin + len(data)] == data:
                return
            held = self.wrong[piece] = bytearray(right)
        held[begin : begin + len(data)] = data
        if held == right:
            del self.wrong[piece]

    def read_warm(self, offset: int, buffer: Room) -> int:
        """See ReadsWarm: everything is in memory."""
        view = memoryview(buffer).cast("B")
        geometry = self._content.metainfo.info.geometry
        got = 0
        while got < len(view) and offset + got < geometry.total:
            piece, begin = divmod(offset + got, geometry.piece_length)
            part = self.bytes_of(piece)[begin : begin + len(view) - got]
            view[got : got + len(part)] = part
            got += len(part)
        return got

    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        """See Groups."""
        for piece in complete:
            self.done[piece] = True
        for piece in incomplete:
            self.done[piece] = False

    def completions(self) -> tuple[bitarray, bitarray]:
        """See Bulk."""
        known = no_pieces(len(self.done))
        known.setall(True)
        return known, self.done.copy()


class SharedPiece:
    """A PieceStorage."""

    __slots__ = ("_home", "_index")

    def __init__(self, home: SharedTorrent, index: int) -> None:
        self._home = home
        self._index = index

    def readinto(self, begin: int, buffer: Room) -> None:
        """See PieceStorage."""
        view = memoryview(buffer).cast("B")
        view[:] = self._home.bytes_of(self._index)[begin : begin + len(view)]

    def writev(self, begin: int, buffers: Sequence[Buffer]) -> None:
        """See PieceStorage."""
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            self._home.write(self._index, begin, view)
            begin += len(view)

    def mark_complete(self) -> None:
        """See PieceStorage."""
        self._home.record([self._index])

    def mark_incomplete(self) -> None:
        """See PieceStorage."""
        self._home.record((), [self._index])

    def completion(self) -> Completion:
        """See PieceStorage."""
        return Completion.COMPLETE if self._home.done[self._index] else Completion.INCOMPLETE
