"""Scripted peers: a real conversation of the wire on the other side, and a simple mind behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from itertools import count
from typing import Any

from bitarray import bitarray

from anabranch.engine.candidates import Candidate
from anabranch.engine.state import Peer, TorrentState
from anabranch.metainfo import PieceLayers, Wanted, leaves_of
from anabranch.model import Address, InfoHash, PeerFault, no_pieces
from anabranch.wire import (
    METADATA,
    METADATA_PIECE,
    BlocksLanded,
    CancelRun,
    Connection,
    Event,
    ExtendedMessage,
    Handshake,
    HashRequest,
    Interested,
    MetadataData,
    MetadataReject,
    MetadataRequest,
    NotInterested,
    OurExtensions,
    Rejected,
    RequestRun,
    read_metadata,
    write_metadata,
)
from engine.clocks import Clock
from engine.rig import Node, NodeLink, run
from engine.samples import PlainStorage, Sample

_NUMBERS = count(1)
Spoil = Callable[[int, int], bool]  # (piece, begin) -> whether the block is sent wrong


class Remote:
    """A peer of a node that serves what it is asked for, as far as it is told to.

    Args:
        pieces: What it has; None for everything.
        rate: Blocks it sends in a second; None for at once.
        unchokes: It unchokes whoever is interested.
        fast: It knows BEP 6.
        spoil: Which blocks it sends wrong.
        name: The hash by which it knows the torrent.
        v2: It knows the hash messages of BEP 52.
        dht: It says that it runs a DHT node.
    """

    def __init__(
        self,
        node: Node,
        torrent: TorrentState,
        content: Sample,
        pieces: Collection[int] | None = None,
        *,
        rate: float | None = None,
        unchokes: bool = True,
        fast: bool = True,
        spoil: Spoil = lambda piece, begin: False,
        host: str = "",
        candidate: Candidate | None = None,
        tells: bool = True,
        name: InfoHash | None = None,
        v2: bool = False,
        dht: bool = False,
    ) -> None:
        number = next(_NUMBERS)
        self.inbox = bytearray()
        self.content = content
        self.rate = rate
        self.unchokes = unchokes
        self.spoil = spoil
        self.asked: deque[tuple[int, int, int]] = deque()  # what it owes: (piece, begin, length)
        self.heard: list[Event] = []
        self.sent = 0  # blocks
        self._due = 0.0
        self._landed: dict[tuple[int, int], memoryview] = {}
        self.talk = Connection(content.geometry, fast=fast, extended=True, now=node.engine.clock())
        self._node = node
        handshake = Handshake.ours(name or content.info_hash, f"-XX0000-{number:012}".encode(), dht=dht, v2=v2)
        if not fast:
            reserved = bytes(byte & ~0x04 if place == 7 else byte for place, byte in enumerate(handshake.reserved))
            handshake = Handshake(reserved, handshake.info_hash, handshake.peer_id)
        address = Address(
            host or f"10.{number // 62500 % 250}.{number // 250 % 250}.{number % 250 + 1}", 20000 + number % 40000
        )
        self.link: NodeLink = node.join(torrent, self, address, handshake, candidate)
        node.ends.append(self)
        if tells:
            self.talk.send_pieces(self._bits(pieces), pieces is None)
            self.talk.send_extended_handshake(self.introduction())
            self.send()

    def introduction(self) -> OurExtensions:
        """What it says of itself at first."""
        return OurExtensions(names={}, version="scripted", reqq=500)

    @property
    def peer(self) -> Peer:
        """What the node knows of it."""
        return self.link.peer

    def send(self) -> None:
        """Give the node what is queued."""
        now = self._node.engine.clock()
        while data := b"".join(self.talk.outgoing(1 << 20)):
            self.talk.sent(len(data), now)
            self.link.inbox += data

    def leave(self) -> None:
        self.link.close("closed by the peer")

    def hang_up(self) -> None:
        self.asked.clear()

    def deliver(self) -> bool:
        if not self.inbox:
            return False
        data = bytes(self.inbox)
        self.inbox.clear()
        for event in self.talk.receive(data, self._node.engine.clock()):
            self.heard.append(event)
            self.hear(event)
        if self.rate is None:
            self.serve(len(self.asked))
        self.send()
        return True

    def tick(self) -> None:
        if self.link.closed:
            return
        try:
            self.talk.tick(self._node.engine.clock())
        except PeerFault:
            return
        if self.rate is not None:
            self._due = min(self._due + self.rate, max(self.rate, 1.0))
            blocks = int(self._due)
            self._due -= blocks
            self.serve(blocks)
        self.send()

    def hear(self, event: Event) -> None:
        match event:
            case Interested() if self.unchokes:
                self.talk.unchoke()
            case NotInterested():
                self.talk.choke()
            case RequestRun():
                self.requested(event)
            case CancelRun():
                self.cancelled(event)
            case _:
                return

    def requested(self, run: RequestRun) -> None:
        for begin in range(run.begin, run.begin + run.length, run.block):
            self.asked.append((run.piece, begin, min(run.block, run.begin + run.length - begin)))

    def cancelled(self, run: CancelRun) -> None:
        for one in list(self.asked):
            piece, begin, length = one
            if piece == run.piece and run.begin <= begin < run.begin + run.length:
                self.asked.remove(one)
                self.talk.reject(piece, begin, length, length)

    def withdraw(self, blocks: int) -> None:
        """Answer the first so many requests with a reject, or without the fast extension not at all."""
        for _ in range(blocks):
            piece, begin, length = self.asked.popleft()
            self.talk.reject(piece, begin, length, length)

    def serve(self, blocks: int) -> None:
        """Send the first so many blocks of what it was asked for."""
        for _ in range(min(blocks, len(self.asked))):
            piece, begin, length = self.asked.popleft()
            data = bytearray(self.content.of_piece(piece)[begin : begin + length])
            if self.spoil(piece, begin):
                data[0] ^= 0xFF
            self.talk.send_blocks(piece, begin, memoryview(data), length)
            self.sent += 1

    def ask(self, piece: int, begin: int, length: int) -> None:
        """Ask the node for a block."""
        view = self._landed[piece, begin] = memoryview(bytearray(length))
        self.talk.request(piece, begin, [view], view)
        self.send()

    def answers(self) -> dict[tuple[int, int], bytes | None]:
        """What the node answered to ask(): the bytes, None where it was rejected."""
        answers: dict[tuple[int, int], bytes | None] = {}
        for event in self.heard:
            match event:
                case BlocksLanded(piece, begin, _, _):
                    answers[piece, begin] = bytes(self._landed[piece, begin])
                case Rejected(piece, begin, _, _):
                    answers[piece, begin] = None
        return answers

    def said(self, kind: type[Event]) -> int:
        """How often the node said this."""
        return sum(isinstance(event, kind) for event in self.heard)

    def _bits(self, pieces: Collection[int] | None) -> bitarray:
        bits = no_pieces(self.content.geometry.piece_count)
        if pieces is None:
            bits.setall(True)
        for piece in pieces or ():
            bits[piece] = True
        return bits


class Deaf(Remote):
    """Takes requests and never answers."""

    def serve(self, blocks: int) -> None:
        return


class Refuser(Remote):
    """Unchokes, and rejects every request."""

    def requested(self, run: RequestRun) -> None:
        self.talk.reject(run.piece, run.begin, run.length, run.block)


class Teacher(Remote):
    """Knows the torrent and lets others know it: the info dictionary and the piece hashes.

    Args:
        raw: The info dictionary that it gives.
        size: What it says how long that is, if it is not what it gives.
        hashes: What it answers to a request for hashes; a function of the right ones, None to say nothing.
        silent: It takes requests for the info dictionary and never answers.
        rejects: It rejects them.
    """

    def __init__(
        self,
        node: Node,
        torrent: TorrentState,
        content: Sample,
        *,
        raw: bytes | None = None,
        size: int | None = None,
        hashes: Callable[[bytes | None], bytes | None] = lambda right: right,
        silent: bool = False,
        rejects: bool = False,
        tells_info: bool = True,
        **more: Any,
    ) -> None:
        info = content.metainfo.info
        self.raw = info.raw if raw is None else raw
        self.size = len(self.raw) if size is None else size
        self.hashes = hashes
        self.silent = silent
        self.rejects = rejects
        self.tells_info = tells_info
        self.asked_info: list[int] = []
        self.asked_hashes: list[HashRequest] = []
        self.layers = PieceLayers(info, content.metainfo.layers) if info.v2 is not None else None
        super().__init__(node, torrent, content, v2=info.v2 is not None, **more)

    def introduction(self) -> OurExtensions:
        if not self.tells_info:
            return super().introduction()
        return OurExtensions(names={METADATA: 3}, version="teacher", reqq=500, metadata_size=self.size)

    def hear(self, event: Event) -> None:
        match event:
            case ExtendedMessage(name, payload) if name == METADATA:
                match read_metadata(payload):
                    case MetadataRequest(piece):
                        self.asked_info.append(piece)
                        self.give_info(piece)
            case HashRequest():
                self.asked_hashes.append(event)
                self.give_hashes(event)
            case _:
                super().hear(event)

    def give_info(self, piece: int) -> None:
        if self.silent:
            return
        part = self.raw[piece * METADATA_PIECE : (piece + 1) * METADATA_PIECE]
        data = MetadataReject(piece) if self.rejects or not part else MetadataData(piece, self.size, part)
        self.talk.send_extended(METADATA, write_metadata(data))

    def give_hashes(self, asked: HashRequest) -> None:
        words = Wanted(asked.root, asked.base_layer, asked.index, asked.length, asked.proof_layers)
        said = self.hashes(right := self.right_hashes(words))
        if said is not None:
            self.talk.hashes(asked, said)
        elif right is None:
            self.talk.hash_reject(asked)

    def right_hashes(self, wanted: Wanted) -> bytes | None:
        """The answer of who has all blocks."""
        layers = self.layers
        if layers is None:
            return None
        for pieces in layers.pieces_below(wanted):
            blocks = [memoryview(self.content.of_piece(piece))[: layers.content_of(piece)] for piece in pieces]
            return layers.answer_below(wanted, pieces, [b"".join(leaves_of(one)) for one in blocks])
        return layers.answer(*wanted)

    def refuse_hashes(self, asked: HashRequest) -> None:
        self.talk.hash_reject(asked)
        self.send()


def half_written(content: Sample) -> tuple[Node, Clock, TorrentState]:
    """Two blocks came, their sender left, and the write that gives their memory back is under way."""
    node = Node(clock := Clock())
    torrent = node.add(content, PlainStorage())
    node.settle()
    first = Remote(node, torrent, content, rate=0)
    node.settle()
    first.serve(2)
    first.send()
    node.settle()
    first.leave()
    node.disk.held = True
    run(clock, node, 8)
    return node, clock, torrent
