"""Torrents to play with, and storages that hold them, break, or can do as little as a storage may."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from anabranch.bencode import decode, encode
from anabranch.metainfo import Metainfo
from anabranch.model import BLOCK_SIZE, Geometry, InfoHash, StorageFailed
from anabranch.storage import Buffer, Completion, Layout, TorrentStorage
from anabranch.storage.backend import Room
from anabranch.storage.memory import MemoryTorrent
from metainfo import v2


@dataclass(frozen=True)
class Sample:
    metainfo: Metainfo
    content: bytes

    @property
    def geometry(self) -> Geometry:
        return self.metainfo.info.geometry

    @property
    def info_hash(self) -> InfoHash:
        return self.metainfo.info.info_hash

    def of_piece(self, piece: int) -> bytes:
        start = self.geometry.offset_of(piece)
        return self.content[start : start + self.geometry.length_of(piece)]


@lru_cache(maxsize=64)
def sample(pieces: int = 8, blocks: int = 4, files: tuple[int, ...] = (), seed: int = 0, cut: int = 0) -> Sample:
    """A torrent of *pieces* pieces of *blocks* blocks, the last piece *cut* bytes short; *files*: their lengths."""
    piece_length = blocks * BLOCK_SIZE
    total = sum(files) if files else pieces * piece_length - cut
    draw, most = Random(seed), 1 << 27  # bytes that it gives at a time
    content = b"".join(draw.randbytes(min(most, total - at)) for at in range(0, total, most))
    hashes = b"".join(hashlib.sha1(content[at : at + piece_length]).digest() for at in range(0, total, piece_length))
    return Sample(Metainfo.parse(_torrent(piece_length, total, hashes, files, seed)), content)


@lru_cache(maxsize=64)
def modern(kind: str, lengths: tuple[int, ...], piece_length: int = 2 * BLOCK_SIZE, *, layers: bool = True) -> Sample:
    """A torrent of several files that begin at pieces: "v1" has them padded, "v2" has gaps, "hybrid" is both.

    Args:
        kind: Which.
        lengths: Of the files, called 0, 1 and so on.
        piece_length: A power of two.
        layers: The piece layers are there; a torrent that was learned from peers has none at first.
    """
    names = [(str(number), length) for number, length in enumerate(lengths)]
    content = bytearray()
    for name, length in names:
        if length:
            content += bytes(-len(content) % piece_length)
            content += v2.content(name, length)
    sides: dict[str, object] = {}
    if kind != "v2":
        places = range(0, len(content), piece_length)
        sides["files"] = v2.listed(names, piece_length)
        sides["pieces"] = b"".join(hashlib.sha1(content[at : at + piece_length]).digest() for at in places)
    if kind == "v1":
        sides |= {"file tree": None, "meta version": None}
    info, known = v2.v2(names, piece_length, **sides)
    said = {b"info": info} | ({b"piece layers": known} if layers and kind != "v1" else {})
    return Sample(Metainfo.parse(encode(said)), bytes(content))


def changed(content: Sample, **keys: object) -> Sample:
    """The same content in a torrent whose info dictionary has these keys besides."""
    said = decode(content.metainfo.raw)
    assert isinstance(said, dict)
    info = said[b"info"]
    assert isinstance(info, dict)
    fresh = {key.encode(): value for key, value in keys.items()}
    return Sample(Metainfo.parse(encode(said | {b"info": info | fresh})), content.content)


@lru_cache(maxsize=4)
def huge(pieces: int = 350_000) -> Sample:
    """Very many pieces of one byte, whose hashes nothing has."""
    return Sample(Metainfo.parse(_torrent(1, pieces, bytes(20 * pieces), (), 0)), bytes(pieces))


def _torrent(piece_length: int, total: int, hashes: bytes, files: Sequence[int], seed: int) -> bytes:
    info: dict[bytes, object] = {b"name": f"sample {seed}".encode(), b"piece length": piece_length, b"pieces": hashes}
    if files:
        info[b"files"] = [{b"length": length, b"path": [f"{n}.bin".encode()]} for n, length in enumerate(files)]
    else:
        info[b"length"] = total
    return encode({b"info": info})


class Held:
    """A client storage in memory that begins with some pieces, recorded complete."""

    def __init__(self, content: Sample, pieces: Iterable[int] | None = None) -> None:
        self._content = content
        self._pieces = range(content.geometry.piece_count) if pieces is None else pieces
        self.torrent = MemoryTorrent(content.geometry, content.info_hash)

    def open(self, info: Layout, info_hash: InfoHash) -> MemoryTorrent:
        self.torrent = MemoryTorrent(info.geometry, info_hash)
        for piece in self._pieces:
            self.torrent.writev(piece, 0, [self._content.of_piece(piece)])
        self.torrent.record(list(self._pieces))
        return self.torrent


def on_disk(storage: TorrentStorage, content: Sample) -> bytes:
    """All bytes of a torrent, read from its storage."""
    room = bytearray(content.geometry.total)
    for piece in range(content.geometry.piece_count):
        start = content.geometry.offset_of(piece)
        storage.piece(piece).readinto(0, memoryview(room)[start : start + content.geometry.length_of(piece)])
    return bytes(room)


class Faults:
    """Which calls of which kind the disk refuses: those numbered, or all while the kind is in *always*."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.always: set[str] = set()
        self._numbers: dict[str, set[int]] = {}

    def at(self, kind: str, *numbers: int) -> None:
        self._numbers.setdefault(kind, set()).update(numbers)

    def forgive(self) -> None:
        self.always.clear()
        self._numbers.clear()

    def meet(self, kind: str) -> None:
        self.calls[kind] += 1
        if kind in self.always or self.calls[kind] in self._numbers.get(kind, ()):
            raise StorageFailed(f"the file of {kind}", "No space left on device", 28)


