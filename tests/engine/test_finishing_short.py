"""Torrents of v2 alone: each file begins at a piece, so that many pieces are short and nothing lies behind them."""

from __future__ import annotations

from hashlib import sha1
from math import inf
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.bencode import decode, encode
from anabranch.engine import events
from anabranch.engine.checking import want_check
from anabranch.engine.failing import RETRY_EVERY
from anabranch.engine.files import Worth
from anabranch.engine.reading import read_found, wait_for
from anabranch.engine.saving import partial_pieces, resume_data, take_resume
from anabranch.engine.stage import Failed, Live
from anabranch.engine.stats import bytes_completed, stats_of
from anabranch.metainfo import Magnet, Metainfo, MetainfoError
from anabranch.model import BLOCK_SIZE, InputRefused, Priority, all_pieces
from anabranch.storage import Completion, FileStorage, Handles, MemoryCompletion
from engine.clocks import Clock
from engine.remotes import Remote, Teacher
from engine.rig import Node, run, until
from engine.samples import GroupedStorage, Held, PlainStorage, Sample, modern, on_disk
from engine.truth import check

PIECE = 4 * BLOCK_SIZE
LENGTHS = (100_000, 0, 1, 65_536, 70_000, 16_384, 200_000)
# In pieces of 65,536 bytes: 0 1, 2, 3, 4 5, 6, 7 8 9 10.
SHORT = {1: 34_464, 2: 1, 5: 4_464, 6: 16_384, 10: 3_392}


def content() -> Sample:
    return modern("v2", LENGTHS, PIECE)


def test_the_sample_is_what_it_is_meant_to_be() -> None:
    """Its short pieces, and the length of its content."""
    geometry = content().geometry
    assert dict(geometry.short) == SHORT
    assert geometry.content == sum(LENGTHS)
    assert geometry.total > geometry.content


@pytest.mark.parametrize("pool", [64 << 20, 4 * PIECE, BLOCK_SIZE])
@pytest.mark.parametrize("seed", range(3))
def test_short_pieces_are_received_hashed_and_written_like_any(pool: int, seed: int) -> None:
    """In one buffer, or in stretches where the pool is small; with several peers, some of which spoil blocks."""
    draw = Random(seed)
    sample, home = content(), PlainStorage()
    node = Node(clock := Clock(), seed, pool=pool)
    torrent = node.add(sample, home)
    node.settle()
    Remote(node, torrent, sample, spoil=lambda piece, begin: draw.random() < 0.1, rate=4)
    Remote(node, torrent, sample, rate=7)
    until(clock, node, lambda: torrent.signals.complete.is_set, 120)
    check(node)
    assert {piece: len(data) for piece, data in home.data.items()} == {
        piece: sample.geometry.length_of(piece) for piece in range(sample.geometry.piece_count)
    }
    assert on_disk(torrent.opened(), sample) == sample.content
    assert torrent.totals.downloaded >= sum(LENGTHS)


def test_begun_pieces_that_are_short_are_written_out_and_found_again() -> None:
    """They give their memory back, are remembered at a clean stop, and the next run asks for the rest only."""
    sample, home = content(), PlainStorage()
    node = Node(clock := Clock(), pool=64 << 20)
    torrent = node.add(sample, home)
    node.settle()
    remote = Remote(node, torrent, sample, [1], rate=1)
    run(clock, node, 2)
    remote.leave()
    run(clock, node, 8)
    assert not torrent.holding.buffers
    partial = partial_pieces(torrent)
    assert [piece for piece, bits in partial.items() if bits] == [1]
    with node.engine.turn:
        data = resume_data(torrent)
    node.drop(torrent)
    node.settle()
    again = Node(clock)
    other = again.prepare(sample, home, partial=partial)
    assert take_resume(other, data).count() == 0
    again.want(other, [Priority.NORMAL] * len(LENGTHS))
    again.settle()
    last = Remote(again, other, sample)
    until(clock, again, lambda: other.signals.complete.is_set, 20)
    assert on_disk(other.opened(), sample) == sample.content
    blocks = sum(sample.geometry.blocks_of(piece) for piece in range(sample.geometry.piece_count))
    assert last.sent == blocks - 2
    check(again)


