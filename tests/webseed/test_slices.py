"""Slices and searches in sets of pieces, against loops over all pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from bitarray import bitarray
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Geometry, all_pieces, no_pieces
from anabranch.webseed.slices import (
    SLICE_SIZE,
    first_of_slices,
    partial_slices,
    pieces_per_slice,
    run_from,
    slice_of,
    slice_range,
    spread,
)

MIB = 1024 * 1024
MANY = 350_000
BITS = st.lists(st.booleans(), max_size=80).map(bitarray)


@dataclass(frozen=True)
class File:
    offset: int
    length: int


class Counted(bitarray):
    """A set of pieces that counts how often somebody looks into it."""

    looks = 0

    def __getitem__(self, at: Any) -> Any:
        Counted.looks += 1
        return super().__getitem__(at)

    def find(self, *args: Any) -> int:
        Counted.looks += 1
        return super().find(*args)


def drawn(picture: str) -> bitarray:
    return bitarray([mark == "*" for mark in picture])


# --- slices ---


@pytest.mark.parametrize(
    ("piece_length", "pieces"),
    [(16 * 1024, 4096), (MIB, 64), (48 * MIB, 1), (64 * MIB, 1), (256 * MIB, 1)],
)
def test_a_slice_has_as_many_whole_pieces_as_fit_and_one_at_least(piece_length: int, pieces: int) -> None:
    """64 MiB, as the Go engine's; a piece that is larger is a slice."""
    assert pieces_per_slice(Geometry(1000 * piece_length, piece_length)) == pieces
    assert pieces * piece_length <= max(SLICE_SIZE, piece_length)


