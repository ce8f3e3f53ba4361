"""A storage of your own: every piece is a file, named by its number, in a directory of its torrent's info hash.

A piece that passed its hash is synced and loses the ".new" at its name's end: the name is the record, and what a kill
leaves behind is hashed at the next start. These are all the calls there must be; docs/storage.md tells of others that
there may be. To use it, and to see whether it keeps the rules:

python examples/own_storage.py some.torrent -d downloads --peer 127.0.0.1:6881
PYTHONPATH=examples python -m anabranch.testing storage own_storage:empty --persistent
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import anabranch
from anabranch.model import split_host_port
from anabranch.storage import Buffer, Room


class PieceFiles:
    """A ClientStorage: opens torrents."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def open(self, info: anabranch.Layout, info_hash: anabranch.InfoHash) -> TorrentFiles:
        return TorrentFiles(self.directory / str(info_hash), info)


class TorrentFiles:
    """A TorrentStorage: gives pieces."""

    capacity = None  # no limit but the disk's

    def __init__(self, directory: Path, info: anabranch.Layout) -> None:
        self.directory = directory
        self.geometry = info.geometry
        self.names = threading.Lock()  # held while names are looked up or changed: any thread may call
        self.closed = False

    def piece(self, index: int) -> PieceFile:
        return PieceFile(self, self.geometry.piece(index))

    def flush(self) -> None:
        self.check_open()  # nothing is synced before it is complete: it is hashed after a kill

    def close(self) -> None:
        self.closed = True

    def check_open(self) -> None:
        if self.closed:
            raise anabranch.Closed(f"the storage {self.directory} is closed")


class PieceFile:
    """A PieceStorage: moves bytes."""

    def __init__(self, torrent: TorrentFiles, index: int) -> None:
        self.torrent = torrent
        self.length = torrent.geometry.length_of(index)
        self.whole = torrent.directory / str(index)
        self.new = torrent.directory / f"{index}.new"

    def readinto(self, begin: int, buffer: Room) -> None:
        view = memoryview(buffer).cast("B")
        self.check(begin, len(view))
        with self.in_words():
            with self.torrent.names:
                file = (self.whole if self.whole.exists() else self.new).open("rb")
            with file:
                file.seek(begin)
                got = file.readinto(view)
        if got < len(view):  # all bytes or an error: the caller does not count
            raise anabranch.StorageFailed(str(self.new), f"{len(view) - got} bytes short at {begin + got}")

    def writev(self, begin: int, buffers: Sequence[Buffer]) -> None:
        self.check(begin, sum(memoryview(buffer).nbytes for buffer in buffers))
        with self.in_words():
            with self.torrent.names:
                self.torrent.directory.mkdir(parents=True, exist_ok=True)
                if self.whole.exists():
                    self.whole.rename(self.new)  # it is not complete from its first changed byte on
                file = os.fdopen(os.open(self.new, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
            with file:
                file.seek(begin)
                file.writelines(buffers)

    def mark_complete(self) -> None:
        self.torrent.check_open()
        with self.in_words(), self.torrent.names:
            if not self.whole.exists():
                sync(self.new)
                self.new.rename(self.whole)
                sync(self.torrent.directory)

    def mark_incomplete(self) -> None:
        self.torrent.check_open()
        with self.in_words(), self.torrent.names:
            self.whole.unlink(missing_ok=True)
            self.new.unlink(missing_ok=True)

    def completion(self) -> anabranch.Completion:
        self.torrent.check_open()
        with self.torrent.names:
            if self.whole.exists():
                return anabranch.Completion.COMPLETE
            return anabranch.Completion.UNKNOWN if self.new.exists() else anabranch.Completion.INCOMPLETE

    def check(self, begin: int, length: int) -> None:
        self.torrent.check_open()
        if not 0 <= begin <= begin + length <= self.length:
            raise ValueError(f"bytes {begin} to {begin + length} of a piece of {self.length}")

    @contextmanager
    def in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # a StorageFailed stops the torrent, and says why, until the disk works again
            raise anabranch.StorageFailed.from_os(error, str(self.new)) from error


def sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def empty() -> PieceFiles:
    return PieceFiles(tempfile.mkdtemp())


def main() -> int:
    options = argparse.ArgumentParser(description="Download a torrent, each piece to a file of its own.")
    options.add_argument("torrent", help="a .torrent file, its URL, a magnet link or an info hash")
    options.add_argument("-d", "--directory", default="pieces", help="where the pieces go")
    options.add_argument("--peer", action="append", default=[], type=split_host_port, help="IP:PORT to connect to")
    options.add_argument("--bind", action="append", default=[], help="address to be at; all unless given")
    chosen = options.parse_args()
    config = anabranch.Config(
        storage=PieceFiles(chosen.directory), state_dir=None, listen_host=tuple(chosen.bind), listen_port=0
    )
    with anabranch.Client(config) as client:
        torrent = client.add(chosen.torrent)
        had = torrent.checked.wait() and torrent.stats().pieces_complete
        torrent.add_peers(chosen.peer)
        torrent.download_all()
        torrent.complete.wait()
        print(f"{torrent.name}: complete, {had} of {torrent.piece_count} pieces were there")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
