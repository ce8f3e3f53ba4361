"""The canonical peer priority, against what BEP 40 itself gives and the bytes that it says are to be summed."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Address
from anabranch.net import crc32c, peer_priority


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_the_checksum_is_castagnoli_s(data: bytes, checksum: int) -> None:
    """RFC 3720, B.4."""
    assert crc32c(data) == checksum


@pytest.mark.parametrize(
    ("ours", "theirs", "priority"),
    [("123.213.32.10", "98.76.54.32", 0xEC2D7224), ("123.213.32.10", "123.213.32.234", 0x99568189)],
)
def test_the_examples_of_bep_40_come_out(ours: str, theirs: str, priority: int) -> None:
    """IPv4, different networks and the same /24."""
    assert peer_priority(Address(ours, 1), Address(theirs, 2)) == priority


@pytest.mark.parametrize(
    ("ours", "theirs", "summed"),
    [
        ("230.12.123.1", "230.12.23.3", "e60c1701 e60c7b01"),  # the same /16
        ("230.120.23.1", "230.12.123.3", "e60c5101 e6781501"),  # not even that
        ("2001:db8:1::ff", "2001:db8:2::1", "20010db80001 00000000000000000055 20010db80002 00000000000000000001"),
        # the same /48, and the same /56
        ("2001:db8:1:aa00::", "2001:db8:1:ff::", "20010db8000100" + "55" + 16 * "0" + "20010db80001aa" + 18 * "0"),
        ("2001:db8:1:ff::ff", "2001:db8:1:aa::", "20010db8000100aa" + 16 * "0" + "20010db8000100ff" + 14 * "0" + "55"),
        # the same but for the last byte
        ("2001:db8::fe", "2001:db8::ff", "20010db8" + 22 * "0" + "fe" + "20010db8" + 22 * "0" + "ff"),
    ],
)
def test_the_nearer_two_addresses_are_the_more_of_them_counts(ours: str, theirs: str, summed: str) -> None:
    """Half of the bits count of what follows the network that they share."""
    assert peer_priority(Address(ours, 1), Address(theirs, 2)) == crc32c(bytes.fromhex(summed))


@pytest.mark.parametrize("host", ["230.12.123.3", "2001:db8::1"])
def test_between_two_at_one_address_the_ports_count(host: str) -> None:
    """As 16-bit numbers, the smaller first."""
    assert peer_priority(Address(host, 0x4D2), Address(host, 0x12C)) == crc32c(bytes.fromhex("012c04d2"))


def test_addresses_of_different_families_have_no_priority() -> None:
    """Nobody connects one to the other."""
    with pytest.raises(ValueError, match="different families"):
        peer_priority(Address("192.0.2.1", 1), Address("2001:db8::1", 1))


@given(st.lists(st.ip_addresses(v=6), min_size=2, max_size=2), st.lists(st.integers(1, 65535), min_size=2, max_size=2))
def test_both_ends_come_to_the_same_priority(ips: list[object], ports: list[int]) -> None:
    """Else they would not agree on whom to keep."""
    one, other = (
        Address(str(ip_address(str(ip).partition("%")[0])), port) for ip, port in zip(ips, ports, strict=True)
    )
    assert peer_priority(one, other) == peer_priority(other, one)
