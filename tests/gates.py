"""Storages in memory that wait at a gate, so that a test decides when the disk is done."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from anabranch.model import InfoHash
from anabranch.storage import MemoryStorage
from anabranch.storage.backend import Buffer, Completion, Layout, PieceStorage, Room
from anabranch.storage.memory import MemoryTorrent

PATIENCE = 30  # seconds until a gate gives a test up; no rule


class Gate(threading.Event):
    """Closed until set()."""

    def go_through(self) -> None:
        """Wait until it is open."""
        assert self.wait(PATIENCE), "the gate was never opened"


class GatedWrites(MemoryStorage):
    """Nothing is written before the gate is open."""

    def __init__(self) -> None:
        self.gate = Gate()

    def open(self, info: Layout, info_hash: InfoHash) -> MemoryTorrent:
        gate = self.gate

        class Torrent(MemoryTorrent):
            def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
                gate.go_through()
                super().writev(piece, begin, buffers)

        return Torrent(info.geometry, info_hash)


class SlowToOpen(MemoryStorage):
    """Has all of *content*, but takes until the gate is open to say so."""

    def __init__(self, content: bytes) -> None:
        self.gate = Gate()
        self._content = content

    def open(self, info: Layout, info_hash: InfoHash) -> MemoryTorrent:
        self.gate.go_through()
        geometry = info.geometry
        torrent = super().open(info, info_hash)
        for piece in range(geometry.piece_count):
            offset = geometry.offset_of(piece)
            torrent.writev(piece, 0, [self._content[offset : offset + geometry.length_of(piece)]])
        torrent.record(range(geometry.piece_count))
        return torrent


class SlowDisk:
    """A client storage that can do as little as one may, and whose calls of some kinds wait at the gate.

    Kinds: "write", "read", "flush".

    Args:
        kinds: Which calls wait.
        content: What is there from the beginning, recorded complete; nothing unless given.

    Attributes:
        waiting: How many calls have come to the gate.
    """

    def __init__(self, *kinds: str, content: bytes = b"") -> None:
        self.gate = Gate()
        self.waiting = 0
        self._kinds = kinds
        self._content = content
        self._memory = MemoryStorage() if not content else SlowToOpen(content)
        if isinstance(self._memory, SlowToOpen):
            self._memory.gate.set()

    def open(self, info: Layout, info_hash: InfoHash) -> SlowTorrent:
        return SlowTorrent(self, self._memory.open(info, info_hash))

    def come(self, kind: str) -> None:
        """A call of that kind is made."""
        if kind in self._kinds:
            self.waiting += 1
            self.gate.go_through()


class SlowTorrent:
    """One torrent of a SlowDisk."""

    capacity = None

    def __init__(self, disk: SlowDisk, memory: MemoryTorrent) -> None:
        self._disk = disk
        self._memory = memory

    def piece(self, index: int) -> SlowPiece:
        return SlowPiece(self._disk, self._memory.piece(index))

    def flush(self) -> None:
        self._disk.come("flush")
        self._memory.flush()

    def close(self) -> None:
        self._memory.close()


class SlowPiece:
    """One piece of a SlowDisk."""

    def __init__(self, disk: SlowDisk, memory: PieceStorage) -> None:
        self._disk = disk
        self._memory = memory

    def readinto(self, begin: int, buffer: Room) -> None:
        self._disk.come("read")
        self._memory.readinto(begin, buffer)

    def writev(self, begin: int, buffers: Sequence[Buffer]) -> None:
        self._disk.come("write")
        self._memory.writev(begin, buffers)

    def mark_complete(self) -> None:
        self._memory.mark_complete()

    def mark_incomplete(self) -> None:
        self._memory.mark_incomplete()

    def completion(self) -> Completion:
        return self._memory.completion()
