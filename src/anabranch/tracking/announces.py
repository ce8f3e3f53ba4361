"""What a tracker is told by a peer, whatever carried it, and where that peer can be dialled.

Source: BEP 3, BEP 7 (IPv6), BEP 15, BEP 23 (compact addresses).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from anabranch.model import Address, TorrentError, canonical_host
from anabranch.net import why_not_dialed
from anabranch.tracker import Event

DEFAULT_WANTED = 50  # peers for who does not say how many
_NETWORK_V6 = 8  # bytes; the rest of an IPv6 address is its owner's to choose


class Refusal(TorrentError):
    """Who asked a tracker is not given what it asks for; the text is sent to it as the reason."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place where a peer listens.

    Args:
        compact: As BEP 23 and BEP 7 send it: 6 or 18 bytes.
        caller: What counts as one caller: an IPv4 address, or the network of an IPv6 address.
        is_v6: Of which family it is.
        is_loopback: Only programs of our own machine reach it.
        is_listed: Whether others can be told of it.
    """

    compact: bytes
    caller: bytes
    is_v6: bool
    is_loopback: bool
    is_listed: bool


class Host(NamedTuple):
    """What there is to know of an IP address."""

    packed: bytes
    is_v6: bool
    is_loopback: bool
    is_dialled: bool


@lru_cache(16384)  # those who announce come again
def host_of(host: str) -> Host:
    """Look at an IP address.

    Raises:
        ValueError: it is none.
    """
    ip = ip_address(host)
    return Host(ip.packed, ip.version == 6, ip.is_loopback, not why_not_dialed(Address(host, 1)))


def _spot(told: str, port: int) -> Spot:
    host = host_of(told)
    return Spot(
        compact=host.packed + port.to_bytes(2, "big"),
        caller=host.packed[:_NETWORK_V6],
        is_v6=host.is_v6,
        is_loopback=host.is_loopback,
        is_listed=port > 0 and host.is_dialled,
    )


@dataclass(frozen=True)
class Announce:
    """A peer is there, and would know who else is. Counts in bytes.

    Args:
        info_hash: 20 bytes.
        peer_id: 20 bytes.
        asker: Where the question came from.
        host: Where the peer listens: the asker's, unless it may tell another.
        port: Where it listens; 0 for nowhere.
        event: What happened.
        left: What it lacks; None where it does not say.
        uploaded: As it says.
        downloaded: As it says.
        wanted: How many peers it asks for.
        key: What only it and the tracker know; empty for nothing.
        is_compact: Whether addresses may be packed (over HTTP).
        with_ids: Whether peers' ids are wanted where they are not.
        carrier: "http" or "udp".
        target: Path and query as they came; empty over UDP.
        user_agent: What it calls itself; empty over UDP.
        at: When it came.
    """

    info_hash: bytes
    peer_id: bytes
    asker: Address
    host: str
    port: int
    event: Event = Event.NONE
    left: int | None = None
    uploaded: int = 0
    downloaded: int = 0
    wanted: int = DEFAULT_WANTED
    key: bytes = b""
    is_compact: bool = True
    with_ids: bool = True
    carrier: str = "udp"
    target: str = ""
    user_agent: str = ""
    at: float = 0.0

    @property
    def is_seed(self) -> bool:
        """Whether it lacks nothing."""
        return self.left == 0

    @property
    def has_completed(self) -> bool:
        """Whether it has just got everything."""
        return self.event is Event.COMPLETED and self.is_seed

    @property
    def is_near(self) -> bool:
        """Whether it comes from a program of our own machine."""
        return host_of(self.asker.host).is_loopback

    @cached_property
    def spot(self) -> Spot:
        """Where it listens."""
        return _spot(self.host, self.port)

    @cached_property
    def identity(self) -> bytes:
        """What it is known by in a swarm; others are never told."""
        return self.peer_id + (b"k" + self.key if self.key else b"h" + self.spot.caller)


def heeded_host(asker: Address, told: str) -> str:
    """Where a peer is to be dialled that told another address than it asks from ("ip" of BEP 3).

    It is believed only from our own machine: there a program asks from loopback, and others could not reach it by that.
    Anybody else could send a whole swarm to a stranger's door.
    """
    if not told or not host_of(asker.host).is_loopback:
        return asker.host
    try:
        host = canonical_host(told)
    except ValueError:
        return asker.host
    return host if (":" in host) == asker.is_v6 else asker.host
