"""The stages of a torrent's life, and which may follow which.

What exists only in a stage is a field of that stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anabranch.model import TorrentError
from anabranch.wire import MetadataFetch

if TYPE_CHECKING:
    from .sources import MetadataSource


@dataclass(frozen=True, slots=True)
class Learning:
    """Only the name is known: the info dictionary comes from peers, then the piece hashes that it does not have.

    Args:
        fetch: The info dictionary on its way; None once it is here and piece hashes are missing.
        select: Files that the magnet link selects (BEP 53), as inclusive ranges; None for all.
        reading: The info dictionary has come and a worker reads it.
        sources: Where the link says that the .torrent file may be had, by URL.
    """

    fetch: MetadataFetch | None
    select: tuple[tuple[int, int], ...] | None = None
    reading: bool = False
    sources: dict[str, MetadataSource] = field(default_factory=dict, repr=False)  # URLs may have passkeys


@dataclass(frozen=True, slots=True)
class Opening:
    """The storage is being opened and what it knows is being read."""


@dataclass(frozen=True, slots=True)
class Checking:
    """Pieces that may be on disk are being hashed before anything is asked for.

    Args:
        total: Pieces to hash in this stage.
    """

    total: int


@dataclass(frozen=True, slots=True)
class Live:
    """Taking part in the swarm."""


@dataclass(frozen=True, slots=True)
class Moving:
    """The files are going to another place, or get other names: nothing is asked or served meanwhile.

    Args:
        error: What the disk said before or meanwhile; what failed is repeated afterwards.
        under_way: What was begun on the storage has ended, a worker has it.
        leaves: The torrent is to be known by another data directory afterwards.
    """

    error: TorrentError | None = None
    under_way: bool = False
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The disk said no: nothing is asked or served until *retry_at*, when what failed is repeated.

    Or nothing can be made of the torrent: that is for good.

    Args:
        error: What the disk said, or is wrong with the torrent.
        retry_at: When to repeat it; infinity for never.
        tried: It is being repeated, or was and went through.
    """

    error: TorrentError
    retry_at: float
    tried: bool = False


@dataclass(frozen=True, slots=True)
class Closing:
    """Leaving: nothing is asked or served, what is being hashed and written comes to its end.

    Args:
        opening: The storage is still being opened, or its files are on their way.
        left: The peers are gone, and what was begun is being written.
    """

    opening: bool = False
    left: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """Closed; nothing follows."""


Stage = Learning | Opening | Checking | Live | Moving | Failed | Closing | Dropped

MAY_FOLLOW: Mapping[type[Stage], frozenset[type[Stage]]] = {
    Learning: frozenset({Learning, Opening, Failed, Closing}),
    Opening: frozenset({Checking, Live, Failed, Closing}),
    Checking: frozenset({Live, Moving, Failed, Closing}),
    Live: frozenset({Moving, Failed, Closing}),
    Moving: frozenset({Opening, Checking, Live, Moving, Failed, Closing}),
    Failed: frozenset({Opening, Checking, Live, Moving, Failed, Closing}),
    Closing: frozenset({Dropped}),
    Dropped: frozenset(),
}


def follow(before: Stage, after: Stage) -> Stage:
    """Admit a change of stage, or raise ValueError."""
    if type(after) not in MAY_FOLLOW[type(before)]:
        raise ValueError(f"{type(after).__name__} may not follow {type(before).__name__}")
    return after
