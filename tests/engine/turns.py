"""What tests of the turn ask of it: things that break, and whether it is whole afterwards."""

from __future__ import annotations

from collections.abc import Callable

from anabranch.engine.turn_io import Turn
from engine.crowd import together


class BrokenError(Exception):
    pass


def breaks(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def usable(turn: Turn) -> bool:
    """Whether another thread can take the turn, and nothing of an earlier one comes up in it."""
    ran: list[str] = []

    def take() -> None:
        with turn:
            turn.defer("probe", turn, ran.append, "deferred")
            turn.outbox("probe", turn, ran.append, "sent")

    together(take)
    return ran == ["deferred", "sent"] and turn.owner is None
