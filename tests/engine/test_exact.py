"""Reading exactly what was asked for, from storages that may be anybody's."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine import exact
from anabranch.engine.exact import in_order, read, read_across
from anabranch.engine.jobs import finish_in_parts, read_leaves, read_through, readable
from anabranch.metainfo import due_of
from anabranch.model import BLOCK_SIZE, Geometry, InfoHash, StorageFailed
from anabranch.storage import Buffer, MemoryStorage, TorrentStorage
from anabranch.storage.memory import MemoryTorrent
from anabranch.testing import Fault, FaultyStorage
from engine.samples import Sample, sample


class Streaming(MemoryTorrent):
    """Hands pieces out in buffers of odd sizes; counts how often, and what was read otherwise."""

    sizes: Sequence[int] = (1, 16384, 5000, 0, 70_000)
    surplus = b""
    cut = 0

    def __init__(self, geometry: Geometry, info_hash: InfoHash) -> None:
        super().__init__(geometry, info_hash)
        self.streams: list[int] = []
        self.reads = 0
        self.ended = 0

    def readinto(self, piece: int, begin: int, buffer: bytearray | memoryview) -> None:
        self.reads += 1
        super().readinto(piece, begin, buffer)

    def stream(self, piece: int) -> Iterator[Buffer]:
        self.streams.append(piece)
        held = self._pieces.get(piece)
        if held is None:
            raise StorageFailed("the stream", "No such piece", errno.ENOENT)
        data = bytes(held)[: len(held) - self.cut] + self.surplus
        room = bytearray(max(self.sizes))
        at = number = 0
        try:
            while at < len(data):
                size = self.sizes[number % len(self.sizes)]
                part = data[at : at + size]
                room[: len(part)] = part  # each buffer is used again by the next
                yield memoryview(room)[: len(part)]
                at, number = at + size, number + 1
        finally:
            self.ended += 1


def streaming(content: Sample, *pieces: int) -> Streaming:
    storage = Streaming(content.geometry, content.info_hash)
    for piece in pieces:
        storage.writev(piece, 0, [content.of_piece(piece)])
    return storage


def faulty(content: Sample, fault: Fault) -> TorrentStorage:
    home = FaultyStorage(MemoryStorage())
    storage = home.open(content.metainfo.info, content.info_hash)
    for piece in range(content.geometry.piece_count):
        storage.piece(piece).writev(0, [content.of_piece(piece)])
    home.faults.add(fault)
    return storage


def test_no_worker_can_wait_for_the_engine() -> None:
    """W19: what workers run knows neither the turn nor anything that takes it, so nobody who has it waits in vain."""
    modules = {getattr(value, "__module__", "") for value in vars(exact).values()}
    ours = {name for name in modules if name.startswith("anabranch.")} - {exact.__name__}
    assert ours
    assert all(name.startswith(("anabranch.model", "anabranch.storage")) for name in ours)


def test_a_short_read_that_nobody_speaks_of_is_an_error_with_its_place() -> None:
    """A back end that answers a number, as io's readinto() does, and says nothing of what is missing."""
    content = sample(pieces=2, blocks=2)
    storage = faulty(content, Fault("read", short=100, silent=True))
    with pytest.raises(StorageFailed, match=r"gave 900 of 1000 bytes at piece 1, offset 7$") as failed:
        read(storage, 1, 7, memoryview(bytearray(1000)))
    assert failed.value.errno == 0
    assert failed.value.path.endswith("FaultyTorrent")


def test_a_read_that_tells_how_much_it_read_is_none_the_worse_for_it() -> None:
    """All of it is all of it."""
    content = sample(pieces=1, blocks=2)
    room = memoryview(bytearray(1000))
    read(faulty(content, Fault("read", short=0, silent=True)), 0, 5, room)
    assert room == content.content[5:1005]


