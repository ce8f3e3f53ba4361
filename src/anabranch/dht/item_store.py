"""What others have stored at our node: items by their target, bounded, forgotten after two hours.

Source: BEP 44. Who stores must have shown a token, which is the node's affair. The store belongs to everybody: no
network may take more than a share of it, and the item that was not stored anew for longest gives way to a new one.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import NamedTuple

from anabranch.net import network

from .items import Item, ItemRefused

EXPIRY = 7200.0  # seconds; BEP 44: items are stored anew every hour, and may be forgotten after two
MOST_ITEMS = 1000  # about 1.5 MB
PER_NETWORK = 100  # items that hosts of one network have brought

SERVER_ERROR = 202  # BEP 5
CAS_MISMATCH = 301
SEQUENCE_TOO_LOW = 302


class _Stored(NamedTuple):
    """An item, when it was last stored, and the network that brought it."""

    item: Item
    at: float
    network: str


class ItemStore:
    """Items, mutable and not. The time is handed in; O(1) per call."""

    __slots__ = ("_shares", "_stored")

    def __init__(self) -> None:
        self._stored: OrderedDict[bytes, _Stored] = OrderedDict()  # the latest last
        self._shares: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._stored)

    def put(self, item: Item, by_host: str, now: float, cas: int | None = None) -> None:
        """Store an item, or store it anew.

        Args:
            item: What to store.
            by_host: The IP address that it comes from.
            now: The time.
            cas: The sequence number that it is meant to replace; None for any.

        Raises:
            ItemRefused: another version is here than *cas* says (301), the same or a later one (302), or the network
                has filled its share (202).
        """
        self.tick(now)
        old = self._stored.get(item.target)
        if old is None:
            by = network(by_host)
            if self._shares[by] >= PER_NETWORK:
                raise ItemRefused(SERVER_ERROR, f"{PER_NETWORK} items of your network are stored already")
            if len(self._stored) >= MOST_ITEMS:
                self._drop_oldest()
            self._shares[by] += 1
        else:
            by = old.network
            _check_succession(old.item, item, cas)
        self._stored[item.target] = _Stored(item, now, by)
        self._stored.move_to_end(item.target)

    def get(self, target: bytes, now: float) -> Item | None:
        """The item that is found by *target*."""
        stored = self._stored.get(target)
        return stored.item if stored is not None and now - stored.at < EXPIRY else None

    def tick(self, now: float) -> None:
        """Forget what was not stored anew."""
        while self._stored and now - next(iter(self._stored.values())).at >= EXPIRY:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, gone = self._stored.popitem(last=False)
        self._shares[gone.network] -= 1
        if not self._shares[gone.network]:
            del self._shares[gone.network]


def _check_succession(old: Item, new: Item, cas: int | None) -> None:
    """Raise ItemRefused unless *new* may stand where *old* does. An immutable item succeeds itself."""
    if not new.mutable:
        return
    if cas is not None and cas != old.sequence:
        raise ItemRefused(CAS_MISMATCH, f"version {cas} is to be replaced, {old.sequence} is stored")
    if new.sequence < old.sequence:
        raise ItemRefused(SEQUENCE_TOO_LOW, f"version {new.sequence} is older than {old.sequence}, which is stored")
    if new.sequence == old.sequence and new.encoded != old.encoded:
        raise ItemRefused(SEQUENCE_TOO_LOW, f"another value is stored as version {old.sequence}")
