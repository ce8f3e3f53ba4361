"""The conversation after the handshakes: what may be said, and what it means. Cuts and landing: test_landing.py."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from bitarray import bitarray
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import encode as bencode
from anabranch.model import Geometry, PeerFault, all_pieces, no_pieces
from anabranch.wire import (
    AllowedFast,
    Bitfield,
    Block,
    BlocksLanded,
    Cancel,
    CancelledBlock,
    CancelRun,
    Choke,
    Choked,
    Connection,
    DontHave,
    Event,
    ExpectedRun,
    Extended,
    ExtendedHandshake,
    ExtendedMessage,
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
    OurExtensions,
    PeerHas,
    Port,
    Reject,
    Rejected,
    Request,
    RequestRun,
    Suggest,
    Unchoke,
    UnexpectedBlock,
    decode,
    encode,
)
from anabranch.wire.connection import IDLE_TIMEOUT, KEEPALIVE_AFTER
from wire.xor import Xor

GEOMETRY = Geometry(total=3 * 48 + 10, piece_length=48)  # in blocks of 16: three, three, three, and one of 10
OURS = OurExtensions(names={"ut_pex": 3}, version="anabranch", reqq=99)


def talking(*, fast: bool = True, extended: bool = True) -> Connection:
    return Connection(GEOMETRY, fast=fast, extended=extended, now=0.0)


def views(*lengths: int) -> list[memoryview]:
    return [memoryview(bytearray(length)) for length in lengths]


def heard(talk: Connection, *messages: Message) -> list[Event]:
    return talk.receive(b"".join(map(encode, messages)), 0.0)


def said(talk: Connection) -> list[Message]:
    """Take what is queued, as messages."""
    wire = b"".join(talk.outgoing(1 << 20))
    talk.sent(len(wire), 0.0)
    messages = []
    while wire:
        end = 4 + int.from_bytes(wire[:4])
        messages.append(decode(wire[4:end]))
        wire = wire[end:]
    return messages


def test_a_conversation_begins_choked_and_without_interest() -> None:
    """BEP 3: connections start out choked and not interested."""
    talk = talking()
    assert (talk.peer_choking, talk.peer_interested, talk.am_choking, talk.am_interested) == (True, False, True, False)
    assert (talk.pending, talk.outstanding, talk.cancelled) == (0, 0, 0)


def test_a_flag_is_sent_when_it_changes() -> None:
    """Saying it twice sends nothing."""
    talk = talking()
    talk.choke()
    talk.not_interested()
    for say in (talk.unchoke, talk.unchoke, talk.interested, talk.interested, talk.choke, talk.choke):
        say()
    talk.not_interested()
    talk.not_interested()
    assert said(talk) == [Unchoke(), Interested(), Choke(), NotInterested()]


def test_the_peers_flags_are_followed() -> None:
    """Each of its four messages is told and remembered."""
    talk = talking()
    assert heard(talk, Unchoke(), Interested()) == [Unchoke(), Interested()]
    assert (talk.peer_choking, talk.peer_interested) == (False, True)
    assert heard(talk, Choke(), NotInterested()) == [Choked([]), NotInterested()]
    assert (talk.peer_choking, talk.peer_interested) == (True, False)


@pytest.mark.parametrize(
    ("fast", "bits", "due"),
    [
        (True, all_pieces(4), [HaveAll()]),
        (True, no_pieces(4), [HaveNone()]),
        (True, bitarray("0110", endian="big"), [Bitfield(b"\x60")]),
        (False, all_pieces(4), [Bitfield(b"\xf0")]),
        (False, no_pieces(4), []),
    ],
)
def test_our_pieces_are_said_in_the_shortest_way(fast: bool, bits: bitarray, due: list[Message]) -> None:
    """BEP 6 has words for all and none; BEP 3 lets an empty bitfield go unsaid."""
    talk = talking(fast=fast)
    talk.send_pieces(bits, bits.all())
    assert said(talk) == due


def test_new_pieces_are_said_one_by_one_or_joined() -> None:
    """Many are one buffer; none is nothing."""
    talk = talking()
    talk.have(1)
    talk.have_many([2, 3])
    talk.have_many([])
    assert len(talk.outgoing(100)) == 2
    assert said(talk) == [Have(1), Have(2), Have(3)]


def test_the_words_of_the_fast_extension_need_it_on_both_sides() -> None:
    """Without it nothing of it is sent."""
    for fast in (True, False):
        talk = talking(fast=fast)
        talk.suggest(1)
        talk.allowed_fast(2)
        talk.reject(0, 16, 32, 16)
        due = [Suggest(1), AllowedFast(2), Reject(0, 16, 16), Reject(0, 32, 16)]
        assert said(talk) == (due if fast else [])


@pytest.mark.parametrize("message", [Suggest(1), AllowedFast(1), HaveAll(), HaveNone(), Reject(0, 0, 16)])
def test_a_peer_without_the_fast_extension_may_not_use_it(message: Message) -> None:
    """BEP 6: the connection is closed."""
    heard(talking(fast=True), message)
    with pytest.raises(PeerFault, match="fast extension"):
        heard(talking(fast=False), message)


def test_suggestions_and_allowed_pieces_are_told() -> None:
    """As they are, like the DHT port."""
    due: list[Message] = [Suggest(1), AllowedFast(3), Port(6881)]
    assert heard(talking(), *due) == due


@pytest.mark.parametrize("message", [Have(4), Suggest(4), AllowedFast(4), Request(4, 0, 1), Cancel(0, 40, 9)])
def test_a_piece_that_the_torrent_has_not_is_a_fault(message: Message) -> None:
    """Numbers from the wire are admitted before they are believed."""
    with pytest.raises(PeerFault):
        heard(talking(), message)


def test_a_bitfield_is_told_as_a_set() -> None:
    """First piece in the highest bit, spare bits gone."""
    assert heard(talking(), Bitfield(b"\x60")) == [PeerHas(bitarray("0110", endian="big"))]


def test_a_bitfield_with_a_spare_bit_is_a_fault() -> None:
    """BEP 3: spare bits are cleared."""
    with pytest.raises(PeerFault, match="spare bit"):
        heard(talking(), Bitfield(b"\x68"))


def test_a_bitfield_may_come_behind_other_messages() -> None:
    """Clients send the extended handshake first, some even an unchoke."""
    first = Extended(0, bencode({}))
    events = heard(talking(), KeepAlive(), first, Unchoke(), Port(1), AllowedFast(1), HaveAll())
    assert events[-1] == HaveAll()


@pytest.mark.parametrize("first", [Bitfield(b"\x60"), HaveAll(), HaveNone(), Have(1), Extended(7, bytes(4))])
@pytest.mark.parametrize("second", [Bitfield(b"\x60"), HaveAll(), HaveNone()])
def test_a_peer_may_tell_its_pieces_anew(first: Message, second: Message) -> None:
    """BEP 3 has it do so once and first; to insist on that would shut out aria2, which does so again and again."""
    talk = talking()
    talk.send_extended_handshake(OURS)
    assert len(heard(talk, first)) == 1
    assert len(heard(talk, second)) == 1


def test_blocks_are_asked_for_in_one_buffer_and_expected_in_order() -> None:
    """A run of requests, then where the answers belong."""
    talk = talking()
    talk.request(1, 0, views(16, 16, 16), "first")
    talk.request(3, 0, views(10), "second")
    assert [len(buffer) for buffer in talk.outgoing(1000)] == [51, 17]
    assert said(talk) == [Request(1, 0, 16), Request(1, 16, 16), Request(1, 32, 16), Request(3, 0, 10)]
    assert talk.outstanding == 4
    assert talk.expected_runs() == [ExpectedRun(1, 0, 48, "first"), ExpectedRun(3, 0, 10, "second")]


def test_a_begun_block_is_still_expected() -> None:
    """The owner gets it back at close like the others; when all is dropped it is thrown away."""
    talk = talking()
    (view,) = views(16)
    talk.request(0, 0, [view], "token")
    talk.receive(encode(Block(0, 0, b"x" * 16))[:20], 0.0)
    assert (talk.outstanding, talk.expected_runs()) == (1, [ExpectedRun(0, 0, 16, "token")])
    talk.drop_expected()
    assert (talk.outstanding, talk.expected_runs()) == (0, [])
    assert talk.receive(encode(Block(0, 0, b"x" * 16))[20:], 0.0) == [CancelledBlock(0, 0, 16)]
    assert bytes(view) == b"x" * 7 + bytes(9)


def test_a_cancel_is_sent_for_what_is_still_expected_only() -> None:
    """A block that has landed, one that is landing and one never asked for need no word."""
    talk = talking()
    talk.request(0, 0, views(16, 16, 16), None)
    heard(talk, Block(0, 0, bytes(16)))
    talk.receive(encode(Block(0, 16, bytes(16)))[:15], 0.0)
    said(talk)
    talk.cancel(0, 0, 48)
    talk.cancel(1, 0, 48)
    assert said(talk) == [Cancel(0, 32, 16)]
    assert (talk.outstanding, talk.cancelled) == (0, 1)


def test_a_revoked_view_is_free_and_the_peer_does_not_know() -> None:
    """Its bytes are thrown away when they come."""
    talk = talking()
    given_views = views(16, 16)
    talk.request(0, 0, given_views, "token")
    said(talk)
    talk.revoke(0, 0, 16)
    assert said(talk) == []
    assert heard(talk, Block(0, 0, b"x" * 16), Block(0, 16, b"y" * 16)) == [
        CancelledBlock(0, 0, 16),
        BlocksLanded(0, 16, 16, "token"),
    ]
    assert [bytes(view) for view in given_views] == [bytes(16), b"y" * 16]
    assert heard(talk, Block(0, 0, b"x" * 16)) == [UnexpectedBlock(0, 0, 16)]


def test_a_choke_without_the_fast_extension_loses_all_requests() -> None:
    """BEP 3 as practised: what was asked for is forgotten, also what was cancelled."""
    talk = talking(fast=False)
    talk.request(0, 0, views(16, 16, 16), "token")
    talk.cancel(0, 32, 16)
    assert heard(talk, Choke()) == [Choked([ExpectedRun(0, 0, 32, "token")])]
    assert (talk.outstanding, talk.cancelled) == (0, 0)
    assert heard(talk, Block(0, 0, bytes(16))) == [UnexpectedBlock(0, 0, 16)]


def test_a_choke_with_the_fast_extension_loses_what_is_rejected() -> None:
    """BEP 6: each request is answered, by a block or a reject; consecutive rejects are one event."""
    talk = talking()
    talk.request(0, 0, views(16, 16, 16), "token")
    assert heard(talk, Choke()) == [Choked([])]
    assert talk.outstanding == 3
    rejects = [Reject(0, 16, 16), Reject(0, 32, 16)]
    assert heard(talk, Block(0, 0, bytes(16)), *rejects) == [
        BlocksLanded(0, 0, 16, "token"),
        Rejected(0, 16, 32, "token"),
    ]
    assert talk.outstanding == 0


def test_a_reject_answers_the_cancelled_request_before_the_new_one() -> None:
    """A block that is asked for again after a cancel is not lost to the old request's reject."""
    talk = talking()
    talk.request(0, 0, views(16), "old")
    talk.cancel(0, 0, 16)
    talk.request(0, 0, views(16), "new")
    assert heard(talk, Reject(0, 0, 16)) == []
    assert (talk.outstanding, talk.cancelled) == (1, 0)
    assert heard(talk, Reject(0, 0, 16)) == [Rejected(0, 0, 16, "new")]
    assert heard(talk, Reject(0, 0, 16)) == []


