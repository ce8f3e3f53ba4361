"""What can be known of the DHT from outside, as it is now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import reduce
from operator import add

from anabranch.model import Address

from .stats import NodeStats


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """One of our nodes.

    Args:
        address: Where its socket is bound.
        id: Its id: 20 bytes.
        external: The address that others say it has; empty if that is not known.
        good: Nodes that it knows and that answered lately.
        known: All nodes in its table.
        torrents: Torrents that it keeps peers of, for others.
        peers: Those peers.
        items: Items that it keeps for others.
    """

    address: Address
    id: bytes
    external: str
    good: int
    known: int
    torrents: int
    peers: int
    items: int


@dataclass(frozen=True, slots=True)
class DhtStats:
    """All of them.

    Args:
        nodes: One for each socket.
        counted: What they have counted, together; a copy.
        unresolved: How often the name of a bootstrap host was not found out.
    """

    nodes: tuple[NodeSummary, ...]
    counted: NodeStats
    unresolved: int


def summed(every: Iterable[NodeStats]) -> NodeStats:
    """The counters of several nodes added up."""
    each = list(every)
    total = NodeStats()
    for field in fields(NodeStats):
        setattr(total, field.name, reduce(add, (getattr(one, field.name) for one in each), getattr(total, field.name)))
    return total
