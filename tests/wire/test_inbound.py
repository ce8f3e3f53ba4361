"""The plain way in."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Geometry, PeerFault
from anabranch.wire.events import BlocksLanded, CancelledBlock, Event, RequestRun, UnexpectedBlock
from anabranch.wire.expected import Expected, Run
from anabranch.wire.inbound import Inbound
from anabranch.wire.messages import Block, Extended, Have, KeepAlive, Message, Request, Unchoke, encode
from anabranch.wire.ranges import Range

GEOMETRY = Geometry(total=95, piece_length=40)
PLACE = memoryview(bytearray(95))


class Reader:
    """An Inbound, and everything it has said."""

    def __init__(self) -> None:
        self.expected = Expected()
        self.events: list[Event] = []
        self.frames: list[tuple[int, bytes]] = []
        self.inbound = Inbound(GEOMETRY, self.expected, self.on_frame, self.on_ranges)

    def on_frame(self, kind: int, body: bytes, events: list[Event]) -> None:
        self.frames.append((kind, body))

    def on_ranges(self, kind: int, ranges: list[Range], events: list[Event]) -> None:
        events += [RequestRun(*run) for run in ranges]

    def feed(self, wire: bytes) -> None:
        self.inbound.feed(memoryview(wire), self.events)

    def ask(self, piece: int, begin: int, *lengths: int) -> None:
        start = piece * 40 + begin
        views = []
        for length in lengths:
            views.append(PLACE[start : start + length])
            start += length
        self.expected.add(Run(piece, begin, views, "token"))


def wire_of(*messages: Message) -> bytes:
    return b"".join(map(encode, messages))


STREAM = wire_of(
    KeepAlive(),
    Have(1),
    Block(0, 16, b"B" * 16),
    Request(0, 0, 16),
    Unchoke(),
    KeepAlive(),
    Block(0, 0, b"A" * 16),
    Extended(1, b"long" * 50),
    Block(2, 0, b"C" * 15),
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_frames_are_read_the_same_however_the_network_cuts_them(cuts: list[int]) -> None:
    """BEP 3 frames carry their length: where TCP splits them means nothing."""
    reader = Reader()
    reader.ask(0, 0, 16, 16, 8)
    reader.ask(2, 0, 15)
    edges = [0, *sorted(cuts), len(STREAM)]
    for at, edge in enumerate(edges[1:]):
        reader.feed(STREAM[edges[at] : edge])
    assert reader.events == [
        BlocksLanded(0, 16, 16, "token"),
        RequestRun(0, 0, 16, 16),
        BlocksLanded(0, 0, 16, "token"),
        BlocksLanded(2, 0, 15, "token"),
    ]
    assert reader.frames == [(4, bytes([0, 0, 0, 1])), (1, b""), (20, b"\1" + b"long" * 50)]
    assert bytes(PLACE[:32]) == b"A" * 16 + b"B" * 16
    assert bytes(PLACE[80:]) == b"C" * 15
    assert [run.as_expected()[:3] for run in reader.expected.runs] == [(0, 32, 8)]


def test_consecutive_blocks_are_told_as_one() -> None:
    """One event for a run, whatever came before it."""
    reader = Reader()
    reader.ask(0, 0, 16, 16, 8)
    reader.feed(wire_of(*(Block(0, at, b"x" * length) for at, length in ((0, 16), (16, 16), (32, 8)))))
    assert reader.events == [BlocksLanded(0, 0, 40, "token")]


def test_a_cancelled_block_and_one_never_asked_for_are_thrown_away() -> None:
    """Both are told, as waste of different kinds; empty blocks too."""
    reader = Reader()
    reader.ask(0, 0, 16)
    reader.expected.withdraw(0, 0, 16)
    PLACE[:16] = bytes(16)
    reader.feed(wire_of(Block(0, 0, b"x" * 16), Block(0, 0, b"x" * 16), Block(1, 0, b"")))
    assert reader.events == [CancelledBlock(0, 0, 16), UnexpectedBlock(0, 0, 16), UnexpectedBlock(1, 0, 0)]
    assert bytes(PLACE[:16]) == bytes(16)


def test_a_block_asked_for_again_after_a_cancel_lands() -> None:
    """It serves the new request first; the cancelled one may come as well."""
    reader = Reader()
    reader.ask(0, 0, 16)
    reader.expected.withdraw(0, 0, 16)
    reader.ask(0, 0, 16)
    reader.feed(wire_of(Block(0, 0, b"x" * 16), Block(0, 0, b"y" * 16)))
    assert reader.events == [BlocksLanded(0, 0, 16, "token"), CancelledBlock(0, 0, 16)]
    assert bytes(PLACE[:16]) == b"x" * 16


@pytest.mark.parametrize(
    "head",
    [
        "00000002 00",  # a choke with a body
        "00020010 07",  # a block of more than 128 KiB
        "00000008 07",  # a block without a begin
        "00000003 05",  # a bitfield for 16 pieces where there are 3
        "00200000 14",  # an extended message of 2 MiB
        "00020000 63",  # a long message of no known kind
        "ffffffff 06",
    ],
)
def test_a_wrong_length_is_a_fault_before_the_body_comes(head: str) -> None:
    """The first five bytes are enough, whole or one by one; nothing is buffered for them."""
    with pytest.raises(PeerFault):
        Reader().feed(bytes.fromhex(head))
    reader = Reader()
    for byte in bytes.fromhex(head)[:4]:
        reader.feed(bytes([byte]))
    with pytest.raises(PeerFault):
        reader.feed(bytes.fromhex(head)[4:])


@pytest.mark.parametrize("block", [Block(3, 0, b""), Block(2, 0, b"x" * 16), Block(0, 2**32 - 1, b"x")])
def test_a_block_outside_the_torrent_is_a_fault(block: Block) -> None:
    """Its 13-byte header is enough."""
    with pytest.raises(PeerFault, match="outside the torrent"):
        Reader().feed(encode(block)[:13])


def test_a_block_behind_the_end_of_a_short_piece_is_a_fault() -> None:
    """Any piece of a v2 torrent may be short (BEP 52)."""
    inbound = Inbound(Geometry(total=120, piece_length=40, short={1: 20}), Expected(), lambda *_: None, lambda *_: None)
    inbound.feed(memoryview(encode(Block(1, 16, bytes(4)))), [])
    with pytest.raises(PeerFault, match="outside the torrent"):
        inbound.feed(memoryview(encode(Block(1, 16, bytes(5)))), [])


@given(st.lists(st.binary(max_size=30)))
def test_any_bytes_are_read_or_blamed_on_the_peer(noise: list[bytes]) -> None:
    """feed() has one error."""
    reader = Reader()
    reader.ask(0, 0, 16, 16)
    with suppress(PeerFault):
        for some in noise:
            reader.feed(some)
