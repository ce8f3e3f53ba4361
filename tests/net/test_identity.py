"""Who we say we are."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import VERSION, InputRefused
from anabranch.net import ANABRANCH, ANONYMOUS, DELUGE, IDENTITIES, RANDOM_BYTES, Identity, identity_named
from anabranch.net.identity import _own


def test_by_default_every_name_is_deluge_2_1_1() -> None:
    """W36: byte for byte what the Go engine's fork says; trackers compare them, so all are of one version."""
    assert (
        Identity()
        == DELUGE
        == Identity(b"-DE211s-", "Deluge/2.1.1 libtorrent/1.2.19.0", "Deluge 2.1.1", "Deluge 2.1.1")
    )
    assert DELUGE.peer_id(bytes(20)) == b"-DE211s-000000000000"


def test_our_own_names_are_of_this_version() -> None:
    """BEP 20: two letters and four digits, a place for each number of the version."""
    assert ANABRANCH.peer_id_prefix == b"-AB" + VERSION.replace(".", "").ljust(4, "0").encode() + b"-"
    assert ANABRANCH.user_agent == f"anabranch/{VERSION}"
    assert ANABRANCH.extended_version == ANABRANCH.upnp_description == f"anabranch {VERSION}"
    assert [_own(version).peer_id_prefix for version in ("0.1.0", "1.2.10", "1.2.3.4.5", "40.35.0")] == [
        b"-AB0100-",
        b"-AB12A0-",
        b"-AB1234-",
        b"-ABZZ00-",
    ]


def test_an_anonymous_client_names_no_program_of_ours() -> None:
    """No prefix, no version; and a User-Agent, since trackers turn away who has none, that libtorrent's hiders send."""
    drawn = bytes(range(RANDOM_BYTES))
    assert ANONYMOUS.peer_id(drawn) == b"0123456789ABCDEFGHIJ"
    assert (ANONYMOUS.extended_version, ANONYMOUS.user_agent) == ("", "curl/7.81.0")
    told = " ".join(str(getattr(ANONYMOUS, one.name)) for one in fields(ANONYMOUS)).lower()
    assert not [name for name in ("anabranch", "deluge", "torrent", VERSION) if name in told]


def test_a_profile_is_found_by_its_name() -> None:
    """And of others it is said which there are."""
    assert [identity_named(name) for name in IDENTITIES] == [DELUGE, ANABRANCH, ANONYMOUS]
    with pytest.raises(InputRefused, match="deluge, anabranch, anonymous or one of your own, not 'azureus'"):
        identity_named("azureus")


@given(st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES), st.sampled_from(list(IDENTITIES.values())))
def test_a_peer_id_has_20_bytes_that_need_no_escape(random: bytes, us: Identity) -> None:
    """BEP 3: 20 bytes. Some trackers mishandle escapes, so that clients draw from what needs none."""
    peer_id = us.peer_id(random)
    assert len(peer_id) == 20
    assert peer_id.startswith(us.peer_id_prefix)
    assert all(chr(byte).isalnum() or byte in b"-_.!~*()" for byte in peer_id)


def test_a_peer_id_takes_exactly_20_random_bytes() -> None:
    """Fewer would make clients meet under one name."""
    with pytest.raises(ValueError, match="20 random bytes"):
        Identity().peer_id(b"few")


@pytest.mark.parametrize("prefix", [b"-", b"-DE211s", b"-DE211s--", b"-DE211\n-", b"-DE211\xff-"])
def test_a_prefix_has_8_printable_bytes_or_none(prefix: bytes) -> None:
    """BEP 20's form; with 12 random bytes it makes 20."""
    with pytest.raises(InputRefused, match="8 printable bytes, or none"):
        Identity(peer_id_prefix=prefix)


@pytest.mark.parametrize("text", [" ", "Deluge ", "Deluge\r\nCookie: x", "Deluge\tx", "Dëluge"])
def test_no_text_can_break_out_of_a_header(text: str) -> None:
    """The user agent is a header line, of which spaces around it are no part."""
    with pytest.raises(InputRefused, match="user_agent"):
        Identity(user_agent=text)
    with pytest.raises(InputRefused, match="extended_version"):
        Identity(extended_version=text)


def test_texts_may_be_left_out() -> None:
    """Who wants to say nothing sends no header, and no `v`."""
    assert Identity(user_agent="", extended_version="", upnp_description="").user_agent == ""