def test_files_of_short_pieces_lie_on_disk_as_they_are(tmp_path: Path) -> None:
    """Their lengths are exact, nothing is written between them; verifying finds what somebody changed."""
    sample = content()
    home = FileStorage(str(tmp_path), lambda info_hash: MemoryCompletion(), Handles())
    node = Node(clock := Clock())
    torrent = node.add(sample, home)
    node.settle()
    remote = Remote(node, torrent, sample, pieces=range(10))
    Remote(node, torrent, sample, pieces=[10])
    until(clock, node, lambda: torrent.signals.complete.is_set, 20)
    paths = [tmp_path.joinpath(*file.path) for file in sample.metainfo.info.files]
    assert [path.stat().st_size for path in paths] == list(LENGTHS)
    data = bytearray(paths[4].read_bytes())
    data[-1] ^= 1
    paths[4].write_bytes(data)
    sent = remote.sent
    with node.engine.turn:
        want_check(node.engine, torrent, all_pieces(11))
    run(clock, node, 5)
    assert torrent.signals.complete.is_set
    assert remote.sent == sent + 1
    assert torrent.totals.hashed == 2 * sum(LENGTHS) + 4_464
    for file, path in zip(sample.metainfo.info.files, paths, strict=True):
        assert path.read_bytes() == sample.content[file.offset : file.offset + file.length]


@given(st.sets(st.integers(0, 10)), st.lists(st.sampled_from(Priority), min_size=7, max_size=7))
@settings(max_examples=60, deadline=None)
def test_numbers_count_content_and_not_gaps(complete: set[int], priorities: list[Priority]) -> None:
    """What files have, what is wanted and what of that is left: worked out byte by byte."""
    sample = content()
    geometry, files = sample.geometry, sample.metainfo.info.files
    node = Node(Clock())
    torrent = node.add(sample, Held(sample, complete), want=None)
    node.want(torrent, priorities)
    node.settle()
    check(node)
    for file in files:
        have = sum(
            min(geometry.offset_of(piece) + PIECE, file.offset + file.length) - geometry.offset_of(piece)
            for piece in torrent.worth.pieces_of(file.index)
            if piece in complete
        )
        assert bytes_completed(torrent, file.offset, file.length) == have
        assert list(torrent.worth.pieces_of(file.index)) == [
            piece
            for piece in range(11)
            if file.length and file.offset <= geometry.offset_of(piece) < file.offset + file.length
        ]
    worth = torrent.worth
    assert worth.of_all(priorities) == bytes(worth.of(piece) for piece in range(11)) == torrent.pieces.worth
    for piece in range(11):
        owner = [f.index for f in files if f.length and f.offset <= geometry.offset_of(piece) < f.offset + f.length]
        assert list(worth.files_of(piece)) == owner
    wanted = [piece for piece in range(11) if torrent.pieces.worth[piece]]
    with node.engine.turn:
        told = stats_of(node.engine, torrent)
    assert told.length == sum(LENGTHS)
    assert told.wanted == sum(map(geometry.length_of, wanted))
    assert told.wanted_left == sum(geometry.length_of(piece) for piece in wanted if piece not in complete)


