"""What web seeds are asked for: the state, as it lies. Who changes it, and why, is in files named after policies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from anabranch.model import RateMeter
from anabranch.picker import PieceProgress
from anabranch.webseed import Request, Requests, WebSeed

from .buffers import Buffer

if TYPE_CHECKING:
    from .state import TorrentState


class Flow(Protocol):
    """A body that is coming."""

    def resume(self) -> None:
        """There is memory again."""


@dataclass(slots=True, eq=False)
class Fetch:
    """What is kept from others for one request, and how far it has come.

    From *at* on, first the blocks of *opened* below *stop* are asked of the web seed, then all the pieces in *lent*.
    Where a body has begun a block, the rest of it belongs into the same memory, *landing*; None: it is of no use, since
    the block came from elsewhere or its memory went.
    """

    torrent: TorrentState
    request: Request
    at: int  # where in the torrent the next byte belongs
    lent: range  # pieces that nobody else is asked for, behind the one that is coming
    opened: PieceProgress | None = None  # the piece that is coming
    stop: int = 0  # the block behind those of it that are asked for here
    landing: Buffer | None = None
    lease: int = 0  # of that memory: it may go, and come back with somebody else's bytes in it
    flow: Flow | None = None  # what is coming
    down: RateMeter = field(default_factory=RateMeter)
    since: float = 0.0  # when it was taken out of the queue; 0: it waits there
    gain: float = 0.0  # when it was of use last
    heard: float = 0.0  # when bytes came to its memory last, or may: less than a block is no gain
    granted: int = 0  # bytes of a limited rate that it may take with the next receive

    @property
    def seed(self) -> WebSeed:
        """Who is asked."""
        return self.request.seed


@dataclass(slots=True)
class Web:
    """What all torrents share about web seeds."""

    requests: Requests = field(default_factory=Requests)
    torrents: dict[TorrentState, None] = field(default_factory=dict)  # those whose web seeds may be asked
    thirsty: dict[Fetch, None] = field(default_factory=dict)  # network thread: would go on if there was memory
    next_at: float = 0.0  # when to plan anew
    why: str = ""  # the first reason to plan at once; "": there is none
    planning: bool = False  # a plan is being made, in several turns
