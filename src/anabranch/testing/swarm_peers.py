"""Scripted peers of a simulated swarm: a real conversation of the wire, and a simple mind behind it.

They have everything, listen, unchoke whoever is interested, and then do wrong in the way that their kind says.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from anabranch.model import Address, PeerFault, all_pieces
from anabranch.wire import CancelRun, Connection, Event, Handshake, Interested, NotInterested, RequestRun

from .swarm_content import SimulatedContent
from .swarm_network import Line, Socket

_WATERMARK = 64 * 1024  # bytes queued with a connection above which it queues no more blocks


class PeerKind(Enum):
    """What a scripted peer does with requests."""

    HONEST = "honest"  # answers them
    LYING = "lying"  # sends wrong data
    MIXED = "mixed"  # every fourth block is wrong
    REJECTING = "rejecting"  # rejects each
    SILENT = "silent"  # never answers


class ScriptedNode:
    """A scripted peer at an address.

    Attributes:
        sent: Blocks.
        met: Connections so far.
    """

    def __init__(self, line: Line, address: Address, peer_id: bytes, content: SimulatedContent, kind: PeerKind) -> None:
        self.line = line
        self.address = address
        self.kind = kind
        self.content = content
        self.sent = 0
        self.met = 0
        self._peer_id = peer_id

    def greet(self, socket: Socket, address: Address, theirs: Handshake) -> Handshake | None:
        """See Resident."""
        if theirs.info_hash != self.content.metainfo.info.info_hash:
            return None
        self.met += 1
        socket.owner = _Talk(self, socket, theirs)
        return Handshake.ours(theirs.info_hash, self._peer_id)

    def block(self, piece: int, begin: int, length: int) -> memoryview:
        """A block as it is sent."""
        data = bytearray(self.content.of_piece(piece)[begin : begin + length])
        self.sent += 1
        if self.kind is PeerKind.LYING or (self.kind is PeerKind.MIXED and self.sent % 4 == 0):
            data[0] ^= 0xFF
        return memoryview(data)


class _Talk:
    """One connection of a scripted peer."""

    def __init__(self, node: ScriptedNode, socket: Socket, theirs: Handshake) -> None:
        self._node = node
        self._socket = socket
        self._clock = node.line.timeline
        self._asked: deque[tuple[int, int, int]] = deque()  # (piece, begin, length)
        geometry = node.content.metainfo.info.geometry
        self._talk = Connection(geometry, fast=theirs.fast, extended=False, now=self._clock())
        self._talk.send_pieces(all_pieces(geometry.piece_count), True)
        self._clock.after(0, self.writable)

    def readable(self, data: bytes | bytearray) -> int:
        """See Owner."""
        try:
            for event in self._talk.receive(bytes(data), self._clock()):
                self._hear(event)
        except PeerFault:
            self._socket.close()
        self.writable()
        return len(data)

    def writable(self) -> None:
        """See Owner."""
        while not self._socket.closed:
            while self._asked and self._talk.pending_payload < _WATERMARK:
                piece, begin, length = self._asked.popleft()
                self._talk.send_blocks(piece, begin, self._node.block(piece, begin, length), length)
            data = b"".join(self._talk.outgoing(self._socket.room))
            if not data:
                return
            self._talk.sent(len(data), self._clock())
            self._socket.send(data)

    def hung_up(self) -> None:
        """See Owner."""
        self._asked.clear()

    def _hear(self, event: Event) -> None:
        match event:
            case Interested():
                self._talk.unchoke()
            case NotInterested():
                self._talk.choke()
            case RequestRun(piece, begin, length, block) if self._node.kind is PeerKind.REJECTING:
                self._talk.reject(piece, begin, length, block)
            case RequestRun(piece, begin, length, block) if self._node.kind is not PeerKind.SILENT:
                ends = range(begin, begin + length, block)
                self._asked.extend((piece, at, min(block, begin + length - at)) for at in ends)
            case CancelRun(piece, begin, length):
                for one in [one for one in self._asked if one[0] == piece and begin <= one[1] < begin + length]:
                    self._asked.remove(one)
                    self._talk.reject(piece, one[1], one[2], one[2])
            case _:
                return
