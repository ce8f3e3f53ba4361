"""Both sides' first words, ours against ours, cut anywhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.crypto import Ciphers, Mse, dh, obfuscated
from anabranch.engine.encryption import Encryption
from anabranch.engine.handshaking import Handshaking, Secret
from anabranch.model import InfoHash, PeerFault
from anabranch.wire import Handshake

V1, V2, OTHER = InfoHash(b"1" * 20), InfoHash(b"2" * 20), InfoHash(b"3" * 20)
HYBRID = frozenset({V1, V2})
KNOWN = {obfuscated(name): name for name in (V1, V2, OTHER)}
OUR_ID, THEIR_ID = b"-XX0000-caller------", b"-XX0000-called------"
PROTOCOL = b"BitTorrent protocol"
OFF, ALLOW, PREFER, REQUIRE = Encryption
REFUSED, CLEAR, HIDDEN, RC4 = "refused", "clear", "hidden handshake, then clear", "RC4"


def secret(seed: int, pads: int = 64) -> Secret:
    draw = Random(seed)
    return Secret(draw.randbytes(20), (draw.randbytes(pads), draw.randbytes(pads)))


def dialed(policy: Encryption = PREFER, *, hidden: bool = True, name: InfoHash = V1) -> Handshaking:
    ours = Handshake.ours(name, OUR_ID)
    return Handshaking.dialed(ours, HYBRID, policy, secret(1) if hidden else None, 0.0, 4.0)


def accepted(policy: Encryption = PREFER) -> Handshaking:
    return Handshaking.accepted(KNOWN.get, policy, lambda: secret(2), 0.0, 4.0)


class Line:
    """What goes from one to the other, in parts; and what went.

    Args:
        caller, called: The two.
        cut: How many of so many bytes come at once.
        answer_as: By which name the called answers; None for the one that it was called by.
    """

    def __init__(
        self,
        caller: Handshaking,
        called: Handshaking,
        cut: Callable[[int], int] = lambda size: size,
        answer_as: InfoHash | None = None,
    ) -> None:
        self.caller, self.called = caller, called
        self.wire = b""
        self._cut = cut
        self._answer_as = answer_as
        self._answered = False

    def talk(self) -> None:
        """Until neither has anything to say."""
        while (said := self.caller.outgoing()) + (heard := self.called.outgoing()):
            self.wire += said + heard
            self._bring(self.called, said)
            self._bring(self.caller, heard)

    def _bring(self, to: Handshaking, data: bytes) -> None:
        while data:
            count = self._cut(len(data))
            to.receive(data[:count], 1.0)
            data = data[count:]
            name = self.called.named
            if name is not None and not self._answered:
                self._answered = True
                self.called.answer(Handshake.ours(self._answer_as or name, THEIR_ID), HYBRID)


def outcome(dialer: Encryption, acceptor: Encryption, cut: Callable[[int], int]) -> str:
    """What becomes of a dial: every way is tried for as long as the other does not understand."""
    for hidden in dialer.ways:
        caller, called = dialed(dialer, hidden=hidden), accepted(acceptor)
        line = Line(caller, called, cut)
        try:
            line.talk()
        except PeerFault:
            assert not caller.answered
            continue
        assert caller.complete
        assert called.complete
        assert caller.theirs is not None
        assert called.theirs is not None
        assert (caller.theirs.peer_id, called.theirs.peer_id) == (THEIR_ID, OUR_ID)
        assert caller.obfuscated == called.obfuscated == hidden
        assert line.wire.startswith(b"\x13" + PROTOCOL) is not hidden
        assert (caller.transform is None) == (called.transform is None) == (PROTOCOL in line.wire)
        return RC4 if caller.transform is not None else HIDDEN if hidden else CLEAR
    return REFUSED


TABLE = {
    OFF: (CLEAR, CLEAR, CLEAR, REFUSED),
    ALLOW: (CLEAR, CLEAR, CLEAR, RC4),
    PREFER: (CLEAR, HIDDEN, HIDDEN, RC4),
    REQUIRE: (REFUSED, RC4, RC4, RC4),
}


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
@pytest.mark.parametrize("dialer", Encryption)
def test_two_of_us_find_what_both_want(dialer: Encryption, seed: int | None) -> None:
    """Each choice against each, wherever the network cuts; *None*: byte by byte."""
    draw = Random(seed)
    cut: Callable[[int], int] = (lambda _: 1) if seed is None else (lambda size: draw.randint(1, size))
    assert tuple(outcome(dialer, acceptor, cut) for acceptor in Encryption) == TABLE[dialer]


@pytest.mark.parametrize(("dialer", "hidden"), [(ALLOW, False), (PREFER, True), (REQUIRE, True)])
def test_what_comes_behind_a_handshake_is_not_lost(dialer: Encryption, hidden: bool) -> None:
    """Whoever is complete may go on at once: the first messages come along, and are read in clear."""
    caller, called = dialed(dialer, hidden=hidden), accepted()
    while not called.complete:
        called.receive(caller.outgoing(), 1.0)
        if called.named is not None:
            called.answer(Handshake.ours(called.named, THEIR_ID), HYBRID)
        else:
            caller.receive(called.outgoing(), 1.0)
    last = called.outgoing()
    messages = b"first messages"
    behind = called.transform.outgoing(messages) if called.transform is not None else messages
    caller.receive(last + behind, 1.0)
    assert caller.complete
    assert caller.rest == messages
    assert called.rest == b""


def test_a_hybrid_may_be_answered_by_its_other_name() -> None:
    """BEP 52: who is called by the v1 name answers by that of v2 to say that it goes on in v2. A third name is none."""
    for hidden in (True, False):
        Line(caller := dialed(hidden=hidden), accepted(), answer_as=V2).talk()
        assert caller.theirs is not None
        assert caller.theirs.info_hash == V2
        Line(dialed(hidden=hidden, name=V2), called := accepted()).talk()
        assert called.named == V2
    stranger = Handshake.ours(OTHER, THEIR_ID)
    with pytest.raises(PeerFault, match="speaks about torrent"):
        dialed(hidden=False).receive(stranger.encode(), 1.0)


def test_who_names_one_torrent_hidden_and_another_one_in_its_handshake_is_refused() -> None:
    """Else a peer that may have the one could look whether we have the other."""
    drawn = secret(3)
    liar = Mse.dialed(
        V1,
        Handshake.ours(OTHER, OUR_ID).encode(),
        Ciphers.RC4,
        private=drawn.private,
        padding=drawn.padding,
        now=0.0,
        timeout=4.0,
    )
    called = accepted()
    called.receive(liar.outgoing(), 1.0)
    liar.receive(called.outgoing(), 1.0)
    with pytest.raises(PeerFault, match="another one encrypted"):
        called.receive(liar.outgoing(), 1.0)


def test_nothing_is_said_before_it_is_due() -> None:
    """In clear: before a torrent is named that we have. Hidden: before the caller's key is here, and not our name."""
    in_clear = accepted()
    in_clear.receive(Handshake.ours(V1, OUR_ID).encode(), 1.0)
    assert in_clear.named == V1
    assert in_clear.outgoing() == b""
    hidden, key = accepted(), dialed().outgoing()
    assert PROTOCOL not in key
    hidden.receive(key[:95], 1.0)
    assert hidden.outgoing() == b""
    hidden.receive(key[95:96], 1.0)
    assert 96 <= len(hidden.outgoing()) < 96 + 512 + 1
    assert hidden.named is None


