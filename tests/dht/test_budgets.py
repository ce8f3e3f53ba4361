"""What strangers may cost us."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.dht.budgets import (
    AMPLIFICATION,
    LARGE,
    MOST_HOSTS,
    MOST_REPLY,
    PER_HOST,
    PER_HOST_BYTES,
    PER_NETWORK,
    PROVEN_LIFE,
    WINDOW,
    Budgets,
)

HOST = "20.1.2.3"


def admitted(budgets: Budgets, host: str, count: int, now: float = 0.0, size: int = 100) -> int:
    return sum(budgets.admits(host, size, now) for _ in range(count))


def test_a_host_is_heard_five_times_a_second() -> None:
    """Averaged over ten seconds. What is too much is not heard, and afterwards it is heard again."""
    budgets = Budgets()
    assert admitted(budgets, HOST, 200) == PER_HOST
    assert admitted(budgets, "20.9.9.9", 10) == 10
    assert admitted(budgets, HOST, 200, now=WINDOW) == PER_HOST


def test_large_queries_count_more() -> None:
    assert admitted(Budgets(), HOST, 200, size=2 * LARGE) == PER_HOST // 3


def test_the_hosts_of_one_network_share_what_ten_of_them_have() -> None:
    budgets = Budgets()
    assert sum(admitted(budgets, f"20.1.2.{number}", PER_HOST) for number in range(200)) == PER_NETWORK
    assert admitted(budgets, "20.1.3.1", 1) == 1


def test_a_network_of_ipv6_is_one_host() -> None:
    budgets = Budgets()
    assert sum(admitted(budgets, f"2a00::{number:x}", 1) for number in range(200)) == PER_HOST
    assert sum(budgets.spend(f"2a00::{number:x}", MOST_REPLY, MOST_REPLY, 0.0) for number in range(200)) < 24


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1"])
def test_programs_on_this_machine_are_not_counted(host: str) -> None:
    """Nor is who asks from a private network taken for all of it."""
    budgets = Budgets()
    assert admitted(budgets, host, 10 * PER_HOST) == 10 * PER_HOST
    budgets.proven(host, 0.0)
    assert all(budgets.spend(host, 100, 1000, 0.0) for _ in range(100))
    assert admitted(budgets, "10.0.0.1", PER_HOST + 1) == admitted(budgets, "10.0.0.2", PER_HOST + 1) == PER_HOST


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_who_may_be_somebody_else_is_sent_three_times_what_came_at_most(size_in: int, size_out: int) -> None:
    budgets = Budgets()
    assert budgets.room(HOST, size_in, 0.0) == min(AMPLIFICATION * size_in, MOST_REPLY)
    assert budgets.spend(HOST, size_in, size_out, 0.0) == (size_out <= min(AMPLIFICATION * size_in, MOST_REPLY))


def test_who_gets_what_we_send_is_sent_more_for_as_long_as_a_token_is_good() -> None:
    budgets = Budgets()
    budgets.proven(HOST, 0.0)
    assert budgets.room(HOST, 100, PROVEN_LIFE - 1) == MOST_REPLY
    assert budgets.room("20.1.2.4", 100, 1.0) == 300
    assert budgets.room(HOST, 100, PROVEN_LIFE) == 300
    assert not budgets.spend(HOST, 100, MOST_REPLY + 1, 1.0)


def test_a_host_is_sent_so_many_bytes_in_ten_seconds() -> None:
    """Also one that is there: its line is not filled by who speaks through its proxy."""
    budgets = Budgets()
    budgets.proven(HOST, 0.0)
    budgets.admits(HOST, 100, 0.0)
    assert sum(budgets.spend(HOST, 100, 1000, 0.0) for _ in range(100)) == PER_HOST_BYTES // 1000
    budgets.admits(HOST, 100, WINDOW)
    assert budgets.spend(HOST, 100, 1000, WINDOW)


def test_in_all_no_more_is_sent_than_the_rate_allows() -> None:
    budgets = Budgets(rate=10_000)
    hosts = [f"20.{number}.0.1" for number in range(200)]
    assert sum(budgets.spend(host, 100, 300, 5.0) for host in hosts) == 33
    assert sum(budgets.spend(host, 100, 300, 5.5) for host in hosts) == 17  # half a second's, and what was left
    assert sum(budgets.spend(host, 100, 300, 99.0) for host in hosts) == 33


def test_a_flood_from_everywhere_is_counted_in_bounded_memory() -> None:
    """Who really asks is heard meanwhile: counts begin anew sooner, nobody is refused for others' sake."""
    budgets = Budgets()
    for number in range(5 * MOST_HOSTS):
        host = f"{20 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.1"
        budgets.admits(host, 100, 1.0)
        budgets.spend(host, 100, 250, 1.0)
        budgets.proven(host, 1.0)
        assert number % 1000 or budgets.admits(f"99.{number // 1000}.1.1", 100, 1.0)
    assert len(budgets._asked) <= 2 * MOST_HOSTS
    assert len(budgets._sent) <= MOST_HOSTS
    assert len(budgets._proven) <= MOST_HOSTS


def test_a_clock_that_begins_anywhere_will_do() -> None:
    for start in (0.0, 3.0, 1e9):
        budgets = Budgets()
        assert admitted(budgets, HOST, 2 * PER_HOST, now=start) == PER_HOST
        assert budgets.spend(HOST, 100, 300, start)
