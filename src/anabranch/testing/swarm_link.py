"""An engine's end of a simulated connection: what the network thread's link does, on a socket in virtual time.

Left out: encryption, the client's own rate limits (lines have rates), and the silencing of who says much.
"""

from __future__ import annotations

from typing import Protocol

from anabranch.engine import Engine, Peer, TorrentState, membership, receiving, serving
from anabranch.model import Geometry, PeerFault

from .swarm_network import Socket


class Host(Protocol):
    """What a link needs of its node."""

    engine: Engine
    torrent: TorrentState

    def flush_touched(self) -> None:
        """Send what turns have queued."""

    def gone(self, link: NodeLink) -> None:
        """The link has closed."""


class NodeLink:
    """A Link of the engine, and the owner of a socket. Whoever makes it sets *peer* at once."""

    peer: Peer

    def __init__(self, node: Host, socket: Socket) -> None:
        self._node = node
        self._socket = socket
        self._flushes_soon = False
        socket.owner = self

    def flush(self) -> None:
        """See Link."""
        engine, peer, socket = self._node.engine, self.peer, self._socket
        while not socket.closed:
            serving.fill(engine, peer)
            data = b"".join(peer.talk.outgoing(socket.room))
            if not data:
                return
            now = engine.clock()
            payload = peer.talk.sent(len(data), now)
            socket.send(data)
            if payload:
                with engine.turn:
                    peer.flow.up.add(payload, now)
                    peer.torrent.totals.uploaded += payload

    def ended(self) -> bool:
        """See Link."""
        return self._socket.closed

    def flush_soon(self) -> None:
        """See Link."""
        if not self._flushes_soon:
            self._flushes_soon = True
            self._socket.line.timeline.after(0, self._flush_now)

    def close(self, reason: str) -> None:
        """See Link."""
        if not self._socket.closed:
            self._socket.close()
            self._leave(reason)

    def vanish(self) -> None:
        """The line is cut: nobody is told."""
        self._socket.cut()
        self._leave("the line is cut")

    def pause_reading(self, paused: bool) -> None:
        """See Link."""
        if paused:
            self._socket.paused = True
        elif self._socket.paused:
            self._socket.line.timeline.after(0, self._socket.resume)

    def learn(self, geometry: Geometry) -> None:
        """See Link. Nodes know their torrent from the start."""

    def tick(self, now: float) -> None:
        """Let time pass for the conversation."""
        if not self._socket.closed and now >= self.peer.talk.deadline():
            try:
                self.peer.talk.tick(now)
            except PeerFault as fault:
                self.close(str(fault))
            self.flush()

    def readable(self, data: bytes | bytearray) -> int:
        """See Owner."""
        engine, peer, talk = self._node.engine, self.peer, self.peer.talk
        now = engine.clock()
        count = len(data)
        try:
            views = talk.landing(count)
            if views:
                count = min(count, sum(map(len, views)))
                _scatter(data, views, count)
                events = talk.landed(count, now)
            else:
                events = talk.receive(bytes(data), now)
            if events:
                with engine.turn:
                    receiving.take(engine, peer, events, now)
        except PeerFault as fault:
            self.close(str(fault))
        self._node.flush_touched()
        return count

    def writable(self) -> None:
        """See Owner."""
        self.flush()
        self._node.flush_touched()

    def hung_up(self) -> None:
        """See Owner."""
        self._leave("closed by the peer")

    def _flush_now(self) -> None:
        self._flushes_soon = False
        self.flush()

    def _leave(self, reason: str) -> None:
        with self._node.engine.turn:
            membership.leave(self._node.engine, self.peer, reason)
        self._node.gone(self)


def _scatter(data: bytes | bytearray, views: list[memoryview], count: int) -> None:
    at = 0
    with memoryview(data) as source:
        for view in views:
            if at >= count:
                return
            part = min(len(view), count - at)
            view[:part] = source[at : at + part]
            at += part
