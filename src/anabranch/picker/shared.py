"""One request order of several torrents whose storages share a limited space.

Source: the Go engine's order of torrents with one capacity. It goes by priority, begun pieces first, the rarest first,
then by piece index, then by info hash: always the same, so that what fits into the space does not change from one look
to the next. All pieces of such torrents stand in it, complete and unwanted ones too: the space is a window over the
most important pieces, those that fill it already included, and what is behind it is not asked for. Two things differ.
A piece that nobody has, neither we nor a peer, comes after all others of its priority, as those would wait behind it.
And what is here comes before them, but for what readers want: pieces become rare and common as peers come and go, and
none is to be given up for another one that is worth no more.

Each torrent keeps its pieces in an order of its own; they are merged here, bucket by bucket, when somebody looks. Left
to others: which of the pieces may be asked for, and how large the space is.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple, Protocol

from bitarray import bitarray

from anabranch.model import InfoHash, Priority, no_pieces

from .order import ByIndex, PieceOrder, is_urgent, kept_rank, nobodys_rank, shelf_of


class Tenant(Protocol):
    """What is needed of a torrent."""

    @property
    def order(self) -> PieceOrder:
        """All of its pieces, by index."""

    @property
    def seeds(self) -> int:
        """Peers that have everything, whom the availability of a piece does not count."""

    @property
    def complete(self) -> bitarray:
        """Pieces that are here."""

    @property
    def piece_length(self) -> int:
        """Nominal length of a piece in bytes: that is what each takes of the space, however short it is."""


class _Entry(NamedTuple):
    """A torrent's pieces of one standing."""

    name: InfoHash
    priority: Priority
    piece_length: int
    bits: bitarray
    number: int


class SharedOrder:
    """The torrents that share a space. It is there as long as it has a tenant, asked for or not.

    Attributes:
        capacity: What their storages have in common. Kept, so that no other object gets its identity meanwhile.
        room: Bytes of the space, as it was told last; None for no limit at present.
        looking: Somebody asks how large it is.
    """

    def __init__(self, capacity: object) -> None:
        self.capacity = capacity
        self.room: int | None = None
        self.looking = False
        self._tenants: dict[InfoHash, Tenant] = {}

    def __len__(self) -> int:
        return len(self._tenants)

    def enter(self, info_hash: InfoHash, tenant: Tenant) -> None:
        """The torrent takes part. Entering again replaces what it came with."""
        self._tenants[info_hash] = tenant

    def leave(self, info_hash: InfoHash) -> None:
        """The torrent takes part no more; one that does not take part may say so, too."""
        self._tenants.pop(info_hash, None)

    def within(self, info_hash: InfoHash) -> Iterator[bitarray]:
        """A torrent's pieces that the space has room for: sets of equal standing, best first. Not to be changed.

        Costs what there are standings in all torrents, not what there are pieces. The order must not change meanwhile.
        """
        asked = self._tenants.get(info_hash)
        if asked is None:
            return
        left = self.room
        if left is None or self._need() <= left:
            buckets = (bucket for bucket in asked.order.buckets() if isinstance(bucket, ByIndex))
            for _, bits in sorted((place for one in buckets for place in _places(asked, one)), key=itemgetter(0)):
                yield bits
            return
        for entry, fits in self._fitting(left):
            if entry.name == info_hash:
                yield fits

    def wanted(self) -> dict[InfoHash, bitarray]:
        """Of every torrent the pieces that are worth anything and that the space has room for: what it is for.

        Those that nobody wants are worth no room, whatever of it is left. Costs as within().
        """
        found = {name: no_pieces(len(tenant.complete)) for name, tenant in self._tenants.items()}
        left = self.room if self.room is not None else self._need()
        for entry, fits in self._fitting(left):
            if entry.priority is Priority.NONE:
                break
            found[entry.name] |= fits
        return found

    def _fitting(self, left: int) -> Iterator[tuple[_Entry, bitarray]]:
        """What *left* bytes have room for, best first."""
        levels = self._levels()
        for rank in sorted(levels):
            level = levels[rank]
            need = sum(entry.number * entry.piece_length for entry in level)
            cut = None if need <= left else _cut(level, left)
            for entry in level:
                yield entry, entry.bits if cut is None else _up_to(entry.bits, cut[entry.name])
            if cut is not None:
                return
            left -= need

    def _need(self) -> int:
        return sum(len(tenant.order) * tenant.piece_length for tenant in self._tenants.values())

    def _levels(self) -> dict[int, list[_Entry]]:
        """The buckets of all torrents that stand equal."""
        levels: dict[int, list[_Entry]] = {}
        for name, tenant in self._tenants.items():
            for bucket in tenant.order.buckets():
                if isinstance(bucket, ByIndex):
                    for rank, bits in _places(tenant, bucket):
                        entry = _Entry(name, bucket.standing.priority, tenant.piece_length, bits, bits.count())
                        levels.setdefault(rank, []).append(entry)
        return levels


def _places(tenant: Tenant, bucket: ByIndex) -> Iterator[tuple[int, bitarray]]:
    """Where among all torrents the pieces of a bucket stand."""
    rank = bucket.rank
    if is_urgent(shelf_of(rank)):
        yield rank, bucket.bits
        return
    here = bucket.bits & tenant.complete
    if here.any():
        yield kept_rank(rank), here
    rank += tenant.seeds
    yield rank if bucket.standing.availability + tenant.seeds > 0 else nobodys_rank(rank), bucket.bits ^ here


def _cut(level: list[_Entry], left: int) -> dict[InfoHash, int]:
    """Before which piece of each torrent the space is used up, going by index and then by info hash."""
    low, high = 0, max(len(entry.bits) for entry in level)
    while low < high:
        middle = (low + high + 1) // 2
        if _length_before(level, middle) <= left:
            low = middle
        else:
            high = middle - 1
    left -= _length_before(level, low)
    cut: dict[InfoHash, int] = {}
    for name, _, piece_length, bits, _ in sorted(level, key=lambda entry: entry.name):
        if low < len(bits) and bits[low]:
            left -= piece_length
        cut[name] = low + (left >= 0)
    return cut


def _length_before(level: list[_Entry], piece: int) -> int:
    return sum(entry.bits.count(1, 0, piece) * entry.piece_length for entry in level)


def _up_to(bits: bitarray, end: int) -> bitarray:
    some = bits.copy()
    some[end:] = False
    return some
