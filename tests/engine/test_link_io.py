"""The socket of a connection, driven by hand: peers that talk and do not read, or talk and do nothing else."""

from __future__ import annotations

import socket
import sys
from asyncio import TimerHandle
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, cast

import pytest

from anabranch.engine import membership
from anabranch.engine.candidates import Candidate
from anabranch.engine.chatter import BURST, MOST_SILENCES, RATE, Chatter
from anabranch.engine.encryption import Encryption
from anabranch.engine.engine import Engine
from anabranch.engine.events import PeerLost
from anabranch.engine.handshaking import Handshaking, Secret
from anabranch.engine.link_io import MESSAGES_AT_ONCE, MOST_UNTOLD, PLAIN_SIZE, SocketLink
from anabranch.engine.state import TorrentState
from anabranch.metainfo import Magnet
from anabranch.model import BLOCK_SIZE, Address, all_pieces
from anabranch.wire import HANDSHAKE_LENGTH, Connection, Handshake, RequestRun, messages
from engine.clocks import Clock
from engine.remotes import Teacher
from engine.rig import Node
from engine.samples import changed, sample

FAST_OPEN, NO_COOKIE = 30, 34  # TCP_FASTOPEN_CONNECT and TCP_FASTOPEN_NO_COOKIE of Linux
FLOOD = (messages.encode(messages.Interested()) + messages.encode(messages.NotInterested())) * 2000


class Loop:
    """What a link needs of the network thread, without one."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.plain = memoryview(bytearray(PLAIN_SIZE))
        self.port: int | None = None
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.blamed: list[str] = []
        self._readable: Callable[[], None] | None = None
        self._writable: Callable[[], None] | None = None

    def add_reader(self, sock: socket.socket, act: Callable[[], None]) -> None:
        self._readable = act

    def remove_reader(self, sock: socket.socket) -> None:
        self._readable = None

    def add_writer(self, sock: socket.socket, act: Callable[[], None]) -> None:
        self._writable = act

    def remove_writer(self, sock: socket.socket) -> None:
        self._writable = None

    @property
    def reading(self) -> bool:
        """Whether the link listens."""
        return self._readable is not None

    def read(self) -> None:
        """The socket has something to receive."""
        assert self._readable is not None
        self._readable()

    def write(self) -> None:
        """The socket takes something to send."""
        assert self._writable is not None
        self._writable()

    def later(self, delay: float, act: Callable[[], None]) -> TimerHandle:
        self.timers.append((delay, act))
        return cast(TimerHandle, _Never())

    def flush_touched(self) -> None:
        touched, self.engine.due.touched = self.engine.due.touched, set()
        for peer in touched:
            peer.link.flush()

    def blame(self, host: str) -> None:
        self.blamed.append(host)

    def gone(self, link: SocketLink) -> None:
        self._readable = self._writable = None


def handshaking(node: Node) -> Handshaking:
    """That of a connection that was accepted, in clear."""
    return Handshaking.accepted(lambda _: None, Encryption.OFF, no_secret, node.engine.clock(), 4)


def no_secret() -> Secret:
    raise AssertionError("nothing is encrypted here")


class _Never:
    def cancel(self) -> None:
        pass


@contextmanager
def joined(torrent: TorrentState, node: Node, number: int = 1) -> Iterator[tuple[Loop, SocketLink, socket.socket]]:
    """A peer that has shaken hands: its loop, our end, and its own."""
    host = Loop(node.engine)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        link = SocketLink(host, ours, Address(f"127.0.0.{number + 1}", 1), handshaking(node))
        link.start(4)
        theirs.send(Handshake.ours(torrent.info_hash, f"-XX0000-{number:012}".encode()).encode())
        host.read()
        assert link.peer is not None
        yield host, link, theirs
        link.close("done")


def spoken(theirs: socket.socket) -> bytes:
    """What the peer has to read."""
    said = b""
    with suppress(BlockingIOError):
        while data := theirs.recv(1 << 20):
            said += data
    return said


def test_who_talks_and_does_not_read_is_not_listened_to_until_it_reads() -> None:
    """A choked peer's requests are each rejected: without an end, a peer could fill our memory with rejects."""
    node = Node(Clock())
    torrent = node.seed(sample(pieces=4, blocks=2))
    with joined(torrent, node) as (host, link, theirs):
        assert link.peer is not None
        link.peer.profile.chatter = Chatter(1 << 30, node.engine.clock())  # else it is paused for its chatter first
        request = messages.encode(messages.Request(1, 0, BLOCK_SIZE))
        talk, said = link.peer.talk, 0
        while host.reading and said < 16 * MOST_UNTOLD:
            said += theirs.send(request * 1000)
            host.read()
        assert not host.reading
        assert talk.pending < 2 * MOST_UNTOLD
        while talk.pending:
            theirs.recv(1 << 20)
            host.write()
        assert host.reading