def test_requests_and_cancels_are_told_in_runs() -> None:
    """Hundreds of messages, few events."""
    asked = [Request(1, 0, 16), Request(1, 16, 16), Request(3, 0, 10)]
    assert heard(talking(), *asked, Cancel(1, 0, 16), Cancel(1, 16, 16)) == [
        RequestRun(1, 0, 32, 16),
        RequestRun(3, 0, 10, 10),
        CancelRun(1, 0, 32, 16),
    ]


def test_blocks_are_served_and_the_payload_is_counted() -> None:
    """Headers are not payload; memory is given back by sent() or discard()."""
    talk = talking()
    free: list[int] = []
    talk.send_blocks(0, 16, memoryview(bytes(range(24))), 16, lambda: free.append(1))
    assert (talk.pending, talk.pending_payload) == (50, 24)
    assert talk.sent(14, 1.0) == 1
    assert said(talk)[1:] == []
    assert free == [1]
    talk.send_blocks(0, 16, memoryview(bytes(range(24))), 16, lambda: free.append(2))
    assert said(talk) == [Block(0, 16, bytes(range(16))), Block(0, 32, bytes(range(16, 24)))]
    talk.send_blocks(0, 0, memoryview(bytes(1)), 16, lambda: free.append(3))
    talk.discard()
    assert (free, talk.pending) == ([1, 2, 3], 0)


