"""A file of a torrent, as users see it."""

from __future__ import annotations

from collections.abc import Sequence

from anabranch.engine import Core, Signal, TorrentState, bytes_completed, choose_file, path_now, rename
from anabranch.model import Priority
from anabranch.streaming import Reader


class File:
    """One file. A handle: cheap to make, holds no state of its own."""

    def __init__(self, core: Core, torrent: TorrentState, index: int) -> None:
        self._core = core
        self._torrent = torrent
        entry = torrent.metainfo.info.files[index]
        self.index = index
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
    def path(self) -> str:
        """Where it is at present below the directory of the torrent's files, with "/" between the parts."""
        return "/".join(path_now(self._torrent, self.index))

    def rename(self, path: str | Sequence[str]) -> Signal:
        """Have it given another path below the directory of the torrent's files. Returns at once.

        Meanwhile nothing is asked or served, as with Torrent.move(). Other runs know it by its new path, too; the
        torrent's metainfo stays as it is. The signal raises what refused it, and the old path holds then.

        Args:
            path: The new one, with "/" between the parts, or the parts.

        Raises:
            InputRefused: the path is not safe, another file has it, or there is nothing to rename (padding).
            Closed: the torrent was dropped.
            Misused: it is not stored in files, or not by the client itself.
        """
        parts = split_path(path) if isinstance(path, str) else tuple(path)
        return rename(self._core, self._torrent, {self.index: parts})

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


def split_path(path: str) -> tuple[str, ...]:
    """The parts of a path with "/" between them; a slash at its end says nothing."""
    return tuple(path.removesuffix("/").split("/"))
