"""The first 68 bytes."""

from __future__ import annotations

import math
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import InfoHash, Misused, PeerFault
from anabranch.wire.handshake import HANDSHAKE_LENGTH, Greeting, Handshake

HASH = InfoHash(bytes(range(20)))
OTHER = InfoHash(bytes(20))
OURS = Handshake.ours(HASH, b"-AB0001-aaaaaaaaaaaa")
THEIRS = Handshake.ours(HASH, b"-XX0001-bbbbbbbbbbbb", dht=True)


def test_a_handshake_is_68_bytes_in_the_order_of_bep_3() -> None:
    """Protocol, reserved bits, info hash, peer id."""
    wire = THEIRS.encode()
    assert wire[:20] == b"\x13BitTorrent protocol"
    assert wire[20:28] == bytes([0, 0, 0, 0, 0, 0x10, 0, 0x05])
    assert wire[28:48] == HASH
    assert wire[48:] == b"-XX0001-bbbbbbbbbbbb"
    assert Handshake.decode(wire) == THEIRS


def test_the_reserved_bits_say_what_the_speaker_knows() -> None:
    """BEP 5, 6, 10 and 52 have a bit each."""
    assert (OURS.fast, OURS.extended, OURS.dht, OURS.v2) == (True, True, False, False)
    assert THEIRS.dht
    assert Handshake(bytes([0, 0, 0, 0, 0, 0, 0, 0x10]), HASH, bytes(20)).v2
    assert not Handshake(bytes(8), HASH, bytes(20)).extended
    assert Handshake.ours(HASH, bytes(20), dht=True, v2=True).reserved == bytes([0, 0, 0, 0, 0, 0x10, 0, 0x15])


def test_a_handshake_cannot_exist_wrong() -> None:
    """Eight reserved bytes, twenty of peer id."""
    with pytest.raises(ValueError, match="reserved"):
        Handshake(bytes(7), HASH, bytes(20))
    with pytest.raises(ValueError, match="peer id of 19"):
        Handshake(bytes(8), HASH, bytes(19))


@given(st.binary(max_size=80) | st.binary(min_size=48, max_size=48).map(lambda tail: OURS.encode()[:20] + tail))
def test_any_handshake_is_read_or_blamed_on_the_peer(noise: bytes) -> None:
    """decode() has one error."""
    with suppress(PeerFault):
        assert Handshake.decode(noise).encode() == noise


@given(st.lists(st.integers(0, 90), max_size=6), st.binary(max_size=20))
def test_two_greetings_understand_each_other_however_cut(cuts: list[int], behind: bytes) -> None:
    """The caller speaks first, the called answers when it knows the torrent, the rest is kept for later."""
    caller, called = Greeting.dialed(OURS, 0.0, 4.0), Greeting.accepted(0.0, 4.0)
    assert called.outgoing() == b""
    wire = caller.outgoing() + behind
    assert caller.outgoing() == b""
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    for start, end in pairwise(edges):
        called.receive(wire[start:end], 1.0)
        assert (called.info_hash is not None) == (end >= 48)
        assert (called.theirs is not None) == (end >= HANDSHAKE_LENGTH)
    assert called.info_hash == HASH
    assert not called.complete
    called.answer(THEIRS)
    assert called.complete
    assert called.theirs == OURS
    assert called.rest == behind
    caller.receive(called.outgoing(), 1.0)
    assert caller.complete
    assert caller.theirs == THEIRS


def test_the_called_may_answer_before_the_peer_id_has_come() -> None:
    """48 bytes name the torrent."""
    greeting = Greeting.accepted(0.0, 4.0)
    greeting.receive(OURS.encode()[:48], 0.0)
    greeting.answer(THEIRS)
    assert greeting.outgoing() == THEIRS.encode()
    assert not greeting.complete
    greeting.receive(OURS.encode()[48:], 0.0)
    assert greeting.complete


def test_an_answer_is_given_once_and_about_the_named_torrent() -> None:
    """Anything else is our own mistake."""
    greeting = Greeting.accepted(0.0, 4.0)
    with pytest.raises(Misused):
        greeting.answer(THEIRS)
    greeting.receive(OURS.encode(), 0.0)
    with pytest.raises(Misused):
        greeting.answer(Handshake.ours(OTHER, bytes(20)))
    greeting.answer(THEIRS)
    with pytest.raises(Misused):
        greeting.answer(THEIRS)


def test_another_protocol_is_known_by_its_first_wrong_byte() -> None:
    """An HTTP client is not waited for."""
    greeting = Greeting.accepted(0.0, 4.0)
    with pytest.raises(PeerFault, match="not the BitTorrent protocol"):
        greeting.receive(b"G", 0.0)


def test_a_called_peer_must_speak_about_our_torrent() -> None:
    """The fault comes with the hash, before the peer id."""
    greeting = Greeting.dialed(OURS, 0.0, 4.0)
    with pytest.raises(PeerFault, match="called about"):
        greeting.receive(Handshake.ours(OTHER, bytes(20)).encode()[:48], 0.0)


def test_a_peer_may_answer_by_another_hash_of_the_torrent() -> None:
    """BEP 52: one called by the v1 hash of a hybrid may go on in v2."""
    caller = Greeting.dialed(OURS, 0.0, 4.0, also={OTHER})
    called = Greeting.accepted(0.0, 4.0)
    called.receive(caller.outgoing(), 0.0)
    assert called.info_hash == HASH
    upgraded = Handshake.ours(OTHER, bytes(20), v2=True)
    with pytest.raises(Misused):
        called.answer(upgraded)
    called.answer(upgraded, also={HASH})
    caller.receive(called.outgoing(), 0.0)
    assert caller.complete
    assert caller.info_hash == OTHER
    with pytest.raises(PeerFault, match="called about"):
        Greeting.dialed(OURS, 0.0, 4.0, also={OTHER}).receive(
            Handshake.ours(InfoHash(b"x" * 20), bytes(20)).encode(), 0.0
        )


def test_a_greeting_has_a_deadline_until_it_is_complete() -> None:
    """A peer that says half of it is not waited for either."""
    greeting = Greeting.dialed(OURS, 10.0, 4.0)
    assert greeting.deadline() == 14.0
    greeting.receive(THEIRS.encode()[:60], 13.0)
    greeting.tick(13.9)
    with pytest.raises(PeerFault, match="60 of 68"):
        greeting.tick(14.0)
    greeting.receive(THEIRS.encode()[60:], 14.0)
    assert greeting.deadline() == math.inf
    greeting.tick(99.0)