def test_who_wants_a_torrent_that_we_do_not_have_gets_no_answer() -> None:
    """Beside our key, which is said before we can know, and says nothing."""
    caller = dialed(name=V2)
    called = Handshaking.accepted(lambda _: None, PREFER, lambda: secret(2), 0.0, 4.0)
    called.receive(caller.outgoing(), 1.0)
    caller.receive(called.outgoing(), 1.0)
    with pytest.raises(PeerFault, match="do not have"):
        called.receive(caller.outgoing(), 1.0)
    assert called.outgoing() == b""


def test_who_requires_encryption_never_says_a_word_in_clear() -> None:
    """Neither calling nor called, and whoever begins in clear is refused by the first bytes that tell."""
    line = Line(dialed(REQUIRE), accepted(REQUIRE))
    line.talk()
    assert PROTOCOL not in line.wire
    called = accepted(REQUIRE)
    called.receive(b"\x13BitTorrent protoco", 1.0)
    with pytest.raises(PeerFault, match="not encrypted"):
        called.receive(b"l", 1.0)
    assert called.outgoing() == b""


@given(st.binary(max_size=1000), st.booleans(), st.sampled_from(list(Encryption)))
def test_any_first_bytes_are_read_or_blamed(noise: bytes, protocol: bool, policy: Encryption) -> None:
    """A stranger may say anything, to who was called and to who called."""
    data = b"\x13" + PROTOCOL + noise if protocol else noise
    for talk in (accepted(policy), dialed(policy, hidden=policy is not OFF)):
        with suppress(PeerFault):
            talk.receive(data[: len(data) // 2], 1.0)
            talk.receive(data[len(data) // 2 :], 1.0)
        talk.outgoing()


def test_noise_is_found_out_after_a_bounded_number_of_bytes() -> None:
    """The longest pad and what ends it: a caller that never comes to the point is no memory leak."""
    talk, draw = accepted(), Random(5)
    talk.receive(draw.randbytes(96 + 512 + 19), 1.0)
    with pytest.raises(PeerFault, match="no offer"):
        talk.receive(draw.randbytes(1), 1.0)


def test_it_is_known_whether_the_other_understood() -> None:
    """Who hangs up before it has shown that may want the other way; who does it afterwards wants us not at all."""
    caller, called = dialed(), accepted()
    called.receive(caller.outgoing(), 1.0)
    caller.receive(called.outgoing(), 1.0)
    assert not caller.answered  # any 96 bytes look like a key
    called.receive(caller.outgoing(), 1.0)
    called.answer(Handshake.ours(V1, THEIR_ID), HYBRID)
    caller.receive(called.outgoing(), 1.0)
    assert caller.answered
    caller = dialed(hidden=False)
    caller.receive(Handshake.ours(V1, THEIR_ID).encode()[:48], 1.0)
    assert caller.answered


def test_a_handshake_costs_each_side_two_powers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are what a handshake costs. Who says but a key costs us one; who begins in clear, none."""
    powers = 0
    power = dh._power

    def counted(base: int, exponent: dh.PrivateKey) -> bytes:
        nonlocal powers
        powers += 1
        return power(base, exponent)

    monkeypatch.setattr(dh, "_power", counted)
    Line(dialed(), accepted()).talk()
    assert powers == 4
    knock = dialed().outgoing()[:96]
    powers = 0
    accepted().receive(knock, 1.0)
    assert powers == 1
    Line(dialed(hidden=False), accepted()).talk()
    assert powers == 1
