"""Metadata messages."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import PeerFault
from anabranch.wire.metadata import (
    METADATA_PIECE,
    MetadataData,
    MetadataMessage,
    MetadataReject,
    MetadataRequest,
    metadata_pieces,
    metadata_slice,
    read_metadata,
    write_metadata,
)

NUMBERS = st.integers(0, 2**31 - 1)
MESSAGES = st.one_of(
    st.builds(MetadataRequest, NUMBERS),
    st.builds(MetadataReject, NUMBERS),
    st.builds(MetadataData, NUMBERS, st.integers(1, 2**31 - 1), st.binary(max_size=50)),
)


@given(MESSAGES)
def test_what_is_written_is_read(message: MetadataMessage) -> None:
    """All three kinds."""
    assert read_metadata(write_metadata(message)) == message


def test_messages_have_the_bytes_of_the_bep() -> None:
    """BEP 9's own examples."""
    assert write_metadata(MetadataRequest(0)) == b"d8:msg_typei0e5:piecei0ee"
    assert write_metadata(MetadataData(0, 34256, b"xx")) == b"d8:msg_typei1e5:piecei0e10:total_sizei34256eexx"
    assert write_metadata(MetadataReject(0)) == b"d8:msg_typei2e5:piecei0ee"


@given(st.binary(max_size=60) | st.binary(max_size=30).map(lambda tail: b"d8:msg_typei1e5:piecei" + tail))
def test_any_bytes_are_read_or_blamed_on_the_peer(noise: bytes) -> None:
    """read_metadata() has one error."""
    with suppress(PeerFault):
        read_metadata(noise)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"i0e",
        b"d8:msg_typei0ee",  # no piece
        b"d5:piecei0ee",  # no kind
        b"d8:msg_type1:05:piecei0ee",
        b"d8:msg_typei0e5:piecei-1ee",
        b"d8:msg_typei0e5:piecei2147483648ee",
        b"d8:msg_typei1e5:piecei0ee",  # no size
        b"d8:msg_typei1e5:piecei0e10:total_sizei0eex",
        b"d8:msg_typei1e5:piecei0e10:total_sizei99999ee" + bytes(METADATA_PIECE + 1),
        b"l" * 200_000,
    ],
)
def test_what_cannot_be_used_is_a_fault(payload: bytes) -> None:
    """Numbers missing or out of range, too much data, and depth without end."""
    with pytest.raises(PeerFault, match="ut_metadata"):
        read_metadata(payload)


def test_what_nobody_told_us_of_is_skipped() -> None:
    """A kind that BEP 9 does not know, keys, their order, and bytes behind a request."""
    assert read_metadata(b"d8:msg_typei3e5:piecei0ee") is None
    assert read_metadata(b"d5:piecei7e8:msg_typei0e1:zleeJUNK") == MetadataRequest(7)


def test_an_info_dictionary_is_given_in_pieces() -> None:
    """The last one may be short; one that is not there is rejected."""
    info = bytes(range(256)) * 130
    assert metadata_pieces(len(info)) == 3
    parts = [metadata_slice(info, piece) for piece in range(3)]
    assert b"".join(part.payload for part in parts if isinstance(part, MetadataData)) == info
    assert metadata_slice(info, 2) == MetadataData(2, len(info), info[2 * METADATA_PIECE :])
    assert metadata_slice(info, 3) == MetadataReject(3)
    assert metadata_slice(b"", 0) == MetadataReject(0)
