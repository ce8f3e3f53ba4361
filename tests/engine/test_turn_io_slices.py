"""Long work, a slice a turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from anabranch.engine.turn_io import Turn
from engine.turns import BrokenError, usable


def test_sliced_work_is_done_a_slice_a_turn() -> None:
    turn = Turn()
    done: list[tuple[int, int]] = []
    with turn:
        turn.sliced("work", turn, range(10), lambda item: done.append((item, turn.taken)), size=4)
        assert [item for item, _ in done] == [0, 1, 2, 3]
    assert [item for item, _ in done] == list(range(10))
    assert [taken for _, taken in done] == [1] * 4 + [2] * 4 + [3] * 2


def test_slices_run_where_they_are_posted_to() -> None:
    turn = Turn()
    posted: list[Callable[[], None]] = []
    turn.slices_run_by(posted.append)
    done: list[int] = []
    with turn:
        turn.sliced("work", turn, range(10), done.append, size=4)
    for expected in (4, 8, 10):
        assert done == list(range(expected))
        if posted:
            posted.pop()()
    assert posted == []


def test_newer_work_takes_the_place_of_the_older_rest() -> None:
    turn = Turn()
    posted: list[Callable[[], None]] = []
    turn.slices_run_by(posted.append)
    done: list[int] = []
    with turn:
        turn.sliced("work", turn, range(10), done.append, size=4)
        turn.sliced("other", turn, range(100, 106), done.append, size=4)
    with turn:
        turn.sliced("work", turn, range(20, 26), done.append, size=4)
    while posted:
        posted.pop(0)()
    assert done == [0, 1, 2, 3, 100, 101, 102, 103, 20, 21, 22, 23, 104, 105, 24, 25]


def test_newer_work_that_fits_one_slice_ends_the_older_too() -> None:
    turn = Turn()
    posted: list[Callable[[], None]] = []
    turn.slices_run_by(posted.append)
    done: list[int] = []
    with turn:
        turn.sliced("work", turn, range(10), done.append, size=4)
    with turn:
        turn.sliced("work", turn, [20], done.append, size=4)
    while posted:
        posted.pop(0)()
    assert done == [0, 1, 2, 3, 20]


def test_sliced_work_can_be_stopped() -> None:
    turn = Turn()
    posted: list[Callable[[], None]] = []
    turn.slices_run_by(posted.append)
    done: list[int] = []
    with turn:
        turn.sliced("work", turn, range(10), done.append, size=4)
    with turn:
        turn.stop_sliced("work", turn)
        turn.stop_sliced("never begun", turn)
    while posted:
        posted.pop()()
    assert done == [0, 1, 2, 3]


def test_an_item_that_fails_does_not_stop_sliced_work(caplog: pytest.LogCaptureFixture) -> None:
    """In the first slice the caller hears of it, in later ones the log."""
    turn = Turn()
    done: list[int] = []

    def work(item: int) -> None:
        if item in (1, 2, 6):
            raise BrokenError(item)
        done.append(item)

    with pytest.raises(BrokenError, match="1"), turn:
        turn.sliced("work", turn, range(10), work, size=4)
    assert done == [0, 3, 4, 5, 7, 8, 9]
    assert [record.getMessage() for record in caplog.records] == ["slice failed kind=work"]
    assert usable(turn)


def test_items_that_cannot_be_walked_end_the_work(caplog: pytest.LogCaptureFixture) -> None:
    turn = Turn()
    posted: list[Callable[[], None]] = []
    turn.slices_run_by(posted.append)
    items = set(range(10))
    done: list[int] = []
    with turn:
        turn.sliced("work", turn, items, done.append, size=4)
    items.add(10)
    while posted:
        posted.pop()()
    assert len(done) == 4
    assert "slice failed kind=work" in caplog.text
    assert usable(turn)


def test_slices_end_with_the_loop() -> None:
    turn = Turn()

    def closed(_: Callable[[], None]) -> None:
        raise RuntimeError("Event loop is closed")

    turn.slices_run_by(closed)
    done: list[int] = []
    with turn:
        turn.sliced("work", turn, range(10), done.append, size=4)
    assert done == [0, 1, 2, 3]


def test_an_item_may_stop_or_replace_the_work_it_is_part_of() -> None:
    """The slice that is under way is finished; what it did to the rest holds."""
    turn = Turn()
    done: list[int] = []

    def stops(item: int) -> None:
        done.append(item)
        turn.stop_sliced("work", turn)

    def replaces(item: int) -> None:
        done.append(item)
        if item == 0:
            turn.sliced("work", turn, range(20, 26), done.append, size=4)

    with turn:
        turn.sliced("work", turn, range(10), stops, size=4)
    assert done == [0, 1, 2, 3]
    with turn:
        turn.sliced("work", turn, [7], stops, size=4)
    assert done == [0, 1, 2, 3, 7]
    done.clear()
    with turn:
        turn.sliced("work", turn, range(3), replaces, size=4)
    assert done == [0, 20, 21, 22, 23, 1, 2, 24, 25]
