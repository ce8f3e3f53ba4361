"""A conversation that tells which messages go and come, for who wants to count them.

It is a class of its own so that the plain one pays nothing: not a call, not a comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from anabranch.model import BLOCK_SIZE, Geometry

from .connection import Connection
from .events import BlocksLanded, CancelledBlock, Event, UnexpectedBlock
from .extensions import OurExtensions
from .messages import (
    ALLOWED_FAST,
    BITFIELD,
    BLOCK,
    CANCEL,
    CHOKE,
    EXTENDED,
    HASH_REJECT,
    HASH_REQUEST,
    HASHES,
    HAVE,
    HAVE_ALL,
    HAVE_NONE,
    INTERESTED,
    NOT_INTERESTED,
    PORT,
    REJECT,
    REQUEST,
    SUGGEST,
    UNCHOKE,
)
from .outbox import Outbox
from .ranges import Range
from .transform import ByteTransform

KEEPALIVE = -1  # stands for the id of the message that has none
HANDSHAKE = "handshake"  # stands for the name of the extension protocol's own message
UNKNOWN = "unknown"  # a message that we cannot read, or an extension that we never named

_NAMES = {
    KEEPALIVE: "keepalive",
    CHOKE: "choke",
    UNCHOKE: "unchoke",
    INTERESTED: "interested",
    NOT_INTERESTED: "not_interested",
    HAVE: "have",
    BITFIELD: "bitfield",
    REQUEST: "request",
    BLOCK: "piece",  # BEP 3's word
    CANCEL: "cancel",
    PORT: "port",
    SUGGEST: "suggest",
    HAVE_ALL: "have_all",
    HAVE_NONE: "have_none",
    REJECT: "reject",
    ALLOWED_FAST: "allowed_fast",
    EXTENDED: "extended",
    HASH_REQUEST: "hash_request",
    HASHES: "hashes",
    HASH_REJECT: "hash_reject",
}


def message_name(kind: int) -> str:
    """What the BEPs call the message of this id."""
    return _NAMES.get(kind, UNKNOWN)


class Tally(Protocol):
    """Who counts. Each message is told of once."""

    def message_read(self, kind: int, count: int = 1) -> None:
        """Messages of this id came; blocks are counted as if they all had 16 KiB."""

    def message_written(self, kind: int, count: int = 1) -> None:
        """Messages of this id were queued to be sent."""

    def extension_read(self, name: str) -> None:
        """One of the messages read was of this extension."""

    def extension_written(self, name: str) -> None:
        """One of the messages written was of this extension."""

    def blocks_asked(self, length: int, count: int) -> None:
        """The peer asks for blocks of so many bytes."""

    def extension_offered(self, name: str) -> None:
        """The peer named this extension, which it had not before."""

    def fast_refused(self) -> None:
        """A message of the fast extension came where that was not agreed on."""


class CountedOutbox(Outbox):
    """What is to be sent, counted as it is queued."""

    __slots__ = ("_tally",)

    def __init__(self, transform: ByteTransform | None, tally: Tally) -> None:
        super().__init__(transform)
        self._tally = tally

    def put(self, message: bytes, *, tells: bool = False) -> None:
        """As the plain one does."""
        super().put(message, tells=tells)
        at = 0
        while at < len(message):  # several may be joined
            length = int.from_bytes(message[at : at + 4])
            self._tally.message_written(message[at + 4] if length else KEEPALIVE)
            at += 4 + length

    def put_blocks(
        self, piece: int, begin: int, data: memoryview, block: int, done: Callable[[], None] | None = None
    ) -> None:
        """As the plain one does."""
        super().put_blocks(piece, begin, data, block, done)
        self._tally.message_written(BLOCK, -(-len(data) // block))


class CountedConnection(Connection):
    """A conversation, see Connection, whose messages *tally* is told of."""

    def __init__(
        self,
        geometry: Geometry | None,
        *,
        fast: bool,
        extended: bool,
        now: float,
        transform: ByteTransform | None = None,
        tally: Tally,
    ) -> None:
        super().__init__(geometry, fast=fast, extended=extended, now=now, transform=transform)
        self._tally = tally
        self._outbox = CountedOutbox(transform, tally)
        self._inbound.on_keepalive = lambda: tally.message_read(KEEPALIVE)

    def send_extended_handshake(self, ours: OurExtensions) -> None:
        """As the plain one does."""
        super().send_extended_handshake(ours)
        if self._extensions.enabled:
            self._tally.extension_written(HANDSHAKE)

    def send_extended(self, name: str, payload: bytes) -> bool:
        """As the plain one does."""
        sent = super().send_extended(name, payload)
        if sent:
            self._tally.extension_written(name)
        return sent

    def _read(self, step: Callable[[list[Event]], None], now: float) -> list[Event]:
        events = super()._read(step, now)
        for event in events:
            match event:
                case BlocksLanded(length=length):
                    self._tally.message_read(BLOCK, -(-length // BLOCK_SIZE))
                case CancelledBlock() | UnexpectedBlock():
                    self._tally.message_read(BLOCK)
        return events

    def _read_ranges(self, kind: int, ranges: list[Range], events: list[Event]) -> None:
        for run in ranges:
            count = -(-run.length // run.block)
            self._tally.message_read(kind, count)
            if kind == REQUEST:
                self._tally.blocks_asked(run.block, count)
        super()._read_ranges(kind, ranges, events)

    def _read_frame(self, kind: int, body: bytes, events: list[Event]) -> None:
        self._tally.message_read(kind)
        if kind == EXTENDED and body:
            self._tally.extension_read((self._extensions.name_of(body[0]) or UNKNOWN) if body[0] else HANDSHAKE)
        before = self._extensions.theirs.ids
        super()._read_frame(kind, body, events)
        now = self._extensions.theirs.ids
        if now is not before:  # it introduced itself
            for name in now.keys() - before.keys():
                self._tally.extension_offered(name)

    def _need_fast(self, kind: int) -> None:
        if not self.fast:
            self._tally.fast_refused()
        super()._need_fast(kind)
