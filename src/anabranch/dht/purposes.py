"""What look-ups are for: nodes, peers, or an item; what is asked on the way, and what is stored at its end.

Source: BEP 5 (find_node, get_peers, announce_peer), BEP 33 (scrape, noseed, seed), BEP 44 (get, put). What nodes say is
read here, and what cannot be read is passed over: another node may know better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from anabranch.bencode import Value
from anabranch.model import Address

from .blooms import MOST_COUNTED, SIZE, Bloom
from .contacts import unpack_address
from .items import Item, ItemRefused
from .operations import Announcing, Looked

_MOST_PEERS = 5000  # that are heard of in one look-up
_PADDING = bytes(375)  # a query of 480 bytes, so that an item of 1,000 is three times that to who fears to be misused


class FindNode:
    """Look for those nearest to an id.

    Args:
        target: What is looked for: 20 bytes.
    """

    method = "find_node"

    def __init__(self, target: bytes) -> None:
        self.target = target

    def arguments(self) -> dict[bytes, Value]:
        """What each node on the way is asked, besides our id."""
        return {b"target": self.target}

    def heard(self, values: Mapping[bytes, Value]) -> None:
        """A node answered."""

    def storing(self, token: bytes) -> tuple[str, dict[bytes, Value]] | None:
        """What stores something at a node which gave that token: a method and its arguments; None for nothing."""
        return None

    def found(self, looked: Looked) -> Looked:
        """Fill in what was found."""
        return looked


class GetPeers(FindNode):
    """Look for the peers of a torrent.

    Args:
        target: The info hash.
        tell: Given new peers as soon as they are heard of.
        announce: What to tell about ourselves at the end, if anything.
        scrape: Whether to ask how many there are (BEP 33).
        noseed: Whether seeds are of no use to us (BEP 33).
    """

    method = "get_peers"

    def __init__(
        self,
        target: bytes,
        tell: Callable[[list[Address]], None],
        announce: Announcing | None,
        *,
        scrape: bool,
        noseed: bool,
    ) -> None:
        super().__init__(target)
        self._tell = tell
        self._announce = announce
        self._scrape = scrape
        self._noseed = noseed
        self._peers: dict[Address, None] = {}
        self._seeds = Bloom()
        self._leechers = Bloom()
        self._scraped = False

    def arguments(self) -> dict[bytes, Value]:
        """What each node on the way is asked, besides our id."""
        arguments: dict[bytes, Value] = {b"info_hash": self.target}
        if self._noseed:
            arguments[b"noseed"] = 1
        if self._scrape:
            arguments[b"scrape"] = 1
        return arguments

    def heard(self, values: Mapping[bytes, Value]) -> None:
        """A node answered."""
        room = _MOST_PEERS - len(self._peers)
        new = [peer for peer in dict.fromkeys(_peers(values.get(b"values"))) if peer not in self._peers][:room]
        self._peers.update(dict.fromkeys(new))
        for key, bloom in ((b"BFsd", self._seeds), (b"BFpe", self._leechers)):
            filled = values.get(key)
            if self._scrape and isinstance(filled, bytes) and len(filled) == SIZE:
                theirs = Bloom(filled)
                if theirs.estimate() <= MOST_COUNTED:  # full on purpose, it would spoil them all
                    bloom.unite(theirs)
                    self._scraped = True
        if new:
            self._tell(new)

    def storing(self, token: bytes) -> tuple[str, dict[bytes, Value]] | None:
        """What stores something at a node which gave that token: a method and its arguments; None for nothing."""
        if self._announce is None:
            return None
        arguments: dict[bytes, Value] = {b"info_hash": self.target, b"token": token}
        arguments[b"port"] = self._announce.port
        if self._announce.implied:
            arguments[b"implied_port"] = 1
        if self._announce.seed:
            arguments[b"seed"] = 1
        return "announce_peer", arguments

    def found(self, looked: Looked) -> Looked:
        """Fill in what was found."""
        seeds, leechers = (round(bloom.estimate()) for bloom in (self._seeds, self._leechers))
        return replace(
            looked,
            peers=tuple(self._peers),
            seeds=seeds if self._scraped else None,
            leechers=leechers if self._scraped else None,
        )


class GetItem(FindNode):
    """Look for the newest version of an item.

    Args:
        target: By what it is found.
        salt: What its owner tells it apart by; it is not sent along with the item.
        sequence: The version that we have; only newer ones are of use. None for any.
    """

    method = "get"

    def __init__(self, target: bytes, salt: bytes = b"", sequence: int | None = None) -> None:
        super().__init__(target)
        self._salt = salt
        self._sequence = sequence
        self._item: Item | None = None

    def arguments(self) -> dict[bytes, Value]:
        """What each node on the way is asked, besides our id."""
        arguments: dict[bytes, Value] = {b"target": self.target, b"padding": _PADDING}
        if self._sequence is not None:
            arguments[b"seq"] = self._sequence
        return arguments

    def heard(self, values: Mapping[bytes, Value]) -> None:
        """A node answered."""
        item = read_item(values, self._salt, newer_than=self._item)
        if item is None or item.target != self.target:
            return
        if self._sequence is None or item.sequence > self._sequence:
            self._item = item

    def found(self, looked: Looked) -> Looked:
        """Fill in what was found."""
        return replace(looked, item=self._item)


class PutItem(GetItem):
    """Store an item at those nearest to its target; what they have of it is heard on the way.

    Args:
        item: What to store.
        cas: The version that it is meant to replace (BEP 44, "compare and swap"); None for any.
    """

    def __init__(self, item: Item, cas: int | None = None) -> None:
        super().__init__(item.target, item.salt)
        self._put = item
        self._cas = cas

    def storing(self, token: bytes) -> tuple[str, dict[bytes, Value]] | None:
        """What stores something at a node which gave that token: a method and its arguments; None for nothing."""
        item = self._put
        arguments: dict[bytes, Value] = {b"token": token, b"v": item.value}
        if item.mutable:
            arguments |= {b"k": item.key, b"seq": item.sequence, b"sig": item.signature}
            if item.salt:
                arguments[b"salt"] = item.salt
            if self._cas is not None:
                arguments[b"cas"] = self._cas
        return "put", arguments


def read_item(values: Mapping[bytes, Value], salt: bytes, newer_than: Item | None = None) -> Item | None:
    """The item that an answer to get holds; None where there is none, or a wrong one, or not a newer one."""
    value = values.get(b"v")
    if value is None:
        return None
    key, sequence, signature = values.get(b"k", b""), values.get(b"seq", 0), values.get(b"sig", b"")
    if not (isinstance(key, bytes) and isinstance(sequence, int) and isinstance(signature, bytes)):
        return None
    if newer_than is not None and (not key or sequence <= newer_than.sequence):
        return None
    try:
        return Item(value, key, salt, sequence, signature) if key else Item(value)
    except ItemRefused:
        return None


def _peers(values: Value | None) -> Iterator[Address]:
    for packed in values if isinstance(values, list) else ():
        address = unpack_address(packed) if isinstance(packed, bytes) else None
        if address is not None:
            yield address
