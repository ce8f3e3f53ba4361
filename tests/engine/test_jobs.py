"""What workers do with pieces."""

from __future__ import annotations

from hashlib import sha1

import pytest

from anabranch.engine import jobs
from anabranch.engine.jobs import (
    READ_SIZE,
    Part,
    Verdict,
    Whole,
    finish_in_parts,
    finish_whole,
    read_leaves,
    read_through,
    write_parts,
)
from anabranch.metainfo import Due, PieceLayers, due_of, leaves_of
from anabranch.model import BLOCK_SIZE, StorageFailed
from anabranch.storage import TorrentStorage
from engine.samples import PlainStorage, modern, sample


def finished(storage: TorrentStorage, piece: int, view: memoryview, due: Due, *, testify: bool = False) -> Verdict:
    """What becomes of one piece."""
    [verdict] = finish_whole(storage, [Whole(piece, view, due, testify)])
    return verdict


def test_no_worker_can_wait_for_the_engine() -> None:
    """W19: what workers run knows neither the turn nor anything that takes it, so nobody who has it waits in vain."""
    below = {"anabranch.engine.exact", "anabranch.metainfo", "anabranch.model", "anabranch.picker", "anabranch.storage"}
    modules = {getattr(value, "__module__", "") for value in vars(jobs).values()}
    ours = {name for name in modules if name.startswith("anabranch.")} - {jobs.__name__}
    assert ours
    assert all(any(name.startswith(room) for room in below) for name in ours)


def test_a_whole_piece_is_written_when_its_hash_is_right() -> None:
    """And not a byte of it when it is wrong."""
    content = sample(pieces=2, blocks=3)
    home = PlainStorage()
    storage = home.open(content.metainfo.info, content.info_hash)
    view = memoryview(bytearray(content.of_piece(1)))
    due = due_of(content.metainfo.info, None, 1)
    assert finished(storage, 1, view, due).good
    assert home.data[1] == content.of_piece(1)
    view[5] ^= 1
    home.data.clear()
    assert not finished(storage, 1, view, due).good
    assert not home.data


def test_several_pieces_are_judged_each_by_itself() -> None:
    """Also where they are hashed together: the wrong one among them is not written, the others are."""
    content = sample(pieces=5, blocks=2, cut=7)
    home = PlainStorage()
    storage = home.open(content.metainfo.info, content.info_hash)
    data = [bytearray(content.of_piece(piece)) for piece in range(5)]
    data[1][0] ^= 1
    work = [
        Whole(piece, memoryview(data[piece]), due_of(content.metainfo.info, None, piece), False) for piece in range(5)
    ]
    assert [verdict.good for verdict in finish_whole(storage, work)] == [True, False, True, True, True]
    assert home.data == {piece: content.of_piece(piece) for piece in (0, 2, 3, 4)}


@pytest.mark.parametrize("good", [True, False])
def test_the_digests_of_the_blocks_are_given_where_somebody_may_have_to_answer(good: bool) -> None:
    """Always of a wrong piece; of a right one only if it failed before."""
    content = sample(pieces=1, blocks=3, cut=100)
    storage = PlainStorage().open(content.metainfo.info, content.info_hash)
    data = bytearray(content.of_piece(0))
    if not good:
        data[0] ^= 1
    due = due_of(content.metainfo.info, None, 0)
    blocks = tuple(sha1(data[at : at + BLOCK_SIZE]).digest() for at in range(0, len(data), BLOCK_SIZE))
    assert finished(storage, 0, memoryview(data), due, testify=True).digests == blocks
    assert finished(storage, 0, memoryview(data), due).digests == (() if good else blocks)


@pytest.mark.parametrize("kind", ["v2", "hybrid"])
def test_of_a_wrong_piece_the_v2_hashes_of_its_blocks_are_told(kind: str) -> None:
    """However it is hashed; of a right one nothing is told, and in v2 alone they serve as digests too."""
    content = modern(kind, (5 * BLOCK_SIZE - 9,), 8 * BLOCK_SIZE)
    due = due_of(content.metainfo.info, PieceLayers(content.metainfo.info, {}), 0)
    storage = PlainStorage().open(content.metainfo.info, content.info_hash)
    data = bytearray(content.of_piece(0))
    assert finished(storage, 0, memoryview(data), due) == Verdict(True)
    data[BLOCK_SIZE] ^= 1
    leaves = tuple(leaves_of(memoryview(data)[: due.content]))
    whole = finished(storage, 0, memoryview(data), due)
    parts = finish_in_parts(storage, 0, [Part(0, memoryview(data))], len(data), due)
    assert whole == parts
    assert not whole.good
    assert whole.leaves == leaves
    assert (whole.digests == leaves) == (kind == "v2")
    assert read_leaves(storage, 0, due.content) == b"".join(leaves)


def test_a_piece_in_parts_is_written_and_read_back() -> None:
    """Some of it was on disk before; the verdict and the digests are those of the whole."""
    content = sample(pieces=1, blocks=READ_SIZE // BLOCK_SIZE + 3, cut=77)
    data = content.of_piece(0)
    home = PlainStorage()
    storage = home.open(content.metainfo.info, content.info_hash)
    write_parts(storage.piece(0), [Part(0, memoryview(bytearray(data[: 2 * BLOCK_SIZE])))])
    rest = [Part(2 * BLOCK_SIZE, memoryview(bytearray(data[2 * BLOCK_SIZE :])))]
    verdict = finish_in_parts(storage, 0, rest, len(data), due_of(content.metainfo.info, None, 0))
    assert verdict.good
    assert home.data[0] == data
    assert verdict.digests == tuple(sha1(data[at : at + BLOCK_SIZE]).digest() for at in range(0, len(data), BLOCK_SIZE))
    home.data[0][-1] ^= 1
    assert not finish_in_parts(storage, 0, [], len(data), due_of(content.metainfo.info, None, 0)).good


def test_reading_through_reads_all_of_a_piece() -> None:
    """Or says what is in the way."""
    content = sample(pieces=1, blocks=READ_SIZE // BLOCK_SIZE + 1)
    home = PlainStorage()
    home.hold(content, [0])
    storage = home.open(content.metainfo.info, content.info_hash)
    length = content.geometry.length_of(0)
    read_through(storage, 0, length)
    assert home.faults.calls["read"] == 2
    del home.data[0][-1:]
    with pytest.raises(StorageFailed):
        read_through(storage, 0, length)
