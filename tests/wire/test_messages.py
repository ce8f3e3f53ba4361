"""Peer messages: bytes to values and back."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import PeerFault
from anabranch.wire.messages import (
    HASH_SIZE,
    MAX_BLOCK,
    MAX_EXTENDED,
    MAX_HASHES,
    MAX_UNKNOWN,
    AllowedFast,
    Bitfield,
    Block,
    Cancel,
    Choke,
    Extended,
    Hashes,
    HashReject,
    HashRequest,
    Have,
    HaveAll,
    HaveNone,
    Interested,
    KeepAlive,
    Message,
    NotInterested,
    Port,
    Reject,
    Request,
    Suggest,
    Unchoke,
    check_length,
    decode,
    encode,
)

NUMBER = st.integers(0, 2**32 - 1)
ASKED = (st.binary(min_size=32, max_size=32), NUMBER, NUMBER, NUMBER, NUMBER)
ROOT = bytes(range(32))
MESSAGES = st.one_of(
    st.sampled_from(
        [KeepAlive(), Choke(), Unchoke(), Interested(), NotInterested(), HaveAll(), HaveNone()],
    ),
    st.builds(Have, NUMBER),
    st.builds(Suggest, NUMBER),
    st.builds(AllowedFast, NUMBER),
    st.builds(Bitfield, st.binary(max_size=40)),
    st.builds(Request, NUMBER, NUMBER, NUMBER),
    st.builds(Cancel, NUMBER, NUMBER, NUMBER),
    st.builds(Reject, NUMBER, NUMBER, NUMBER),
    st.builds(Block, NUMBER, NUMBER, st.binary(max_size=40)),
    st.builds(Port, st.integers(0, 65535)),
    st.builds(Extended, st.integers(0, 255), st.binary(max_size=40)),
    st.builds(HashRequest, *ASKED),
    st.builds(HashReject, *ASKED),
    st.builds(Hashes, *ASKED, st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(b"".join)),
)


@given(MESSAGES)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    """The length prefix counts what follows it; the frame behind it is the message again."""
    wire = encode(message)
    assert int.from_bytes(wire[:4]) == len(wire) - 4
    assert decode(wire[4:]) == message


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (KeepAlive(), "00000000"),
        (Choke(), "00000001 00"),
        (Unchoke(), "00000001 01"),
        (Interested(), "00000001 02"),
        (NotInterested(), "00000001 03"),
        (Have(7), "00000005 04 00000007"),
        (Bitfield(b"\x80"), "00000002 05 80"),
        (Request(1, 16384, 2), "0000000d 06 00000001 00004000 00000002"),
        (Block(1, 2, b"!"), "0000000a 07 00000001 00000002 21"),
        (Cancel(1, 2, 3), "0000000d 08 00000001 00000002 00000003"),
        (Port(6881), "00000003 09 1ae1"),
        (Suggest(7), "00000005 0d 00000007"),
        (HaveAll(), "00000001 0e"),
        (HaveNone(), "00000001 0f"),
        (Reject(1, 2, 3), "0000000d 10 00000001 00000002 00000003"),
        (AllowedFast(7), "00000005 11 00000007"),
        (Extended(3, b"d"), "00000003 14 03 64"),
        (HashRequest(ROOT, 1, 2, 3, 4), f"00000031 15 {ROOT.hex()} 00000001 00000002 00000003 00000004"),
        (Hashes(ROOT, 1, 2, 3, 4, ROOT), f"00000051 16 {ROOT.hex()} 00000001 00000002 00000003 00000004 {ROOT.hex()}"),
        (HashReject(ROOT, 1, 2, 3, 4), f"00000031 17 {ROOT.hex()} 00000001 00000002 00000003 00000004"),
    ],
)
def test_messages_have_the_bytes_of_the_beps(message: Message, wire: str) -> None:
    """BEP 3, 5, 6, 10 and 52, written out by hand."""
    assert encode(message) == bytes.fromhex(wire)


@given(st.binary(max_size=40))
def test_any_frame_is_read_or_blamed_on_the_peer(noise: bytes) -> None:
    """decode() has one error."""
    with suppress(PeerFault):
        decode(noise)


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, 6, 8, 9, 13, 14, 15, 16, 17, 21, 23])
def test_a_message_of_one_size_has_no_other(kind: int) -> None:
    """A body one byte too short or too long is a fault."""
    sizes = []
    for size in range(1, 60):
        with suppress(PeerFault):
            check_length(kind, size)
            sizes.append(size)
    assert len(sizes) == 1


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        (7, 9, 9 + MAX_BLOCK),
        (20, 2, 2 + MAX_EXTENDED),
        (22, 49, 49 + HASH_SIZE * MAX_HASHES),
        (24, 1, MAX_UNKNOWN),
        (200, 1, MAX_UNKNOWN),
    ],
)
def test_long_messages_end_somewhere(kind: int, least: int, most: int) -> None:
    """Blocks, hashes, extended and unknown messages have limits, known from their first five bytes."""
    check_length(kind, least)
    check_length(kind, most)
    for length in (least - 1, most + 1):
        with pytest.raises(PeerFault, match=f"message {kind}"):
            check_length(kind, length)


def test_hashes_are_whole() -> None:
    """32 bytes each, on the wire and in our own words; and a root is one, too."""
    wire = encode(Hashes(ROOT, 0, 0, 2, 0, ROOT * 2))
    with pytest.raises(PeerFault, match="63 bytes"):
        decode(wire[4:-1])
    with pytest.raises(ValueError, match="63 bytes"):
        Hashes(ROOT, 0, 0, 2, 0, bytes(63))
    with pytest.raises(ValueError, match="hashes of 32"):
        Hashes(ROOT, 0, 0, 2, 0, bytes(32 * (MAX_HASHES + 1)))
    for made in (HashRequest, HashReject):
        with pytest.raises(ValueError, match="31"):
            made(ROOT[1:], 0, 0, 2, 0)
