"""Where nobody can be dialed, and who counts as one caller."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Address
from anabranch.net import neighbourhood, network, pack_host, why_not_dialed


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("239.192.152.143", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("ff02::1", "multicast"),
        ("ff15::efc0:988f", "multicast"),
        ("fe80::1", "link-local"),
        ("febf::1", "link-local"),
        ("::ffff:224.0.0.1", "multicast"),
        ("tracker.example", "no IP address"),
    ],
)
def test_addresses_where_nobody_can_be_are_never_dialed(host: str, reason: str) -> None:
    """With the reason in words."""
    assert reason in why_not_dialed(Address(host, 6881))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.1.2.3", "169.254.1.1", "192.0.2.1", "223.255.255.255", "240.0.0.1", "::1", "2001:db8::1"]
)
def test_everybody_else_may_be_dialed(host: str) -> None:
    """Private networks and this machine, too; and an IPv4 link-local address needs no interface named."""
    assert why_not_dialed(Address(host, 1)) == ""
    assert why_not_dialed(Address(host, 65535)) == ""


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_port_0_is_no_port(port: int) -> None:
    """Peers that do not listen tell it all the same."""
    assert why_not_dialed(Address("192.0.2.1", port)) == f"no port: {port}"


def test_an_ipv4_address_is_one_caller_and_so_is_an_ipv6_network() -> None:
    """Who has one IPv6 address has 2^64 of them."""
    assert neighbourhood("192.0.2.1") != neighbourhood("192.0.2.2")
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:1:2:3")
    assert neighbourhood("2001:db8::1") != neighbourhood("2001:db8:0:1::1")


@given(st.ip_addresses(), st.integers(-10, 70000))
def test_any_address_is_judged(ip: object, port: int) -> None:
    """Whatever a stranger tells."""
    host = str(ip).partition("%")[0]
    assert neighbourhood(host)
    assert isinstance(why_not_dialed(Address(host, port)), str)


@pytest.mark.parametrize("host", ["8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "192.167.0.1", "2001:db8::8"])
def test_a_network_of_strangers_counts_as_one(host: str) -> None:
    """A /24 of public addresses, a /64 of IPv6."""
    assert network(host) == network(host[:-1] + "9")
    assert network(host) != network("8.8.9.8")


@pytest.mark.parametrize(
    "host", ["10.1.2.3", "127.0.0.1", "172.16.0.1", "172.31.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1"]
)
def test_in_a_private_network_each_address_counts_for_itself(host: str) -> None:
    """And on the machine itself."""
    assert network(host) != network(host[:-1] + "9")


@given(st.ip_addresses().map(str))
def test_an_address_has_the_bytes_that_the_standard_library_gives_it(host: str) -> None:
    """It is read faster, that is all."""
    assert pack_host(host) == ip_address(host).packed


@given(st.one_of(st.text(), st.text("0123456789.:"), st.ip_addresses(v=4).map(lambda ip: f"0{ip}")))
def test_what_is_no_address_is_of_no_network(noise: str) -> None:
    """Neither a host name nor half an address, nor one with zeros in front: some read those as octal numbers."""
    try:
        ip_address(noise)
    except ValueError:
        for read in (network, pack_host):
            with pytest.raises(ValueError, match=r"."):
                read(noise)
