"""Peer messages: values, the bytes they are on the wire, and how long each may be.

Sources: BEP 3 ("peer messages"), BEP 5 (port), BEP 6 (fast extension), BEP 10 (extended), BEP 52 (hashes). The order in
which they may come is connection.py's affair, blocks and requests travel in bulk through landing.py and ranges.py.
A frame comes from a stranger: nothing in it is believed before it is checked.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from anabranch.model import PeerFault

MAX_FRAME = 2 * 1024 * 1024  # bytes; the bitfield of 16 million pieces, the largest frame there is
MAX_BLOCK = 128 * 1024  # bytes; 16 KiB is what everybody asks for, a few old clients ask for more
MAX_EXTENDED = 1024 * 1024 + 1024  # bytes; payloads of 1 MiB with their dictionary
MAX_UNKNOWN = 64 * 1024  # bytes; what we do not know is skipped up to here

HASH_SIZE = 32  # bytes of SHA-256
MAX_HASHES = 8192 + 64  # in one message: BEP 52 has nobody ask for more than 512 and their proof, some may

CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, BLOCK, CANCEL, PORT = range(10)
SUGGEST, HAVE_ALL, HAVE_NONE, REJECT, ALLOWED_FAST = range(13, 18)
EXTENDED = 20
HASH_REQUEST, HASHES, HASH_REJECT = range(21, 24)

FAST_KINDS = frozenset({SUGGEST, HAVE_ALL, HAVE_NONE, REJECT, ALLOWED_FAST})

HEAD = struct.Struct(">IB")  # length of what follows the first 4 bytes, message id
BLOCK_HEADER = struct.Struct(">IBII")  # the same, piece, begin; the block's bytes follow
RANGE = struct.Struct(">IBIII")  # request, cancel and reject whole: head, piece, begin, length


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Nothing to say, still there."""


@dataclass(frozen=True, slots=True)
class Choke:
    """The sender will not answer requests."""


@dataclass(frozen=True, slots=True)
class Unchoke:
    """The sender will answer requests."""


@dataclass(frozen=True, slots=True)
class Interested:
    """The sender wants something that the receiver has."""


@dataclass(frozen=True, slots=True)
class NotInterested:
    """The sender wants nothing that the receiver has."""


@dataclass(frozen=True, slots=True)
class Have:
    """The sender has got this piece."""

    piece: int


@dataclass(frozen=True, slots=True)
class Bitfield:
    """All pieces the sender has: raw bytes, the first piece in the highest bit, spare bits cleared."""

    bits: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """The sender asks for a block: *length* bytes from *begin* in the piece."""

    piece: int
    begin: int
    length: int


@dataclass(frozen=True, slots=True)
class Block:
    """The bytes of a piece from *begin* on ("piece" in BEP 3)."""

    piece: int
    begin: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cancel:
    """The sender no longer wants what it requested in these words."""

    piece: int
    begin: int
    length: int


@dataclass(frozen=True, slots=True)
class Port:
    """The UDP port of the sender's DHT node (BEP 5)."""

    port: int


@dataclass(frozen=True, slots=True)
class Suggest:
    """The sender would find it easy to serve this piece (BEP 6)."""

    piece: int


@dataclass(frozen=True, slots=True)
class HaveAll:
    """The sender has every piece (BEP 6)."""


@dataclass(frozen=True, slots=True)
class HaveNone:
    """The sender has no piece (BEP 6)."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The sender will not answer this request (BEP 6)."""

    piece: int
    begin: int
    length: int


@dataclass(frozen=True, slots=True)
class AllowedFast:
    """The sender will serve this piece even to those it chokes (BEP 6)."""

    piece: int


@dataclass(frozen=True, slots=True)
class Extended:
    """A message of the extension protocol (BEP 10); id 0 is its handshake."""

    id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class HashRequest:
    """The sender asks for hashes of a file's merkle tree (BEP 52).

    Args:
        root: The file's pieces root, 32 bytes.
        base_layer: The layer they are of; 0 has the hashes of the blocks.
        index: The first of them, counted in that layer.
        length: How many.
        proof_layers: How many layers above are wanted to prove them, each with one uncle hash.
    """

    root: bytes
    base_layer: int
    index: int
    length: int
    proof_layers: int

    def __post_init__(self) -> None:
        _check_root(self.root)


@dataclass(frozen=True, slots=True)
class Hashes:
    """The hashes that were asked for in these words, 32 bytes each: of the base layer, then the uncles upwards."""

    root: bytes
    base_layer: int
    index: int
    length: int
    proof_layers: int
    hashes: bytes

    def __post_init__(self) -> None:
        _check_root(self.root)
        if len(self.hashes) % HASH_SIZE or len(self.hashes) > MAX_HASHES * HASH_SIZE:
            raise ValueError(f"{len(self.hashes)} bytes are not up to {MAX_HASHES} hashes of {HASH_SIZE}")


@dataclass(frozen=True, slots=True)
class HashReject:
    """The sender will not answer this request for hashes."""

    root: bytes
    base_layer: int
    index: int
    length: int
    proof_layers: int

    def __post_init__(self) -> None:
        _check_root(self.root)


