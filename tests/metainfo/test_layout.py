"""How a new torrent is laid out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.metainfo import MetainfoError, choose_piece_length
from anabranch.metainfo.layout import ContentFile, Layout, Version, runs, sorted_files

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40


@pytest.mark.parametrize(
    ("total", "piece_length"),
    [
        (1, 16 * KIB),
        (32 * MIB, 16 * KIB),
        (32 * MIB + 1, 32 * KIB),
        (700 * MIB, 512 * KIB),
        (GIB, 512 * KIB),
        (4 * GIB, 2 * MIB),
        (32 * GIB, 16 * MIB),
        (TIB, 16 * MIB),
    ],
)
def test_the_piece_length_makes_one_to_two_thousand_pieces(total: int, piece_length: int) -> None:
    """A power of two from 16 KiB to 16 MiB; small and huge contents have fewer and more pieces."""
    assert choose_piece_length(total) == piece_length


@pytest.mark.parametrize("wanted", [16 * KIB, 32 * KIB, 256 * MIB])
def test_a_wish_for_a_power_of_two_is_granted(wanted: int) -> None:
    assert choose_piece_length(100, wanted) == wanted


@pytest.mark.parametrize("wanted", [0, -16384, 1, 8 * KIB, 16 * KIB + 1, 48 * KIB, 512 * MIB])
def test_other_wishes_are_refused(wanted: int) -> None:
    with pytest.raises(MetainfoError, match="must be a power of two from 16384 to 268435456 bytes"):
        choose_piece_length(100, wanted)


def test_more_pieces_than_anybody_loads_are_refused() -> None:
    assert choose_piece_length(32 * GIB, 16 * KIB) == 16 * KIB
    with pytest.raises(MetainfoError, match="2097153 pieces of 16384 bytes, at most 2097152"):
        choose_piece_length(32 * GIB + 1, 16 * KIB)


def test_files_are_sorted_component_by_component_as_bytes() -> None:
    """Not as joined strings, where "a-b" would come before "a/x"; the same order on every system."""
    paths = [("a", "x"), ("a-b",), ("B",), ("é",), ("z",), ("a", "B"), ("\U0001f600",), ("\uff5e",)]
    files = sorted_files([ContentFile(path, 1) for path in paths])
    assert [file.path for file in files] == [
        ("B",),
        ("a", "B"),
        ("a", "x"),
        ("a-b",),
        ("z",),
        ("é",),
        ("\uff5e",),
        ("\U0001f600",),
    ]


@given(
    st.lists(st.integers(0, 40 * MIB) | st.just(0) | st.just(16 * KIB), max_size=6),
    st.sampled_from([16 * KIB, 16 * MIB]),
)
def test_runs_cover_every_byte_once_and_in_whole_pieces(lengths: list[int], piece_length: int) -> None:
    """What the runs say, put together, is what lies one behind the other; each run begins where its piece does."""
    offsets = [sum(lengths[:index]) for index in range(len(lengths))]
    position = 0
    for run in runs(lengths, piece_length):
        assert run.first_piece * piece_length == position
        for extent in run.extents:
            assert 0 < extent.length <= lengths[extent.index] - extent.begin
            assert offsets[extent.index] + extent.begin == position
            position += extent.length
        assert position % piece_length == 0 or position == sum(lengths)
    assert position == sum(lengths)


@given(
    st.lists(st.integers(0, 40 * MIB) | st.just(0) | st.just(16 * KIB), max_size=6),
    st.sampled_from([16 * KIB, 16 * MIB]),
)
def test_aligned_runs_begin_every_file_with_a_piece(lengths: list[int], piece_length: int) -> None:
    """BEP 52: every byte once, and what is left of a file's last piece belongs to nobody."""
    position = 0
    covered = [0] * len(lengths)
    for run in runs(lengths, piece_length, aligned=True):
        assert run.first_piece * piece_length == position
        for extent in run.extents:
            assert extent.begin == covered[extent.index]
            assert position % piece_length == extent.begin % piece_length == 0
            covered[extent.index] += extent.length
            position += -(-extent.length // piece_length) * piece_length
    assert covered == lengths


@pytest.mark.parametrize(
    ("version", "lengths", "pieces", "pads"),
    [
        ("v1", [1, 0, 16 * KIB], 2, [0, 0, 0]),
        ("v2", [1, 0, 16 * KIB, 16 * KIB + 1], 4, [0, 0, 0, 0]),
        ("hybrid", [1, 0, 16 * KIB, 16 * KIB + 1], 4, [16 * KIB - 1, 0, 0, 16 * KIB - 1]),
        ("hybrid", [0, 1], 1, [0, 16 * KIB - 1]),
        ("hybrid", [1], 1, [0]),
    ],
)
def test_a_hybrid_pads_every_file_but_an_only_one(
    version: Version, lengths: list[int], pieces: int, pads: list[int]
) -> None:
    """Also the last one, as libtorrent does."""
    layout = Layout(version, tuple(ContentFile((str(n),), length) for n, length in enumerate(lengths)), 16 * KIB)
    assert (layout.piece_count, [layout.pad_behind(file) for file in layout.files]) == (pieces, pads)
    assert layout.total == sum(lengths)


def test_files_that_each_take_a_piece_can_be_too_many() -> None:
    """As in a v1 torrent of so many pieces; nobody would load it."""
    files = (ContentFile(("x",), 1),) * (2**21 + 1)
    assert Layout("v1", files, 16 * KIB).piece_count == 129
    with pytest.raises(MetainfoError, match="2097153 pieces of 16384 bytes, at most 2097152"):
        Layout("v2", files, 16 * KIB)
