"""The extension protocol's handshake."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import decode, encode
from anabranch.model import PeerFault
from anabranch.wire.extensions import (
    DontHave,
    ExtendedHandshake,
    ExtendedMessage,
    Extensions,
    OurExtensions,
    dont_have_payload,
)

OURS = OurExtensions(names={"ut_metadata": 1, "ut_pex": 3}, version="anabranch 1", reqq=1024)


def test_the_least_handshake_names_extensions_version_and_queue() -> None:
    """What is not known is left out; lt_donthave is always among the names."""
    assert decode(OURS.payload()) == {
        b"m": {b"lt_donthave": 7, b"ut_metadata": 1, b"ut_pex": 3},
        b"v": b"anabranch 1",
        b"reqq": 1024,
    }


def test_who_does_not_say_its_program_has_no_v() -> None:
    """An empty one would tell that somebody hides."""
    assert decode(replace(OURS, version="").payload()) == {
        b"m": {b"lt_donthave": 7, b"ut_metadata": 1, b"ut_pex": 3},
        b"reqq": 1024,
    }


def test_a_full_handshake_says_the_rest() -> None:
    """BEP 9, 10, 21 and 24, and the field "e" of MSE clients."""
    ours = OurExtensions(
        names={},
        version="v",
        reqq=1,
        port=6881,
        yourip=bytes(4),
        upload_only=True,
        ipv4=b"1234",
        ipv6=bytes(16),
        metadata_size=99,
        prefer_encryption=False,
    )
    said = decode(ours.payload())
    assert isinstance(said, dict)
    assert {key: said[key] for key in said if key not in (b"m", b"v", b"reqq")} == {
        b"p": 6881,
        b"yourip": bytes(4),
        b"upload_only": 1,
        b"ipv4": b"1234",
        b"ipv6": bytes(16),
        b"metadata_size": 99,
        b"e": 0,
    }
    heard = ExtendedHandshake().updated(ours.payload())
    assert (heard.port, heard.yourip, heard.upload_only, heard.metadata_size) == (6881, "0.0.0.0", True, 99)


@pytest.mark.parametrize("number", [0, 256, 7])
def test_our_numbers_are_distinct_and_of_one_byte(number: int) -> None:
    """7 is lt_donthave's."""
    with pytest.raises(ValueError, match="number of their own"):
        OurExtensions(names={"ut_pex": number}, version="", reqq=1)


def test_a_later_handshake_updates_and_0_switches_off() -> None:
    """BEP 10: each may change what it names."""
    first = ExtendedHandshake().updated(encode({"m": {"a": 1, "b": 2}, "v": "X", "reqq": 5, "upload_only": 1}))
    second = first.updated(encode({"m": {"a": 0, "c": 3}, "upload_only": 0}))
    assert second.ids == {"b": 2, "c": 3}
    assert (second.version, second.reqq, second.upload_only) == ("X", 5, False)


def test_fields_of_a_wrong_type_are_as_good_as_absent() -> None:
    """One bad field does not spoil the others."""
    heard = ExtendedHandshake().updated(
        encode({"m": {"a": "x", "b": 300, "c": -1, "d": 4, "e": [1]}, "v": 5, "reqq": -1, "p": 70000, "yourip": b"123"})
        + b"and bytes behind it"
    )
    assert heard == ExtendedHandshake(ids={"d": 4})


def test_yourip_is_an_address_of_either_kind() -> None:
    """BEP 10: 4 or 16 bytes; IPv4 in IPv6 clothes is shown as IPv4."""
    assert ExtendedHandshake().updated(encode({"yourip": bytes([10, 0, 0, 1])})).yourip == "10.0.0.1"
    assert ExtendedHandshake().updated(encode({"yourip": bytes(15) + b"\1"})).yourip == "::1"
    mapped = bytes(10) + b"\xff\xff" + bytes([10, 0, 0, 1])
    assert ExtendedHandshake().updated(encode({"yourip": mapped})).yourip == "10.0.0.1"


def test_a_peer_cannot_make_us_remember_without_end() -> None:
    """Names and the version are cut, a deep or long dictionary is a fault."""
    many = {f"extension {number}": 1 for number in range(1000)} | {"x" * 1000: 1}
    heard = ExtendedHandshake().updated(encode({"m": many, "v": "v" * 1000}))
    assert len(heard.ids) == 64
    assert len(heard.version) == 128
    with pytest.raises(PeerFault):
        ExtendedHandshake().updated(b"l" * 10000 + b"e" * 10000)


@given(
    st.binary(max_size=60)
    | st.recursive(st.integers(-99, 99) | st.binary(max_size=5), st.lists).map(lambda v: encode([v]))
)
def test_any_payload_is_read_or_blamed_on_the_peer(noise: bytes) -> None:
    """updated() has one error."""
    with suppress(PeerFault):
        ExtendedHandshake().updated(noise)


VALUES = st.integers(-(2**64), 2**64) | st.binary(max_size=17)


@given(
    st.dictionaries(
        st.sampled_from([b"m", b"v", b"reqq", b"p", b"yourip", b"upload_only", b"metadata_size"]),
        VALUES | st.lists(VALUES, max_size=2) | st.dictionaries(st.binary(max_size=3), VALUES, max_size=3),
    )
)
def test_any_dictionary_is_read(said: dict[bytes, int | bytes]) -> None:
    """Well-formed bencode is never a fault, whatever the fields hold."""
    heard = ExtendedHandshake().updated(encode(said))
    assert heard.port is None or 0 < heard.port < 65536


def test_messages_are_known_by_the_numbers_we_gave() -> None:
    """What we did not name, or did not name yet, is skipped."""
    talk = Extensions(enabled=True)
    assert talk.read(3, b"early") is None
    talk.introduce(OURS)
    assert talk.read(3, b"pex") == ExtendedMessage("ut_pex", b"pex")
    assert talk.read(7, dont_have_payload(5)) == DontHave(5)
    assert talk.read(9, b"?") is None
    with pytest.raises(PeerFault, match="lt_donthave"):
        talk.read(7, b"12345")


def test_the_peer_is_called_by_its_own_numbers() -> None:
    """None until it gave one, and none without the protocol."""
    talk = Extensions(enabled=True)
    assert talk.their_id("ut_pex") is None
    talk.read(0, encode({"m": {"ut_pex": 40}}))
    assert talk.their_id("ut_pex") == 40
    mute = Extensions(enabled=False)
    assert mute.read(0, encode({"m": {"ut_pex": 40}})) is None
    assert mute.their_id("ut_pex") is None
