"""The request window against a peer that is simulated: a rate, a latency, first asked first served."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.picker import RequestWindow
from anabranch.picker.window import FLOOR, QUEUE_TIME, START

TICK = 0.005  # seconds


def simulated(
    rate: float, latency: float, seconds: float, reqq: int = 10_000, batch: float = TICK, pokes: int = 0
) -> tuple[float, list[int]]:
    """Blocks per second that arrive in the second half of *seconds*, and the sizes of the window meanwhile.

    The peer sends *rate* blocks a second; *batch*: seconds of arrivals that are booked at once; *pokes*: times that the
    size is looked at in vain between.
    """
    window = RequestWindow()
    asked: deque[float] = deque()  # when each may be served
    outstanding = landed = arrived = 0
    credit = 0.0
    sizes: list[int] = []
    steps = round(seconds / TICK)
    every = max(1, round(batch / TICK))
    for step in range(steps):
        now = 100 + step * TICK
        room = window.size(reqq) - outstanding
        asked.extend([now + latency] * max(room, 0))
        outstanding += max(room, 0)
        credit = min(credit + rate * TICK, max(rate * TICK, 1.0))
        while asked and asked[0] <= now and credit >= 1:
            asked.popleft()
            credit -= 1
            landed += 1
        for _ in range(pokes):
            window.size(reqq)
        if landed and step % every == 0:
            window.landed(landed, now)
            outstanding -= landed
            if step * 2 > steps:
                arrived += landed
            landed = 0
        if step * 2 > steps:
            sizes.append(window.size(reqq))
    return arrived / (seconds / 2), sizes


@pytest.mark.parametrize("latency", [0.0, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("rate", [20.0, 400.0, 3000.0])
def test_a_peer_never_waits_for_us(rate: float, latency: float) -> None:
    """W23: whatever its rate and latency, nearly all it could send is asked for in time."""
    got, _ = simulated(rate, latency, 16.0)
    assert got > 0.9 * rate


@given(st.sampled_from([50.0, 800.0]), st.sampled_from([0.0, 0.05, 0.2]), st.sampled_from([TICK, 0.02, 0.1]))
@settings(max_examples=18, deadline=None)
def test_the_window_does_not_collapse(rate: float, latency: float, batch: float) -> None:
    """W22: however arrivals are batched, in the steady state it holds what the line and the latency need."""
    _, sizes = simulated(rate, latency, 12.0, batch=batch)
    assert min(sizes) >= min(rate * QUEUE_TIME / 2, rate * (latency + batch))


MOMENTS = st.lists(st.tuples(st.floats(0.001, 0.4), st.integers(0, 3), st.booleans()), min_size=40, max_size=120)


@given(MOMENTS, st.sampled_from([30.0, 500.0, 4000.0]))
@settings(max_examples=60, deadline=None)
def test_no_order_of_events_makes_the_window_small_while_data_flow(
    moments: list[tuple[float, int, bool]], rate: float
) -> None:
    """W22: arrivals cut anyhow, looks in vain and short pauses: half of what the steady rate needs is always asked."""
    window = RequestWindow()
    now = 50.0
    for _ in range(round(6.0 / 0.02)):  # until it is steady
        now += 0.02
        window.landed(round((now - 50) * rate) - round((now - 50.02) * rate), now)
    steady = window.size(100_000)
    assert 0.8 * rate * QUEUE_TIME <= steady <= 1.5 * rate * QUEUE_TIME
    landed = round((now - 50) * rate)
    for pause, looks, idle in moments:
        now += pause
        due = round((now - 50) * rate)
        if due > landed:
            window.landed(due - landed, now)
            landed = due
        for _ in range(looks):
            window.size(100_000)
        if idle:
            window.idle(now)
        assert window.size(100_000) >= steady // 2


@pytest.mark.parametrize("rate", [20.0, 400.0, 3000.0])
def test_the_window_grows_to_what_the_peer_delivers_in_the_queue_time(rate: float) -> None:
    """With a short latency nothing else bounds it; within seconds, and not much beyond."""
    _, sizes = simulated(rate, 0.02, 10.0)
    assert 0.9 * rate * QUEUE_TIME <= sizes[-1] <= 1.3 * rate * QUEUE_TIME


def test_looking_more_often_changes_nothing() -> None:
    """W21, W22: the fork's window collapsed on every extra update."""
    assert simulated(400.0, 0.05, 8.0, pokes=0) == simulated(400.0, 0.05, 8.0, pokes=5)


@given(st.lists(st.tuples(st.integers(1, 600), st.floats(0, 2)), max_size=40), st.integers(1, 5000))
def test_the_size_is_at_least_one_and_at_most_what_the_peer_queues(
    arrivals: list[tuple[int, float]], most: int
) -> None:
    """Whatever arrives when; `most` is the peer's reqq."""
    window = RequestWindow()
    now = 1000.0
    for blocks, pause in arrivals:
        before = window.size(100_000)
        now += pause
        window.landed(blocks, now)
        assert 1 <= window.size(most) <= most
        assert before // 2 - 1 <= window.size(100_000) <= max(before * 2, FLOOR)


def test_a_slow_peer_does_not_hoard() -> None:
    """What is asked from it is about what it delivers in QUEUE_TIME."""
    _, sizes = simulated(10.0, 0.05, 20.0)
    assert max(sizes) <= 10 * QUEUE_TIME * 2


def test_a_pause_is_not_held_against_a_peer() -> None:
    """It had nothing to deliver: choked, or nothing was wanted."""
    window = RequestWindow()
    now = 0.0
    for _ in range(200):
        now += 0.02
        window.landed(8, now)
    before = window.size(10_000)
    window.idle(now + 60)
    window.landed(8, now + 60.02)
    assert window.size(10_000) == before


def test_a_peer_that_stops_answering_starts_small_again() -> None:
    """And grows again when it answers."""
    window = RequestWindow()
    assert window.size(250) == START
    window.shrink()
    assert window.size(250) == FLOOR
    for tenth in range(1, 30):
        window.landed(20, tenth / 10)
    assert window.size(250) > START


def test_the_pace_is_what_arrives_and_falls_in_silence() -> None:
    """Not known before anything came; ten a second; then less the longer nothing comes."""
    window = RequestWindow()
    assert window.pace(5.0) == 0
    for step in range(100):
        window.landed(1, 10 + step / 10)
    assert window.pace(20.0) == pytest.approx(10, rel=0.2)
    assert window.pace(29.9) < 1
    assert 0 < window.pace(100.0) < 0.2


def test_what_came_before_a_pause_counts_for_the_pace_and_the_pause_does_not() -> None:
    """Also where it was too little to change the window."""
    window = RequestWindow()
    for step in range(5):
        window.landed(1, 10 + step / 10)
    window.idle(60.0)
    assert window.pace(60.0) == pytest.approx(12.5)
    assert window.size(100) == START
