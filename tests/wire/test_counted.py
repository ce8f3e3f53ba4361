"""A conversation that tells which messages go and come."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import BLOCK_SIZE, Geometry, PeerFault, no_pieces
from anabranch.wire import (
    DONT_HAVE,
    Block,
    Connection,
    CountedConnection,
    Event,
    ExtendedMessage,
    OurExtensions,
    encode,
    message_name,
)
from anabranch.wire.messages import Message, decode

GEOMETRY = Geometry(64 * BLOCK_SIZE, 4 * BLOCK_SIZE)


class Tallied:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.read: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self.extensions: Counter[tuple[str, str]] = Counter()
        self.asked: Counter[int] = Counter()
        self.refused = 0

    def message_read(self, kind: int, count: int = 1) -> None:
        self.read[message_name(kind)] += count

    def message_written(self, kind: int, count: int = 1) -> None:
        self.written[message_name(kind)] += count

    def extension_read(self, name: str) -> None:
        self.extensions["read", name] += 1

    def extension_written(self, name: str) -> None:
        self.extensions["written", name] += 1

    def blocks_asked(self, length: int, count: int) -> None:
        self.asked[length] += count

    def extension_offered(self, name: str) -> None:
        self.extensions["offered", name] += 1

    def fast_refused(self) -> None:
        self.refused += 1


def talking(tallied: Tallied, *, fast: bool = True) -> CountedConnection:
    return CountedConnection(GEOMETRY, fast=fast, extended=True, now=0.0, tally=tallied)


def said(talk: Connection) -> bytes:
    data = b"".join(talk.outgoing(1 << 30))
    talk.sent(len(data), 0.0)
    return data


def say_everything(talk: Connection) -> None:
    """Each message once, but for those whose numbers are in EVERYTHING."""
    talk.send_pieces(no_pieces(16), False)
    talk.send_extended_handshake(OurExtensions(names={"ut_mine": 100}, version="", reqq=1))
    talk.interested()
    talk.not_interested()
    talk.unchoke()
    talk.choke()
    talk.have(1)
    talk.have_many([2, 3])
    talk.keepalive()
    talk.suggest(1)
    talk.allowed_fast(1)
    talk.reject(0, 0, 3 * BLOCK_SIZE, BLOCK_SIZE)
    talk.request(0, 0, [memoryview(bytearray(BLOCK_SIZE)) for _ in range(4)], "token")
    talk.cancel(0, 2 * BLOCK_SIZE, 2 * BLOCK_SIZE)
    talk.send_blocks(1, 0, memoryview(bytes(2 * BLOCK_SIZE + 1)), BLOCK_SIZE)


EVERYTHING = {
    "have_none": 1,
    "extended": 1,
    "interested": 1,
    "not_interested": 1,
    "unchoke": 1,
    "choke": 1,
    "have": 3,
    "keepalive": 1,
    "suggest": 1,
    "allowed_fast": 1,
    "reject": 3,
    "request": 4,
    "cancel": 2,
    "piece": 3,
}


def test_every_message_counts_once_on_each_side() -> None:
    """Also those that are joined, and blocks. The Go engine counted a written one twice: when queued and when sent."""
    ours, theirs = Tallied(), Tallied()
    one, two = talking(ours), talking(theirs)
    say_everything(one)
    assert ours.written == EVERYTHING
    wire = said(one)
    assert ours.written == EVERYTHING
    two.receive(wire, 0.0)
    assert theirs.read == EVERYTHING
    assert theirs.asked == {BLOCK_SIZE: 4}
    assert not ours.read
    assert not theirs.written


@given(st.lists(st.integers(1, 40_000), max_size=20))
def test_messages_count_once_however_the_network_cuts_them(cuts: list[int]) -> None:
    """Blocks that land as those that go the plain way."""
    ours, theirs = Tallied(), Tallied()
    one, two = talking(ours), talking(theirs)
    two.request(1, 0, [memoryview(bytearray(BLOCK_SIZE)) for _ in range(2)], "token")
    say_everything(one)
    wire = memoryview(said(one))
    at = 0
    rest = iter(cuts)
    while at < len(wire):
        cut = next(rest, len(wire))
        part = wire[at : at + cut]
        views = two.landing(len(part)) if cut % 2 else []
        if views and part:
            count = 0
            for view in views:
                piece = part[count : count + len(view)]
                view[: len(piece)] = piece
                count += len(piece)
            two.landed(count, 0.0)
        else:
            count = len(part)
            two.receive(part, 0.0)
        at += count
    assert theirs.read == EVERYTHING


def test_messages_of_extensions_are_told_apart_by_name() -> None:
    """Those that we never named are one: a peer could make up any number of them."""
    ours, theirs = Tallied(), Tallied()
    one, two = talking(ours), talking(theirs)
    two.send_extended_handshake(OurExtensions(names={"ut_mine": 100}, version="", reqq=1))
    one.receive(said(two), 0.0)
    assert one.send_extended("ut_mine", b"hello")
    assert not one.send_extended("ut_other", b"nothing is sent")
    one.dont_have(3)
    events: list[Event] = two.receive(said(one) + encode(decode(bytes([20, 99]) + b"?")), 0.0)
    assert ExtendedMessage("ut_mine", b"hello") in events
    assert ours.extensions == {
        ("read", "handshake"): 1,
        ("offered", "ut_mine"): 1,
        ("offered", DONT_HAVE): 1,
        ("written", "ut_mine"): 1,
        ("written", DONT_HAVE): 1,
    }
    assert theirs.extensions == {
        ("written", "handshake"): 1,
        ("read", "ut_mine"): 1,
        ("read", DONT_HAVE): 1,
        ("read", "unknown"): 1,
    }


def test_an_extension_that_a_peer_names_again_is_offered_once() -> None:
    """Each later handshake tells what has changed."""
    ours = Tallied()
    one = talking(ours)
    two = Connection(GEOMETRY, fast=True, extended=True, now=0.0)
    for _ in range(3):
        two.send_extended_handshake(OurExtensions(names={"ut_mine": 100}, version="", reqq=1))
    one.receive(said(two), 0.0)
    assert ours.extensions["offered", "ut_mine"] == 1
    assert ours.extensions["read", "handshake"] == 3


def test_a_message_of_the_fast_extension_without_it_is_counted_and_a_fault() -> None:
    """BEP 6."""
    tallied = Tallied()
    talk = talking(tallied, fast=False)
    try:
        talk.receive(bytes.fromhex("00000001 0e"), 0.0)
        talk.tick(0.0)
    except PeerFault:
        assert tallied.refused == 1
    else:
        raise AssertionError("no fault")


def test_blocks_that_nobody_asked_for_are_messages_as_well() -> None:
    tallied = Tallied()
    message: Message = Block(0, 0, bytes(10))
    talking(tallied).receive(encode(message), 0.0)
    assert tallied.read == {"piece": 1}


@given(st.binary(max_size=200))
def test_any_bytes_mean_the_same_as_to_the_plain_conversation(noise: bytes) -> None:
    """Who counts changes nothing."""

    def heard(talk: Connection) -> list[Event] | str:
        try:
            return [*talk.receive(noise, 0.0), *talk.tick(0.0)]
        except PeerFault as fault:
            return str(fault)

    assert heard(talking(Tallied())) == heard(Connection(GEOMETRY, fast=True, extended=True, now=0.0))
