"""The request order against a sorted list."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Priority
from anabranch.picker import PieceOrder, Standing

PIECES = 12
STANDINGS = st.builds(Standing, st.sampled_from(list(Priority)[1:]), st.booleans(), st.integers(0, 3))
CHANGES = st.lists(st.tuples(st.integers(0, PIECES - 1), st.none() | STANDINGS), max_size=80)


def changed(changes: list[tuple[int, Standing | None]], seed: int = 0) -> tuple[PieceOrder, dict[int, Standing]]:
    order = PieceOrder(PIECES, Random(seed).randrange)
    model: dict[int, Standing] = {}
    for piece, standing in changes:
        if standing is None:
            assert order.delete(piece) == (model.pop(piece, None) is not None)
        else:
            order.add(piece, standing)
            model[piece] = standing
    return order, model


@given(CHANGES)
def test_the_order_is_a_sorted_list_of_what_was_added(changes: list[tuple[int, Standing | None]]) -> None:
    """Priority down, begun pieces first, rarity up; ties as they fall. W28: replays are harmless."""
    order, model = changed(changes)
    scanned = list(order.scan())
    assert sorted(scanned) == sorted(model)
    keys = [model[piece].key for piece in scanned]
    assert keys == sorted(keys)


@given(CHANGES)
def test_the_order_knows_what_it_holds(changes: list[tuple[int, Standing | None]]) -> None:
    """Length, members and standings are a dict's."""
    order, model = changed(changes)
    assert len(order) == len(model) == order.members.count()
    for piece in range(PIECES):
        assert order.get(piece) == model.get(piece)
        assert (piece in order) == (piece in model) == bool(order.members[piece])


@given(CHANGES)
def test_what_readers_want_comes_in_the_order_of_the_content(changes: list[tuple[int, Standing | None]]) -> None:
    """A player wants the next piece, not a random one."""
    order, model = changed(changes)
    urgent = [piece for piece in order.scan() if model[piece].priority >= Priority.READAHEAD]
    assert urgent == sorted(urgent, key=lambda piece: (model[piece].key, piece))


@given(CHANGES)
def test_adding_the_same_again_moves_nothing(changes: list[tuple[int, Standing | None]]) -> None:
    """A refresh that finds nothing new must not shuffle."""
    order, model = changed(changes)
    before = list(order.scan())
    for piece, standing in model.items():
        order.add(piece, standing)
    assert list(order.scan()) == before


def test_equals_come_in_random_order() -> None:
    """Each of 6 equal pieces is first about as often: peers of a young swarm must not all fetch the same one."""
    same = Standing(Priority.NORMAL, False, 1)
    firsts = [0] * 6
    for seed in range(600):
        order = PieceOrder(6, Random(seed).randrange)
        for piece in range(6):
            order.add(piece, same)
        firsts[next(order.scan())] += 1
    assert min(firsts) > 60


def test_equals_stay_in_random_order_when_pieces_come_and_go() -> None:
    """Leaving changes places with the last, which must not put the last ones first more often."""
    one, other = Standing(Priority.NORMAL, False, 1), Standing(Priority.NORMAL, False, 2)
    firsts = [0] * 6
    for seed in range(600):
        draw = Random(seed)
        order = PieceOrder(6, draw.randrange)
        for piece in range(6):
            order.add(piece, one)
        for _ in range(20):
            order.add(draw.randrange(6), draw.choice((one, other)))
        for piece in range(6):
            order.add(piece, other)
            order.add(piece, one)
        firsts[next(order.scan())] += 1
    assert min(firsts) > 60


def test_a_torrent_without_pieces_has_an_empty_order() -> None:
    """W27: nothing to hold, nothing to scan."""
    order = PieceOrder(0, Random(0).randrange)
    assert list(order.scan()) == []
    assert len(order) == 0
