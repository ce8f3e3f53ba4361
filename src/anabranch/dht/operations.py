"""What is asked of the DHT, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from anabranch.bencode import Value
from anabranch.model import Address, InputRefused

from .contacts import Contact
from .items import Item


@dataclass(frozen=True, slots=True)
class Announcing:
    """What a look-up for peers tells about ourselves at its end.

    Args:
        port: Where we listen.
        implied: Whether the port that our datagrams come from counts instead (BEP 5): right behind a NAT, where uTP
            listens on the socket of the DHT.
        seed: Whether we have everything (BEP 33).

    Raises:
        InputRefused: no port.
    """

    port: int
    implied: bool = True
    seed: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise InputRefused(f"no port to announce: {self.port}")


@dataclass(frozen=True, slots=True)
class Pong:
    """Somebody is there.

    Args:
        id: Its id.
        address: Where it was asked.
        seconds: How long the answer took.
        version: What it says of its client, mostly two letters and a number; empty if nothing.
        external: Our own address as it sees it, empty if it does not tell.
    """

    id: bytes
    address: Address
    seconds: float
    version: bytes = b""
    external: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of any kind: its values as they came, who gave it, how many seconds it took."""

    values: Mapping[bytes, Value]
    contact: Contact
    seconds: float
    version: bytes = b""
    external: str = ""


@dataclass(frozen=True, slots=True)
class Samples:
    """Some of the info hashes that a node has peers for (BEP 51).

    Args:
        hashes: 20 bytes each.
        total: How many it has.
        interval: Seconds until it has others to tell; 0 if it does not say.
        contacts: Nodes near what was asked for, to go on with.
    """

    hashes: tuple[bytes, ...]
    total: int
    interval: float
    contacts: tuple[Contact, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look-up found.

    Args:
        target: What was looked for: 20 bytes.
        closest: Who answered, nearest first, 8 at most.
        asked: How many queries were sent, those that store included.
        answered: How many of them were answered.
        seconds: How long it took.
        peers: Who is in the swarm, as far as was heard.
        stored: How many nodes took what we announce or put.
        refused: What those said that did not.
        item: The newest one.
        seeds: How many seeds there are, roughly (BEP 33); None if it was not asked, or nobody told.
        leechers: The same for the others.
    """

    target: bytes
    closest: tuple[Contact, ...] = ()
    asked: int = 0
    answered: int = 0
    seconds: float = 0.0
    peers: tuple[Address, ...] = ()
    stored: int = 0
    refused: tuple[str, ...] = ()
    item: Item | None = None
    seeds: int | None = None
    leechers: int | None = None


class Operation:
    """Something under way, which its owner may end before its time: what it waits for is then told at once."""

    __slots__ = ("_cancel",)

    def __init__(self, cancel: Callable[[float], None]) -> None:
        self._cancel = cancel

    def cancel(self, now: float) -> None:
        """End it. Nothing happens where it has ended."""
        self._cancel(now)