class Watched(socket.socket):
    """Tells whether the turn is held while it is used."""

    held: Callable[[], bool]
    uses: list[tuple[str, bool]]

    def recv_into(self, *given: Any) -> int:
        self.uses.append(("receive", self.held()))
        return super().recv_into(*given)

    def recvmsg_into(self, *given: Any) -> Any:
        self.uses.append(("receive", self.held()))
        return super().recvmsg_into(*given)

    def send(self, *given: Any) -> int:
        self.uses.append(("send", self.held()))
        return super().send(*given)

    def sendmsg(self, *given: Any) -> int:
        self.uses.append(("send", self.held()))
        return super().sendmsg(*given)


def test_no_socket_is_used_within_a_turn() -> None:
    """W15: the Go engine's writers once held its lock while they sent, and 920 tasks waited for one peer."""
    node = Node(Clock())
    torrent = node.seed(sample(pieces=4, blocks=2))
    with joined(torrent, node) as (host, link, theirs):
        assert link.peer is not None
        watched = Watched(fileno=socket.dup(link._sock.fileno()))
        watched.setblocking(False)
        watched.held, watched.uses = lambda: node.engine.turn.held_by_me, []
        link._sock.close()
        link._sock = watched
        theirs.send(messages.encode(messages.Interested()))
        host.read()
        theirs.send(messages.encode(messages.Request(1, 0, BLOCK_SIZE)))
        host.read()
        node.settle()
        link.flush()
        assert len(spoken(theirs)) > BLOCK_SIZE
        assert {use for use, _ in watched.uses} == {"receive", "send"}
        assert not any(held for _, held in watched.uses)


def test_what_we_tell_of_our_pieces_makes_nobody_unheard() -> None:
    """Two who tell each other much would wait for each other without end."""
    node = Node(Clock())
    torrent = node.seed(sample(pieces=4, blocks=2))
    with joined(torrent, node) as (host, link, _):
        assert link.peer is not None
        talk = link.peer.talk
        talk.have_many([0] * MOST_UNTOLD)
        link.flush()
        assert host.reading
        assert talk.pending > MOST_UNTOLD
        assert talk.pending_answers == 0


def test_who_says_much_and_gives_little_has_to_wait_for_its_next_word() -> None:
    """Eight peers that sent nothing but cheap messages once slowed all others down by half."""
    node = Node(clock := Clock())
    torrent = node.seed(sample(pieces=4, blocks=2))
    with joined(torrent, node) as (host, link, theirs):
        assert link.peer is not None
        link.peer.flow.up.add(BLOCK_SIZE, clock.now)
        said = 0
        for _ in range(100):
            while host.reading:
                said += theirs.send(FLOOD)
                host.read()
            pause, go_on = host.timers.pop()
            clock.now += pause
            go_on()
        assert said < BURST + 4 * 18 + 2 * MESSAGES_AT_ONCE + RATE * (clock.now - 1000)
        assert not host.blamed


