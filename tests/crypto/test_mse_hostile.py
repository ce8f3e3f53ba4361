"""The encryption handshake with peers who break it: each is blamed, and soon."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.crypto import stream
from anabranch.crypto.dh import KEY_LENGTH, PRIME, PublicKey, public_key, shared_secret
from anabranch.crypto.mse import Ciphers, Mse
from anabranch.model import PeerFault
from crypto.handshakes import (
    BOTH,
    GREETING,
    HASH,
    OUR_PRIVATE,
    THEIR_PRIVATE,
    Stranger,
    accepted,
    cuts,
    dialed,
    hashed,
    tell,
)

OFFER = bytes(8) + b"\0\0\0\3"


def answered(caller: Mse, reply: bytes) -> None:
    """What a called peer says that knows the secret, encrypted."""
    secret = shared_secret(THEIR_PRIVATE, PublicKey(caller.outgoing()[:KEY_LENGTH]))
    caller.receive(public_key(THEIR_PRIVATE), 0.0)
    caller.receive(stream(hashed(b"keyB", secret, HASH)).copy(reply), 0.0)


@given(st.binary(max_size=900), cuts, st.booleans())
def test_any_bytes_are_taken_or_blamed_on_the_peer(noise: bytes, cuts: list[int], behind_a_key: bool) -> None:
    """Both sides have one error for it, and have told no more than key and pad to such a peer."""
    for talk, pad in ((dialed(), 30), (accepted(), 40)):
        with suppress(PeerFault):
            tell(talk, public_key(OUR_PRIVATE) * behind_a_key + noise, cuts)
        assert not talk.complete
        if talk.info_hash is None:
            assert len(talk.outgoing()) in (0, KEY_LENGTH + pad)


@pytest.mark.parametrize(("make", "most"), [(dialed, 96 + 512 + 8), (accepted, 96 + 512 + 20)])
def test_garbage_is_refused_within_what_a_pad_may_take(make: Callable[[], Mse], most: int) -> None:
    """96 bytes of key, 512 of pad, and the mark behind: the last byte that may come is the end."""
    talk = make()
    tell(talk, b"g" * (most - 1), list(range(most)))
    with pytest.raises(PeerFault, match="behind the peer's key"):
        talk.receive(b"g", 0.0)


@pytest.mark.parametrize("number", [0, 1, PRIME - 1, PRIME])
def test_a_key_that_makes_no_secret_is_refused_before_it_costs_anything(number: int) -> None:
    """And is not even answered."""
    called = accepted()
    for talk in (dialed(), called):
        with pytest.raises(PeerFault, match="makes no secret"):
            talk.receive(number.to_bytes(KEY_LENGTH, "big"), 0.0)
    assert called.outgoing() == b""


def test_a_torrent_that_we_do_not_have_is_refused() -> None:
    """The answer would tell that we speak the protocol."""
    called = accepted()
    with pytest.raises(PeerFault, match="torrent that we do not have"):
        Stranger(called).start(b"x" * 20)
    assert called.outgoing() == b""


@pytest.mark.parametrize(
    ("offer", "reason"),
    [
        (b"\0\0\0\0\0\0\0\1\0\0\0\3\0\0", "does not decrypt"),
        (OFFER + b"\x02\x01", "pad of 513 bytes"),
        (OFFER + b"\xff\xff", "pad of 65535 bytes"),
        (bytes(8) + b"\0\0\0\0" + b"\0\0", "do not want"),
        (bytes(8) + b"\0\0\0\1" + b"\0\0", "do not want"),
        (bytes(8) + b"\xff\xff\xff\xfc" + b"\0\0", "do not want"),
    ],
)
def test_a_wrong_offer_is_refused_as_soon_as_it_is_read(offer: bytes, reason: str) -> None:
    """No pad or first bytes are waited for, and no answer is given. We want RC4 here."""
    called = accepted()
    stranger = Stranger(called)
    stranger.start()
    with pytest.raises(PeerFault, match=reason):
        stranger.say(offer)
    assert called.outgoing() == b""


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        (b"\0\0\0\1\0\0", "peer chose"),
        (b"\0\0\0\3\0\0", "peer chose"),
        (b"\0\0\0\0\0\0", "peer chose"),
        (b"\0\0\0\4\0\0", "peer chose"),
        (b"\0\0\0\2\x02\x01", "pad of 513 bytes"),
    ],
)
def test_a_wrong_choice_is_refused(choice: bytes, reason: str) -> None:
    """It must be one of those offered: RC4 here."""
    with pytest.raises(PeerFault, match=reason):
        answered(dialed(provide=Ciphers.RC4), bytes(8) + choice)


def test_an_offer_of_both_takes_no_answer_of_both() -> None:
    """Nobody would know what follows."""
    with pytest.raises(PeerFault, match="peer chose"):
        answered(dialed(provide=BOTH), bytes(8) + b"\0\0\0\3\0\0")


@given(st.binary(max_size=120), cuts)
def test_any_offer_by_who_knows_the_torrent_is_taken_or_blamed(noise: bytes, cuts: list[int]) -> None:
    """What comes decrypted is believed no more than the rest."""
    called = accepted()
    stranger = Stranger(called)
    stranger.start()
    with suppress(PeerFault):
        stranger.say(OFFER + noise)
    assert len(called.initial) <= len(noise)


def test_a_called_peer_that_answers_in_clear_is_refused() -> None:
    """It knows no encryption, and takes our key for garbage; a reply of that kind holds no choice."""
    caller = dialed()
    with pytest.raises(PeerFault, match="no choice"):
        caller.receive(GREETING * 12, 0.0)
