"""The DHT's messages as liars and attackers write and read them: no more is checked than they need.

Source: BEP 5, and BEP 32 ("nodes6"). The reader of the engine is not used: what is to be tested should not test itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any

from anabranch.bencode import BencodeError, Limits, decode_prefix, encode
from anabranch.model import Address

Fields = dict[bytes, Any]  # of a bencoded dictionary
NODE_SIZES = {False: 26, True: 38}  # bytes of a node in a list, by "is it IPv6"
PEER_SIZES = {False: 6, True: 18}  # of a peer
MOST_READ = Limits(depth=10, items=2000, string_length=1 << 16)


def query(method: bytes, sender: bytes, transaction: bytes = b"aa", /, **arguments: object) -> bytes:
    """A question; the names of arguments are those of the BEPs."""
    told: dict[str, object] = {"id": sender, **arguments}
    return encode({"t": transaction, "y": "q", "q": method, "a": told})


def reply(transaction: bytes, sender: bytes, /, **values: object) -> bytes:
    """The answer to a question."""
    told: dict[str, object] = {"id": sender, **values}
    return encode({"t": transaction, "y": "r", "r": told})


def error(transaction: bytes, code: int, words: str) -> bytes:
    """A refusal."""
    return encode({"t": transaction, "y": "e", "e": [code, words]})


def read(datagram: bytes) -> Fields:
    """The fields of a message; empty where it is none."""
    try:
        value, _ = decode_prefix(datagram, limits=MOST_READ)
    except BencodeError:
        return {}
    return value if isinstance(value, dict) else {}


def part(fields: Fields, name: bytes) -> Fields:
    """A dictionary in it (b"a" of a question, b"r" of an answer); empty where there is none."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def text(fields: Fields, name: bytes, usual: bytes = b"") -> bytes:
    """Bytes in it; *usual* where there are none."""
    value = fields.get(name)
    return value if isinstance(value, bytes) else usual


def compact(address: Address) -> bytes:
    """An address and a port in 6 or 18 bytes, whatever they are."""
    family = AF_INET6 if ":" in address.host else AF_INET
    return inet_pton(family, address.host) + address.port.to_bytes(2, "big")


def uncompact(packed: bytes) -> Address:
    """Read what compact() wrote."""
    host = inet_ntop(AF_INET6 if len(packed) == 18 else AF_INET, packed[:-2])
    return Address(host, int.from_bytes(packed[-2:], "big"))


def compact_nodes(nodes: Iterable[tuple[bytes, Address]]) -> bytes:
    """A list of nodes: the id before each address."""
    return b"".join(node_id + compact(address) for node_id, address in nodes)


def nodes_in(values: Fields) -> list[tuple[bytes, Address]]:
    """The nodes that an answer names, of both families."""
    found: list[tuple[bytes, Address]] = []
    for name, size in ((b"nodes", NODE_SIZES[False]), (b"nodes6", NODE_SIZES[True])):
        packed = text(values, name)
        nodes = (packed[start : start + size] for start in range(0, len(packed) - size + 1, size))
        found += [(node[:20], uncompact(node[20:])) for node in nodes]
    return found


def distance(one: bytes, other: bytes) -> int:
    """How far two ids are from each other: their bits, exclusively or-ed."""
    return int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