@given(st.integers(0, 3000), st.sampled_from([MIB, 3 * MIB, 40 * MIB, 100 * MIB]))
def test_every_piece_is_in_its_slice_and_in_no_other(pieces: int, piece_length: int) -> None:
    """The last slice ends where the pieces do."""
    geometry = Geometry(max(0, pieces * piece_length - 7), piece_length)
    count = -(-pieces // pieces_per_slice(geometry))
    ranges = [slice_range(geometry, number) for number in range(count)]
    assert [piece for pieces in ranges for piece in pieces] == list(range(geometry.piece_count))
    assert all(slice_of(geometry, piece) == number for number, pieces in enumerate(ranges) for piece in pieces)


# --- where to begin, and how far to go ---


def test_the_first_askable_piece_of_each_slice_is_found() -> None:
    """Ascending, those of skipped slices left out, so many at most."""
    askable = drawn("..** .... *... ...* *".replace(" ", ""))
    assert first_of_slices(askable, 4, (), 10) == [2, 8, 15, 16]
    assert first_of_slices(askable, 4, {0, 3}, 10) == [8, 16]
    assert first_of_slices(askable, 4, (), 2) == [2, 8]
    assert first_of_slices(askable, 4, (), 0) == []


@given(BITS, st.integers(1, 9), st.sets(st.integers(0, 12)), st.integers(0, 12))
def test_the_first_of_slices_are_those_of_a_loop(askable: bitarray, size: int, skip: set[int], most: int) -> None:
    """Whatever is askable."""
    first_of = {piece // size: piece for piece in reversed(range(len(askable))) if askable[piece]}
    due = [first_of[number] for number in sorted(first_of) if number not in skip]
    assert first_of_slices(askable, size, skip, most) == due[:most]


def test_pieces_are_not_looked_at_one_by_one() -> None:
    """Of 350,000, a search for each slice that is found or skipped; where nothing is left, one."""
    askable = Counted(all_pieces(MANY))
    Counted.looks = 0
    assert len(first_of_slices(askable, 16, range(50), 25)) == 25
    assert Counted.looks <= 50 + 25 + 1
    Counted.looks = 0
    assert first_of_slices(Counted(no_pieces(MANY)), 16, (), 25) == []
    assert run_from(askable, 17, MANY) == MANY
    assert Counted.looks == 2


@given(BITS, st.data())
def test_a_run_goes_as_far_as_pieces_are_askable(askable: bitarray, data: st.DataObject) -> None:
    """Not beyond its stop; nowhere, if it cannot begin."""
    piece = data.draw(st.integers(0, len(askable)))
    stop = data.draw(st.integers(piece, len(askable)))
    end = run_from(askable, piece, stop)
    assert piece <= end <= stop
    assert askable[piece:end].all()
    assert end == stop or not askable[end]


# --- several web seeds ---


def test_web_seeds_begin_with_different_slices() -> None:
    """Early ones first; each gets all of them in the end, if the others cannot."""
    assert spread([10, 20, 30, 40, 50], 2) == [[10, 30, 50, 20, 40], [20, 40, 10, 30, 50]]
    assert spread([10], 3) == [[10], [10], [10]]
    assert spread([10], 0) == []


@given(st.lists(st.integers(), unique=True, max_size=40), st.integers(1, 6))
def test_cut_in_their_shares_no_two_orders_have_the_same_slice(slices: Sequence[int], number: int) -> None:
    """So each web seed may be offered only so many."""
    orders = spread(slices, number)
    assert all(sorted(order) == sorted(slices) for order in orders)
    share = len(slices) // number
    firsts = [one for order in orders for one in order[:share]]
    assert len(set(firsts)) == len(firsts)


# --- files done in part ---


def partial(picture: str, begun: Sequence[int] = (), *, files: Sequence[tuple[int, int]], slices: int = 5) -> list[int]:
    """Slices of two pieces of 32 MiB; files in pieces: (first, how many)."""
    length = 32 * MIB
    geometry = Geometry(len(picture) * length, length)
    content = [File(first * length, count * length) for first, count in files]
    return sorted(partial_slices(geometry, content, range(slices), drawn(picture), begun))


def test_slices_of_a_file_that_is_done_in_part_are_found() -> None:
    """All of the file's, wherever it was begun; none of those that are done, or not begun."""
    files = [(0, 2), (2, 6), (8, 2)]
    assert partial("**" + "......" + "..", files=files) == []
    assert partial("**" + ".....*" + "..", files=files) == [1, 2, 3]
    assert partial("**" + "......" + "..", begun=[5], files=files) == [1, 2, 3]
    assert partial("**" + "******" + ".*", files=files) == [4]


def test_the_files_of_a_slice_are_looked_at_together() -> None:
    """As the Go engine does: of two small files one is done, so the other one is wanted before new things are begun."""
    files = [(0, 1), (1, 1), (2, 4), (6, 4)]
    assert partial("*.........", files=files) == [0]
    assert partial("..*.......", files=files) == [1, 2]


def test_files_without_content_and_gaps_are_no_mistake() -> None:
    """Empty files lie at an offset of others or behind all; in v2 nothing is between a file and the next piece."""
    length = 32 * MIB
    geometry = Geometry(3 * length + 9, length, {0: 5, 1: 7})
    files = [File(0, 0), File(0, 5), File(length, 7), File(2 * length, 0), File(2 * length, length + 9)]
    files.append(File(3 * length + 9, 0))
    assert partial_slices(geometry, files, range(2), drawn("*..."), ()) == {0}
    assert partial_slices(geometry, files, range(2), drawn("..*."), ()) == {1}
    assert partial_slices(geometry, [], range(2), drawn("..*."), ()) == {1}


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.data())
def test_partial_slices_are_those_of_a_loop(lengths: list[int], data: st.DataObject) -> None:
    """Files of any length, in v1's manner without gaps; every file of a slice, from its first piece to its last."""
    unit = 8 * MIB
    files = [File(sum(lengths[:at]) * unit, length * unit) for at, length in enumerate(lengths)]
    geometry = Geometry(sum(lengths) * unit, 32 * MIB)
    count = geometry.piece_count
    bits = st.lists(st.booleans(), min_size=count, max_size=count).map(bitarray)
    complete, begun = data.draw(bits), data.draw(st.sets(st.integers(0, max(0, count - 1)), max_size=2))
    due = set()
    numbers = range(-(-count // 2))
    for number in numbers:
        pieces = set(slice_range(geometry, number))
        spans = [set(geometry.pieces_of(file.offset, file.length)) for file in files if file.length]
        involved = pieces.union(*(span for span in spans if span & pieces))
        if involved & begun or len({complete[piece] for piece in involved}) > 1:
            due.add(number)
    assert partial_slices(geometry, files, numbers, complete, begun) == due


def test_many_slices_of_one_large_file_cost_one_look() -> None:
    """350,000 pieces in one file, and every slice of it asked about."""
    geometry = Geometry(MANY * MIB, MIB)
    complete = Counted(no_pieces(MANY))
    Counted.looks = 0
    found = partial_slices(geometry, [File(0, MANY * MIB)], range(MANY // 64), complete, range(2000, 2003))
    assert len(found) == MANY // 64
    assert partial_slices(geometry, [File(0, MANY * MIB)], range(MANY // 64), complete, ()) == set()
    assert Counted.looks <= 3
