"""What a peer tells of pieces, before and after their number is known."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from bitarray import bitarray
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import encode as bencode
from anabranch.model import Geometry, Misused, PeerFault, all_pieces, no_pieces
from anabranch.wire.connection import Connection
from anabranch.wire.events import Event, PeerHas, UnexpectedBlock
from anabranch.wire.extensions import DontHave, ExtendedHandshake, OurExtensions
from anabranch.wire.messages import (
    AllowedFast,
    Bitfield,
    Block,
    Cancel,
    Choke,
    Extended,
    HashRequest,
    Have,
    HaveAll,
    HaveNone,
    Interested,
    KeepAlive,
    Message,
    Port,
    Reject,
    Request,
    Suggest,
    Unchoke,
    encode,
)
from anabranch.wire.telling import MAX_UNMEASURED, Telling

GEOMETRY = Geometry(total=10 * 16, piece_length=16)
OURS = OurExtensions(names={"ut_metadata": 1}, version="", reqq=1)
PIECES = (PeerHas, HaveAll, HaveNone, Have, DontHave)


def talking(geometry: Geometry | None = None, *, fast: bool = True) -> Connection:
    talk = Connection(geometry, fast=fast, extended=True, now=0.0)
    talk.send_extended_handshake(OURS)
    return talk


def heard(talk: Connection, *messages: Message) -> list[Event]:
    return talk.receive(b"".join(map(encode, messages)), 0.0)


def lost(piece: int) -> Message:
    """Our number for lt_donthave is 7."""
    return Extended(7, piece.to_bytes(4))


def pieces_after(events: list[Event]) -> bitarray | None:
    """What a peer has that said all this; None where it said nothing of its pieces."""
    has: bitarray | None = None
    for event in events:
        match event:
            case PeerHas(bits):
                has = bits
            case HaveAll():
                has = all_pieces(10)
            case HaveNone():
                has = no_pieces(10)
            case Have(piece) | DontHave(piece):
                has = no_pieces(10) if has is None else has
                has[piece] = isinstance(event, Have)
            case _:
                pass
    return has


FIRST = st.sampled_from([None, Bitfield(b"\xa5\x40"), Bitfield(b"\xff\xc0"), HaveAll(), HaveNone()])
PIECE = st.integers(0, 9)
LATER = st.one_of(
    st.builds(Have, PIECE),
    st.builds(lost, PIECE),
    st.builds(Suggest, PIECE),
    st.builds(AllowedFast, PIECE),
    st.sampled_from([KeepAlive(), Choke(), Unchoke(), Interested(), Port(1), Extended(0, bencode({"reqq": 9}))]),
    st.builds(Block, PIECE, st.just(0), st.binary(max_size=16)),
    st.builds(Reject, PIECE, st.just(0), st.just(16)),
    st.builds(HashRequest, st.just(bytes(32)), PIECE, PIECE, PIECE, PIECE),
)


@given(FIRST, st.lists(LATER, max_size=20), st.lists(st.integers(0, 400), max_size=6))
def test_what_is_held_means_the_same_as_what_is_told_at_once(
    first: Message | None, later: list[Message], cuts: list[int]
) -> None:
    """Pieces come as one event, advice once each, all else without delay; the twin knew the measures all along."""
    messages = ([first] if first is not None else []) + later
    knowing = heard(talking(GEOMETRY), *messages)
    talk = talking()
    wire = b"".join(map(encode, messages))
    edges = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    at_once = [event for at, end in pairwise(edges) for event in talk.receive(wire[at:end], 0.0)]
    held = talk.learn(GEOMETRY)
    advice = (Suggest, AllowedFast)
    assert at_once == [event for event in knowing if not isinstance(event, PIECES + advice)]
    told = [event for event in held if isinstance(event, PIECES)]
    assert len(told) == any(isinstance(event, PIECES) for event in knowing)
    assert held[: len(told)] == told
    assert pieces_after(held) == pieces_after(knowing)
    assert held[len(told) :] == list(dict.fromkeys(event for event in knowing if isinstance(event, advice)))
    assert heard(talk, Have(3), Request(0, 0, 16)) == heard(talking(GEOMETRY), Have(3), Request(0, 0, 16))


def test_the_shortest_words_are_kept() -> None:
    """All is all, none is none; and who said nothing is not made to say anything."""
    for said in (HaveAll(), HaveNone()):
        talk = talking()
        assert heard(talk, said) == []
        assert talk.learn(GEOMETRY) == [said]
    assert talking().learn(GEOMETRY) == []


def test_until_the_measures_are_known_requests_are_skipped_and_blocks_thrown_away() -> None:
    """Neither side can have asked the other for anything."""
    talk = talking()
    asked = (Request(9, 0, 16), Cancel(9, 0, 16), Reject(9, 0, 16))
    assert heard(talk, *asked, Block(99, 1, bytes(20)), Unchoke()) == [UnexpectedBlock(99, 1, 20), Unchoke()]
    assert talk.landing(1 << 20) == []
    with pytest.raises(PeerFault, match="fast extension"):
        heard(talking(fast=False), Reject(9, 0, 16))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Bitfield(b"\xff"), "bitfield of 1 bytes"),
        (Bitfield(b"\xff\xff"), "spare bit"),
        (Bitfield(b"\xff\xff\xff"), "bitfield of 3 bytes"),
        (Have(10), "piece 10"),
        (lost(10), "piece 10"),
        (Suggest(10), "piece 10"),
        (AllowedFast(MAX_UNMEASURED - 1), "piece"),
    ],
)
def test_what_cannot_be_true_is_a_fault_when_the_measures_are_known(said: Message, why: str) -> None:
    """The conversation is over then, as after any fault."""
    talk = talking()
    heard(talk, Unchoke(), said)
    with pytest.raises(PeerFault, match=why):
        talk.learn(GEOMETRY)
    with pytest.raises(PeerFault, match=why):
        talk.receive(b"", 0.0)
    with pytest.raises(PeerFault, match=why):
        talk.learn(GEOMETRY)


@pytest.mark.parametrize("said", [Have(MAX_UNMEASURED), lost(MAX_UNMEASURED), Suggest(2**32 - 1)])
def test_pieces_without_end_are_a_fault_at_once(said: Message) -> None:
    """What is held is bounded."""
    with pytest.raises(PeerFault, match="at most"):
        heard(talking(), said)


def test_a_bitfield_without_end_is_a_fault_by_its_first_bytes() -> None:
    """A quarter of a MiB is held, and waited for."""
    most = MAX_UNMEASURED // 8
    assert talking().receive((1 + most).to_bytes(4) + b"\5", 0.0) == []
    with pytest.raises(PeerFault, match="at most"):
        talking().receive((2 + most).to_bytes(4) + b"\5", 0.0)


def test_a_bitfield_that_is_coming_when_the_measures_become_known_must_fit() -> None:
    """Its length was admitted before."""
    wire = encode(Bitfield(bytes(2)))
    talk = talking()
    talk.receive(wire[:6], 0.0)
    assert talk.learn(GEOMETRY) == []
    assert talk.receive(wire[6:], 0.0) == [PeerHas(no_pieces(10))]
    talk = talking()
    talk.receive(encode(Bitfield(bytes(3)))[:6], 0.0)
    talk.learn(GEOMETRY)
    with pytest.raises(PeerFault, match="2 are due"):
        talk.receive(bytes(2), 0.0)


@pytest.mark.parametrize("first", [Bitfield(b"\x60\0"), HaveAll(), HaveNone(), Have(1), lost(1)])
def test_a_peer_that_tells_its_pieces_anew_means_what_it_says_last(first: Message) -> None:
    """Before the measures are known, as after: aria2 does so."""
    talk = talking()
    heard(talk, first, Bitfield(b"\xa5\x40"))
    assert pieces_after(talk.learn(GEOMETRY)) == bitarray("1010010101", endian="big")


def test_advice_is_held_as_far_as_anybody_gives_it() -> None:
    """Real peers name ten pieces."""
    talk = talking()
    heard(talk, *(AllowedFast(piece) for piece in range(1000)), AllowedFast(0))
    assert len(talk.learn(Geometry(total=1000, piece_length=1))) == 256


def test_the_measures_are_learned_once() -> None:
    """A second time is our own mistake, and changes nothing."""
    talk = talking(GEOMETRY)
    with pytest.raises(Misused):
        talk.learn(Geometry(total=1, piece_length=1))
    assert heard(talk, Have(9)) == [Have(9)]


def test_the_extension_handshake_is_not_held() -> None:
    """It has the size of what we lack."""
    said = Extended(0, bencode({"m": {"ut_metadata": 2}, "metadata_size": 99}))
    assert heard(talking(), HaveAll(), said) == [ExtendedHandshake(ids={"ut_metadata": 2}, metadata_size=99)]


NUMBER = PIECE | st.integers(0, 2**32 - 1)


@given(st.lists(st.one_of(*(st.builds(made, NUMBER) for made in (Have, DontHave, Suggest)))))
def test_anything_told_is_taken_or_blamed_on_the_peer(said: list[Have | DontHave | Suggest]) -> None:
    """hear() and learn() have one error."""
    telling = Telling(None)
    with suppress(PeerFault):
        for word in said:
            telling.hear(word, [])
        telling.learn(GEOMETRY)
