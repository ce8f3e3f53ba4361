"""Storages in memory that wait at a gate, so that a test decides when the disk is done."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from anabranch.model import InfoHash
from anabranch.storage import MemoryStorage
from anabranch.storage.backend import Buffer, Layout
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
