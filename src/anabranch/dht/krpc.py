"""The messages of the DHT: queries, answers and errors, and the bytes they are in a datagram.

Source: BEP 5 ("KRPC protocol"), with `ip` of BEP 42 and `ro` of BEP 43. What the arguments of a method mean is read
where it is answered (answering.py). A datagram comes from a stranger, and its sender's address may be made up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from anabranch.bencode import BencodeError, Limits, Value, decode, encode

from .contacts import ID_LENGTH, unpack_address
from .faults import DhtFault

MAX_DATAGRAM = 2048  # bytes that are read; what is larger than a packet of the network gets lost often enough
MAX_TRANSACTION = 32  # bytes of a transaction id that are given back; real ones have 1 to 8
SERVER_ERROR = 202
PROTOCOL_ERROR = 203
METHOD_UNKNOWN = 204
_LIMITS = Limits(depth=40, items=1200, string_length=MAX_DATAGRAM)  # an item of 1,000 bytes may be a list of numbers
_USUAL = re.compile(  # most queries, as most write them
    rb"d1:ad2:id20:(.{20})(?:6:target20:(.{20})|9:info_hash20:(.{20}))?e1:q(?:4:(ping)|9:(find_node|get_peers))(2:roi1e)?"
    rb"1:t(?:1:(.)|2:(..)|4:(.{4})|8:(.{8}))(?:1:v4:.{4})?1:y1:qe",
    re.DOTALL,
)
_MAX_VERSION = 16  # bytes
_MAX_TEXT = 200  # characters of an error's words


class Query(NamedTuple):
    """Somebody asks. *read_only*: who asks does not answer (BEP 43)."""

    transaction: bytes
    method: str
    id: bytes
    arguments: Mapping[bytes, Value]
    read_only: bool


class Answer(NamedTuple):
    """Somebody answers. *external*: our own address as it sees it, empty if it does not tell (BEP 42)."""

    transaction: bytes
    id: bytes
    values: Mapping[bytes, Value]
    version: bytes
    external: str


class Refusal(NamedTuple):
    """Somebody answers with an error."""

    transaction: bytes
    code: int
    text: str


class Malformed(DhtFault):
    """No message. Where it has a transaction id, it is a query, and who sent it may be told what is wrong with it."""

    def __init__(self, text: str, transaction: bytes = b"") -> None:
        super().__init__(text, PROTOCOL_ERROR)
        self.transaction = transaction


def read(datagram: bytes) -> Query | Answer | Refusal:
    """Read one message. Keys that nobody knows are passed over, and so is what follows the message.

    Raises:
        Malformed: it is none.
    """
    if len(datagram) > MAX_DATAGRAM:
        raise Malformed(f"a datagram of {len(datagram)} bytes, at most {MAX_DATAGRAM} are read")
    usual = _USUAL.fullmatch(datagram)
    if usual is not None:
        return _usual_query(*usual.groups(b""))
    try:
        message = decode(datagram, lenient=True, limits=_LIMITS)
    except BencodeError as bad:
        raise Malformed(str(bad)) from bad
    if not isinstance(message, dict):
        raise Malformed("no dictionary")
    transaction = message.get(b"t")
    if not isinstance(transaction, bytes) or not 0 < len(transaction) <= MAX_TRANSACTION:
        raise Malformed("no transaction id")
    kind = message.get(b"y")
    if kind == b"q":
        return _query(message, transaction)
    if kind == b"r":
        return _answer(message, transaction)
    if kind == b"e":
        return _refusal(message, transaction)
    raise Malformed("neither a query nor an answer nor an error")


def query_head(method: str, arguments: Mapping[bytes, Value], *, read_only: bool = False) -> bytes:
    """A query up to its transaction id, the same for all who are asked.

    Raises:
        BencodeError: bencode cannot say the arguments.
    """
    return b"d1:a%b1:q%d:%b%b" % (encode(arguments), len(method), method.encode(), b"2:roi1e" if read_only else b"")


def query(head: bytes, transaction: bytes, version: bytes = b"") -> bytes:
    """A whole query."""
    return b"%b1:t%d:%b%b1:y1:qe" % (head, len(transaction), transaction, version_key(version))


def answer(transaction: bytes, values: bytes, asker: bytes, version: bytes = b"") -> bytes:
    """An answer.

    Args:
        transaction: As the query had it.
        values: The inside of the dictionary of values, in bencode and in order.
        asker: The packed address of who asks, which it is told (BEP 42).
        version: What version_key() made.
    """
    return b"d2:ip%d:%b1:rd%be1:t%d:%b%b1:y1:re" % (len(asker), asker, values, len(transaction), transaction, version)


def refusal(transaction: bytes, code: int, text: str, asker: bytes, version: bytes = b"") -> bytes:
    """An error; the arguments are those of answer()."""
    words = text.encode()[:_MAX_TEXT]
    body = b"li%de%d:%be" % (code, len(words), words)
    return b"d1:e%b2:ip%d:%b1:t%d:%b%b1:y1:ee" % (body, len(asker), asker, len(transaction), transaction, version)


def version_key(version: bytes) -> bytes:
    """What of a message says which client this is; nothing for none."""
    return b"1:v%d:%b" % (len(version), version) if version else b""


def shown(words: bytes) -> str:
    """What a node says in words, fit for a terminal: one line, not too long."""
    text = " ".join(words[: 4 * _MAX_TEXT].decode("utf-8", "replace").split())[:_MAX_TEXT]
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _usual_query(node_id: bytes, target: bytes, info_hash: bytes, *rest: bytes) -> Query:
    ping, other, read_only, *transactions = rest
    arguments: dict[bytes, Value] = {b"id": node_id}
    if target:
        arguments[b"target"] = target
    elif info_hash:
        arguments[b"info_hash"] = info_hash
    return Query(b"".join(transactions), (ping or other).decode(), node_id, arguments, bool(read_only))


def _query(message: dict[bytes, Value], transaction: bytes) -> Query:
    method, arguments = message.get(b"q"), message.get(b"a")
    if not isinstance(method, bytes):
        raise Malformed("a query without a method", transaction)
    if not isinstance(arguments, dict):
        raise Malformed("a query without arguments", transaction)
    node_id = arguments.get(b"id")
    if not isinstance(node_id, bytes) or len(node_id) != ID_LENGTH:
        raise Malformed("a query without the id of who asks", transaction)
    return Query(transaction, method.decode("latin-1"), node_id, arguments, message.get(b"ro") == 1)


def _answer(message: dict[bytes, Value], transaction: bytes) -> Answer:
    values = message.get(b"r")
    if not isinstance(values, dict):
        raise Malformed("an answer without values")
    node_id = values.get(b"id")
    if not isinstance(node_id, bytes) or len(node_id) != ID_LENGTH:
        raise Malformed("an answer without the id of who answers")
    version = message.get(b"v")
    told = message.get(b"ip")
    external = _external(told) if isinstance(told, bytes) else ""
    return Answer(transaction, node_id, values, version[:_MAX_VERSION] if isinstance(version, bytes) else b"", external)


def _refusal(message: dict[bytes, Value], transaction: bytes) -> Refusal:
    match message.get(b"e"):
        case [int(code), bytes(text), *_]:
            return Refusal(transaction, code, shown(text))
        case [int(code), *_]:
            return Refusal(transaction, code, "")
        case [bytes(text), *_] | bytes(text):  # not as BEP 5 has it, but clear
            return Refusal(transaction, 0, shown(text))
    return Refusal(transaction, 0, "")


def _external(packed: bytes) -> str:
    """BEP 42 speaks of a compact address; some leave the port out, or make it 0."""
    if len(packed) in (4, 16):
        packed += b"\0\1"
    elif packed[-2:] == b"\0\0":
        packed = packed[:-2] + b"\0\1"
    address = unpack_address(packed)
    return address.host if address is not None else ""
