"""One answer of several nodes: those of IPv4 and of IPv6 look for the same thing, each in its own DHT (BEP 32, 45)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .operations import Looked
from .table import NEAREST


def joined(target: bytes, parts: Sequence[Looked]) -> Looked:
    """What the look-ups of several nodes found together; one alone is what it is.

    Seeds and leechers are those of the part that knows of more: many peers are in both DHTs.
    """
    if len(parts) == 1:
        return parts[0]
    sought = int.from_bytes(target, "big")
    closest = sorted(
        (contact for part in parts for contact in part.closest),
        key=lambda contact: int.from_bytes(contact.id, "big") ^ sought,
    )
    items = [part.item for part in parts if part.item is not None]
    return Looked(
        target,
        closest=tuple(closest[:NEAREST]),
        asked=sum(part.asked for part in parts),
        answered=sum(part.answered for part in parts),
        seconds=max((part.seconds for part in parts), default=0.0),
        peers=tuple(dict.fromkeys(peer for part in parts for peer in part.peers)),
        stored=sum(part.stored for part in parts),
        refused=tuple(words for part in parts for words in part.refused),
        item=max(items, key=lambda item: item.sequence, default=None),
        seeds=_most(part.seeds for part in parts),
        leechers=_most(part.leechers for part in parts),
    )


def _most(counts: Iterable[int | None]) -> int | None:
    return max((count for count in counts if count is not None), default=None)
