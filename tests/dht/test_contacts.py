"""Nodes and the bytes they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.dht.contacts import (
    Contact,
    is_local,
    pack_address,
    realm,
    unpack_address,
    unpack_contacts,
)
from anabranch.model import Address

V6 = bytes.fromhex("20010db8000000000000000000000001")


@pytest.mark.parametrize(
    ("packed", "address"),
    [
        (bytes.fromhex("01020304 1ae1"), Address("1.2.3.4", 6881)),
        (V6 + b"\x1a\xe1", Address("2001:db8::1", 6881)),
        (bytes(10) + b"\xff\xff" + bytes.fromhex("01020304 1ae1"), Address("1.2.3.4", 6881)),
    ],
)
def test_an_address_is_6_or_18_bytes(packed: bytes, address: Address) -> None:
    """An IPv4 address in IPv6 clothes is shown as what it is."""
    assert unpack_address(packed) == address
    assert pack_address(address) == packed[-6:] if not address.is_v6 else packed


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        bytes(5),
        bytes(6),
        bytes(18),
        b"\x01\x02\x03\x04\0\0",
        b"\xe0\0\0\x01\x1a\xe1",
        b"\xff\xff\xff\xff\x1a\xe1",
        b"\xff\x02" + bytes(15) + b"\x01",
    ],
)
def test_where_nobody_can_be_is_no_address(packed: bytes) -> None:
    """No port, nobody's network, multicast, broadcast: a datagram there would only do harm."""
    assert unpack_address(packed) is None


def test_nodes_are_read_up_to_a_broken_end_and_not_more_than_are_wanted() -> None:
    """26 bytes each; those where nobody can be are passed over."""
    one, none = b"i" * 20 + bytes.fromhex("01020304 1ae1"), b"i" * 20 + bytes.fromhex("01020304 0000")
    contact = Contact(b"i" * 20, Address("1.2.3.4", 6881))
    assert list(unpack_contacts(one + none + one + b"rest", v6=False, most=8)) == [contact, contact]
    assert list(unpack_contacts(one * 3, v6=False, most=2)) == [contact] * 2
    six = b"i" * 20 + V6 + b"\x1a\xe1"
    assert list(unpack_contacts(six, v6=True, most=8)) == [Contact(b"i" * 20, Address("2001:db8::1", 6881))]


def test_an_ipv4_address_in_ipv6_clothes_is_no_node_of_ipv6() -> None:
    """It would be asked over the wrong socket."""
    mapped = b"i" * 20 + bytes(10) + b"\xff\xff" + bytes.fromhex("01020304 1ae1")
    assert list(unpack_contacts(mapped, v6=True, most=8)) == []


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_some_nodes(noise: bytes, v6: bool) -> None:
    """Nothing is raised, and nobody is made up where nobody can be."""
    for contact in unpack_contacts(noise, v6=v6, most=8):
        assert contact.address.is_v6 == v6
        assert contact.address.port


def test_a_network_is_one_node_but_at_home_each_address_is() -> None:
    """Whoever has an address of a network may have them all; in our own, people are let in by somebody."""
    assert realm(Address("1.2.3.4", 1)) == realm(Address("1.2.3.5", 2))
    assert realm(Address("2001:db8::1", 1)) == realm(Address("2001:db8::2", 2))
    for local in ("127.0.0.1", "10.1.1.1", "192.168.0.1", "::1", "fd00::1", "fe80::1"):
        assert is_local(local)
        assert realm(Address(local, 1)) != realm(Address(local, 2))
    assert not is_local("8.8.8.8")
    assert not is_local("2001:db8::1")
