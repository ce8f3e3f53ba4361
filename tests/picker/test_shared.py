"""The order of several torrents in one space, against a sorted list and a walk along it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from bitarray import bitarray
from hypothesis import example, given
from hypothesis import strategies as st

from anabranch.model import InfoHash, Priority
from anabranch.picker import PieceOrder, SharedOrder, Standing

NAMES = [InfoHash(bytes([n]) * 20) for n in (1, 2, 3)]
STANDINGS = st.builds(Standing, st.sampled_from(list(Priority)), st.booleans(), st.integers(-1, 2))
CHANGES = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 5), STANDINGS | st.none()), max_size=60)


@dataclass
class Torrent:
    order: PieceOrder
    seeds: int
    piece_length: int
    complete: bitarray


def sharing(seeds: list[int], lengths: list[int]) -> tuple[SharedOrder, dict[InfoHash, Torrent]]:
    shared = SharedOrder(object())
    torrents = {}
    for name, many, length in zip(NAMES, seeds, lengths, strict=True):
        order = PieceOrder(6, Random(0).randrange, by_index=True)
        torrents[name] = Torrent(order, many, length, bitarray("100110"))
        shared.enter(name, torrents[name])
    return shared, torrents


def held(shared: SharedOrder, name: InfoHash) -> list[int]:
    return [piece for fit in shared.within(name) for piece in fit.search(1)]


@given(
    CHANGES,
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
    st.lists(st.sampled_from([1, 10, 16]), min_size=3, max_size=3),
    st.none() | st.integers(0, 200),
)
@example(
    changes=[(NAMES[1], 0, Standing(Priority.NORMAL, False, 1)), (NAMES[1], 1, Standing(Priority.NORMAL, False, 0))],
    seeds=[0, 0, 0],
    lengths=[1, 1, 1],
    room=None,
)
def test_what_the_space_has_room_for_is_what_a_walk_along_the_sorted_items_finds(
    changes: list[tuple[InfoHash, int, Standing | None]], seeds: list[int], lengths: list[int], room: int | None
) -> None:
    """W28: every item takes the nominal piece length, complete or not, until the next does not fit. Ties by index,
    then by info hash; seeds count for the rarity, but not of what readers want. What nobody has comes last."""
    shared, torrents = sharing(seeds, lengths)
    model: dict[tuple[InfoHash, int], Standing] = {}
    for name, piece, standing in changes:
        if standing is None:
            torrents[name].order.delete(piece)
            model.pop((name, piece), None)
        else:
            torrents[name].order.add(piece, standing)
            model[name, piece] = standing
    shared.room = room

    def place(key: tuple[InfoHash, int]) -> tuple[object, ...]:
        priority, partial, availability = model[key]
        torrent = torrents[key[0]]
        rarity = availability + (torrent.seeds if priority < Priority.READAHEAD else 0)
        nobody = priority < Priority.READAHEAD and rarity <= 0 and not torrent.complete[key[1]]
        return -priority, not partial, nobody, 0 if nobody else rarity, key[1], key[0]

    fits: dict[InfoHash, list[int]] = {name: [] for name in NAMES}
    left = room
    for name, piece in sorted(model, key=place):
        if left is not None:
            if left < torrents[name].piece_length:
                break
            left -= torrents[name].piece_length
        fits[name].append(piece)
    assert {name: held(shared, name) for name in NAMES} == fits


def test_the_window_over_the_space_does_not_move_by_itself() -> None:
    """With ties at random a torrent would ask for one piece now and for another later, and fill the space."""
    shared, torrents = sharing([1, 1, 1], [10, 10, 10])
    for name in reversed(NAMES):
        for piece in (5, 1, 3):
            torrents[name].order.add(piece, Standing(Priority.NORMAL, False, 0))
    shared.room = 49
    assert [held(shared, name) for name in NAMES] == [[1, 3], [1], [1]]
    assert [held(shared, name) for name in NAMES] == [[1, 3], [1], [1]]


def test_a_torrent_that_left_neither_takes_room_nor_is_there() -> None:
    """W26, W27: leaving twice, or asking for one that never came, does nothing."""
    shared, torrents = sharing([0, 0, 0], [10, 10, 10])
    for name in NAMES:
        torrents[name].order.add(0, Standing(Priority.NORMAL, False, 0))
    shared.room = 10
    assert [held(shared, name) for name in NAMES] == [[0], [], []]
    for _ in range(2):
        shared.leave(NAMES[0])
    assert [held(shared, name) for name in NAMES] == [[], [0], []]
    assert len(shared) == 2
    assert held(shared, InfoHash(bytes(20))) == []


def test_a_look_costs_standings_and_not_pieces() -> None:
    """350,000 pieces of two torrents, of which the space takes a third: sets are counted, nothing is walked along."""
    shared = SharedOrder(object())
    for name in NAMES[:2]:
        order = PieceOrder(350_000, Random(0).randrange, by_index=True)
        for piece in range(350_000):
            order.add(piece, Standing(Priority.NORMAL, False, piece % 3))
        shared.enter(name, Torrent(order, 1, 16, order.members))
    shared.room = 16 * 250_001
    [whole, part] = shared.within(NAMES[0])
    assert whole.count() == 116_667
    assert whole.count() + part.count() == 125_001
    assert sum(fit.count() for fit in shared.within(NAMES[1])) == 125_000
