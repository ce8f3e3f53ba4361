"""The request order against a sorted list."""

from __future__ import annotations

import tracemalloc
from itertools import islice
from random import Random
from typing import Any

import pytest
from bitarray import bitarray
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Misused, Priority, all_pieces, no_pieces
from anabranch.picker import PieceOrder, Standing, StrictOrder
from anabranch.picker.order import DENSE, SKIP, SOME

PIECES = 12
MANY = 350_000
STANDINGS = st.builds(Standing, st.sampled_from(list(Priority)[1:]), st.booleans(), st.integers(0, 3))
CHANGES = st.lists(st.tuples(st.integers(0, PIECES - 1), st.none() | STANDINGS), max_size=80)


def changed(changes: list[tuple[int, Standing | None]], seed: int = 0) -> tuple[PieceOrder, dict[int, Standing]]:
    order = PieceOrder(PIECES, Random(seed).randrange)
    model: dict[int, Standing] = {}
    for piece, standing in changes:
        if standing is None:
            assert order.delete(piece) == (model.pop(piece, None) is not None)
        else:
            assert order.add(piece, standing) == model.get(piece)
            model[piece] = standing
    return order, model


class Watched(bitarray):
    """Pieces of a peer that count how often somebody looks at one."""

    looks = 0

    def __getitem__(self, at: Any) -> Any:
        Watched.looks += 1
        return super().__getitem__(at)


def having(*pieces: int, of: int = MANY) -> bitarray:
    has = no_pieces(of)
    has[list(pieces)] = True
    return has


def steps_of(order: PieceOrder, has: bitarray, wanted: int) -> tuple[list[int], int]:
    """The first so many pieces that a peer is asked for, and how many pieces were looked at for that."""
    Watched.looks = 0
    return list(islice(order.scan(Watched(has)), wanted)), Watched.looks


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
    """W28: length, members and standings are a dict's."""
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


@given(CHANGES, st.booleans())
def test_the_order_by_index_is_the_documented_one(changes: list[tuple[int, Standing | None]], strict: bool) -> None:
    """W28: priority down, begun pieces first, rarity up, index up; a replay of changes is a dict's."""
    order = (StrictOrder if strict else PieceOrder)(PIECES, Random(0).randrange, by_index=True)
    model: dict[int, Standing] = {}
    for piece, standing in changes:
        if standing is None and piece in model:
            assert order.delete(piece)
            del model[piece]
        elif standing is not None and piece in model:
            assert order.update(piece, standing) == (model[piece] != standing)
            model[piece] = standing
        elif standing is not None:
            assert order.add(piece, standing) is None
            model[piece] = standing
    assert list(order.scan()) == sorted(model, key=lambda piece: (model[piece].plain_key, piece))
    assert len(order) == len(model)
    assert all(order.get(piece) == model.get(piece) for piece in range(PIECES))


