"""A storage of limited space that several torrents share: it gives up what was written longest ago."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from anabranch.model import InfoHash
from anabranch.storage import Buffer, Completion, Layout
from engine.samples import PlainPiece, PlainStorage, PlainTorrent


class Space:
    """What the storages have in common.

    Args:
        size: Bytes that it holds.
        told: What it says of itself, if not that; None for no limit at present.
    """

    def __init__(self, size: int, told: int | None = -1) -> None:
        self.size = size
        self.told: int | None = size if told == -1 else told
        self.held: dict[tuple[PlainStorage, int], int] = {}  # whose piece -> its length, the oldest first
        self.given_up = 0
        self.asked = 0
        self.watch: Callable[[], object] = lambda: None  # called whenever somebody asks

    def capacity(self) -> int | None:
        self.asked += 1
        self.watch()
        return self.told

    def wrote(self, home: PlainStorage, piece: int) -> None:
        self.held.pop((home, piece), None)
        self.held[home, piece] = len(home.data[piece])
        while sum(self.held.values()) > self.size:
            self.give_up(*next(iter(self.held)))

    def give_up(self, home: PlainStorage, piece: int) -> None:
        del self.held[home, piece], home.data[piece]
        home.recorded[piece] = Completion.INCOMPLETE
        self.given_up += 1


class Tenancy(PlainStorage):
    """One torrent's part of the space."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space

    def open(self, info: Layout, info_hash: InfoHash) -> TenantTorrent:
        self.faults.meet("open")
        self.opened += 1
        return TenantTorrent(self, info.geometry)


class TenantTorrent(PlainTorrent):
    home: Tenancy

    @property
    def capacity(self) -> object | None:
        return self.home.space

    def piece(self, index: int) -> TenantPiece:
        return TenantPiece(self, self.geometry.piece(index))


class TenantPiece(PlainPiece):
    _home: Tenancy

    def writev(self, begin: int, buffers: Sequence[Buffer]) -> None:
        super().writev(begin, buffers)
        self._home.space.wrote(self._home, self._index)
