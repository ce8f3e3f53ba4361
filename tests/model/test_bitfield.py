"""Sets of pieces on the wire (BEP 3)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import all_pieces, bitfield_from, no_pieces


@given(st.sets(st.integers(0, 99)), st.integers(100, 130))
def test_a_set_of_pieces_comes_back_as_it_was_sent(pieces: set[int], count: int) -> None:
    """The same bytes on the wire and at rest."""
    bits = no_pieces(count)
    for piece in pieces:
        bits[piece] = True
    assert bitfield_from(bits.tobytes(), count) == bits
    assert set(bits.search(1)) == pieces


def test_the_first_piece_is_the_highest_bit() -> None:
    """BEP 3."""
    assert list(bitfield_from(b"\x80\x01", 16).search(1)) == [0, 15]


def test_spare_bits_and_wrong_lengths_are_refused() -> None:
    """BEP 3 has spare bits cleared; a bitfield of another length is for another torrent."""
    for wire, count, words in [(b"\x01", 7, "spare"), (b"", 1, "0 bytes"), (b"\0\0", 8, "2 bytes")]:
        with pytest.raises(ValueError, match=words):
            bitfield_from(wire, count)


@given(st.binary(max_size=8), st.integers(0, 70))
def test_any_bytes_are_a_set_or_refused(wire: bytes, count: int) -> None:
    """ValueError and nothing else."""
    with suppress(ValueError):
        assert len(bitfield_from(wire, count)) == count


def test_none_and_all() -> None:
    """Of any number of pieces, 0 too."""
    for count in (0, 1, 8, 9):
        assert no_pieces(count).count() == 0
        assert all_pieces(count).count() == count == len(no_pieces(count))