def test_an_encrypted_conversation_reads_what_it_sends() -> None:
    """So its blocks must be memory of the owner's own."""
    assert not talking().encrypted
    assert Connection(GEOMETRY, fast=True, extended=True, now=0.0, transform=Xor()).encrypted


def test_extensions_are_introduced_and_called_by_their_numbers() -> None:
    """Each side uses the other's."""
    talk = talking()
    assert not talk.send_extended("ut_pex", b"early")
    talk.send_extended_handshake(OURS)
    assert said(talk) == [Extended(0, OURS.payload())]
    theirs = ExtendedHandshake(ids={"ut_pex": 40, "lt_donthave": 41}, version="X", reqq=7)
    payload = bencode({"m": {"ut_pex": 40, "lt_donthave": 41}, "v": "X", "reqq": 7})
    assert heard(
        talk, Extended(0, payload), Extended(3, b"pex"), Extended(7, bytes([0, 0, 0, 2])), Extended(9, b"?")
    ) == [
        theirs,
        ExtendedMessage("ut_pex", b"pex"),
        DontHave(2),
    ]
    assert talk.peer_extensions == theirs
    assert talk.send_extended("ut_pex", b"pex")
    talk.dont_have(1)
    assert said(talk) == [Extended(40, b"pex"), Extended(41, bytes([0, 0, 0, 1]))]


