"""Who we say we are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import InputRefused
from anabranch.net import Identity


def test_by_default_every_name_is_deluge_2_1_1() -> None:
    """Trackers compare them: they belong to one client and one version."""
    us = Identity()
    assert us.peer_id(bytes(12)).startswith(b"-DE211s-")
    assert us.user_agent == "Deluge/2.1.1 libtorrent/1.2.19.0"
    assert us.extended_version == us.upnp_description == "Deluge 2.1.1"


@given(st.binary(min_size=12, max_size=12))
def test_a_peer_id_has_20_bytes_that_need_no_escape(random: bytes) -> None:
    """BEP 3: 20 bytes. Some trackers mishandle escapes, so that clients draw from what needs none."""
    peer_id = Identity().peer_id(random)
    assert len(peer_id) == 20
    assert all(chr(byte).isalnum() or byte in b"-_.!~*()" for byte in peer_id)


def test_a_peer_id_takes_exactly_12_random_bytes() -> None:
    """Fewer would make clients meet under one name."""
    with pytest.raises(ValueError, match="12 random bytes"):
        Identity().peer_id(b"few")


@pytest.mark.parametrize("prefix", [b"", b"-DE211s", b"-DE211s--", b"-DE211\n-", b"-DE211\xff-"])
def test_a_prefix_has_8_printable_bytes(prefix: bytes) -> None:
    """BEP 20's form; with 12 random bytes it makes 20."""
    with pytest.raises(InputRefused, match="8 printable bytes"):
        Identity(peer_id_prefix=prefix)


@pytest.mark.parametrize("text", ["", "Deluge\r\nCookie: x", "Dëluge"])
def test_no_text_can_break_out_of_a_header(text: str) -> None:
    """The user agent is a header line; an empty one is not what a client sends."""
    with pytest.raises(InputRefused, match="user_agent"):
        Identity(user_agent=text)
    with pytest.raises(InputRefused, match="extended_version"):
        Identity(extended_version=text)
