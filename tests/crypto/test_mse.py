"""The encryption handshake, our two sides against each other; those who mean harm are in test_mse_hostile.py."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.crypto.dh import public_key
from anabranch.crypto.mse import Ciphers, Mse, looks_plain
from anabranch.model import Misused, PeerFault
from anabranch.wire import ByteTransform
from crypto.handshakes import (
    BOTH,
    GREETING,
    HASH,
    OTHER,
    OUR_PRIVATE,
    THEIR_PRIVATE,
    Stranger,
    accepted,
    cuts,
    dialed,
    met,
    pads,
    tell,
)


@given(pads, pads, cuts, st.sampled_from([b"", b"\x13", GREETING, bytes(65535)]), st.sampled_from(list(Ciphers)))
def test_two_sides_agree_however_long_the_pads_and_however_cut(
    ours: tuple[bytes, bytes], theirs: tuple[bytes, bytes], cuts: list[int], initial: bytes, choice: Ciphers
) -> None:
    """Pads of 0 to 512 bytes, all at once or in parts, with first bytes or without, RC4 or in clear."""
    caller, called = dialed(initial, padding=ours), accepted(lambda _: choice, padding=theirs)
    met(caller, called, cuts)
    assert caller.complete
    assert called.complete
    assert caller.selected == called.selected == choice
    assert caller.info_hash == called.info_hash == HASH
    assert called.initial == initial
    assert caller.initial == caller.rest == called.rest == b""
    assert (caller.transform is None) == (called.transform is None) == (choice == Ciphers.PLAIN)


@pytest.mark.parametrize("choice", list(Ciphers))
def test_byte_by_byte_is_as_good_as_all_at_once(choice: Ciphers) -> None:
    """The largest pads, with what follows the handshake in the same stream."""
    pad = b"x" * 512
    caller, called = dialed(padding=(pad, pad)), accepted(lambda _: choice, padding=(pad, pad))
    every = list(range(2000))
    tell(called, caller.outgoing(), every)
    tell(caller, called.outgoing(), every)
    tell(called, caller.outgoing(), every)
    behind = called.transform.outgoing(b"and on") if called.transform else b"and on"
    tell(caller, called.outgoing() + behind, every)
    assert (caller.rest, called.initial) == (b"and on", GREETING)


@given(cuts, st.sampled_from(list(Ciphers)), st.binary(min_size=1, max_size=300), st.binary(min_size=1, max_size=300))
def test_what_comes_behind_the_handshake_is_kept_in_clear(
    cuts: list[int], choice: Ciphers, asked: bytes, answered: bytes
) -> None:
    """In the same packet or later: *rest* has it decrypted, and the transform goes on where that ends."""
    caller, called = dialed(), accepted(lambda _: choice)
    tell(called, caller.outgoing())
    tell(caller, called.outgoing())
    tell(called, caller.outgoing())

    def hidden(talk: Mse, text: bytes) -> bytes:
        return talk.transform.outgoing(text) if talk.transform else text

    tell(caller, called.outgoing() + hidden(called, answered), cuts)
    tell(called, hidden(caller, asked), cuts)
    assert (caller.rest, called.rest) == (answered, asked)
    if choice == Ciphers.RC4:
        ours: ByteTransform | None = caller.transform
        theirs: ByteTransform | None = called.transform
        assert ours is not None
        assert theirs is not None
        memory = bytearray(ours.outgoing(b"a message"))
        assert memory != b"a message"
        theirs.incoming(memoryview(memory))
        assert memory == b"a message"
        ours.outgoing_block(memoryview(memory))
        assert memory != b"a message"
        theirs.incoming(memoryview(memory))
        assert memory == b"a message"


def test_a_caller_of_rc4_only_may_go_on_before_it_is_answered() -> None:
    """It knows what the choice will be: what follows its first bytes is the conversation."""
    called = accepted()
    stranger = Stranger(called)
    stranger.start()
    stranger.say(bytes(8) + b"\0\0\0\2" + b"\0\0" + b"\0\x02" + b"IA" + b"behind")
    assert (called.initial, called.rest) == (b"IA", b"behind")


def test_nobody_says_more_than_key_and_pad_before_the_other_has_told_its_key() -> None:
    """A caller's first bytes wait for the secret; the called says nothing at all before."""
    caller, called = dialed(), accepted()
    assert called.outgoing() == b""
    first = caller.outgoing()
    assert first == public_key(OUR_PRIVATE) + b"a" * 30
    called.receive(first[:95], 0.0)
    assert called.outgoing() == b""
    called.receive(first[95:], 0.0)
    answer = called.outgoing()
    assert answer == public_key(THEIR_PRIVATE) + b"b" * 40
    caller.receive(answer[:95], 0.0)
    assert caller.outgoing() == b""
    caller.receive(answer[95:], 0.0)
    called.receive(caller.outgoing(), 0.0)
    caller.receive(called.outgoing(), 0.0)
    assert (caller.complete, called.complete) == (True, True)
    assert caller.outgoing() + called.outgoing() == b""


