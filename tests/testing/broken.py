"""A back end in memory with every ability, to be broken: each subclass of AblePieces below does one thing wrong."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha1

from bitarray import bitarray

from anabranch.model import Geometry, InfoHash
from anabranch.storage import Buffer, Capacity, Layout, Run
from anabranch.storage.backend import Room
from anabranch.storage.layout import check_range
from anabranch.storage.memory import MemoryTorrent


class Space:
    """The capacity of a small space: room for so many bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def capacity(self) -> int | None:
        return self.limit


class AbleTorrent(MemoryTorrent):
    """What MemoryTorrent can, and ReadsAcross, Selects, Streams, Hashes, Direct, Mapped and GivesUp."""

    def __init__(self, geometry: Geometry, info_hash: InfoHash, files: int, space: Space | None) -> None:
        super().__init__(geometry, info_hash)
        self.files = files
        self.space = space
        self.tell: Callable[[Sequence[int]], None] = lambda pieces: None
        self.order: list[int] = []  # complete pieces, as they came
        self.lock = threading.Lock()

    @property
    def geometry(self) -> Geometry:
        return self._geometry

    @property
    def capacity(self) -> object | None:
        return self.space

    def read_across(self, offset: int, buffer: Room) -> None:
        view = memoryview(buffer).cast("B")
        check_range(offset, len(view), self._geometry.total)
        while len(view):
            piece, begin = divmod(offset, self._geometry.piece_length)
            run = view[: self._geometry.length_of(piece) - begin]
            if not len(run):
                raise ValueError("a gap")
            self.readinto(piece, begin, run)
            view, offset = view[len(run) :], offset + len(run)
            if len(view) and offset % self._geometry.piece_length:
                raise ValueError("a gap")

    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        super().record(complete, incomplete)
        self.order += [piece for piece in complete if piece not in self.order]
        if self.space is not None:
            self.make_room(self.space.limit)

    def make_room(self, limit: int) -> None:
        while sum(map(len, self._pieces.values())) > limit and self.order:
            self.give_up(self.order.pop(0))

    def give_up(self, piece: int) -> None:
        self._complete[piece] = False
        self._pieces.pop(piece, None)
        self.tell([piece])

    def on_given_up(self, tell: Callable[[Sequence[int]], None]) -> None:
        self.tell = tell

    def select(self, wanted: Sequence[bool]) -> None:
        self._check_open()
        if len(wanted) != self.files:
            raise ValueError("too many or too few")

    def stream(self, piece: int) -> Iterator[Buffer]:
        length = self._geometry.length_of(self._geometry.piece(piece))
        room = bytearray(10)
        for begin in range(0, length, 10):
            view = memoryview(room)[: length - begin]
            self.readinto(piece, begin, view)
            yield view

    def sha1(self, piece: int) -> bytes | None:
        self._check_open()
        held = self._pieces.get(self._geometry.piece(piece))
        return None if held is None else sha1(held).digest()

    @contextmanager
    def direct(self, offset: int, length: int) -> Iterator[Run | None]:
        check_range(offset, length, self._geometry.total)
        run = bytearray(min(length, self._geometry.piece_length - offset % self._geometry.piece_length, 20))
        self.read_across(offset, run)
        fd = os.memfd_create("run")
        try:
            os.write(fd, b"before")
            os.write(fd, run)
            yield Run(fd, 6, len(run))
        finally:
            os.close(fd)

    def mapped(self, offset: int, length: int) -> memoryview | None:
        piece, begin = divmod(offset, self._geometry.piece_length)
        held = self._pieces.get(piece)
        return None if held is None else memoryview(held)[begin : begin + length].toreadonly()


class AbleStorage:
    """A ClientStorage of such torrents, or of broken ones; what is closed is there when it is opened again."""

    def __init__(self, kind: type[AbleTorrent] = AbleTorrent, limit: int | None = None) -> None:
        self.kind = kind
        self.space = None if limit is None else Space(limit)
        self.kept: dict[InfoHash, tuple[dict[int, bytearray], bitarray]] = {}

    def open(self, info: Layout, info_hash: InfoHash) -> AbleTorrent:
        torrent = self.kind(info.geometry, info_hash, len(info.files), self.space)
        kept = self.kept.setdefault(info_hash, (torrent._pieces, torrent._complete))
        torrent._pieces, torrent._complete = kept
        return torrent


assert isinstance(Space(1), Capacity)
