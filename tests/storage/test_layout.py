"""Offsets to extents and back; names."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Geometry, InputRefused
from anabranch.storage.layout import Extent, FileMap, check_names, check_range, cut, directories, partial_names, renamed
from storage.small_torrents import SmallFile, named, torrent

LENGTHS = st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any)


def test_a_range_is_cut_at_the_borders_of_files_and_empty_files_are_passed_over() -> None:
    """BEP 3: the files one after another make up the torrent's bytes."""
    small = torrent(16, named("a", 10), named("empty", 0), named("b", 3), named("c", 20))
    files = FileMap(small.files, small.geometry)
    assert list(files.extents(8, 10)) == [Extent(0, 8, 2), Extent(2, 0, 3), Extent(3, 0, 5)]
    assert list(files.extents_of(2)) == [Extent(3, 19, 1)]
    assert list(files.extents(33, 0)) == []
    assert [files.pieces_of(number) for number in range(4)] == [range(1), range(0), range(1), range(3)]
    assert files.pieces_of(3, place=4) == range(1, 3)


def test_between_files_that_begin_at_pieces_is_nothing() -> None:
    """BEP 52: a gap is from the end of a short piece to the begin of the next, and is in no extent."""
    files = (SmallFile(("a",), 20), SmallFile(("e",), 0, 20), SmallFile(("b",), 5, 32), SmallFile(("c",), 16, 48))
    geometry = Geometry(64, 16, {1: 4, 2: 5})
    laid = FileMap(files, geometry)
    assert [list(laid.extents_of(piece)) for piece in range(4)] == [
        [Extent(0, 0, 16)],
        [Extent(0, 16, 4)],
        [Extent(2, 0, 5)],
        [Extent(3, 0, 16)],
    ]
    assert [laid.pieces_of(number) for number in range(4)] == [range(2), range(0), range(2, 3), range(3, 4)]
    assert [list(laid.files_of(range(piece, piece + 1))) for piece in range(4)] == [[0], [0], [2], [3]]
    assert list(laid.files_of(range(1, 4))) == [0, 2, 3]
    for offset in (16, 20, 31):
        with pytest.raises(ValueError, match="no file has the byte"):
            list(laid.extents(offset, 16))


@pytest.mark.parametrize("start", [19, 21, 31, 33, 48])
def test_a_gap_that_is_not_between_pieces_is_refused(start: int) -> None:
    files = (SmallFile(("a",), 20), SmallFile(("b",), 64 - start, start))
    with pytest.raises(InputRefused, match="is due"):
        FileMap(files, Geometry(64, 16, {1: 4}))
    with pytest.raises(InputRefused, match="is due"):
        FileMap((SmallFile(("a",), 20), SmallFile(("b",), 32, 32)), Geometry(64, 16))


@given(LENGTHS, st.integers(1, 40), st.data())
def test_the_extents_of_any_range_are_exactly_its_bytes(
    lengths: list[int], piece_length: int, data: st.DataObject
) -> None:
    small = torrent(piece_length, *(named(f"f{number}", length) for number, length in enumerate(lengths)))
    offset = data.draw(st.integers(0, small.geometry.total))
    length = data.draw(st.integers(0, small.geometry.total - offset))
    extents = FileMap(small.files, small.geometry).extents(offset, length)
    joined = b"".join(small.of_file(file)[place : place + run] for file, place, run in extents)
    assert joined == small.content[offset : offset + length]


@given(st.lists(st.binary(max_size=9)), st.data())
def test_buffers_are_shared_out_whatever_their_borders(buffers: list[bytes], data: st.DataObject) -> None:
    joined = b"".join(buffers)
    borders = sorted({0, len(joined), *data.draw(st.lists(st.integers(0, len(joined))))})
    lengths = [end - start for start, end in pairwise(borders)]
    shares = [b"".join(share) for share in cut(buffers, iter(lengths))]
    assert shares == [joined[start:end] for start, end in pairwise(borders)]


def test_files_that_leave_gaps_are_refused() -> None:
    """Every byte of the torrent is in exactly one file."""
    with pytest.raises(InputRefused, match="offset 5, 4 is due"):
        FileMap([SmallFile(("a",), 4), SmallFile(("b",), 3, offset=5)], Geometry(8, 4))
    with pytest.raises(InputRefused, match="4 bytes in a torrent of 8"):
        FileMap([SmallFile(("a",), 4)], Geometry(8, 4))


def test_a_range_outside_is_refused() -> None:
    check_range(0, 10, 10)
    check_range(10, 0, 10)
    for begin, size in ((-1, 1), (0, 11), (11, 0)):
        with pytest.raises(ValueError, match="of a piece of 10"):
            check_range(begin, size, 10)


