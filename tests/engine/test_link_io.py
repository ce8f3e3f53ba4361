"""The socket of a connection, driven by hand: peers that talk and do not read."""

from __future__ import annotations

import socket
from asyncio import TimerHandle
from collections.abc import Callable
from typing import cast

from anabranch.engine.chatter import RATE, Chatter
from anabranch.engine.encryption import Encryption
from anabranch.engine.engine import Engine
from anabranch.engine.handshaking import Handshaking, Secret
from anabranch.engine.link_io import MOST_UNTOLD, PLAIN_SIZE, SocketLink
from anabranch.model import BLOCK_SIZE, Address
from anabranch.wire import Handshake, messages
from engine.rig import Clock, Node
from engine.samples import sample


class Loop:
    """What a link needs of the network thread, without one."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.plain = memoryview(bytearray(PLAIN_SIZE))
        self.port: int | None = None
        self.timers: list[tuple[float, Callable[[], None]]] = []
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


def test_who_talks_and_does_not_read_is_not_listened_to_until_it_reads() -> None:
    """A choked peer's requests are each rejected: without an end, a peer could fill our memory with rejects."""
    node = Node(Clock())
    torrent = node.seed(sample(pieces=4, blocks=2))
    host = Loop(node.engine)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        link = SocketLink(host, ours, Address("127.0.0.2", 1), handshaking(node))
        link.start(4)
        theirs.send(bytes(Handshake.ours(torrent.info_hash, b"-XX0000-000000000000").encode()))
        host.read()
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
        link.close("done")


def test_who_says_much_and_gives_nothing_has_to_wait_for_its_next_word() -> None:
    """Eight peers that sent nothing but cheap messages once slowed all others down by half."""
    clock = Clock()
    node = Node(clock)
    torrent = node.seed(sample(pieces=4, blocks=2))
    host = Loop(node.engine)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        link = SocketLink(host, ours, Address("127.0.0.2", 1), handshaking(node))
        link.start(4)
        theirs.send(bytes(Handshake.ours(torrent.info_hash, b"-XX0000-000000000000").encode()))
        host.read()
        flood = (messages.encode(messages.Interested()) + messages.encode(messages.NotInterested())) * 2000
        said = 0
        for _ in range(100):
            while host.reading:
                said += theirs.send(flood)
                host.read()
            pause, go_on = host.timers.pop()
            clock.now += pause
            go_on()
        assert link.peer is not None
        assert said < 512 * 1024 + RATE * (clock.now - 1000)
        link.close("done")
