"""The queue of effects by itself; with the turn it is tested in test_turn_io.py."""

from __future__ import annotations

from collections.abc import Callable

from anabranch.engine.effects_io import PATIENCE, Effects
from engine.crowd import together


def test_each_effect_runs_once_however_many_threads_drain() -> None:
    effects = Effects()
    ran: list[int] = []

    def fill_and_drain(start: int) -> None:
        for number in range(start, start + 300):
            effects.queue.append(("kind", effects, ran.append, (number,)))
            effects.drain(at_home=number % 2 == 0)

    together(*[lambda start=start: fill_and_drain(start) for start in range(0, 2400, 300)])
    assert sorted(ran) == list(range(2400))


def test_an_effect_that_drains_leaves_that_to_who_runs_it() -> None:
    effects = Effects()
    ran: list[str] = []

    def nested() -> None:
        effects.queue.append(("kind", effects, ran.append, ("later",)))
        effects.drain(at_home=True)
        ran.append("now")

    effects.queue.append(("kind", effects, nested, ()))
    effects.drain(at_home=True)
    assert ran == ["now", "later"]


def test_a_visitor_posts_what_is_too_much_for_it_and_the_network_thread_does_not() -> None:
    for at_home in (False, True):
        effects = Effects()
        posted: list[Callable[[], None]] = []
        effects.post = posted.append
        ran: list[int] = []
        effects.queue.extend(("kind", effects, ran.append, (number,)) for number in range(3 * PATIENCE))
        effects.drain(at_home=at_home)
        assert len(ran) == (3 * PATIENCE if at_home else PATIENCE)
        for go_on in posted:
            go_on()
        assert ran == list(range(3 * PATIENCE))
