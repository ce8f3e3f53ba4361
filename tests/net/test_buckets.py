"""Rate limits: what is granted stays under the line, and near it."""

from __future__ import annotations

from collections import deque
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.net import Bucket

RATES = st.floats(1, 1e9)
STEPS = st.lists(st.tuples(st.floats(0, 2), st.integers(0, 1 << 20)), max_size=40)


@given(rate=RATES, burst=st.floats(1, 1e7), start=st.floats(0, 1e9), steps=STEPS)
def test_no_stretch_of_time_gets_more_than_its_rate_and_one_burst(
    rate: float, burst: float, start: float, steps: list[tuple[float, int]]
) -> None:
    """Over any interval of t seconds: at most rate * t + burst bytes."""
    bucket = Bucket(rate, burst)
    granted = []
    now = start
    for pause, wanted in steps:
        now += pause
        granted.append((now, bucket.grant(wanted, now)))
        assert 0 <= granted[-1][1] <= wanted
    for first, (since, _) in enumerate(granted):
        total = 0
        for until, count in granted[first:]:
            total += count
            assert total <= (rate * (until - since) + burst) * (1 + 1e-6) + 1


@given(
    rates=st.lists(st.none() | RATES, min_size=1, max_size=4),
    now=st.floats(0, 1e9),
    thirst=st.integers(0, 1 << 30),
    wanted=st.integers(1, 1 << 24),
)
def test_at_the_time_told_the_grant_is_what_was_promised(
    rates: list[float | None], now: float, thirst: int, wanted: int
) -> None:
    """ready_at() is never too early, else whoever waits for it would spin."""
    bucket = None
    for rate in rates:
        bucket = Bucket(rate, None, bucket)
    assert bucket is not None
    bucket.grant(thirst, now)
    ready = bucket.ready_at(now, wanted)
    assert ready >= now
    bursts = [max(16384, rate / 4) for rate in rates if rate is not None]
    assert bucket.grant(wanted, ready) >= int(min([wanted, *bursts])) - 1
    assert bucket.grant(wanted, ready) <= wanted


def test_a_grant_is_cut_to_what_the_tightest_level_has() -> None:
    """Partial grants: 0 to what was wanted, and every level pays the same."""
    client = Bucket(1000, 500)
    torrent = Bucket(1000, 200, client)
    peer = Bucket(None, None, torrent)
    assert peer.grant(10_000, 0.0) == 200
    assert peer.grant(10_000, 0.0) == 0
    assert client.grant(10_000, 0.0) == 300


def test_what_was_not_used_comes_back_on_every_level() -> None:
    """A receive that brought less than was granted costs only what it brought; a bucket never runs over."""
    client = Bucket(1000, 500)
    peer = Bucket(1000, 500, client)
    assert peer.grant(400, 0.0) == 400
    peer.give_back(300, 0.0)
    assert peer.grant(1000, 0.0) == 400
    peer.give_back(400, 10.0)
    assert client.grant(1000, 10.0) == 500


def test_no_limit_grants_all_and_at_once() -> None:
    """A rate of None is no limit, and says so."""
    bucket = Bucket(None, None, Bucket())
    assert not bucket.limited
    assert bucket.grant(1 << 40, 5.0) == 1 << 40
    assert bucket.ready_at(5.0, 1 << 40) == 5.0
    assert Bucket(None, None, Bucket(1)).limited


def test_a_rate_of_zero_lets_nothing_pass_ever() -> None:
    """Zero is a limit like others, not the absence of one."""
    bucket = Bucket(0)
    assert bucket.grant(100, 1e6) == 0
    assert bucket.ready_at(1e6) == inf
    bucket.give_back(100, 1e6)
    assert bucket.grant(100, 1e6) == 0


def test_a_rate_can_change_while_bytes_flow() -> None:
    """The old rate counts until the change, the new one from there; a bucket without limit had saved nothing."""
    bucket = Bucket(1000, 1000)
    assert bucket.grant(5000, 0.0) == 1000
    bucket.set_rate(100, 0.5, burst=600)
    assert bucket.grant(5000, 0.5) == 500
    assert bucket.grant(5000, 1.5) == 100
    bucket.set_rate(None, 2.0)
    assert bucket.grant(1 << 30, 2.0) == 1 << 30
    bucket.set_rate(1000, 3.0)
    assert bucket.rate == 1000
    assert bucket.grant(5000, 3.0) == 0
    assert bucket.grant(5000, 4.0) == 1000
    bucket.set_rate(2000, 4.0, burst=10)
    assert bucket.grant(5000, 9.0) == 10


@pytest.mark.parametrize(("rate", "burst"), [(-1, None), (inf, None), (float("nan"), None), (100, 0), (100, inf)])
def test_a_rate_that_is_none_is_refused(rate: float, burst: float | None) -> None:
    """A limit that means nothing is an error where it is made."""
    with pytest.raises(ValueError, match=r"no rate|nothing would pass"):
        Bucket(rate, burst)


def test_a_clock_that_steps_back_grants_nothing_twice() -> None:
    """The time of a thread that waited for its turn may be older than the last one seen."""
    bucket = Bucket(1000, 1000)
    assert bucket.grant(1000, 10.0) == 1000
    assert bucket.grant(1000, 9.0) == 0
    assert bucket.grant(1000, 10.5) == 500


@given(rate=st.integers(2_000, 10_000_000), latency=st.floats(0, 0.02))
def test_an_asker_that_waits_as_told_uses_the_whole_rate(rate: int, latency: float) -> None:
    """Ten seconds of asking when told, and a little late each time, bring at least 95 in 100 of the limit."""
    bucket = Bucket(rate)
    bucket.grant(1 << 30, 0.0)  # the burst
    now, got = 0.0, 0
    while now < 10.0:
        now = bucket.ready_at(now) + latency
        got += bucket.grant(1 << 30, now)
    assert 0.95 * rate * 10 <= got <= rate * now + 1


def test_askers_in_a_queue_share_evenly() -> None:
    """Longest waiting first: each of five gets its fifth within 10 in 100, also those with a limit of their own."""
    client = Bucket(1_000_000)
    peers = {name: Bucket(400_000 if name == "limited" else None, None, client) for name in ("limited", *"abcd")}
    queue = deque(peers)
    got = dict.fromkeys(peers, 0)
    now = 0.0
    while now < 20.0:
        name = queue.popleft()
        got[name] += peers[name].grant(1 << 20, now)
        queue.append(name)
        now = max(now, client.ready_at(now))
    fair = sum(got.values()) / len(got)
    assert all(0.9 * fair < share < 1.1 * fair for share in got.values()), got
