"""The group, and the keys that make no secret."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.crypto.dh import KEY_LENGTH, PRIME, PrivateKey, PublicKey, private_key, public_key, shared_secret
from anabranch.model import PeerFault

privates = st.binary(min_size=20, max_size=20).filter(any).map(private_key)


def is_prime(number: int) -> bool:
    """Fermat's test: enough for a number that nobody chose to betray it."""
    return all(pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7, 11))


def test_the_prime_is_safe_and_of_768_bits() -> None:
    """Half of it is prime too: then only 1 and p - 1 make small groups, and a mistyped digit would show."""
    assert PRIME.bit_length() == 768
    assert is_prime(PRIME)
    assert is_prime((PRIME - 1) // 2)


@given(privates, privates)
def test_both_sides_come_to_the_same_secret(one: PrivateKey, other: PrivateKey) -> None:
    """Each from its own private key and the other's public one."""
    secret = shared_secret(one, public_key(other))
    assert secret == shared_secret(other, public_key(one))
    assert len(secret) == len(public_key(one)) == KEY_LENGTH


@pytest.mark.parametrize("number", [0, 1, PRIME - 1, PRIME, PRIME + 1, 2**768 - 1])
def test_a_key_whose_secret_anybody_knows_is_refused(number: int) -> None:
    """0, 1 and p - 1 have it known beforehand; nothing from p on is a remainder."""
    with pytest.raises(PeerFault, match="makes no secret"):
        PublicKey(number.to_bytes(KEY_LENGTH, "big"))


@given(st.binary(max_size=100) | st.binary(min_size=96, max_size=96))
def test_any_key_is_admitted_or_blamed_on_the_peer(told: bytes) -> None:
    """PublicKey has one error."""
    with suppress(PeerFault):
        assert len(shared_secret(private_key(bytes([7] * 20)), PublicKey(told))) == KEY_LENGTH


@pytest.mark.parametrize("drawn", [bytes(20), bytes([1] * 19), bytes([1] * 21)])
def test_a_private_key_is_20_bytes_of_something(drawn: bytes) -> None:
    """Zero would make the public key 1, which every peer refuses."""
    with pytest.raises(ValueError, match="20 bytes"):
        private_key(drawn)