@given(CHANGES)
def test_updates_and_deletes_of_what_is_not_there_are_harmless(changes: list[tuple[int, Standing | None]]) -> None:
    """W28: a change may come after the piece was taken out, or twice."""
    order, model = changed(changes)
    before = list(order.scan())
    for piece in set(range(PIECES)) - set(model):
        assert not order.update(piece, Standing(Priority.HIGH, True, 1))
        assert not order.delete(piece)
    for piece, standing in model.items():
        assert not order.update(piece, standing)
    assert list(order.scan()) == before


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed", range(50))
def test_a_peer_is_offered_what_it_has_in_the_same_order(
    seed: int, sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, once, best first, whether it is looked for piece by piece or as a set."""
    draw = Random(seed)
    if sparse:
        monkeypatch.setattr("anabranch.picker.order.SKIP", 0)
        monkeypatch.setattr("anabranch.picker.order.DENSE", 0)
    some = [Standing(draw.choice(list(Priority)[1:]), draw.random() < 0.3, draw.randrange(3)) for _ in range(4)]
    order, model = changed([(draw.randrange(PIECES), draw.choice([*some, None])) for _ in range(60)], seed)
    for _ in range(10):
        has = having(*draw.sample(range(PIECES), draw.randint(0, PIECES)), of=PIECES)
        found = list(order.scan(has))
        assert sorted(found) == [piece for piece in sorted(model) if has[piece]]
        keys = [model[piece].key for piece in found]
        assert keys == sorted(keys)


def large(standing_of: Any) -> PieceOrder:
    order = PieceOrder(MANY, Random(1).randrange)
    for piece in range(MANY):
        order.add(piece, standing_of(piece))
    return order


@pytest.fixture(scope="module")
def spread() -> PieceOrder:
    """350,000 pieces, 40 copies of each more or less."""
    draw = Random(2)
    return large(lambda piece: Standing(Priority.NORMAL, False, int(draw.gauss(40, 6))))


@pytest.mark.parametrize("count", [0, 1, 1000, 5000, 50_000, 175_000])
def test_what_a_peer_lacks_is_not_walked_over(spread: PieceOrder, count: int) -> None:
    """However few of 350,000 pieces it has: some hundred steps in vain, and a few for each piece found."""
    has = having(*Random(3).sample(range(MANY), count))
    found, looks = steps_of(spread, has, 64)
    assert len(found) == min(64, count)
    assert looks <= 2 * SKIP + (DENSE + 1) * 64


def test_the_pieces_of_a_peer_that_many_have_cost_no_more(spread: PieceOrder) -> None:
    """It lacks the rarest 300,000; what it has is asked for best first, as far as it is put in order at a time."""
    last = list(spread.scan())[-50_000:]
    found, looks = steps_of(spread, having(*last), 64)
    assert len(found) == 64
    assert looks <= SKIP + 1
    few = last[::100]
    found, _ = steps_of(spread, having(*few), len(few))
    assert found == few, "as many as that are in the very order"
    assert len(few) < SOME


def test_what_is_worth_more_comes_first_however_few_have_it() -> None:
    """Priorities and begun pieces are never left out for the sake of speed."""
    order = large(lambda piece: Standing(Priority.HIGH if piece < 5000 else Priority.NORMAL, piece % 1000 == 7, 1))
    has = having(4999, 4007, *range(100_000, 200_000))
    assert list(islice(order.scan(has), 2)) == [4007, 4999]
    assert next(islice(order.scan(has), 2, 3)) % 1000 == 7


def test_ties_of_a_peer_with_few_pieces_fall_at_random() -> None:
    """Also where sets are compared: peers with the same pieces are not asked for the same one."""
    order = large(lambda piece: Standing(Priority.NORMAL, False, 1))
    has = having(*range(0, MANY, 35))
    walked = list(islice(order.scan(has), 99))
    assert walked != sorted(walked)
    behind = having(*range(300_000, 300_000 + 5 * SOME))
    assert len({list(islice(order.scan(behind), 99))[-1] for _ in range(20)}) > 10


def test_the_window_of_a_reader_is_not_sorted_each_time() -> None:
    """One set of bits, in the order of the content, compared with what the peer has."""
    order = large(lambda piece: Standing(Priority.READAHEAD if piece >= 1000 else Priority.NORMAL, False, 0))
    found, looks = steps_of(order, having(5, 200_000, 100_000, 349_999), 3)
    assert found == [100_000, 200_000, 349_999]
    assert looks == 0


def test_an_order_of_very_many_pieces_fits_into_twelve_megabytes() -> None:
    """350,000 pieces in twenty buckets and two priorities; here a fifth of that."""
    tracemalloc.start()
    try:
        order = PieceOrder(MANY // 5, Random(1).randrange)
        for piece in range(MANY // 5):
            order.add(piece, Standing(Priority(1 + piece % 2), False, piece % 10))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < (12 << 20) // 5
    assert next(order.scan(all_pieces(MANY // 5))) % 2 == 1


@pytest.mark.parametrize("what", ["add", "update", "delete"])
def test_the_strict_order_reports_misuse(what: str) -> None:
    """W28: an equal item again, or one that is not there, with the item. The other twin takes all of that."""
    item = Standing(Priority.NORMAL, False, 3)
    for kind in (PieceOrder, StrictOrder):
        order = kind(3, Random(0).randrange)
        order.add(1, item)
        misuse: dict[str, Any] = {
            "add": lambda order=order: order.add(1, item),
            "update": lambda order=order: order.update(2, item),
            "delete": lambda order=order: order.delete(2),
        }
        if kind is PieceOrder:
            misuse[what]()
        else:
            with pytest.raises(Misused, match=r"piece [12]"):
                misuse[what]()
        assert list(order.scan()) == [1]
