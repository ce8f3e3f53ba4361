"""TORRENT_LOCK_DEBUG: who has the turn, and that nobody pays for it when it is off."""

from __future__ import annotations

import threading
from types import FunctionType

import pytest

from anabranch.engine.condition_io import TurnCondition
from anabranch.engine.turn_io import LockDebug, Turn
from anabranch.engine.watch_io import WatchedTurn, make_turn
from engine.crowd import Crowd, until


@pytest.mark.parametrize("wish", [None, "", " ", "0", "off", "OFF", " False "])
def test_off_is_the_plain_turn(wish: str | None) -> None:
    """W20: not a wrapped one but the class itself, so that a turn cannot cost more."""
    turn = make_turn({} if wish is None else {"TORRENT_LOCK_DEBUG": wish})
    assert type(turn) is Turn
    with turn:
        assert turn.lock_debug_snapshot() == LockDebug(enabled=False)
    assert "off" in turn.lock_debug_info()


def test_the_plain_turn_is_not_touched_by_a_watched_one() -> None:
    before = dict(vars(Turn))
    with make_turn({"TORRENT_LOCK_DEBUG": "stack"}):
        pass
    assert dict(vars(Turn)) == before
    assert not any(hasattr(member, "__wrapped__") for member in before.values())


@pytest.mark.parametrize("wish", ["1", "on", "yes please"])
def test_on_tells_who_has_the_turn_and_since_when(wish: str) -> None:
    now = [100.0]
    turn = make_turn({"TORRENT_LOCK_DEBUG": wish}, clock=lambda: now[0])
    assert turn.lock_debug_snapshot() == LockDebug(enabled=True)
    assert turn.lock_debug_info() == "the turn is free"
    go_on = threading.Event()

    def hold() -> None:
        threading.current_thread().name = "holder"
        with turn:
            turn.defer("a", turn, len, ())
            turn.defer("b", turn, len, ())
            holding.set()
            assert go_on.wait(20)

    def wait() -> None:
        with turn:
            pass

    holding = threading.Event()
    crowd = Crowd()
    holder = crowd.start(hold)
    assert holding.wait(20)
    crowd.start(wait)
    until(lambda: len(turn.waiting) == 1)
    now[0] += 0.012
    seen = turn.lock_debug_snapshot()
    words = turn.lock_debug_info()
    go_on.set()
    crowd.join()
    assert seen == LockDebug(
        enabled=True,
        held=True,
        owner="holder",
        owner_id=holder.ident or 0,
        held_for=seen.held_for,
        deferred=2,
        waiting=1,
    )
    assert seen.held_for == pytest.approx(0.012)
    assert f"held by holder ({holder.ident}) for 12.0 ms, deferred actions: 2, threads waiting: 1" in words
    assert "=stack" in words


def take_and_look(turn: Turn) -> str:
    with turn:
        return turn.lock_debug_info()


def try_and_look(turn: Turn) -> str:
    with turn.if_free():
        return turn.lock_debug_info()


def wait_and_look(turn: Turn) -> str:
    changed = TurnCondition(turn)
    crowd = Crowd()

    def take_meanwhile() -> None:
        with turn:
            changed.signal()

    with turn:
        crowd.start(take_meanwhile)
        assert changed.wait(20)
        crowd.join()
        return turn.lock_debug_info()


@pytest.mark.parametrize("look", [take_and_look, try_and_look, wait_and_look])
def test_stack_tells_where_the_turn_was_taken(look: FunctionType) -> None:
    turn = make_turn({"TORRENT_LOCK_DEBUG": " Stack\n"})
    told = look(turn)
    assert "taken at:" in told
    assert f", in {look.__name__}\n" in told
    assert "watch_io.py" not in told.replace("test_watch_io.py", "")


def test_the_watched_turn_keeps_the_rules_of_the_plain_one() -> None:
    turn = WatchedTurn(with_stack=True)
    ran: list[int] = []
    with turn as held:
        assert held is turn
        turn.defer("a", turn, ran.append, 1)
        turn.outbox("b", turn, ran.append, 2)
        turn.sliced("c", turn, range(10, 13), ran.append, size=2)
    assert ran == [10, 11, 1, 2, 12]
    assert turn.owner is None
    with turn.if_free() as taken:
        assert taken
