"""The measures of a torrent agree with a torrent that is laid out byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import BLOCK_SIZE, Geometry

MEASURES = st.builds(
    lambda pieces, piece_length, last: Geometry(max(pieces * piece_length - last % piece_length, 0), piece_length),
    st.integers(0, 20),
    st.integers(1, 70_000),
    st.integers(0, 70_000),
)


@given(MEASURES)
def test_the_pieces_cover_the_content_once(geometry: Geometry) -> None:
    """Piece after piece, without gap or overlap, and only the last may be short."""
    lengths = [geometry.length_of(piece) for piece in range(geometry.piece_count)]
    assert sum(lengths) == geometry.total
    assert all(length == geometry.piece_length for length in lengths[:-1])
    assert all(0 < length <= geometry.piece_length for length in lengths[-1:])
    assert [geometry.offset_of(piece) for piece in range(geometry.piece_count)] == [
        sum(lengths[:piece]) for piece in range(geometry.piece_count)
    ]


@given(MEASURES)
def test_the_blocks_cover_each_piece_once(geometry: Geometry) -> None:
    """16 KiB each but the last one of a piece."""
    for piece in range(geometry.piece_count):
        lengths = [geometry.block_length(piece, block) for block in range(geometry.blocks_of(piece))]
        assert sum(lengths) == geometry.length_of(piece)
        assert all(length == BLOCK_SIZE for length in lengths[:-1])
        assert 0 < lengths[-1] <= BLOCK_SIZE


@given(MEASURES, st.integers(0, 1_400_000), st.integers(0, 1_400_000))
def test_the_pieces_of_a_stretch_are_those_that_hold_a_byte_of_it(geometry: Geometry, offset: int, length: int) -> None:
    """No piece for no byte."""
    length = min(length, max(geometry.total - offset, 0))
    holding = [
        piece
        for piece in range(geometry.piece_count)
        if max(geometry.offset_of(piece), offset)
        < min(geometry.offset_of(piece) + geometry.length_of(piece), offset + length)
    ]
    assert list(geometry.pieces_of(offset, length)) == holding


@given(st.lists(st.integers(1, 90_000), min_size=1, max_size=8), st.sampled_from([16384, 32768]))
def test_files_that_begin_at_pieces_leave_gaps_which_are_in_no_piece(lengths: list[int], piece_length: int) -> None:
    """BEP 52: the piece in which a file ends is as short as the file makes it."""
    pieces = [min(piece_length, length - at) for length in lengths for at in range(0, length, piece_length)]
    short = {piece: length for piece, length in enumerate(pieces) if length < piece_length}
    total = (len(pieces) - 1) * piece_length + pieces[-1]
    geometry = Geometry(total, piece_length, short)
    assert [geometry.length_of(piece) for piece in range(geometry.piece_count)] == pieces
    assert [geometry.offset_of(piece) for piece in range(len(pieces))] == [
        at * piece_length for at in range(len(pieces))
    ]
    assert geometry.content == sum(lengths)
    for piece, length in enumerate(pieces):
        blocks = [geometry.block_length(piece, block) for block in range(geometry.blocks_of(piece))]
        assert sum(blocks) == length
        assert all(block == BLOCK_SIZE for block in blocks[:-1])


def test_the_last_piece_need_not_be_named_as_short() -> None:
    """The total says it; measures that are the same are equal, and can be keys."""
    same = {Geometry(100, 30), Geometry(100, 30, {3: 10})}
    assert len(same) == 1
    assert Geometry(100, 30, {1: 10}) not in same
    assert Geometry(100, 30).content == 100


@pytest.mark.parametrize("short", [{4: 1}, {-1: 1}, {0: 0}, {0: 30}, {0: 31}, {3: 9}])
def test_no_piece_is_short_that_is_not_there_or_has_no_such_length(short: dict[int, int]) -> None:
    """A value that exists is right."""
    with pytest.raises(ValueError, match="piece"):
        Geometry(100, 30, short)
    with pytest.raises(ValueError, match="last piece"):
        Geometry(90, 30, {2: 10})


@pytest.mark.parametrize(("total", "piece_length"), [(-1, 1), (1, 0), (1, -5)])
def test_no_torrent_has_such_measures(total: int, piece_length: int) -> None:
    """A value that exists is right."""
    with pytest.raises(ValueError, match="no torrent has"):
        Geometry(total, piece_length)


def test_only_numbers_of_pieces_are_admitted_as_pieces() -> None:
    """From 0 to the count."""
    geometry = Geometry(100, 30)
    assert [geometry.piece(index) for index in range(4)] == [0, 1, 2, 3]
    for index in (-1, 4):
        with pytest.raises(ValueError, match="of 4"):
            geometry.piece(index)


def test_an_empty_torrent_has_no_pieces() -> None:
    """Empty files only: that is legal."""
    assert Geometry(0, 16384).piece_count == 0