@pytest.mark.parametrize("choice", list(Ciphers))
def test_neither_torrent_nor_protocol_is_seen_on_the_wire(choice: Ciphers) -> None:
    """The handshake is always encrypted, also where what follows is in clear."""
    wire = met(dialed(), accepted(lambda _: choice))
    assert bytes(HASH) not in wire
    assert b"BitTorrent" not in wire


def test_the_called_is_shown_what_was_offered_and_finds_the_torrent_among_all() -> None:
    """Bits that we do not know are not shown."""
    shown: list[Ciphers] = []

    def choose(offer: Ciphers) -> Ciphers:
        shown.append(offer)
        return Ciphers.PLAIN

    called = accepted(choose)
    stranger = Stranger(called, OTHER)
    stranger.start(OTHER)
    assert called.info_hash == OTHER
    stranger.say(bytes(8) + b"\xff\xff\xff\xfd" + bytes(2) + bytes(2))
    assert shown == [Ciphers.PLAIN]
    assert called.selected == Ciphers.PLAIN


def test_a_handshake_has_a_deadline_until_it_is_complete() -> None:
    """A peer that says half of it is not waited for."""
    caller, called = dialed(now=10.0), accepted(now=10.0)
    assert caller.deadline() == called.deadline() == 14.0
    for talk in (caller, called):
        talk.tick(13.9)
        with pytest.raises(PeerFault, match="in time"):
            talk.tick(14.0)
    met(caller, called)
    assert caller.deadline() == called.deadline() == math.inf
    caller.tick(99.0)


def test_what_we_are_given_wrong_is_our_own_fault() -> None:
    """Nothing of it blames a peer."""
    for wrong in ({"padding": (bytes(513), b"")}, {"padding": (b"", bytes(513))}, {"initial": bytes(65536)}):
        with pytest.raises(ValueError, match=r"pads of|initial bytes"):
            dialed(**wrong)
    with pytest.raises(ValueError, match="offer of"):
        dialed(provide=Ciphers(0))
    with pytest.raises(ValueError, match="pads of"):
        accepted(padding=(bytes(513), b""))
    for make in (dialed, accepted):
        with pytest.raises(ValueError, match="20 bytes"):
            make(private=bytes(20))


@pytest.mark.parametrize("choice", [BOTH, Ciphers.PLAIN])
def test_the_owner_chooses_one_of_what_it_was_shown(choice: Ciphers) -> None:
    """Anything else is our own mistake."""
    with pytest.raises(Misused, match="chosen"):
        met(dialed(provide=Ciphers.RC4), accepted(lambda _: choice))


@pytest.mark.parametrize("length", range(len(GREETING)))
def test_a_handshake_in_clear_is_known_by_its_first_20_bytes(length: int) -> None:
    """Anything else is taken for a key: it is one byte in 2^160 that would be mistaken."""
    assert looks_plain(GREETING[:length]) is (True if length >= 20 else None)
    if length:
        assert looks_plain(GREETING[: length - 1] + b"\xff") is (length > 20)
