"""Where we are, as others see it."""

from __future__ import annotations

import pytest

from anabranch.dht.external import NEEDED, VOTES, Votes
from dht.small_dht import host

ME, LIE = "203.0.113.7", "198.51.100.9"


def test_what_enough_networks_say_alike_is_believed() -> None:
    """And told once."""
    votes = Votes()
    assert [votes.cast(ME, host(number)) for number in range(NEEDED + 2)] == [False] * (NEEDED - 1) + [
        True,
        False,
        False,
    ]
    assert votes.elected == ME


def test_a_network_has_one_vote() -> None:
    """However many addresses of it speak."""
    votes = Votes()
    assert not any(votes.cast(LIE, f"9.9.9.{last}") for last in range(1, 250))
    assert votes.elected == ""


def test_a_minority_is_not_believed() -> None:
    """Five of nine are enough, five of twelve are not."""
    votes = Votes()
    for number in range(7):
        votes.cast(ME, host(number))
    assert not any(votes.cast(LIE, host(100 + number)) for number in range(7))
    assert votes.elected == ME


def test_another_address_is_believed_when_the_older_votes_are_forgotten() -> None:
    """Providers give new addresses overnight."""
    votes = Votes()
    for number in range(VOTES):
        votes.cast(ME, host(number))
    moved = [votes.cast(LIE, host(1000 + number)) for number in range(VOTES)]
    assert moved.count(True) == 1
    assert votes.elected == LIE


@pytest.mark.parametrize("seen", ["10.0.0.1", "127.0.0.1", "0.0.0.0", "224.0.0.1", "fe80::1"])
def test_an_address_that_only_our_network_knows_does_not_count(seen: str) -> None:
    """Nobody far away can reach us there."""
    votes = Votes()
    assert not any(votes.cast(seen, host(number)) for number in range(20))


def test_what_our_own_network_sees_does_not_count() -> None:
    """A neighbour's view is not the world's."""
    votes = Votes()
    assert not any(votes.cast(ME, f"192.168.0.{number}") for number in range(1, 20))
