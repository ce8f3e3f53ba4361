"""The v2 hashes of a torrent's pieces, as far as they are known, and what is asked of peers for the others.

Of the hashes of blocks only those of pieces in doubt are known, and of a few that peers asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Set
from dataclasses import dataclass, field

from anabranch.metainfo import PieceLayers, Wanted

READ_RATE = 32 * 1024 * 1024  # bytes per second of all torrents that are read to tell peers hashes of blocks
READ_BURST = 64 * 1024 * 1024  # bytes of these that may be read at once; a longer piece is not read


@dataclass(slots=True, eq=False)
class Doubt:
    """A piece that failed its hash, whose blocks' hashes are asked for.

    Args:
        piece: Its index.
        senders: The hosts that sent blocks of it: they are asked last.
        told: What to call, within a turn and once: with the blocks' hashes, joined, or None.
        until: When it is too late.
        missing: The requests that are not answered.
        found: What the others brought.
    """

    piece: int
    senders: Set[str]
    told: Callable[[bytes | None], None]
    until: float
    missing: set[Wanted]
    found: dict[Wanted, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Doubts:
    """The wrong pieces of one torrent.

    Args:
        open: Those whose blocks' hashes are asked for.
        known: Hashes of blocks that came, joined, of pieces that are not complete since.
        asked: What each peer owes an answer to, also where it is not waited for any more.
        mute: Peers that had no answer, and when they may be asked again.
    """

    open: dict[int, Doubt] = field(default_factory=dict)
    known: dict[int, bytes] = field(default_factory=dict)
    asked: dict[object, set[Wanted]] = field(default_factory=dict)
    mute: dict[object, float] = field(default_factory=dict)


@dataclass(slots=True)
class Lane:
    """Answers to peers that are worked out by one worker at a time: then nothing is worked out twice.

    Args:
        waiting: What begins the next; it leaves the lane free where there is nothing to do.
        taken: A worker is at it.
    """

    waiting: deque[Callable[[], None]] = field(default_factory=deque)
    taken: bool = False


@dataclass(slots=True)
class Answers:
    """What is being told to peers.

    Args:
        known: Answers out of what is known.
        read: Answers for which blocks are read.
        recent: The hashes of the blocks of a few pieces that were read last, joined.
    """

    known: Lane = field(default_factory=Lane)
    read: Lane = field(default_factory=Lane)
    recent: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class HashExchange:
    """One torrent's (BEP 52).

    Args:
        layers: What is known.
        queue: What is missing and nobody was asked for.
        asked: What somebody was asked for: the peer, and when.
        resting: Peers that refused or kept silent, and when they may be asked again.
        doubts: Pieces that were wrong.
        answers: What peers asked us for; None before the first did.
    """

    layers: PieceLayers
    queue: deque[Wanted] = field(default_factory=deque)
    asked: dict[Wanted, tuple[object, float]] = field(default_factory=dict)
    resting: dict[object, float] = field(default_factory=dict)
    doubts: Doubts = field(default_factory=Doubts)
    answers: Answers | None = None
