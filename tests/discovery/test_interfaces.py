"""What Linux tells of networks is read right, and never past its end."""

from __future__ import annotations

import struct
from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.discovery.interfaces import Interface, interfaces_from, is_last

UP, BROADCAST, LOOPBACK, POINT_TO_POINT, MULTICAST = 0x1, 0x2, 0x8, 0x10, 0x1000
ETHERNET = UP | BROADCAST | MULTICAST
LOCAL, ADDRESS, NAME = 2, 1, 3
DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def link(index: int, flags: int, name: str) -> bytes:
    return message(16, struct.pack("=BxHiII", 0, 1, index, flags, 0) + attribute(NAME, name.encode() + b"\0"))


def address(index: int, host: str, *, kind: int = ADDRESS) -> bytes:
    ip = ip_address(host)
    family, prefix = (2, 24) if ip.version == 4 else (10, 64)
    return message(20, struct.pack("=BBBBI", family, prefix, 0, 0, index) + attribute(kind, ip.packed))


def test_local_networks_are_found_with_our_addresses_there() -> None:
    """All of them, of both families, in the system's order."""
    links = link(2, ETHERNET, "eth0") + link(3, ETHERNET, "wlan0") + DONE
    hosts = [(2, "10.0.0.5"), (3, "192.168.1.9"), (2, "2001:db8::5"), (2, "10.0.1.5")]
    addresses = b"".join(address(*each) for each in hosts) + DONE
    assert interfaces_from(links, addresses) == (
        Interface(2, "eth0", ("10.0.0.5", "2001:db8::5", "10.0.1.5")),
        Interface(3, "wlan0", ("192.168.1.9",)),
    )


@pytest.mark.parametrize(
    "flags",
    [
        UP | LOOPBACK | MULTICAST,
        UP | POINT_TO_POINT | MULTICAST,
        UP | BROADCAST,
        BROADCAST | MULTICAST,
    ],
)
def test_loopback_tunnels_and_what_is_down_are_no_local_networks(flags: int) -> None:
    """Nobody is on a loopback interface but ourselves, and who is at a tunnel's other end is not local."""
    assert interfaces_from(link(2, flags, "x") + DONE, address(2, "10.0.0.5") + DONE) == ()


def test_link_local_ipv6_addresses_are_left_out() -> None:
    """They say nothing without their link; 169.254.0.0/16 is as good as any."""
    links = link(2, ETHERNET, "eth0") + link(3, ETHERNET, "eth1") + link(4, ETHERNET, "eth2") + DONE
    addresses = address(2, "fe80::1") + address(3, "169.254.7.7") + DONE
    assert interfaces_from(links, addresses) == (Interface(3, "eth1", ("169.254.7.7",)),)


def test_our_end_of_a_link_is_our_address() -> None:
    """Where both ends are told, IFA_LOCAL is ours (rtnetlink(7))."""
    body = struct.pack("=BBBBI", 2, 32, 0, 0, 2)
    body += attribute(ADDRESS, ip_address("10.0.0.1").packed) + attribute(LOCAL, ip_address("10.0.0.2").packed)
    assert interfaces_from(link(2, ETHERNET, "eth0"), message(20, body)) == (Interface(2, "eth0", ("10.0.0.2",)),)


def test_the_last_part_of_an_answer_says_so() -> None:
    """And a refusal is one."""
    assert not is_last(link(2, ETHERNET, "eth0"))
    assert is_last(link(2, ETHERNET, "eth0") + DONE)
    with pytest.raises(ValueError, match="does not tell"):
        is_last(message(2, struct.pack("=i", -1)))


@given(st.binary(max_size=80), st.sampled_from([b"", link(2, ETHERNET, "eth0"), address(2, "10.0.0.5")]))
def test_any_bytes_are_read_or_refused(noise: bytes, before: bytes) -> None:
    """The kernel is believed, not followed past the end."""
    for told in (before + noise, message(16, noise), message(20, noise)):
        with suppress(ValueError):
            is_last(told)
        with suppress(ValueError):
            interfaces_from(told, told)