def test_no_caller_takes_a_short_read_for_bytes() -> None:
    """Hashing, reading back, looking whether something can be read: each sees the error, none sees zeros.

    The flaw: a read of too few bytes without an error ended the program.
    """
    content = sample(pieces=2, blocks=2)
    storage = faulty(content, Fault("read", short=1, silent=True))
    length = content.geometry.length_of(0)
    due = due_of(content.metainfo.info, None, 0)
    for job in (
        lambda: finish_in_parts(storage, 0, [], length, due),
        lambda: read_leaves(storage, 0, length),
        lambda: read_through(storage, 0, length),
    ):
        with pytest.raises(StorageFailed, match="at piece 0, offset 0"):
            job()
    assert not readable(storage, 0, length, b"\xc0")


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENOENT])
def test_an_error_of_the_system_that_a_back_end_lets_through_is_put_into_words(number: int) -> None:
    """The file that it names, the system's words and number, and the place."""

    class Careless(MemoryTorrent):
        def readinto(self, piece: int, begin: int, buffer: bytearray | memoryview) -> None:
            raise OSError(number, os.strerror(number), "/some/file")

        def read_across(self, offset: int, buffer: bytearray | memoryview) -> None:
            raise OSError(number, os.strerror(number))

    content = sample(pieces=2, blocks=2)
    storage = Careless(content.geometry, content.info_hash)
    with pytest.raises(StorageFailed) as failed:
        read(storage, 1, 9, memoryview(bytearray(10)))
    assert failed.value.path == "/some/file"
    assert failed.value.reason == f"{os.strerror(number)} at piece 1, offset 9"
    assert failed.value.errno == number
    with pytest.raises(StorageFailed, match=rf"Careless: {os.strerror(number)} at piece 1, offset 0$"):
        read_across(storage, 2 * BLOCK_SIZE, 1, memoryview(bytearray(10)))


def test_a_short_read_across_pieces_is_found_too() -> None:
    """Its place is where the first of them begins."""

    class Short(MemoryTorrent):
        def read_across(self, offset: int, buffer: bytearray | memoryview) -> None:
            return len(buffer) // 2  # type: ignore[return-value]  # the fault

    content = sample(pieces=2, blocks=2)
    storage = Short(content.geometry, content.info_hash)
    with pytest.raises(StorageFailed, match="gave 50 of 100 bytes at piece 1, offset 0"):
        read_across(storage, 2 * BLOCK_SIZE, 1, memoryview(bytearray(100)))


@given(
    sizes=st.lists(st.sampled_from([0, 1, 7, 16383, 16384, 40_000]), min_size=1, max_size=6).filter(any),
    size=st.sampled_from([1000, 16384, 20_000, 200_000]),
    length=st.sampled_from([1, 16384, 16385, 49_000, 3 * BLOCK_SIZE - 11]),
)
def test_a_stream_is_cut_like_reads_are(sizes: list[int], size: int, length: int) -> None:
    """Whatever buffers it comes in: views of one size, the last of what is left, as many bytes as were asked for."""
    content = sample(pieces=1, blocks=3, cut=11)
    storage = streaming(content, 0)
    storage.sizes = sizes
    buffer = memoryview(bytearray(size))
    streamed = [bytes(view) for view in in_order(storage, 0, length, buffer)]
    plain = MemoryTorrent(content.geometry, content.info_hash)
    plain.writev(0, 0, [content.content])
    assert streamed == [bytes(view) for view in in_order(plain, 0, length, buffer)]
    assert b"".join(streamed) == content.content[:length]
    assert storage.streams == [0]
    assert not storage.reads


def test_a_stream_that_ends_early_is_a_short_read() -> None:
    """How far it came is told."""
    content = sample(pieces=2, blocks=2)
    storage = streaming(content, 1)
    storage.cut = 10
    with pytest.raises(StorageFailed, match=r"gave 32758 of 32768 bytes at piece 1, offset 0$"):
        read_through(storage, 1, content.geometry.length_of(1))


def test_what_a_stream_has_beyond_the_piece_is_left() -> None:
    """And the stream is ended."""
    content = sample(pieces=1, blocks=2)
    storage = streaming(content, 0)
    storage.surplus = b"more" * 100
    due = due_of(content.metainfo.info, None, 0)
    assert finish_in_parts(storage, 0, [], len(content.content), due).good
    assert storage.ended == len(storage.streams)


def test_an_error_in_the_middle_of_a_stream_has_its_place() -> None:
    """Where the storage had no words of its own for it."""

    class Broken(Streaming):
        def stream(self, piece: int) -> Iterator[Buffer]:
            yield bytes(300)
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    content = sample(pieces=1, blocks=1)
    storage = Broken(content.geometry, content.info_hash)
    with pytest.raises(StorageFailed, match=r"Broken: Connection reset by peer at piece 0, offset 300$") as failed:
        read_through(storage, 0, BLOCK_SIZE)
    assert failed.value.errno == errno.ECONNRESET
