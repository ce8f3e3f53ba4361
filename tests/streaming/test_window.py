"""Which pieces a reader wants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Geometry
from anabranch.streaming.window import MOST_PIECES, Readahead, contiguous, window_of

GEOMETRY = Geometry(1000, 10)
OFFSETS = st.integers(0, 1000)


def wanted(readahead: Readahead, start: int, position: int, end: int, reading: bool = True) -> tuple[list[int], int]:
    window, current = window_of(GEOMETRY, readahead, start, position, end, reading)
    return list(window), current


def test_a_reader_that_has_not_read_wants_nothing() -> None:
    """Opening and seeking fetch nothing."""
    assert wanted(500, 0, 0, 1000, reading=False) == ([], -1)


def test_a_reader_at_its_end_wants_nothing() -> None:
    """Nor behind it."""
    assert wanted(500, 0, 300, 300) == ([], -1)
    assert wanted(500, 0, 400, 300) == ([], -1)


@pytest.mark.parametrize("readahead", [0, 1, -5, lambda start, position: 0])
def test_a_reader_wants_at_least_the_piece_it_waits_for(readahead: Readahead) -> None:
    """Whatever its read-ahead says."""
    assert wanted(readahead, 20, 25, 1000) == ([2], 2)


def test_the_read_ahead_is_counted_in_bytes_from_the_position() -> None:
    """The piece in which its last byte lies counts."""
    assert wanted(5, 0, 25, 1000) == ([2], 2)
    assert wanted(6, 0, 25, 1000) == ([2, 3], 2)
    assert wanted(30, 0, 25, 1000) == ([2, 3, 4, 5], 2)


def test_by_default_as_much_is_read_ahead_as_was_read_in_one_go() -> None:
    """A player that reads on gets more, one that jumps about wastes little."""
    assert contiguous(100, 100) == 0
    assert wanted(contiguous, 100, 100, 1000) == ([10], 10)
    assert wanted(contiguous, 100, 130, 1000) == ([13, 14, 15], 13)


def test_a_function_is_told_where_reading_began_and_where_it_is() -> None:
    """So that the user may grow the window as he likes."""
    told: list[tuple[int, int]] = []

    def ahead(start: int, position: int) -> int:
        told.append((start, position))
        return 15

    assert wanted(ahead, 40, 60, 1000) == ([6, 7], 6)
    assert told == [(40, 60)]


@given(st.integers(-10, 3000), OFFSETS, OFFSETS)
def test_the_window_is_the_pieces_of_the_bytes_ahead_and_never_passes_the_end(
    ahead: int, position: int, end: int
) -> None:
    """What is behind the reader's file is no business of its."""
    pieces, current = wanted(ahead, 0, position, end)
    bytes_ahead = range(position, min(position + max(ahead, 1), end))
    assert pieces == sorted({offset // 10 for offset in bytes_ahead})
    assert current == (pieces[0] if pieces else -1)


def test_one_window_is_bounded() -> None:
    """It is weighed within one turn: a torrent of 350,000 pieces must not make that long."""
    window, current = window_of(Geometry(10**9, 1), 10**9, 0, 7, 10**9, reading=True)
    assert window == range(7, 7 + MOST_PIECES)
    assert current == 7
