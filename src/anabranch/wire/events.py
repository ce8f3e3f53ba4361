"""What a conversation with a peer brings: the values that Connection's receive(), landed() and tick() return.

Some messages are events as they are (Have, Unchoke, HaveAll ...); here are those that mean more than their bytes say.
Blocks, requests, cancels and rejects come as runs: consecutive blocks of one piece in one value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from bitarray import bitarray

from .extensions import DontHave, ExtendedHandshake, ExtendedMessage
from .messages import (
    AllowedFast,
    Hashes,
    HashReject,
    HashRequest,
    Have,
    HaveAll,
    HaveNone,
    Interested,
    NotInterested,
    Port,
    Suggest,
    Unchoke,
)


class ExpectedRun(NamedTuple):
    """Consecutive blocks that a peer owes us: *length* bytes from *begin* in *piece*, and the owner's token."""

    piece: int
    begin: int
    length: int
    token: object


@dataclass(frozen=True, slots=True)
class BlocksLanded:
    """Blocks that we asked for lie in the views that were given with the request. *length* in bytes, whole blocks."""

    piece: int
    begin: int
    length: int
    token: object


@dataclass(frozen=True, slots=True)
class CancelledBlock:
    """A block came although its request was cancelled or its view revoked. Its bytes are lost."""

    piece: int
    begin: int
    length: int


@dataclass(frozen=True, slots=True)
class UnexpectedBlock:
    """A block came never asked for, or cancelled so long ago that we forgot. Its bytes are lost."""

    piece: int
    begin: int
    length: int


@dataclass(frozen=True, slots=True)
class RequestRun:
    """The peer asks for *length* bytes from *begin*, in blocks of *block* bytes, the last of which may be shorter."""

    piece: int
    begin: int
    length: int
    block: int


@dataclass(frozen=True, slots=True)
class CancelRun:
    """The peer takes requests back; measured like RequestRun."""

    piece: int
    begin: int
    length: int
    block: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The peer will not serve *length* bytes from *begin* that we asked for (BEP 6)."""

    piece: int
    begin: int
    length: int
    token: object


@dataclass(frozen=True, slots=True)
class PeerHas:
    """The pieces the peer has, one bit a piece. The array is the receiver's to keep and change."""

    bits: bitarray


@dataclass(frozen=True, slots=True)
class Choked:
    """The peer chokes us. *lost* is what it owed and will not serve: all without the fast extension, none with it."""

    lost: list[ExpectedRun]


Event = (
    BlocksLanded
    | CancelledBlock
    | UnexpectedBlock
    | RequestRun
    | CancelRun
    | Rejected
    | PeerHas
    | HaveAll
    | HaveNone
    | Have
    | DontHave
    | Choked
    | Unchoke
    | Interested
    | NotInterested
    | Suggest
    | AllowedFast
    | Port
    | ExtendedHandshake
    | ExtendedMessage
    | HashRequest
    | Hashes
    | HashReject
)


def add_run(
    events: list[Event], made: type[BlocksLanded | Rejected], piece: int, begin: int, length: int, token: object
) -> None:
    """Tell what became of blocks that we asked for, in the last event where they continue it."""
    last = events[-1] if events else None
    if (
        isinstance(last, BlocksLanded | Rejected)
        and type(last) is made
        and last.token is token
        and last.piece == piece
        and last.begin + last.length == begin
    ):
        events[-1] = made(piece, last.begin, last.length + length, token)
    else:
        events.append(made(piece, begin, length, token))
