"""The order of several torrents in one space, against a sorted list and a walk along it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from bitarray import bitarray
from hypothesis import example, given
from hypothesis import strategies as st

from anabranch.model import InfoHash, Priority, no_pieces
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
    then by info hash; seeds count for the rarity, but not of what readers want. Of a priority comes first what is here,
    and last what nobody has."""
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

    def rarity_of(key: tuple[InfoHash, int]) -> int:
        priority, _, availability = model[key]
        return availability + (torrents[key[0]].seeds if priority < Priority.READAHEAD else 0)

    def is_nobodys(key: tuple[InfoHash, int]) -> bool:
        return model[key].priority < Priority.READAHEAD and rarity_of(key) <= 0

    def place(key: tuple[InfoHash, int]) -> tuple[object, ...]:
        priority, partial, _ = model[key]
        if priority < Priority.READAHEAD and torrents[key[0]].complete[key[1]]:
            return -priority, False, key[1], key[0]
        nobody, rarity = is_nobodys(key), rarity_of(key)
        return -priority, True, not partial, nobody, 0 if nobody else rarity, key[1], key[0]

    fits: dict[InfoHash, list[int]] = {name: [] for name in NAMES}
    left = room
    for name, piece in sorted(model, key=place):
        if left is not None:
            if left < torrents[name].piece_length:
                break
            left -= torrents[name].piece_length
        fits[name].append(piece)
    for name in NAMES:  # of what is here, and of what nobody has, only which pieces matters: nobody is asked for them
        found = held(shared, name)
        assert sorted(found) == sorted(fits[name])
        asked = {piece for piece in found if not torrents[name].complete[piece] and not is_nobodys((name, piece))}
        assert [piece for piece in found if piece in asked] == [piece for piece in fits[name] if piece in asked]


def test_the_window_over_the_space_does_not_move_by_itself() -> None:
    """With ties at random a torrent would ask for one piece now and for another later, and fill the space."""
    shared, torrents = sharing([1, 1, 1], [10, 10, 10])
    for name in reversed(NAMES):
        torrents[name].complete.setall(False)
        for piece in (5, 1, 3):
            torrents[name].order.add(piece, Standing(Priority.NORMAL, False, 0))
    shared.room = 49
    assert [held(shared, name) for name in NAMES] == [[1, 3], [1], [1]]
    assert [held(shared, name) for name in NAMES] == [[1, 3], [1], [1]]


def test_what_is_here_is_not_given_up_for_what_became_rarer() -> None:
    """Peers come and go all the time: else the space would be filled again and again with pieces of equal worth."""
    shared, torrents = sharing([1, 1, 1], [10, 10, 10])
    for piece in range(6):
        torrents[NAMES[0]].order.add(piece, Standing(Priority.NORMAL, False, 3 - piece // 2))
    shared.room = 40
    assert sorted(held(shared, NAMES[0])) == [0, 3, 4, 5]
    torrents[NAMES[0]].order.add(1, Standing(Priority.HIGH, False, 9))
    assert sorted(held(shared, NAMES[0])) == [0, 1, 3, 4]


def test_what_a_space_is_for_is_what_is_wanted_and_fits() -> None:
    """Who keeps the bytes is told, and gives up other pieces first: unwanted ones fill what is left of the window."""
    shared, torrents = sharing([1, 1, 1], [10, 10, 10])
    for piece, priority in enumerate((Priority.NORMAL, Priority.NONE, Priority.NOW, Priority.NONE)):
        torrents[NAMES[0]].order.add(piece, Standing(priority, False, 0))
    torrents[NAMES[1]].order.add(5, Standing(Priority.NORMAL, False, 0))
    for room, said in ((None, ["101000", "000001"]), (25, ["101000", "000000"]), (5, ["000000", "000000"])):
        shared.room = room
        wanted = shared.wanted()
        assert [wanted[name].to01() for name in NAMES[:2]] == said
        assert not wanted[NAMES[2]].any()


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
        shared.enter(name, Torrent(order, 1, 16, no_pieces(350_000)))
    shared.room = 16 * 250_001
    [whole, part] = shared.within(NAMES[0])
    assert whole.count() == 116_667
    assert whole.count() + part.count() == 125_001
    assert sum(fit.count() for fit in shared.within(NAMES[1])) == 125_000