@given(st.sets(st.integers(0, 10)), st.integers(0, 700_000), st.integers(1, 300_000))
@settings(max_examples=80, deadline=None)
def test_a_reader_over_a_gap_finds_zeros_there(have: set[int], offset: int, wanted: int) -> None:
    """As over the padding of a hybrid: offsets in the torrent stay what File.offset says. No gap is waited for."""
    sample = content()
    geometry = sample.geometry
    offset %= geometry.total
    wanted = min(wanted, geometry.total - offset)
    node = Node(Clock())
    torrent = node.add(sample, Held(sample, have), want=None)
    node.settle()
    found = wait_for(node, torrent, offset, wanted, False)
    there = 0
    while there < wanted and (offset + there) // PIECE in have:
        there = min(wanted, ((offset + there) // PIECE + 1) * PIECE - offset)
    assert found.length == there
    room = bytearray(b"\xff" * there)
    assert read_found(node, torrent, found, offset, memoryview(room)) == there
    assert room == sample.content[offset : offset + there]


def test_a_reader_that_takes_blocks_at_once_waits_for_the_piece_before_a_gap() -> None:
    """What is behind the last block of a short piece is no block of anything."""
    sample = content()
    node = Node(Clock())
    torrent = node.add(sample)
    node.settle()
    remote = Remote(node, torrent, sample, rate=0)
    node.settle()
    while remote.asked and remote.asked[0][0] != 1:
        remote.asked.rotate(-1)
    remote.serve(1)
    remote.send()
    node.settle()
    for offset in (PIECE + 34_464, 2 * PIECE - 1, 2 * PIECE + 1, PIECE + 50_000):
        assert not wait_for(node, torrent, offset, 10, True).length


@pytest.mark.parametrize("priority", [Priority.NONE, Priority.HIGH])
def test_one_file_is_wanted_without_its_neighbours(priority: Priority) -> None:
    """No piece has bytes of two files: exactly the file's pieces come."""
    sample = content()
    node = Node(clock := Clock())
    torrent = node.add(sample, want=None)
    node.want(torrent, [priority if index != 4 else Priority.NORMAL for index in range(len(LENGTHS))])
    node.settle()
    Remote(node, torrent, sample)
    run(clock, node, 2)
    assert set(torrent.pieces.complete.search(1)) == ({4, 5} if priority is Priority.NONE else set(range(11)))
    assert torrent.signals.complete.is_set


def test_the_files_of_pieces_that_are_short_need_no_piece_order() -> None:
    """Worth of a torrent with files of nothing, one byte, a piece and more."""
    worth = Worth(content().geometry, content().metainfo.info.files)
    assert [list(worth.files_of(piece)) for piece in range(11)] == [
        [0],
        [0],
        [2],
        [3],
        [4],
        [4],
        [5],
        [6],
        [6],
        [6],
        [6],
    ]


# Hybrids whose sides differ.


def torn() -> Sample:
    """A hybrid whose second file has other content by its v2 hashes than by its v1 hashes."""
    right, other = modern("hybrid", (70_000, 40_000)), modern("hybrid", (70_000, 40_001))
    said, wrong = decode(right.metainfo.raw), decode(other.metainfo.raw)
    assert isinstance(said, dict)
    assert isinstance(wrong, dict)
    info, strange = said[b"info"], wrong[b"info"]
    assert isinstance(info, dict)
    assert isinstance(strange, dict)
    whole = bytearray(right.content)
    whole[-1] ^= 1
    length = right.geometry.piece_length
    info[b"pieces"] = b"".join(sha1(whole[at : at + length]).digest() for at in range(0, len(whole), length))
    return Sample(Metainfo.parse(encode(said)), bytes(whole))


@pytest.mark.parametrize("pool", [64 << 20, BLOCK_SIZE])
def test_a_hybrid_of_two_contents_fails_in_words_and_for_good(pool: int) -> None:
    """No peer is to blame and no retry would help: peers are let go, and who waits is told. The memory goes back."""
    sample = torn()
    node = Node(clock := Clock(), pool=pool)
    torrent = node.add(sample, PlainStorage())
    node.settle()
    remote = Remote(node, torrent, sample, rate=1)
    until(clock, node, lambda: isinstance(torrent.stage, Failed), 60)
    assert isinstance(torrent.stage, Failed)
    assert isinstance(torrent.stage.error, MetainfoError)
    assert torrent.stage.retry_at == inf
    assert not node.engine.banned
    calls = remote.sent
    run(clock, node, 3 * RETRY_EVERY)
    assert isinstance(torrent.stage, Failed)
    assert remote.sent == calls
    assert [event.final for event in node.told() if isinstance(event, events.Failed)] == [True]
    assert remote.link.closed == "the torrent cannot be used"
    with pytest.raises(MetainfoError):
        torrent.signals.complete.wait(0)
    node.drop(torrent)
    node.settle()
    assert torrent.signals.closed.is_set
    assert node.engine.pool.lent == 0


def test_a_hybrid_of_two_contents_is_found_out_by_a_check() -> None:
    """What lies on disk is right by one side and wrong by the other."""
    sample, home = torn(), GroupedStorage()
    home.hold(sample, range(sample.geometry.piece_count), Completion.UNKNOWN)
    node = Node(clock := Clock())
    torrent = node.add(sample, home)
    run(clock, node, 2 * RETRY_EVERY)
    assert isinstance(torrent.stage, Failed)
    assert "different content" in str(torrent.stage.error)
    reads = home.faults.calls["read"]
    run(clock, node, 3 * RETRY_EVERY)
    assert home.faults.calls["read"] == reads
    node.drop(torrent)
    node.settle()
    assert torrent.signals.closed.is_set


def test_resume_data_know_a_hybrid_by_either_of_its_names() -> None:
    """It was added by one here and by the other elsewhere."""
    sample = modern("hybrid", (70_000, 40_000))
    info = sample.metainfo.info
    node = Node(clock := Clock())
    torrent = node.learn(Magnet(v2=info.v2))
    Teacher(node, torrent, sample, name=torrent.info_hash)
    until(clock, node, lambda: torrent.signals.complete.is_set, 20)
    assert isinstance(torrent.stage, Live)
    with node.engine.turn:
        data = resume_data(torrent)
    other = Node(clock).prepare(sample)
    assert other.info_hash != torrent.info_hash
    assert take_resume(other, data).all()
    third = Node(clock).prepare(content())
    with pytest.raises(InputRefused):
        take_resume(third, data)
