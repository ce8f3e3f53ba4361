"""Metadata messages (BEP 9, "ut_metadata"): the info dictionary of a torrent, asked for and sent in pieces of 16 KiB.

They travel as messages of the extension protocol: a bencoded dictionary, and behind it, where there are any, the bytes.
Whom to ask and whom to believe is fetching.py's affair, how much to answer is rationing.py's.
"""

from __future__ import annotations

from dataclasses import dataclass

from anabranch.bencode import BencodeError, Limits, Value, decode_prefix, encode
from anabranch.model import PeerFault

METADATA = "ut_metadata"
METADATA_PIECE = 16 * 1024  # bytes of every piece but the last
MAX_METADATA = 16 * 1024 * 1024  # bytes; the v1 hashes of 800,000 pieces. Values of 2 GB are seen in the wild

_LIMITS = Limits(depth=8, items=64, string_length=1024)  # real ones have 8 items in one dictionary
_MAX_NUMBER = 2**31 - 1
_REQUEST, _DATA, _REJECT = range(3)


@dataclass(frozen=True, slots=True)
class MetadataRequest:
    """The sender asks for a piece of the info dictionary."""

    piece: int


@dataclass(frozen=True, slots=True)
class MetadataData:
    """A piece of the info dictionary, which has *total_size* bytes as the sender says."""

    piece: int
    total_size: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class MetadataReject:
    """The sender does not give this piece: it has no metadata, or has given enough."""

    piece: int


MetadataMessage = MetadataRequest | MetadataData | MetadataReject


def read_metadata(payload: bytes) -> MetadataMessage | None:
    """Read the payload of an extended message; None for a kind that BEP 9 does not know (it has them ignored).

    Keys that nobody told us of are skipped, and so are bytes behind a request or a reject.

    Raises:
        PeerFault: no bencoded dictionary, a number missing or out of range, or more than 16 KiB of data.
    """
    try:
        said, end = decode_prefix(payload, lenient=True, limits=_LIMITS)
    except BencodeError as bad:
        raise PeerFault(f"{METADATA}: {bad}") from bad
    if not isinstance(said, dict):
        raise PeerFault(f"{METADATA} without a dictionary")
    kind = _number(said, b"msg_type", 0)
    if kind > _REJECT:
        return None
    piece = _number(said, b"piece", 0)
    if kind == _REQUEST:
        return MetadataRequest(piece)
    if kind == _REJECT:
        return MetadataReject(piece)
    total_size = _number(said, b"total_size", 1)
    if len(payload) - end > METADATA_PIECE:
        raise PeerFault(f"{METADATA} with a piece of {len(payload) - end} bytes, at most {METADATA_PIECE} are due")
    return MetadataData(piece, total_size, payload[end:])


def write_metadata(message: MetadataMessage) -> bytes:
    """The payload of the extended message that says this."""
    match message:
        case MetadataRequest(piece):
            return encode({b"msg_type": _REQUEST, b"piece": piece})
        case MetadataData(piece, total_size, payload):
            return encode({b"msg_type": _DATA, b"piece": piece, b"total_size": total_size}) + payload
        case MetadataReject(piece):
            return encode({b"msg_type": _REJECT, b"piece": piece})


def metadata_pieces(size: int) -> int:
    """How many pieces an info dictionary of so many bytes has."""
    return -(-size // METADATA_PIECE)


def metadata_slice(info: bytes | memoryview, piece: int) -> MetadataData | MetadataReject:
    """The answer to a request for a piece of this info dictionary: the piece, or that there is none of this number."""
    part = bytes(info[piece * METADATA_PIECE : (piece + 1) * METADATA_PIECE])
    return MetadataData(piece, len(info), part) if part else MetadataReject(piece)


def _number(said: dict[bytes, Value], key: bytes, least: int) -> int:
    value = said.get(key)
    if not isinstance(value, int) or not least <= value <= _MAX_NUMBER:
        raise PeerFault(f"{METADATA}: {key.decode()} is {str(value)[:50]}, {least} to {_MAX_NUMBER} is due")
    return value
