"""The names that files have and get, when a torrent's data moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import InputRefused
from anabranch.storage import Place
from anabranch.storage.relocation import Move, moves, names_at
from storage.small_torrents import HASH, SmallFile, named, torrent

SMALL = torrent(16, named("t/a", 10), SmallFile((".pad", "6"), 6, pad=True), named("t/b", 3), named("t/a.part", 3))
PARTS = (f".{HASH}.parts",)


def test_each_file_has_two_names_and_the_parts_file_one() -> None:
    """The incomplete one first: of the two it is what the storage believes. Pads are never there."""
    assert names_at(SMALL, HASH, Place("/x", {2: ("c",)})) == [
        (("t", "a.1.part"), ("t", "a")),
        (("c.part",), ("c",)),
        (("t", "a.part.part"), ("t", "a.part")),
        (PARTS,),
    ]


def test_to_another_directory_all_names_move_and_within_one_those_that_change() -> None:
    assert [move.target for move in moves(SMALL, HASH, Place("/x"), Place("/y"))] == names_at(SMALL, HASH, Place("/y"))
    assert moves(SMALL, HASH, Place("/x"), Place("/x", {2: ("c",)})) == [
        Move((("t", "b.part"), ("t", "b")), (("c.part",), ("c",)))
    ]
    assert moves(SMALL, HASH, Place("/x", {2: ("c",)}), Place("/x", {2: ("c",)})) == []


NAMES = st.lists(st.sampled_from(["t", "a", "b", "a.part", "c"]), min_size=1, max_size=3).map(tuple)
PLACES = st.builds(
    Place, st.sampled_from(["/", "/t", "/t/t", "/x"]), st.dictionaries(st.sampled_from([0, 2, 3]), NAMES)
)


@given(PLACES, PLACES)
def test_no_name_of_a_plan_belongs_to_two(source: Place, target: Place) -> None:
    """Whatever is found under one, in the middle of it all, is one file: the place as a whole tells which."""
    try:
        planned = moves(SMALL, HASH, source, target)
    except InputRefused:
        return
    paths = [
        (*directory.strip("/").split("/"), *name) if directory != "/" else name
        for move in planned
        for directory, names in ((source.directory, move.source), (target.directory, move.target))
        for name in names
    ]
    assert len(set(paths)) == len(paths)
    assert not {path[:depth] for path in paths for depth in range(1, len(path))} & set(paths)


@pytest.mark.parametrize("name", [PARTS, ("t", f".{HASH}.moving")])
def test_names_that_are_needed_are_not_given(name: tuple[str, ...]) -> None:
    with pytest.raises(InputRefused, match="is needed for something else"):
        moves(SMALL, HASH, Place("/x"), Place("/x", {0: name}))
