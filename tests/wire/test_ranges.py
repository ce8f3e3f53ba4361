"""Requests, cancels and rejects in bulk."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Geometry, PeerFault
from anabranch.wire import ranges
from anabranch.wire.messages import BLOCK_HEADER, CANCEL, MAX_BLOCK, REQUEST, Cancel, Request, decode, encode
from anabranch.wire.ranges import Range, block_headers, pack_ranges, read_ranges

GEOMETRY = Geometry(total=95, piece_length=40)  # pieces of 40, 40 and 15 bytes


def read(*asked: tuple[int, int, int]) -> list[Range]:
    wire = b"".join(encode(Request(*one)) for one in asked)
    count, ranges = read_ranges(memoryview(wire), REQUEST, GEOMETRY)
    assert count == len(wire)
    return ranges


def test_consecutive_requests_are_one_run() -> None:
    """The last may be shorter; nothing follows a shorter one."""
    assert read((0, 0, 16), (0, 16, 16), (0, 32, 8)) == [Range(0, 0, 40, 16)]
    assert read((0, 0, 16), (0, 16, 8), (0, 24, 8)) == [Range(0, 0, 24, 16), Range(0, 24, 8, 8)]


def test_other_pieces_gaps_and_longer_blocks_begin_a_run() -> None:
    """A run is of one piece, without holes, and its first block is the longest."""
    assert read((0, 24, 16), (1, 0, 16)) == [Range(0, 24, 16, 16), Range(1, 0, 16, 16)]
    assert read((0, 0, 8), (0, 16, 8)) == [Range(0, 0, 8, 8), Range(0, 16, 8, 8)]
    assert read((0, 0, 8), (0, 8, 16)) == [Range(0, 0, 8, 8), Range(0, 8, 16, 16)]


def test_a_short_piece_in_the_middle_ends_where_it_ends() -> None:
    """In v2 torrents every file begins at a piece, so that any piece may be short (BEP 52)."""
    geometry = Geometry(total=120, piece_length=40, short={1: 20})
    good = encode(Request(1, 0, 16)) + encode(Request(1, 16, 4))
    bad = encode(Request(1, 20, 4))
    assert read_ranges(memoryview(good + bad), REQUEST, geometry) == (34, [Range(1, 0, 20, 16)])
    with pytest.raises(PeerFault, match="outside the torrent"):
        read_ranges(memoryview(bad), REQUEST, geometry)


def test_reading_stops_at_another_message_or_half_a_message() -> None:
    """What was read is counted in bytes."""
    one = encode(Request(0, 0, 16))
    for behind in (encode(Cancel(0, 16, 16)), one[:16], b""):
        assert read_ranges(memoryview(one + behind), REQUEST, GEOMETRY) == (17, [Range(0, 0, 16, 16)])


@pytest.mark.parametrize(
    "bad", [(3, 0, 1), (2, 0, 16), (0, 40, 1), (0, 0, 0), (0, 0, MAX_BLOCK + 1), (0, 2**32 - 1, 8)]
)
def test_a_request_outside_the_torrent_is_a_fault_after_those_before_it(bad: tuple[int, int, int]) -> None:
    """Nothing good is lost to what comes behind it."""
    good = encode(Request(0, 0, 16))
    wire = memoryview(good + encode(Request(*bad)))
    assert read_ranges(wire, REQUEST, GEOMETRY) == (17, [Range(0, 0, 16, 16)])
    with pytest.raises(PeerFault):
        read_ranges(wire[17:], REQUEST, GEOMETRY)


ASKED = st.tuples(st.integers(0, 3), st.integers(0, 42), st.integers(0, 20))


@given(st.lists(ASKED, min_size=1, max_size=12))
def test_runs_say_the_same_as_their_messages(asked: list[tuple[int, int, int]]) -> None:
    """The plain twin: one message after the other."""
    wire = b"".join(encode(Cancel(*one)) for one in asked)
    blocks = []
    with suppress(PeerFault):
        while wire:
            count, ranges = read_ranges(memoryview(wire), CANCEL, GEOMETRY)
            blocks += [(run.piece, *block) for run in ranges for block in run.blocks()]
            wire = wire[count:]
    good = 0
    while good < len(asked) and asked[good][0] < 3 and asked[good][2] > 0:
        piece, begin, length = asked[good]
        if begin + length > GEOMETRY.length_of(piece):
            break
        good += 1
    assert blocks == asked[:good]


@given(st.integers(0, 50), st.integers(1, 60), st.integers(1, 30))
def test_runs_are_packed_as_their_messages(begin: int, length: int, block: int) -> None:
    """One joined buffer, and one header a block, for the blocks that the run names."""
    blocks = list(Range(9, begin, length, block).blocks())
    assert sum(size for _, size in blocks) == length
    wire = pack_ranges(REQUEST, 9, begin, length, block)
    assert [decode(wire[at + 4 : at + 17]) for at in range(0, len(wire), 17)] == [Request(9, *one) for one in blocks]
    headers = [BLOCK_HEADER.unpack(header) for header in block_headers(9, begin, length, block)]
    assert headers == [(9 + size, 7, 9, at) for at, size in blocks]


@pytest.mark.parametrize("count", [1, 8, 9, 1024, 1025, 5000])
def test_stretches_of_any_number_of_blocks_are_packed_alike(count: int) -> None:
    """One by one, joined around the piece's index, or one by one because they would fill the memory."""
    length = 3 * count - 1
    due = b"".join(encode(Request(7, 5 + at, min(3, length - at))) for at in range(0, length, 3))
    assert pack_ranges(REQUEST, 7, 5, length, 3) == due
    assert len(block_headers(7, 5, length, 3)) == count


def test_what_is_remembered_of_stretches_is_bounded_in_blocks() -> None:
    """A peer may ask for each byte of a piece by itself, and is answered as often with a reject."""
    before = ranges._around_ranges.cache_info().currsize
    for begin in range(5):
        pack_ranges(REQUEST, 0, begin, 20_000, 1)
    assert ranges._around_ranges.cache_info().currsize == before
