"""What is kept of the DHT between runs: of each node its id, and the nodes that it knew.

Times are not kept: who answered an hour or a month ago is asked again before it is believed to be there. In bencode,
a list of one dictionary for each of our nodes; "at" is where it was bound, and tells IPv4 from IPv6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from anabranch.bencode import BencodeError, Limits, Value, decode, encode
from anabranch.model import InputRefused, canonical_host

from .contacts import ID_LENGTH, Contact, pack_address, unpack_contacts

MOST_CONTACTS = 400  # of one node; a full table has fewer
_LIMITS = Limits(depth=4, items=1000, string_length=64 * 1024)


@dataclass(frozen=True, slots=True)
class Remembered:
    """One of our nodes.

    Args:
        at: The IP address that its socket was bound to.
        id: Its id; empty where another program has that now.
        contacts: The nodes it knew, those that are to be asked first at the front.
    """

    at: str
    id: bytes
    contacts: tuple[Contact, ...]


def encode_nodes(nodes: Sequence[Remembered]) -> bytes:
    """The bytes that decode_nodes() reads."""
    every: list[Value] = []
    for node in nodes:
        packed = b"".join(contact.id + pack_address(contact.address) for contact in node.contacts[:MOST_CONTACTS])
        every.append({b"at": node.at.encode(), b"id": node.id, b"nodes": packed})
    return encode(every)


def decode_nodes(saved: bytes) -> list[Remembered]:
    """Read what was kept; empty bytes are nothing.

    Raises:
        InputRefused: it is something else.
    """
    if not saved:
        return []
    try:
        every = decode(saved, limits=_LIMITS)
    except BencodeError as bad:
        raise InputRefused(f"not what a DHT node has saved: {bad}") from bad
    if not isinstance(every, list):
        raise InputRefused(f"not what a DHT node has saved: no list but {type(every).__name__}")
    return [_remembered(one) for one in every]


def nameless(saved: bytes) -> bytes:
    """What was kept without the ids, for who runs beside the one that has them; nothing where it cannot be read."""
    try:
        return encode_nodes([replace(node, id=b"") for node in decode_nodes(saved)])
    except InputRefused:
        return b""


def claim(nodes: list[Remembered], at: str) -> Remembered:
    """Take out what was kept of the node at that address, or else of another one of its family; empty if nothing."""
    family = [node for node in nodes if (":" in node.at) == (":" in at)]
    for node in [node for node in family if node.at == at] + family:
        nodes.remove(node)
        return node
    return Remembered(at, b"", ())


def _remembered(one: Value) -> Remembered:
    if isinstance(one, dict):
        at, node_id, packed = one.get(b"at"), one.get(b"id"), one.get(b"nodes")
        if isinstance(at, bytes) and isinstance(node_id, bytes) and isinstance(packed, bytes):
            try:
                host = canonical_host(at.decode("ascii"))
            except ValueError as bad:
                raise InputRefused(f"not what a DHT node has saved: {at[:50]!r} is no address") from bad
            if len(node_id) in (0, ID_LENGTH):
                return Remembered(host, node_id, tuple(unpack_contacts(packed, v6=":" in host, most=MOST_CONTACTS)))
    raise InputRefused("not what a DHT node has saved: a node without address, id or nodes")
