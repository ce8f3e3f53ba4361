"""What pieces are worth, against a plain loop over all files."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine.files import Worth
from anabranch.model import Geometry, Priority


@dataclass(frozen=True)
class Span:
    offset: int
    length: int
    pad: bool


def laid_out(lengths: list[tuple[int, bool]]) -> list[Span]:
    spans, offset = [], 0
    for length, pad in lengths:
        spans.append(Span(offset, length, pad))
        offset += length
    return spans


FILES = st.lists(st.tuples(st.integers(0, 70), st.booleans()), min_size=1, max_size=8).map(laid_out)
PRIORITY = st.sampled_from(list(Priority))


def worth_of(files: list[Span], piece_length: int) -> tuple[Worth, Geometry]:
    geometry = Geometry(files[-1].offset + files[-1].length, piece_length)
    return Worth(geometry, files), geometry


def in_piece(file: Span, geometry: Geometry, piece: int) -> bool:
    start, end = geometry.offset_of(piece), geometry.offset_of(piece) + geometry.length_of(piece)
    return not file.pad and max(file.offset, start) < min(file.offset + file.length, end)


WINDOWS = st.tuples(st.integers(0, 19), st.integers(0, 20), st.booleans())


@given(st.lists(st.tuples(st.sampled_from("abc"), WINDOWS)))
def test_what_readers_want_is_counted_as_they_move(moves: list[tuple[str, tuple[int, int, bool]]]) -> None:
    """As a look at all readers would find it; what a move makes a difference to is told; who closes leaves nothing."""
    worth = Worth(Geometry(20, 1), [])
    readers: dict[str, tuple[range, int]] = {}

    def plain(piece: int) -> Priority:
        if any(piece == current for _, current in readers.values()):
            return Priority.NOW
        return Priority.READAHEAD if any(piece in window for window, _ in readers.values()) else Priority.NONE

    for name, (start, stop, waits) in [*moves, *((name, (0, 0, False)) for name in "abc")]:
        before = [plain(piece) for piece in range(20)]
        window = range(start, stop)
        readers[name] = (window, start if waits and window else -1)
        changed = worth.read(name, window, start if waits else -1)
        after = [worth.of(piece) for piece in range(20)]
        assert after == [plain(piece) for piece in range(20)]
        assert changed >= {piece for piece in range(20) if before[piece] != after[piece]}
    assert not worth.readers
    assert not worth.windows
    assert not worth.awaited


@given(FILES, st.integers(1, 40), st.data())
def test_a_piece_is_worth_the_most_that_anybody_gives_for_it(
    files: list[Span], piece_length: int, data: st.DataObject
) -> None:
    """Files that have a byte in it, its own wish, and readers; pad files and empty ones give nothing."""
    worth, geometry = worth_of(files, piece_length)
    pieces = geometry.piece_count
    worth.of_file = data.draw(st.lists(PRIORITY, min_size=len(files), max_size=len(files)))
    worth.of_piece = data.draw(st.dictionaries(st.integers(0, max(pieces - 1, 0)), PRIORITY, max_size=3))
    if pieces:
        start = data.draw(st.integers(0, pieces - 1))
        worth.read("one", range(start, data.draw(st.integers(start + 1, pieces))), start)
        worth.read("passing", range(pieces), -1)
    for piece in range(pieces):
        wishes = [worth.of_piece.get(piece, Priority.NONE), Priority.READAHEAD]
        wishes += [worth.of_file[index] for index, file in enumerate(files) if in_piece(file, geometry, piece)]
        if piece == worth.readers["one"][1]:
            wishes = [Priority.NOW]
        assert worth.of(piece) == max(wishes)
        assert list(worth.files_of(piece)) == [
            index for index, file in enumerate(files) if in_piece(file, geometry, piece)
        ]


@given(FILES, st.integers(1, 40), st.data())
def test_all_pieces_at_once_are_worth_what_each_is(files: list[Span], piece_length: int, data: st.DataObject) -> None:
    """The fast way that is taken outside of turns gives the same."""
    worth, geometry = worth_of(files, piece_length)
    worth.of_file = data.draw(st.lists(PRIORITY, min_size=len(files), max_size=len(files)))
    assert list(worth.of_all(worth.of_file)) == [worth.of(piece) for piece in range(geometry.piece_count)]


def test_the_storage_is_told_which_files_are_wanted() -> None:
    """Those that are worth anything, empty ones too."""
    worth, _ = worth_of(laid_out([(10, False), (0, False), (10, False)]), 8)
    worth.of_file[2] = Priority.HIGH
    assert worth.selected() == [False, False, True]