class PlainStorage:
    """A client storage with no optional ability, whose bytes and records outlive close(); *faults* break it.

    Kinds of calls: open, read, write, record (mark_complete), unrecord, flush, close.
    """

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.data: dict[int, bytearray] = {}
        self.recorded: dict[int, Completion] = {}
        self.steps: list[str] = []  # what was asked of it, in order
        self.opened = 0  # how often it is open now
        self.before_piece: Callable[[], object] = lambda: None

    def open(self, info: Layout, info_hash: InfoHash) -> PlainTorrent:
        self.faults.meet("open")
        self.opened += 1
        return PlainTorrent(self, info.geometry)

    def hold(self, content: Sample, pieces: Iterable[int], completion: Completion = Completion.UNKNOWN) -> None:
        """Let these pieces lie there, right, as an earlier run left them."""
        for piece in pieces:
            self.data[piece] = bytearray(content.of_piece(piece))
            self.recorded[piece] = completion


class GroupedStorage(PlainStorage):
    """The same, able to record in groups."""

    def open(self, info: Layout, info_hash: InfoHash) -> GroupedTorrent:
        self.faults.meet("open")
        self.opened += 1
        return GroupedTorrent(self, info.geometry)


class PlainTorrent:
    def __init__(self, home: PlainStorage, geometry: Geometry) -> None:
        self.home = home
        self.geometry = geometry

    @property
    def capacity(self) -> object | None:
        return None

    def piece(self, index: int) -> PlainPiece:
        self.home.before_piece()
        return PlainPiece(self, self.geometry.piece(index))

    def flush(self) -> None:
        self.home.steps.append("flush")
        self.home.faults.meet("flush")

    def close(self) -> None:
        self.home.steps.append("close")
        self.home.opened -= 1
        self.home.faults.meet("close")


class GroupedTorrent(PlainTorrent):
    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        self.home.steps.append(f"record {sorted(complete)}")
        self.home.faults.meet("record")
        for piece in complete:
            self.home.recorded[piece] = Completion.COMPLETE
        for piece in incomplete:
            self.home.recorded[piece] = Completion.INCOMPLETE


class PlainPiece:
    def __init__(self, torrent: PlainTorrent, index: int) -> None:
        self._home = torrent.home
        self._length = torrent.geometry.length_of(index)
        self._index = index

    def readinto(self, begin: int, buffer: Room) -> None:
        self._home.faults.meet("read")
        held = self._home.data.get(self._index)
        if held is None or begin + len(buffer) > len(held):
            raise StorageFailed("the file", f"{len(buffer)} bytes short at {begin}")
        buffer[:] = held[begin : begin + len(buffer)]

    def writev(self, begin: int, buffers: Sequence[Buffer]) -> None:
        self._home.faults.meet("write")
        held = self._home.data.setdefault(self._index, bytearray(self._length))
        for buffer in buffers:
            held[begin : begin + len(buffer)] = buffer
            begin += len(buffer)
        assert len(held) == self._length, "written past the piece's end"

    def mark_complete(self) -> None:
        self._home.steps.append(f"mark {self._index}")
        self._home.faults.meet("record")
        self._home.recorded[self._index] = Completion.COMPLETE

    def mark_incomplete(self) -> None:
        self._home.faults.meet("unrecord")
        self._home.recorded[self._index] = Completion.INCOMPLETE

    def completion(self) -> Completion:
        return self._home.recorded.get(self._index, Completion.INCOMPLETE)
