"""What workers do to see which pieces on disk are right."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from hashlib import sha1
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine import inspecting
from anabranch.engine.inspecting import inspect
from anabranch.metainfo import WARM_SIZE, Hasher, PieceLayers, due_of
from anabranch.model import BLOCK_SIZE, Closed, StorageFailed
from anabranch.storage import FileStorage, TorrentStorage
from anabranch.storage.backend import Room
from anabranch.storage.file_storage_io import FileTorrent
from anabranch.storage.memory import MemoryTorrent
from anabranch.testing import Fault, FaultyStorage
from engine.samples import Faults, PlainStorage, Sample, changed, modern, sample
from engine.test_exact import streaming
from testing.broken import AbleStorage


def layers_of(content: Sample) -> PieceLayers | None:
    info = content.metainfo.info
    return PieceLayers(info, content.metainfo.layers) if info.v2 is not None else None


def inspected(storage: TorrentStorage, content: Sample, pieces: Sequence[int] | None = None) -> list[bool]:
    info = content.metainfo.info
    return inspect(storage, info, layers_of(content), range(info.geometry.piece_count) if pieces is None else pieces)


def judged(storage: TorrentStorage, content: Sample) -> list[bool]:
    """The plain way: every piece by itself, whole, by the hasher that knows nothing of stretches."""
    info, layers = content.metainfo.info, layers_of(content)
    right = []
    for piece in range(info.geometry.piece_count):
        room = bytearray(info.geometry.length_of(piece))
        hasher = Hasher(due_of(info, layers, piece))
        try:
            storage.piece(piece).readinto(0, room)
        except StorageFailed:
            right.append(False)
            continue
        hasher.update(memoryview(room))
        right.append(hasher.good())
    return right


class Counted:
    """A storage of files that tells how often it is asked."""

    def __init__(self, torrent: FileTorrent) -> None:
        self._torrent = torrent
        self.reads: list[tuple[int, int]] = []  # offset and size of each
        self.asked = 0  # for holes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torrent, name)

    def read_across(self, offset: int, buffer: Room) -> None:
        self.reads.append((offset, len(buffer)))
        self._torrent.read_across(offset, buffer)

    def present(self, piece: int) -> bool:
        self.asked += 1
        return self._torrent.present(piece)


def on_disk(content: Sample, folder: Path) -> FileTorrent:
    """All of it, in files."""
    storage = FileStorage(folder).open(content.metainfo.info, content.info_hash)
    for piece in range(content.geometry.piece_count):
        storage.writev(piece, 0, [content.of_piece(piece)])
    return storage


def test_no_worker_can_wait_for_the_engine() -> None:
    """W19: what workers run knows neither the turn nor anything that takes it, so nobody who has it waits in vain."""
    below = {"anabranch.engine.exact", "anabranch.metainfo", "anabranch.model", "anabranch.storage"}
    modules = {getattr(value, "__module__", "") for value in vars(inspecting).values()}
    ours = {name for name in modules if name.startswith("anabranch.")} - {inspecting.__name__}
    assert ours
    assert all(any(name.startswith(room) for room in below) for name in ours)


@given(
    kind=st.sampled_from(["v1", "v2", "hybrid"]),
    lengths=st.lists(st.sampled_from([0, 1, 16383, 16384, 16385, 40_000, 70_000, 300_001]), min_size=1, max_size=5),
    shift=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
def test_a_check_finds_what_the_plain_way_finds(
    tmp_path_factory: pytest.TempPathFactory, kind: str, lengths: list[int], shift: int, seed: int
) -> None:
    """Pieces shorter and longer than the buffer, in any files, with bytes changed, files cut short and gone."""
    if not any(lengths):
        return
    content = modern(kind, tuple(lengths), BLOCK_SIZE << shift)
    folder = tmp_path_factory.mktemp("data")
    storage = on_disk(content, folder)
    assert inspected(storage, content) == [True] * content.geometry.piece_count
    draw = Random(seed)
    for file in (path for path in folder.rglob("*") if path.is_file()):
        match draw.randrange(4):
            case 0 if file.stat().st_size:
                data = bytearray(file.read_bytes())
                data[draw.randrange(len(data))] ^= 1
                file.write_bytes(data)
            case 1:
                file.write_bytes(file.read_bytes()[: draw.randrange(file.stat().st_size + 1)])
            case 2:
                file.unlink()
    storage.close()
    storage = FileStorage(folder).open(content.metainfo.info, content.info_hash)
    expected = judged(storage, content)
    assert inspected(storage, content) == expected
    some = sorted(draw.sample(range(len(expected)), draw.randint(1, len(expected))))
    assert inspected(storage, content, some) == [expected[piece] for piece in some]
    storage.close()


def test_right_pieces_are_told_from_wrong_short_and_missing_ones() -> None:
    """Of a storage that can do as little as a storage may. What is not there is no failure of the disk."""
    content = sample(pieces=5, blocks=2, cut=11)
    home = PlainStorage()
    home.hold(content, [0, 1, 3, 4])
    home.data[1][0] ^= 1
    del home.data[4][-5:]
    storage = home.open(content.metainfo.info, content.info_hash)
    assert inspected(storage, content) == [True, False, False, True, False]


@pytest.mark.parametrize("blocks", [2, 2 * WARM_SIZE // BLOCK_SIZE])
def test_what_the_system_refuses_fails(blocks: int) -> None:
    """An I/O error says nothing about the piece; what is only not there does."""
    content = sample(pieces=2, blocks=blocks)
    faults = Faults()
    home = PlainStorage(faults)
    home.hold(content, [0, 1])
    storage = home.open(content.metainfo.info, content.info_hash)
    faults.always.add("read")
    with pytest.raises(StorageFailed) as failed:
        inspected(storage, content)
    assert failed.value.errno == errno.ENOSPC


def test_small_pieces_are_read_many_at_a_time(tmp_path: Path) -> None:
    """Not one by one: 640 pieces of 16 KiB take 40 reads, and holes are asked for where a piece begins with zero."""
    content = sample(pieces=640, blocks=1)
    storage = Counted(on_disk(content, tmp_path))
    assert inspected(storage, content) == [True] * 640
    assert storage.reads == [(offset, WARM_SIZE) for offset in range(0, 640 * BLOCK_SIZE, WARM_SIZE)]
    assert storage.asked <= 1 + sum(content.of_piece(piece)[0] == 0 for piece in range(640))


def test_holes_are_not_read(tmp_path: Path) -> None:
    """Of a file of 1 GiB with one piece in the middle, that piece is read and what was read ahead of its end."""
    pieces, there = 4096, 2000
    content = sample(pieces=1, blocks=16)
    wide = changed(content, length=pieces * 16 * BLOCK_SIZE, pieces=content.metainfo.info.piece_hashes * pieces)
    storage = Counted(FileStorage(tmp_path).open(wide.metainfo.info, wide.info_hash))
    storage.writev(there, 0, [content.content])
    right = inspected(storage, wide)
    assert [piece for piece, good in enumerate(right) if good] == [there]
    assert sum(size for _, size in storage.reads) <= 2 * WARM_SIZE
    storage.close()


@pytest.mark.parametrize("blocks", [1, 1024])
def test_a_check_that_nobody_wants_ends_within_one_buffer(blocks: int) -> None:
    """Also in the middle of a piece of 16 MiB."""
    content = sample(pieces=2048 // blocks, blocks=blocks)
    home = PlainStorage()
    home.hold(content, range(content.geometry.piece_count))
    storage = home.open(content.metainfo.info, content.info_hash)
    asked = count(1)
    with pytest.raises(Closed):
        inspect(storage, content.metainfo.info, None, range(content.geometry.piece_count), lambda: next(asked) > 3)
    assert home.faults.calls["read"] <= 3 * max(1, WARM_SIZE // (blocks * BLOCK_SIZE))


class Knowing(MemoryTorrent):
    """Knows the digests of some pieces, and counts reads."""

    knows: Sequence[int] = ()

    def __init__(self, content: Sample) -> None:
        super().__init__(content.geometry, content.info_hash)
        self.read: set[int] = set()
        self.asked: list[int] = []
        for piece in range(content.geometry.piece_count):
            self.writev(piece, 0, [content.of_piece(piece)])

    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        self.read.add(piece)
        super().readinto(piece, begin, buffer)

    def sha1(self, piece: int) -> bytes | None:
        self.asked.append(piece)
        return sha1(self._pieces[piece]).digest() if piece in self.knows else None


@pytest.mark.parametrize("blocks", [2, 2 * WARM_SIZE // BLOCK_SIZE])
def test_a_piece_whose_digest_the_storage_knows_is_not_read(blocks: int) -> None:
    """Whether it is right or wrong."""
    content = sample(pieces=4, blocks=blocks)
    storage = Knowing(content)
    storage.writev(1, 0, [b"x"])
    storage.knows = range(4)
    assert inspected(storage, content) == [True, False, True, True]
    assert storage.read == set()
    storage.knows = (0, 1)
    assert inspected(storage, content) == [True, False, True, True]
    assert storage.read == {2, 3}


def test_a_storage_that_knows_no_digest_is_asked_once_for_a_stretch() -> None:
    """To ask for each of many small pieces would cost as much as to hash them."""
    content = sample(pieces=640, blocks=1)
    storage = Knowing(content)
    assert inspected(storage, content) == [True] * 640
    assert len(storage.asked) == 640 * BLOCK_SIZE // WARM_SIZE


@pytest.mark.parametrize("kind", ["v2", "hybrid"])
def test_a_sha1_alone_does_not_judge_a_piece_that_has_a_v2_hash(kind: str) -> None:
    """Both must be right."""
    content = modern(kind, (40_000,))
    storage = Knowing(content)
    storage.knows = range(content.geometry.piece_count)
    assert all(inspected(storage, content))
    assert storage.asked == []


def test_digests_that_cannot_be_had_are_like_bytes_that_cannot() -> None:
    """What is missing is wrong; what the system refuses stops the check."""
    content = sample(pieces=2, blocks=2)
    home = FaultyStorage(AbleStorage())
    storage = home.open(content.metainfo.info, content.info_hash)
    for piece in range(2):
        storage.piece(piece).writev(0, [content.of_piece(piece)])
    home.faults.add(Fault("sha1", errno.ENOENT, pieces={0}))
    assert inspected(storage, content) == [False, True]
    home.faults.add(Fault("sha1", errno.EIO, pieces={1}))
    with pytest.raises(StorageFailed):
        inspected(storage, content)


def test_a_hole_under_a_final_name_is_judged_without_a_read(tmp_path: Path) -> None:
    """A file that another program made with its whole length: its zeros are right where zeros are due."""
    piece_length, pieces = 16 * BLOCK_SIZE, 1024
    content = sample(pieces=1, blocks=16)
    zeros = sha1(bytes(piece_length)).digest()
    hashes = zeros * (pieces // 2) + content.metainfo.info.piece_hashes * (pieces // 2)
    wide = changed(content, length=pieces * piece_length, pieces=hashes)
    with (tmp_path / wide.metainfo.info.name).open("wb") as file:
        file.truncate(pieces * piece_length)
        file.seek((pieces - 2) * piece_length)
        file.write(content.content)
    storage = Counted(FileStorage(tmp_path).open(wide.metainfo.info, wide.info_hash))
    right = inspected(storage, wide)
    assert [piece for piece, good in enumerate(right) if good] == [*range(pieces // 2), pieces - 2]
    assert sum(size for _, size in storage.reads) <= WARM_SIZE
    storage.close()


@pytest.mark.parametrize("blocks", [1, 3, WARM_SIZE // BLOCK_SIZE + 1])
def test_pieces_are_streamed_where_each_read_would_be_a_request(blocks: int) -> None:
    """One stream for a piece, however long it is, and no other read; what is not there is wrong."""
    content = sample(pieces=5, blocks=blocks, cut=5)
    storage = streaming(content, 0, 1, 3, 4)
    storage.writev(1, 0, [b"x"])
    assert inspected(storage, content) == [True, False, False, True, True]
    assert not storage.reads
    assert len(storage.streams) == len(set(storage.streams)) <= 5


def test_a_missing_piece_is_not_judged_by_what_the_buffer_had_before() -> None:
    """It may be what is due: the zeros that a new buffer is full of, or the same piece again."""
    zeros = bytes(2 * BLOCK_SIZE)
    content = changed(sample(pieces=4, blocks=2), pieces=sha1(zeros).digest() * 4)
    storage = PlainStorage()
    storage.data[2] = bytearray(zeros)
    opened = storage.open(content.metainfo.info, content.info_hash)
    assert inspected(opened, content) == [False, False, True, False]
