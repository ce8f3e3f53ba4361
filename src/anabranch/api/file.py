"""A file of a torrent, as users see it."""

from __future__ import annotations

from anabranch.engine import Core, TorrentState, bytes_completed, choose_file
from anabranch.model import Priority
from anabranch.streaming import Reader


class File:
    """One file. A handle: cheap to make, holds no state of its own."""

    def __init__(self, core: Core, torrent: TorrentState, index: int) -> None:
        self._core = core
        self._torrent = torrent
        entry = torrent.metainfo.info.files[index]
        self.index = index
        self.path = "/".join(entry.path)
        """Where it is below the data directory, with "/" between the parts."""
        self.offset = entry.offset
        """Where it starts in the torrent, in bytes."""
        self.length = entry.length
        """Its length in bytes."""
        self.root = entry.root
        """The root of its v2 hash tree (BEP 52), 32 bytes; empty in v1 and of an empty file."""
        self.pad = entry.pad
        """Whether it is only padding (BEP 47), never written."""

    def __repr__(self) -> str:
        return f"<File {self.path} length={self.length}>"

    @property
    def priority(self) -> Priority:
        """What it is worth. Changes take effect at once, whatever thread makes them."""
        return self._torrent.worth.of_file[self.index]

    @priority.setter
    def priority(self, priority: Priority) -> None:
        with self._core.turn:
            choose_file(self._core.engine, self._torrent, self.index, Priority(priority))

    def download(self) -> None:
        """Want it, if it is not wanted already."""
        if self.priority < Priority.NORMAL:
            self.priority = Priority.NORMAL

    @property
    def bytes_completed(self) -> int:
        """How many of its bytes lie in verified pieces."""
        with self._core.turn:
            return bytes_completed(self._torrent, self.offset, self.length)

    def reader(self) -> Reader:
        """A reader of its bytes, which fetches what it will need."""
        return Reader(self._core, self._torrent, self.offset, self.length)

    def passive_reader(self) -> Reader:
        """A reader of its bytes that fetches nothing by itself."""
        return Reader(self._core, self._torrent, self.offset, self.length, passive=True)
