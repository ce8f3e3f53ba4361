"""Tokens."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from anabranch.dht.tokens import LIFE, Tokens


def counting() -> Callable[[int], bytes]:
    """Bytes that are different each time."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        return count.to_bytes(size, "big")

    return draw


@pytest.mark.parametrize("start", [0.0, 1.0, 299.0, 1e6])
def test_a_token_is_good_for_five_minutes_at_least_and_ten_at_most(start: float) -> None:
    """BEP 5: the secret is changed every five minutes, tokens of the former one are good.."""
    tokens = Tokens(counting())
    for made in range(int(start), int(start) + 900, 50):
        token = tokens.make("20.1.2.3", made)
        assert tokens.good(token, "20.1.2.3", made)
    token = tokens.make("20.1.2.3", start + 1000)
    assert tokens.good(token, "20.1.2.3", start + 1000 + 300)
    assert not tokens.good(token, "20.1.2.3", start + 1000 + 600)


def test_secrets_change_in_time_though_nobody_comes_when_they_do() -> None:
    tokens = Tokens(counting())
    token = tokens.make("20.1.2.3", LIFE - 1)
    assert tokens.good(token, "20.1.2.3", 2 * LIFE - 1)
    assert not tokens.good(token, "20.1.2.3", 2 * LIFE)


def test_tokens_of_a_time_before_a_long_silence_are_not_good() -> None:
    tokens = Tokens(counting())
    token = tokens.make("20.1.2.3", 0.0)
    assert not tokens.good(token, "20.1.2.3", 2 * LIFE)


def test_a_token_is_good_for_one_host() -> None:
    tokens = Tokens(counting())
    token = tokens.make("20.1.2.3", 0.0)
    assert not tokens.good(token, "20.1.2.4", 1.0)
    assert tokens.good(tokens.make("2a00::1", 1.0), "2a00::1", 2.0)


def test_a_token_of_another_node_or_length_is_not_good() -> None:
    """Nobody can make one without the node's secret."""
    tokens, other = Tokens(counting()), Tokens(lambda size: b"\x07" * size)
    for token in (other.make("20.1.2.3", 0.0), b"", b"\0" * 8, b"x" * 1000, tokens.make("20.1.2.3", 0.0)[:-1]):
        assert not tokens.good(token, "20.1.2.3", 0.0)
