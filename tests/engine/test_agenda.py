"""Appointments at times and in queues."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine.agenda import Agenda

NAMES = st.sampled_from("abcdef")
STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES, st.integers(0, 20).map(float) | st.just(inf)),
    st.tuples(st.just("queue"), NAMES, st.sampled_from(["here", "there"])),
    st.tuples(st.just("forget"), NAMES, st.none()),
    st.tuples(st.just("due"), st.none(), st.integers(0, 20).map(float)),
    st.tuples(st.just("first"), st.none(), st.sampled_from(["here", "there"])),
)


@given(st.lists(STEPS, max_size=60))
def test_it_does_what_two_lists_would(steps: list[tuple[str, str, object]]) -> None:
    """The plain twin: a list of (time, name) kept in order, and a list of (place, name)."""
    agenda: Agenda[str] = Agenda()
    times: list[tuple[float, str]] = []
    queues: list[tuple[str, str]] = []
    for do, name, what in steps:
        if do in ("put", "queue", "forget"):
            times = [one for one in times if one[1] != name]
            queues = [one for one in queues if one[1] != name]
        if do == "put":
            assert isinstance(what, float)
            agenda.put(name, what)
            if what < inf:
                times = sorted([*times, (what, name)], key=lambda one: one[0])
        elif do == "queue":
            agenda.queue(name, str(what))
            queues.append((str(what), name))
        elif do == "forget":
            agenda.forget(name)
        elif do == "due":
            assert isinstance(what, float)
            due = times.pop(0)[1] if times and times[0][0] <= what else None
            assert agenda.due(what) == due
        else:
            first = next((one for one in queues if one[0] == what), None)
            if first is not None:
                queues.remove(first)
            assert agenda.peek(str(what)) == (first[1] if first else None)
            assert agenda.first(str(what)) == (first[1] if first else None)
        assert len(agenda) == len(times) + len(queues)
        assert {one for one in "abcdef" if one in agenda} == {one[1] for one in (*times, *queues)}
        assert agenda.deadline() <= min((at for at, _ in times), default=inf)
        assert set(agenda.places()) == {place for place, _ in queues}
        assert agenda.queued is bool(queues)


def test_places_are_served_in_turn() -> None:
    """Who has a long queue does not keep the others out."""
    agenda: Agenda[int] = Agenda()
    for number in range(10):
        agenda.queue(number, "long")
    agenda.queue(10, "short")
    assert agenda.first("long") == 0
    assert agenda.places() == ["short", "long"]


def test_what_is_forgotten_takes_no_memory() -> None:
    """A service adds and drops torrents all day; their next announce would be in half an hour."""
    agenda: Agenda[int] = Agenda()
    for number in range(10_000):
        agenda.put(number, 1800.0 + number)
        agenda.put(number, 3600.0)
        agenda.forget(number)
    assert len(agenda) == 0
    assert len(agenda._heap) < 100