def test_a_lost_piece_must_be_one_of_the_torrent() -> None:
    """BEP 54 carries a piece like a Have."""
    talk = talking()
    talk.send_extended_handshake(OURS)
    with pytest.raises(PeerFault, match="piece 4"):
        heard(talk, Extended(7, bytes([0, 0, 0, 4])))


def test_without_the_extension_protocol_its_messages_are_skipped() -> None:
    """In both directions."""
    talk = talking(extended=False)
    talk.send_extended_handshake(OURS)
    assert said(talk) == []
    assert heard(talk, Extended(0, bencode({"m": {"ut_pex": 40}})), Extended(3, b"x")) == []
    assert not talk.send_extended("ut_pex", b"x")


def test_messages_nobody_told_us_of_are_skipped() -> None:
    """Others may extend the protocol as they like."""
    assert talking().receive(bytes.fromhex("00000031 18") + bytes(48) + encode(Have(1)), 0.0) == [Have(1)]


def test_hashes_are_asked_for_sent_and_refused() -> None:
    """BEP 52: an answer repeats what was asked."""
    talk = talking()
    request = HashRequest(bytes(range(32)), 2, 512, 512, 3)
    words = (request.root, 2, 512, 512, 3)
    talk.hash_request(request)
    talk.hashes(request, bytes(64))
    talk.hash_reject(request)
    due: list[Message] = [request, Hashes(*words, bytes(64)), HashReject(*words)]
    assert said(talk) == due
    assert heard(talk, *due) == due


def test_events_before_a_fault_are_not_lost() -> None:
    """They are told first; the fault is due at once, and for good."""
    talk = talking()
    assert heard(talk, Have(1), Have(4)) == [Have(1)]
    assert talk.deadline() == -math.inf
    with pytest.raises(PeerFault, match="piece 4"):
        talk.tick(0.0)
    with pytest.raises(PeerFault, match="piece 4"):
        heard(talk, Have(1))
    with pytest.raises(PeerFault, match="piece 4"):
        talk.landed(0, 0.0)


def test_a_keep_alive_is_queued_when_we_said_nothing() -> None:
    """One a minute, and none while something waits to be sent."""
    talk = talking()
    assert talk.deadline() == KEEPALIVE_AFTER
    talk.tick(KEEPALIVE_AFTER - 1)
    assert talk.pending == 0
    for _ in range(2):
        assert talk.tick(KEEPALIVE_AFTER) == []
        assert talk.outgoing(100) == [encode(KeepAlive())]
    assert talk.deadline() == IDLE_TIMEOUT
    talk.sent(4, 70.0)
    assert talk.deadline() == 70.0 + KEEPALIVE_AFTER


def test_a_silent_peer_is_dropped() -> None:
    """Its keep-alives, due every two minutes, count as words."""
    talk = talking()
    talk.receive(encode(KeepAlive()), 100.0)
    talk.tick(100.0 + IDLE_TIMEOUT - 1)
    with pytest.raises(PeerFault, match="silent for 150 s"):
        talk.tick(100.0 + IDLE_TIMEOUT)


@given(st.lists(st.binary(max_size=60), max_size=4), st.booleans())
def test_any_bytes_are_read_or_blamed_on_the_peer(noise: list[bytes], fast: bool) -> None:
    """receive() has one error."""
    talk = talking(fast=fast)
    with suppress(PeerFault):
        for some in noise:
            talk.receive(some, 0.0)


@given(st.integers(0, 25), st.binary(max_size=60), st.booleans())
def test_any_message_is_read_or_blamed_on_the_peer(kind: int, body: bytes, fast: bool) -> None:
    """Whole frames of every kind, with any body, before and after the torrent's measures are known."""
    for geometry in (GEOMETRY, None):
        talk = Connection(geometry, fast=fast, extended=True, now=0.0)
        talk.send_extended_handshake(OURS)
        with suppress(PeerFault):
            talk.receive((1 + len(body)).to_bytes(4) + bytes([kind]) + body, 0.0)
            if geometry is None:
                talk.learn(GEOMETRY)