Message = (
    KeepAlive
    | Choke
    | Unchoke
    | Interested
    | NotInterested
    | Have
    | Bitfield
    | Request
    | Block
    | Cancel
    | Port
    | Suggest
    | HaveAll
    | HaveNone
    | Reject
    | AllowedFast
    | Extended
    | HashRequest
    | Hashes
    | HashReject
)

_NOTHING, _PIECE, _RANGE, _PORT, _HASHES = (struct.Struct(layout) for layout in (">", ">I", ">III", ">H", ">32sIIII"))

# Messages of one size: id -> the layout of their body and what it is read into, field by field.
FIXED: Mapping[int, tuple[struct.Struct, Callable[..., Message]]] = {
    CHOKE: (_NOTHING, Choke),
    UNCHOKE: (_NOTHING, Unchoke),
    INTERESTED: (_NOTHING, Interested),
    NOT_INTERESTED: (_NOTHING, NotInterested),
    HAVE: (_PIECE, Have),
    REQUEST: (_RANGE, Request),
    CANCEL: (_RANGE, Cancel),
    PORT: (_PORT, Port),
    SUGGEST: (_PIECE, Suggest),
    HAVE_ALL: (_NOTHING, HaveAll),
    HAVE_NONE: (_NOTHING, HaveNone),
    REJECT: (_RANGE, Reject),
    ALLOWED_FAST: (_PIECE, AllowedFast),
    HASH_REQUEST: (_HASHES, HashRequest),
    HASH_REJECT: (_HASHES, HashReject),
}

# Messages of several sizes: id -> the least and the greatest length, the id's byte included.
_SPANS: Mapping[int, tuple[int, int]] = {
    BITFIELD: (1, MAX_FRAME),
    BLOCK: (9, 9 + MAX_BLOCK),
    EXTENDED: (2, 2 + MAX_EXTENDED),
    HASHES: (1 + _HASHES.size, 1 + _HASHES.size + MAX_HASHES * HASH_SIZE),
} | {kind: (1 + layout.size, 1 + layout.size) for kind, (layout, _) in FIXED.items()}

_KINDS: Mapping[type, int] = {
    made: kind for kind, (_, made) in FIXED.items() if isinstance(made, type)
}  # the other way round, for encode()


def check_length(kind: int, length: int) -> None:
    """Judge a frame by its first five bytes, before the rest is waited for.

    Args:
        kind: The message id.
        length: What the length prefix says: bytes after it, the id included.

    Raises:
        PeerFault: no message of this id is that short or that long.
    """
    least, most = _SPANS.get(kind, (1, MAX_UNKNOWN))
    if not least <= length <= most:
        due = f"{least}" if least == most else f"{least} to {most}"
        raise PeerFault(f"message {kind} of {length} bytes, {due} are due")


def known(kind: int) -> bool:
    """Whether decode() knows messages of this id."""
    return kind in _SPANS


def decode(frame: bytes) -> Message:
    """Read one frame, its length prefix already taken off.

    Raises:
        PeerFault: no such message, or its body has the wrong length.
    """
    if not frame:
        return KeepAlive()
    kind = frame[0]
    check_length(kind, len(frame))
    if kind in FIXED:
        layout, made = FIXED[kind]
        return made(*layout.unpack_from(frame, 1))
    if kind == BITFIELD:
        return Bitfield(frame[1:])
    if kind == EXTENDED:
        return Extended(frame[1], frame[2:])
    if kind == HASHES:
        hashes = frame[1 + _HASHES.size :]
        if len(hashes) % HASH_SIZE:
            raise PeerFault(f"{len(hashes)} bytes are no hashes of {HASH_SIZE}")
        root, base_layer, index, length, proof_layers = _HASHES.unpack_from(frame, 1)
        return Hashes(root, base_layer, index, length, proof_layers, hashes)
    if kind == BLOCK:
        _, piece, begin = struct.unpack_from(">BII", frame)
        return Block(piece, begin, frame[9:])
    raise PeerFault(f"unknown message {kind}")


def encode(message: Message) -> bytes:
    """The message as it goes over the wire, length prefix included."""
    match message:
        case KeepAlive():
            return bytes(4)
        case Bitfield(bits):
            return HEAD.pack(1 + len(bits), BITFIELD) + bits
        case Block(piece, begin, data):
            return BLOCK_HEADER.pack(9 + len(data), BLOCK, piece, begin) + data
        case Extended(number, payload):
            return HEAD.pack(2 + len(payload), EXTENDED) + bytes([number]) + payload
        case Hashes(root, base_layer, index, length, proof_layers, hashes):
            request = _HASHES.pack(root, base_layer, index, length, proof_layers)
            return HEAD.pack(1 + len(request) + len(hashes), HASHES) + request + hashes
        case _:
            kind = _KINDS[type(message)]
            layout, _ = FIXED[kind]
            values = [getattr(message, name) for name in message.__slots__]
            return HEAD.pack(1 + layout.size, kind) + layout.pack(*values)


def _check_root(root: bytes) -> None:
    if len(root) != HASH_SIZE:
        raise ValueError(f"a pieces root has {HASH_SIZE} bytes, not {len(root)}")
