"""Peer exchange messages as bytes: real ones are read, odd ones forgiven, wrong ones blamed on the peer."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import Value, decode, encode
from anabranch.discovery import PexMessage, PexPeer
from anabranch.discovery.pex import MOST_READ
from anabranch.model import Address, PeerFault

HOSTS = st.ip_addresses().filter(lambda ip: getattr(ip, "ipv4_mapped", None) is None).map(str)
ADDRESSES = st.builds(Address, HOSTS, st.integers(0, 65535))
PEERS = st.builds(PexPeer, ADDRESSES, *[st.booleans()] * 5)


def compact(*addresses: str) -> bytes:
    """HOST/PORT each."""
    packed = b""
    for address in addresses:
        host, _, port = address.partition("/")
        packed += (IPv6Address(host) if ":" in host else IPv4Address(host)).packed + int(port).to_bytes(2, "big")
    return packed


def read(**said: Value) -> PexMessage:
    """The message with these keys; _f stands for .f."""
    return PexMessage.parse(encode({name.replace("_f", ".f"): value for name, value in said.items()}))


@given(st.lists(PEERS, max_size=40), st.lists(ADDRESSES, max_size=40))
def test_what_is_written_is_read_again(came: list[PexPeer], left: list[Address]) -> None:
    """IPv4 before IPv6, each in its order."""
    came, left = sorted(came, key=lambda peer: peer.address.is_v6), sorted(left, key=lambda address: address.is_v6)
    message = PexMessage(tuple(came), tuple(left))
    assert PexMessage.parse(message.payload()) == message


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_blamed_on_the_peer(noise: bytes) -> None:
    """A peer sends what it likes."""
    with suppress(PeerFault):
        PexMessage.parse(noise)


KEYS = ("added", "added.f", "added6", "added6.f", "dropped", "dropped6")
VALUES = st.one_of(st.binary(max_size=80), st.integers(-9, 9), st.lists(st.binary(max_size=3), max_size=3))


@given(st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_any_dictionary_is_read_or_blamed_on_the_peer(said: dict[str, Value]) -> None:
    """Nearly right ones too."""
    with suppress(PeerFault):
        message = PexMessage.parse(encode(said))
        assert all(0 <= peer.address.port <= 65535 for peer in message.added)


def test_each_flag_has_its_bit() -> None:
    """BEP 11: encryption 1, seed 2, uTP 4, hole punching 8, reachable 16; other bits mean nothing to us."""
    message = read(added=compact(*[f"10.0.0.{n}/{n}" for n in range(1, 7)]), added_f=bytes([1, 2, 4, 8, 16, 0xE0]))
    assert message.added == (
        PexPeer(Address("10.0.0.1", 1), prefers_encryption=True),
        PexPeer(Address("10.0.0.2", 2), seed=True),
        PexPeer(Address("10.0.0.3", 3), utp=True),
        PexPeer(Address("10.0.0.4", 4), holepunch=True),
        PexPeer(Address("10.0.0.5", 5), reachable=True),
        PexPeer(Address("10.0.0.6", 6)),
    )
    assert [peer.flags for peer in message.added] == [1, 2, 4, 8, 16, 0]


def test_the_bytes_are_those_of_bep_11() -> None:
    """Compact addresses, a byte of flags for each that came, families apart."""
    came = (PexPeer(Address("2001:db8::1", 6881), utp=True), PexPeer(Address("192.0.2.7", 1), seed=True))
    payload = PexMessage(came, (Address("192.0.2.8", 513),)).payload()
    assert decode(payload) == {
        b"added": bytes([192, 0, 2, 7, 0, 1]),
        b"added.f": b"\x02",
        b"added6": compact("2001:db8::1/6881"),
        b"added6.f": b"\x04",
        b"dropped": bytes([192, 0, 2, 8, 2, 1]),
        b"dropped6": b"",
    }


@pytest.mark.parametrize("flags", [None, b"", b"\x02", b"\x02\x00\x00\x00", 7])
def test_missing_flags_are_forgiven(flags: Value | None) -> None:
    """Clients leave them out, or send too few; what is missing is zero."""
    said: dict[str, Value] = {"added": compact("10.0.0.1/1", "10.0.0.2/2")}
    message = read(**said) if flags is None else read(**said, added_f=flags)
    assert [peer.address.port for peer in message.added] == [1, 2]
    assert [peer.seed for peer in message.added] == [isinstance(flags, bytes) and flags[:1] == b"\x02", False]


def test_nothing_said_is_no_fault() -> None:
    """An empty dictionary, and one of which we know no key."""
    assert PexMessage.parse(b"de") == read(other=[1, {b"deep": 2}]) == PexMessage()


def test_dictionaries_out_of_order_and_bytes_behind_them_are_forgiven() -> None:
    """As in all messages of extensions."""
    assert PexMessage.parse(b"d7:dropped6:\x0a\0\0\1\0\1" + b"5:added0:e" + b"rest").dropped == (
        Address("10.0.0.1", 1),
    )


def test_an_ipv4_address_in_ipv6_clothes_is_shown_as_ipv4() -> None:
    """It is the same peer."""
    assert read(added6=compact("::ffff:192.0.2.1/9")).added == (PexPeer(Address("192.0.2.1", 9)),)


@pytest.mark.parametrize("name", ["added", "added6", "dropped", "dropped6"])
@pytest.mark.parametrize("value", [b"12345", b"1234567", 5, [b"123456"]])
def test_a_list_that_is_none_is_blamed_on_the_peer(name: str, value: Value) -> None:
    """Half an address says that the sender's counting is wrong, and then the others are."""
    with pytest.raises(PeerFault, match=f"{name} is no list"):
        read(**{name: value})


@pytest.mark.parametrize("payload", [b"", b"le", b"i1e", b"d", b"d5:added6:abc", b"d" + b"1:al" * 20])
def test_what_is_no_dictionary_is_blamed_on_the_peer(payload: bytes) -> None:
    """Cut ones, deep ones and other values."""
    with pytest.raises(PeerFault):
        PexMessage.parse(payload)


def test_of_too_many_the_first_are_read() -> None:
    """Both families share the allowance; a flood of made-up addresses gains nothing."""
    many = compact(*[f"10.0.{n >> 8}.{n & 255}/1" for n in range(500)])
    six = compact(*[f"2001:db8::{n:x}/1" for n in range(500)])
    message = read(added=many, added_f=b"\x02" * 500, added6=six, dropped=many, dropped6=six)
    assert [peer.address.host for peer in message.added] == [f"10.0.0.{n}" for n in range(MOST_READ)]
    assert len(message.dropped) == MOST_READ


def test_a_message_larger_than_any_real_one_is_blamed_on_the_peer() -> None:
    """It is not even looked into."""
    with pytest.raises(PeerFault, match="at most"):
        read(added=compact("10.0.0.1/1") * 11_000)