@pytest.mark.parametrize(
    "path", [(), ("",), (".",), ("..", "a"), ("a", ".."), ("a/b",), ("a\0",), ("x" * 256,), ("\ud800",)]
)
def test_an_unsafe_path_is_refused(path: tuple[str, ...]) -> None:
    """A torrent comes from a stranger; its files stay below the data directory."""
    with pytest.raises(InputRefused, match="not a safe path"):
        check_names([SmallFile(path, 1)])


def test_one_path_for_two_files_is_refused_but_not_for_pad_files() -> None:
    """Pad files are not on the disk; many clients give them all the same name."""
    check_names([SmallFile(("p",), 1, pad=True), SmallFile(("p",), 1, pad=True)])
    with pytest.raises(InputRefused, match="two files have the path 'd/a'"):
        check_names([named("d/a", 1), named("d/a", 2)])


def test_a_partial_name_is_never_that_of_another_file_or_directory() -> None:
    files = [named(path, 1) for path in ("a", "a.part", "b", "b.part/x", "a.1.part", "c/a")]
    assert partial_names(files) == ["a.2.part", "a.part.part", "b.1.part", "x.part", "a.1.part.part", "a.part"]


def test_a_name_too_long_for_its_ending_is_shortened() -> None:
    """File systems hold 255 bytes of a name; a file may need all of them."""
    first, second = partial_names([named("ü" * 127, 1), named("ü" * 126 + "u", 1)])
    assert first == "ü" * 125 + ".part"
    assert second != first
    assert len(second.encode()) <= 255


@given(
    st.lists(st.lists(st.sampled_from(["a", "a.part", "a.1.part", "a.part.part"]), min_size=1, max_size=3), max_size=9)
)
def test_all_names_are_distinct(paths: list[list[str]]) -> None:
    files = [SmallFile(tuple(path), 1) for path in {tuple(path): path for path in paths}.values()]
    names = partial_names(files)
    taken = [file.path for file in files] + [(*file.path[:-1], name) for file, name in zip(files, names, strict=True)]
    assert len(set(taken)) == len(taken)
    assert names == partial_names(files)


@given(st.lists(st.lists(st.text(max_size=4), max_size=3), max_size=3))
def test_any_names_are_taken_or_refused(paths: list[list[str]]) -> None:
    files = [SmallFile(tuple(path), 1) for path in paths]
    try:
        check_names(files)
    except InputRefused:
        return
    assert all(file.path and not {"", ".", ".."} & set(file.path) for file in files)


def test_files_are_renamed_and_all_else_stays() -> None:
    small = torrent(16, named("t/a", 10), SmallFile((".pad", "6"), 6, pad=True), named("t/b", 3))
    assert renamed(small, {}) is small
    other = renamed(small, {2: ("u", "c"), 0: ("d",)})
    assert [file.path for file in other.files] == [("d",), (".pad", "6"), ("u", "c")]
    assert other.geometry == small.geometry
    for before, after in zip(small.files, other.files, strict=True):
        assert (before.offset, before.length, before.pad) == (after.offset, after.length, after.pad)
        assert (before.executable, before.symlink) == (after.executable, after.symlink)
    assert FileMap(other.files, other.geometry).pieces_of(2) == range(1, 2)
    assert [file.path for file in renamed(small, {0: ("t", "b"), 2: ("t", "a")}).files][::2] == [("t", "b"), ("t", "a")]


@pytest.mark.parametrize(
    "names",
    [
        {0: ()},
        {0: ("..", "x")},
        {0: ("",)},
        {0: ("a/b",)},
        {0: ("a\0b",)},
        {0: ("x" * 256,)},
        {0: ("t", "b")},
        {0: ("t",)},
        {0: ("t", "b", "a")},
        {1: ("pad",)},
        {3: ("x",)},
        {-1: ("x",)},
    ],
)
def test_a_name_that_cannot_be_is_refused(names: dict[int, tuple[str, ...]]) -> None:
    """Unsafe ones, one of two files, one that is a directory of others; and of what is never made."""
    small = torrent(16, named("t/a", 10), SmallFile((".pad", "6"), 6, pad=True), named("t/b", 3))
    with pytest.raises(InputRefused):
        renamed(small, names)


def test_a_file_where_anothers_directory_must_be_is_refused() -> None:
    """In a torrent, too."""
    with pytest.raises(InputRefused, match="'a/b' is a file, and a directory of other files"):
        check_names(torrent(16, named("a/b", 1), named("a/b/c", 1)).files)


def test_all_directories_lead_to_files() -> None:
    assert directories([("a", "b", "c"), ("a", "d"), ("e",)]) == {("a",), ("a", "b")}