def test_who_says_much_and_neither_gives_nor_takes_is_sent_away() -> None:
    """It has a place that another one could have."""
    node = Node(clock := Clock())
    torrent = node.seed(sample(pieces=4, blocks=2))
    silences = 0
    with joined(torrent, node) as (host, _, theirs):
        while torrent.swarm.peers:
            while host.reading:
                theirs.send(FLOOD)
                host.read()
            for pause, go_on in host.timers[-1:]:
                clock.now += pause
                go_on()
                silences += 1
        assert host.blamed == ["127.0.0.2"]
    assert silences <= MOST_SILENCES + 2


@pytest.mark.parametrize("part", [100, 1460, 10_000, 16_397])
def test_who_gives_blocks_is_heard_however_few_bytes_come_at_a_time(part: int) -> None:
    """A block that comes in a hundred parts is no chatter, on a slow line as little as on a fast one."""
    node = Node(Clock())
    content = sample(pieces=50, blocks=1)
    torrent = node.add(content)
    node.settle()
    with joined(torrent, node) as (host, _, theirs):
        talk = Connection(content.geometry, fast=True, extended=True, now=0.0)
        talk.send_pieces(all_pieces(50), True)
        talk.unchoke()
        stream, asked, stopped = b"", bytearray(spoken(theirs)[HANDSHAKE_LENGTH:]), 0
        while torrent.pieces.missing_wanted and not stopped:
            for event in talk.receive(asked, 0.0):
                if isinstance(event, RequestRun):
                    for piece in range(event.piece, event.piece + event.length // BLOCK_SIZE):
                        talk.send_blocks(piece, 0, memoryview(content.of_piece(piece)), BLOCK_SIZE)
            while said := b"".join(talk.outgoing(1 << 20)):
                talk.sent(len(said), 0.0)
                stream += said
            for at in range(0, len(stream), part):
                theirs.send(stream[at : at + part])
                stopped += not host.reading
                host.read()
            stream = b""
            node.settle()
            host.flush_touched()
            asked = bytearray(spoken(theirs))
        assert not stopped
        assert torrent.pieces.is_seed


def test_floods_do_not_keep_others_from_being_heard() -> None:
    """Each readable socket brings a bounded number of bytes, and a flood soon none; who asks for blocks always may."""
    node = Node(clock := Clock())
    torrent = node.seed(sample(pieces=4, blocks=2))
    request = messages.encode(messages.Request(0, 0, BLOCK_SIZE))
    with ExitStack() as stack:
        floods = [stack.enter_context(joined(torrent, node, number)) for number in range(1, 9)]
        host, _, theirs = stack.enter_context(joined(torrent, node, 9))
        heard = 0
        for _ in range(200):
            for loop, _, flood in floods:
                if loop.reading:
                    with suppress(BlockingIOError):
                        heard += flood.send(FLOOD * 4)
                    loop.read()
            theirs.send(request)
            assert host.reading
            host.read()
            clock.now += 0.01
        assert heard < 8 * (BURST + 4 * 18 + RATE * 2 + 2 * len(FLOOD * 4))


# Dials, and how connections end.


@contextmanager
def dialing_to(node: Node, torrent: TorrentState, where: Address) -> Iterator[tuple[Loop, SocketLink, Candidate]]:
    """A dial under way of which the system says that it is connected, before anything was sent: see net.dial()."""
    torrent.swarm.candidates.add(where, "tracker")
    candidate = torrent.swarm.candidates.get(where)
    assert candidate is not None
    torrent.swarm.candidates.engage(candidate, node.engine.clock())
    torrent.swarm.dialing = node.engine.due.half_open = 1
    greeting, names = membership.our_greeting(node.engine, torrent, torrent.info_hash)
    shaking = Handshaking.dialed(greeting, names, Encryption.OFF, None, node.engine.clock(), 4)
    host = Loop(node.engine)
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, FAST_OPEN, 1)
        sock.setsockopt(socket.IPPROTO_TCP, NO_COOKIE, 1)
        assert sock.connect_ex(where) == 0
        link = SocketLink(host, sock, where, shaking, torrent, candidate)
        link.start(4)
        host.write()
        yield host, link, candidate
        assert link.ended()


