"""The fast way in, against the plain one."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.bencode import encode as bencode
from anabranch.model import BLOCK_SIZE, Geometry, PeerFault
from anabranch.wire.connection import Connection
from anabranch.wire.events import BlocksLanded, CancelRun, Event, Rejected, RequestRun
from anabranch.wire.extensions import OurExtensions
from anabranch.wire.landing import MAX_BUFFERS
from anabranch.wire.messages import (
    AllowedFast,
    Bitfield,
    Block,
    Cancel,
    Choke,
    Extended,
    Have,
    HaveAll,
    Interested,
    KeepAlive,
    Message,
    Port,
    Reject,
    Request,
    Unchoke,
    encode,
)
from wire.xor import Xor

BLOCK = 16
LENGTHS = [64, 24, 64, 64, 40]  # pieces of four blocks, one of one and a half, one of two and a half
GEOMETRY = Geometry(total=4 * 64 + 40, piece_length=64, short={1: 24})
SIZES = st.integers(1, 60) | st.just(1000)
SOME_BLOCKS = st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(1, 4))


@dataclass
class Peer:
    """A conversation, the memory it receives into, and all it has told: runs cut into what does not depend on cuts."""

    talk: Connection
    memory: list[memoryview] = field(default_factory=lambda: [memoryview(bytearray(length)) for length in LENGTHS])
    told: list[object] = field(default_factory=list)
    fault: str = ""

    def request(self, piece: int, first: int, count: int) -> None:
        due = {
            run.piece * 64 + at for run in self.talk.expected_runs() for at in range(run.begin, run.begin + run.length)
        }
        begin, end = first * BLOCK, min((first + count) * BLOCK, LENGTHS[piece])
        if begin < end and due.isdisjoint(range(piece * 64 + begin, piece * 64 + end)):
            views = [self.memory[piece][at : min(at + BLOCK, end)] for at in range(begin, end, BLOCK)]
            self.talk.request(piece, begin, views, (piece, first))

    def hear(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case BlocksLanded(piece, begin, length, token):
                    data = bytes(self.memory[piece][begin : begin + length])
                    for at in range(0, length, BLOCK):
                        self.told.append(("landed", piece, begin + at, data[at : at + BLOCK], token))
                case Rejected(piece, begin, length, token):
                    self.told += [("rejected", piece, begin + at, token) for at in range(0, length, BLOCK)]
                case RequestRun(piece, begin, length, block) | CancelRun(piece, begin, length, block):
                    end = begin + length
                    for at in range(begin, end, block):
                        self.told.append((type(event), piece, at, min(block, end - at)))
                case _:
                    self.told.append(event)

    def receive(self, data: bytes) -> None:
        if not self.fault:
            try:
                self.hear(self.talk.receive(data, 0.0))
            except PeerFault as fault:
                self.fault = str(fault)

    def land(self, data: bytes, limit: int) -> int:
        """Receive into what landing() offers, or plainly where it offers nothing; returns how many bytes."""
        views = self.talk.landing(limit)
        assert len(views) <= MAX_BUFFERS
        assert all(views)
        room = sum(map(len, views))
        assert room <= limit
        if not views:
            self.receive(data[:limit])
            return len(data[:limit])
        count = min(room, len(data))
        at = 0
        for view in views:
            some = data[at : min(at + len(view), count)]
            view[: len(some)] = some
            at += len(some)
        try:
            self.hear(self.talk.landed(count, 0.0))
        except PeerFault as fault:
            self.fault = str(fault)
        return count

    def settle(self) -> None:
        """A fault behind events is told by the next call."""
        if not self.fault:
            try:
                self.talk.tick(0.0)
            except PeerFault as fault:
                self.fault = str(fault)

    def state(self) -> tuple[object, ...]:
        talk = self.talk
        return self.told, self.fault, talk.outstanding, talk.cancelled, talk.expected_runs(), talk.peer_choking


def block_of(piece: int, block: int, length: int, fill: int) -> Block:
    begin = block * BLOCK
    length = max(0, min(length, LENGTHS[piece] - begin))
    return Block(piece, begin, bytes((fill + at) & 0xFF for at in range(length)))


OTHER_MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Have, st.integers(0, 5)),
    st.sampled_from([KeepAlive(), Unchoke(), Choke(), Interested(), HaveAll(), Bitfield(b"\xf8"), Bitfield(b"\xff")]),
    st.builds(Port, st.integers(0, 65535)),
    st.builds(AllowedFast, st.integers(0, 5)),
    st.builds(Request, st.integers(0, 5), st.sampled_from([0, 16, 32]), st.integers(0, 20)),
    st.builds(Cancel, st.integers(0, 4), st.sampled_from([0, 16, 32]), st.sampled_from([8, 16])),
    st.builds(lambda b: Reject(b[0], b[1] * BLOCK, BLOCK), SOME_BLOCKS),
    st.builds(block_of, st.integers(0, 4), st.integers(0, 3), st.sampled_from([16, 16, 8, 3, 0]), st.integers(0, 255)),
    st.builds(Extended, st.integers(1, 9), st.binary(max_size=40)),
    st.builds(lambda number: Extended(0, bencode({"m": {"ut_pex": number}})), st.integers(0, 9)),
)


def draw_stream(data: st.DataObject, peer: Peer) -> bytes:
    """What a peer may send that owes us what *peer* knows of: mostly that, in order, but not only."""
    due = [
        (run.piece, at // BLOCK)
        for run in peer.talk.expected_runs()
        for at in range(run.begin, run.begin + run.length, BLOCK)
    ]
    messages: list[Message] = []
    for what in data.draw(st.lists(st.sampled_from(["next"] * 7 + ["skip", "any", "other"]), min_size=3, max_size=20)):
        if what == "other" or not due:
            messages.append(data.draw(OTHER_MESSAGES))
        else:
            at = {"next": 0, "skip": min(1, len(due) - 1), "any": data.draw(st.integers(0, len(due) - 1))}[what]
            messages.append(block_of(*due.pop(at), BLOCK, 7 * len(messages)))
    stream = bytearray(b"".join(map(encode, messages)))
    if stream and data.draw(st.integers(0, 3)) == 0:
        stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.sampled_from([1, 6, 255]))
    return bytes(stream)


@settings(max_examples=250, deadline=None)
@given(st.data(), st.booleans(), st.booleans())
def test_landing_brings_the_same_as_the_plain_way(data: st.DataObject, fast: bool, encrypted: bool) -> None:
    """Any stream, true or broken, cut anywhere, received in place or plainly in turns: same events, same bytes."""
    cipher = Xor()
    plain, landing = (
        Peer(Connection(GEOMETRY, fast=fast, extended=True, now=0.0, transform=Xor() if encrypted else None))
        for _ in range(2)
    )
    for peer in (plain, landing):
        peer.talk.send_extended_handshake(OurExtensions(names={"ut_pex": 3}, version="", reqq=1))
    carried = b""
    for _ in range(data.draw(st.integers(1, 3), label="phases")):
        for blocks in data.draw(st.lists(SOME_BLOCKS, min_size=1, max_size=5), label="requests"):
            plain.request(*blocks)
            landing.request(*blocks)
        for (piece, first, count), revoke in data.draw(st.lists(st.tuples(SOME_BLOCKS, st.booleans()), max_size=2)):
            for peer in (plain, landing):
                forget = peer.talk.revoke if revoke else peer.talk.cancel
                forget(piece, first * BLOCK, count * BLOCK)
        stream = carried + draw_stream(data, plain)
        later = data.draw(st.integers(0, min(len(stream), 40)), label="carried")
        stream, carried = stream[: len(stream) - later], stream[len(stream) - later :]
        wire = cipher.outgoing(stream) if encrypted else stream
        if wire:
            plain.receive(wire)
        plain.settle()
        at = 0
        while at < len(wire) and not landing.fault:
            limit = data.draw(SIZES, label="cut")
            if data.draw(st.booleans(), label="in place"):
                at += landing.land(wire[at : at + limit], data.draw(SIZES, label="limit"))
            else:
                landing.receive(wire[at : at + limit])
                at += limit
        landing.settle()
        assert landing.state() == plain.state()
        if plain.fault:
            return
        assert b"".join(landing.talk.outgoing(10**6)) == b"".join(plain.talk.outgoing(10**6))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(SOME_BLOCKS, min_size=1, max_size=5))
def test_what_came_with_the_handshake_is_decrypted_once(data: st.DataObject, asked: list[tuple[int, int, int]]) -> None:
    """The rest of a receive that ended a handshake was decrypted with it; what follows is not yet."""
    cipher = Xor()
    plain, landing = (
        Peer(Connection(GEOMETRY, fast=True, extended=True, now=0.0, transform=transform))
        for transform in (None, cipher)
    )
    for blocks in asked:
        plain.request(*blocks)
        landing.request(*blocks)
    stream = draw_stream(data, plain)
    plain.receive(stream)
    plain.settle()
    rest = data.draw(st.integers(0, min(len(stream), 40)), label="rest")
    wire = Xor().outgoing(stream)
    cipher.position = rest
    try:
        landing.hear(landing.talk.receive(stream[:rest], 0.0, decrypted=True))
    except PeerFault as fault:
        landing.fault = str(fault)
    at = rest
    while at < len(wire) and not landing.fault:
        at += landing.land(wire[at:], data.draw(SIZES, label="limit"))
    landing.settle()
    assert landing.state() == plain.state()


def big(blocks: int) -> tuple[Connection, list[memoryview], bytes]:
    """A conversation in which *blocks* blocks of 16 KiB are expected; their views; and what a good peer sends."""
    talk = Connection(Geometry(1 << 30, 1 << 30), fast=True, extended=True, now=0.0)
    views = [memoryview(bytearray(BLOCK_SIZE)) for _ in range(blocks)]
    for at in range(0, blocks, 16):
        talk.request(0, at * BLOCK_SIZE, views[at : at + 16], "token")
    wire = b"".join(encode(Block(0, at * BLOCK_SIZE, bytes([at % 251]) * BLOCK_SIZE)) for at in range(blocks))
    return talk, views, wire


def pour(views: list[memoryview], wire: bytes) -> int:
    at = 0
    for view in views:
        some = wire[at : at + len(view)]
        view[: len(some)] = some
        at += len(some)
    return at


def test_a_good_peers_blocks_land_in_place_in_few_calls() -> None:
    """The list grows with what each receive brings, and never has more than 1,024 buffers."""
    talk, views, wire = big(1600)
    at, sizes, events = 0, [], list[Event]()
    while at < len(wire):
        offered = talk.landing(1 << 40)
        sizes.append(len(offered))
        count = pour(offered, wire[at:])
        events += talk.landed(count, 0.0)
        at += count
    assert sizes[:4] == [8, 24, 56, 120]
    assert max(sizes) <= MAX_BUFFERS
    assert sum(event.length for event in events if isinstance(event, BlocksLanded)) == 1600 * BLOCK_SIZE
    assert len(events) == len(sizes)
    assert all(view[0] == view[-1] == number % 251 for number, view in enumerate(views))
    assert (talk.outstanding, talk.expected_runs(), talk.landing(1 << 40)) == (0, [], [])


def test_given_views_are_offered_as_they_are() -> None:
    """No slice is made of a block that is received whole."""
    talk, views, _ = big(4)
    assert [id(view) for view in talk.landing(1 << 40)[1::2]] == [id(view) for view in views]


def test_a_small_limit_is_kept_to_the_byte() -> None:
    """A rate bucket may allow less than a block, or less than a header."""
    talk, _, wire = big(4)
    at = 0
    for limit in (5, 1, 20, BLOCK_SIZE, 3 * BLOCK_SIZE):
        offered = talk.landing(limit)
        assert sum(map(len, offered)) == limit
        talk.landed(pour(offered, wire[at : at + limit]), 0.0)
        at += limit
    talk.receive(wire[at:], 0.0)
    assert talk.outstanding == 0
    assert talk.landing(0) == []


def test_the_plain_way_is_better_where_nothing_is_foreseen() -> None:
    """Nothing expected, inside another message, or little left of the last block."""
    talk, _, wire = big(2)
    assert Connection(GEOMETRY, fast=True, extended=True, now=0.0).landing(1 << 40) == []
    talk.receive(encode(Have(0))[:7], 0.0)
    assert talk.landing(1 << 40) == []
    talk.receive(encode(Have(0))[7:], 0.0)
    assert talk.landing(1 << 40)
    talk.receive(wire[:-100], 0.0)
    assert talk.landing(1 << 40) == []


def test_a_small_message_between_blocks_does_not_end_landing() -> None:
    """The rest of the receive goes the plain way; the next one lands where the last block stands."""
    talk, views, wire = big(8)
    edge = 13 + BLOCK_SIZE
    stream = wire[:edge] + encode(Have(0)) + wire[edge:]
    count = pour(talk.landing(1 << 40), stream[: 2 * edge])
    assert talk.landed(count, 0.0) == [BlocksLanded(0, 0, BLOCK_SIZE, "token"), Have(0)]
    offered = talk.landing(1 << 40)
    assert len(offered[0]) == 9  # of the second block
    talk.landed(pour(offered, stream[count:]), 0.0)
    assert talk.outstanding == 0
    assert [view[-1] for view in views] == list(range(8))


def test_a_revoked_block_is_never_written_to_again() -> None:
    """The rest of a begun block goes nowhere, and its view is not offered."""
    talk, views, wire = big(4)
    talk.landed(pour(talk.landing(1 << 40), wire[:1000]), 0.0)
    talk.revoke(0, 0, 2 * BLOCK_SIZE)
    kept = [bytes(view) for view in views[:2]]
    at = 1000
    while at < len(wire):
        offered = talk.landing(1 << 40)
        if offered:
            count = pour(offered, wire[at : at + 5000])
            talk.landed(count, 0.0)
        else:
            count = 5000
            talk.receive(wire[at : at + count], 0.0)
        at += count
    assert [bytes(view) for view in views[:2]] == kept
    assert [view[-1] for view in views[2:]] == [2, 3]


def test_a_short_last_block_lands_like_the_others() -> None:
    """The end of the torrent, with another run behind it; and each cut of it."""
    wire = b"".join(encode(block_of(piece, at, BLOCK, at)) for piece, at in ((4, 0), (4, 1), (4, 2), (0, 0)))
    for cut in range(1, len(wire) + 1):
        peer = Peer(Connection(GEOMETRY, fast=True, extended=True, now=0.0))
        peer.request(4, 0, 3)
        peer.request(0, 0, 1)
        assert peer.land(wire[:cut], 1000) == cut
        if cut < len(wire):
            peer.land(wire[cut:], 1000)
        assert [told[1:3] for told in peer.told if isinstance(told, tuple)] == [(4, 0), (4, 16), (4, 32), (0, 0)]
        assert peer.talk.outstanding == 0


def test_a_short_block_may_come_where_a_part_of_a_longer_one_was_offered() -> None:
    """The limit cut that place to just its length, and a block that came before it has filled the place."""
    peer = Peer(Connection(GEOMETRY, fast=True, extended=True, now=0.0))
    peer.request(0, 0, 4)
    peer.request(4, 2, 1)
    wire = encode(block_of(0, 1, BLOCK, 1)) + encode(block_of(4, 2, 8, 2))
    assert peer.land(wire, limit=len(wire)) == len(wire)
    assert [told[1:3] for told in peer.told if isinstance(told, tuple)] == [(0, 16), (4, 32)]
    assert bytes(peer.memory[0][16:32]) == block_of(0, 1, BLOCK, 1).data
    assert bytes(peer.memory[4][32:]) == block_of(4, 2, 8, 2).data


def test_a_fault_ends_landing() -> None:
    """What came before it is told first."""
    talk, _, wire = big(4)
    bad = wire[: 13 + BLOCK_SIZE] + bytes.fromhex("ffffffff07")
    assert talk.landed(pour(talk.landing(1 << 40), bad), 0.0) == [BlocksLanded(0, 0, BLOCK_SIZE, "token")]
    assert talk.landing(1 << 40) == []
    with pytest.raises(PeerFault):
        talk.receive(b"", 0.0)
