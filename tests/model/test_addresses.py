"""Addresses as people write them and as they are compared."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Address, InputRefused, canonical_host, split_host_port


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_address_reads_back_as_it_prints(host: object, port: int) -> None:
    """IPv6 in brackets, in its shortest spelling."""
    address = Address(canonical_host(str(host)), port)
    assert split_host_port(str(address)) == tuple(address)


def test_one_host_has_one_spelling() -> None:
    """What is compared and banned must not depend on who spelled it."""
    assert canonical_host("2001:0DB8:0:0::1") == canonical_host("2001:db8::1") == "2001:db8::1"
    assert canonical_host("::ffff:10.0.0.1") == "10.0.0.1"
    assert canonical_host("fe80::1%eth0") == "fe80::1"
    assert not Address("10.0.0.1", 1).is_v6
    assert Address("::1", 1).is_v6


@pytest.mark.parametrize(
    "text", ["", "host", ":1", "host:", "host:0", "host:65536", "host:x", "::1:5", "host:²", "[]:4"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """With the text, so that the user sees which."""
    with pytest.raises(InputRefused):
        split_host_port(text)


def test_a_host_may_still_be_a_name() -> None:
    """Names are resolved later."""
    assert split_host_port("tracker.example:6881") == ("tracker.example", 6881)


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    """InputRefused and nothing else; for hosts ValueError."""
    with suppress(InputRefused):
        split_host_port(text)
    with suppress(ValueError):
        ip_address(canonical_host(text))
