"""The v2 hashes of a torrent's pieces, as far as they are known, and what is asked of peers for the others."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from anabranch.metainfo import PieceLayers, Wanted


@dataclass(slots=True)
class HashExchange:
    """One torrent's (BEP 52).

    Args:
        layers: What is known.
        queue: What is missing and nobody was asked for.
        asked: What somebody was asked for: the peer, and when.
        resting: Peers that refused or kept silent, and when they may be asked again.
    """

    layers: PieceLayers
    queue: deque[Wanted] = field(default_factory=deque)
    asked: dict[Wanted, tuple[object, float]] = field(default_factory=dict)
    resting: dict[object, float] = field(default_factory=dict)