@pytest.mark.skipif(sys.platform != "linux", reason="TCP Fast Open by connect() is Linux's")
def test_a_refusal_behind_fast_open_is_a_failed_dial() -> None:
    """It counts as open until then, comes with the first receive, and says nothing about encryption."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        where = Address(*gone.getsockname())
    node = Node(Clock())
    torrent = node.add(sample(pieces=4, blocks=1))
    node.settle()
    with dialing_to(node, torrent, where) as (host, link, candidate):
        assert torrent.swarm.dialing == node.engine.due.half_open == 1
        while not link.ended():
            pass
        host.read()
        assert torrent.swarm.dialing == node.engine.due.half_open == 0
        assert (candidate.failures, candidate.misunderstood) == (1, False)


@pytest.mark.skipif(sys.platform != "linux", reason="TCP Fast Open by connect() is Linux's")
def test_one_that_never_answers_behind_fast_open_times_out() -> None:
    """By the same clock as any dial."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        node = Node(Clock())
        torrent = node.add(sample(pieces=4, blocks=1))
        node.settle()
        with dialing_to(node, torrent, Address(*silent.getsockname())) as (host, link, candidate):
            assert not link.ended()
            [(after, act)] = host.timers
            assert after == 4
            act()
            assert torrent.swarm.dialing == node.engine.due.half_open == 0
            assert (candidate.failures, candidate.misunderstood) == (1, False)


@pytest.mark.parametrize("source", ["dht", "tracker"])
def test_a_dial_that_is_answered_when_the_torrent_is_private_by_now_says_nothing(source: str) -> None:
    """W32: its handshake would tell the name of the torrent to somebody whom no tracker told of."""
    content = changed(sample(pieces=4, blocks=1), private=1)
    node = Node(Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    address = Address("192.0.2.1", 1)
    torrent.swarm.candidates.add(address, source)
    candidate = torrent.swarm.candidates.get(address)
    assert candidate is not None
    torrent.swarm.candidates.engage(candidate, node.engine.clock())
    torrent.swarm.dialing = node.engine.due.half_open = 1
    greeting, names = membership.our_greeting(node.engine, torrent, torrent.info_hash)
    shaking = Handshaking.dialed(greeting, names, Encryption.OFF, None, node.engine.clock(), 4)
    Teacher(node, torrent, content)
    node.settle()
    assert torrent.metainfo.info.private
    host = Loop(node.engine)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        link = SocketLink(host, ours, address, shaking, torrent, candidate)
        link.start(4)
        host.write()
        assert len(spoken(theirs)) == (HANDSHAKE_LENGTH if source == "tracker" else 0)
        assert link.ended() == (source == "dht")
        assert torrent.swarm.dialing == node.engine.due.half_open == (source == "tracker")
        link.close("done")


def test_who_hung_up_behind_its_last_words_has_ended() -> None:
    """Before anybody has read them."""
    node = Node(Clock())
    torrent = node.seed(sample(pieces=4, blocks=1))
    with joined(torrent, node) as (_, link, theirs):
        assert not link.ended()
        theirs.send(messages.encode(messages.NotInterested()))
        if sys.platform == "linux":
            theirs.shutdown(socket.SHUT_RDWR)
            assert link.ended()
        link.close("done")
        assert link.ended()


@pytest.mark.parametrize(
    ("last_words", "reads", "reason"),
    [
        (b"", True, "closed by the peer"),
        (b"", False, "the connection broke: Connection reset by peer"),  # what it did not read is lost
        (messages.encode(messages.Have(999)), True, "piece 999 of 4"),
    ],
)
def test_why_a_peer_left_is_told_in_words(last_words: bytes, reads: bool, reason: str) -> None:
    """Without the system's number of an error."""
    node = Node(Clock())
    torrent = node.seed(sample(pieces=4, blocks=1))
    with joined(torrent, node) as (host, link, theirs):
        if reads:
            spoken(theirs)
        if last_words:
            theirs.send(last_words)
            host.read()
            link.tick(node.engine.clock())
        else:
            theirs.close()
            host.read()
    assert [event.reason for event in node.told() if isinstance(event, PeerLost)] == [reason]
