"""What is asked of trackers and what they answer, whatever carries it.

Source: BEP 3 and 15 (announce), BEP 7 (IPv6), BEP 24 (our external address), BEP 48 (scrape).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

from anabranch.model import Address

MOST_PEERS = 4096  # of one reply; nobody dials more, and a tracker may be hostile
DEFAULT_INTERVAL = 1800  # seconds, where a tracker does not say
_LONGEST_INTERVAL = 7 * 24 * 3600  # seconds; more is a mistake, and would be for ever
_LONGEST_TEXT = 300  # characters of what a tracker says in words
_MOST_READ = 16 * _LONGEST_TEXT  # bytes; a tracker may send megabytes
_V4_LENGTH, _V6_LENGTH = 6, 18  # bytes of a compact peer: address and port


class Event(IntEnum):
    """What happened since the last announce; by the numbers of BEP 15."""

    NONE = 0
    COMPLETED = 1
    STARTED = 2
    STOPPED = 3


@dataclass(frozen=True, slots=True)
class AnnounceRequest:
    """We are there, and would know who else is. Counts in bytes.

    Args:
        info_hash: 20 bytes; of a v2 hash the first.
        peer_id: 20 bytes.
        port: Where we listen, by TCP and UDP.
        uploaded: Since the start event.
        downloaded: Since the start event.
        left: What we still lack.
        event: What happened.
        numwant: How many peers we would take; a stop asks for none whatever stands here.
        key: 32 bits by which the tracker knows us when our address changes.
        ipv4: Our IPv4 address where we know better than the tracker can.
        ipv6: Our IPv6 address, likewise.
        tracker_id: What the tracker gave us before; empty where it gave nothing.
        supports_encryption: Whether peers may come to us encrypted.
        requires_encryption: Whether they must.
        corrupt: Bytes that failed their hash.
        redundant: Bytes that came twice.
    """

    info_hash: bytes
    peer_id: bytes
    port: int
    uploaded: int = 0
    downloaded: int = 0
    left: int = 0
    event: Event = Event.NONE
    numwant: int = 200
    key: int = 0
    ipv4: str | None = None
    ipv6: str | None = None
    tracker_id: bytes = b""
    supports_encryption: bool = False
    requires_encryption: bool = False
    corrupt: int = 0
    redundant: int = 0

    def __post_init__(self) -> None:
        if len(self.info_hash) != 20 or len(self.peer_id) != 20:
            raise ValueError("info hash and peer id have 20 bytes each")
        if not 0 <= self.port <= 65535 or not 0 <= self.key < 2**32:
            raise ValueError(f"port {self.port} or key {self.key} out of range")
        for count in (self.uploaded, self.downloaded, self.left, self.corrupt, self.redundant):
            if not 0 <= count < 2**63:
                raise ValueError(f"no tracker can be told of {count} bytes")
        if not 0 <= self.numwant < 2**31:
            raise ValueError(f"no tracker can be asked for {self.numwant} peers")
        if self.ipv4 is not None:
            IPv4Address(self.ipv4)
        if self.ipv6 is not None:
            IPv6Address(self.ipv6)

    @property
    def peers_wanted(self) -> int:
        """How many peers to ask for."""
        return 0 if self.event is Event.STOPPED else self.numwant


@dataclass(frozen=True, slots=True)
class AnnounceReply:
    """What a tracker told. Times in seconds; None and empty where it did not say.

    Args:
        interval: When it would hear from us again.
        min_interval: Before that it would not.
        seeders: Peers that have everything.
        leechers: Peers that have not.
        downloaded: How often it was downloaded.
        peers: Who is there, each once; no port is 0.
        external_ip: Our address as the tracker sees it.
        warning: For people; printable.
        tracker_id: To be sent with our next announce.
    """

    interval: int = DEFAULT_INTERVAL
    min_interval: int | None = None
    seeders: int | None = None
    leechers: int | None = None
    downloaded: int | None = None
    peers: tuple[Address, ...] = field(default=(), repr=False)
    external_ip: str | None = None
    warning: str = ""
    tracker_id: bytes = b""


@dataclass(frozen=True, slots=True)
class ScrapeReply:
    """A torrent in numbers; None where the tracker did not say.

    Args:
        seeders: Peers that have everything.
        completed: How often it was downloaded.
        leechers: Peers that have not everything.
    """

    seeders: int | None
    completed: int | None
    leechers: int | None


def compact_peers(compact: bytes, *, v6: bool) -> Iterator[Address]:
    """Read addresses of 6 or 18 bytes each, MOST_PEERS at most; not those without a port, nor a broken end."""
    stride = _V6_LENGTH if v6 else _V4_LENGTH
    for start in range(0, min(len(compact) - stride + 1, MOST_PEERS * stride), stride):
        port = int.from_bytes(compact[start + stride - 2 : start + stride], "big")
        host = packed_host(compact[start : start + stride - 2])
        if port and host:
            yield Address(host, port)


def packed_host(packed: bytes) -> str | None:
    """An IP address of 4 or 16 bytes in its shortest spelling; None for another length, and for 0.0.0.0 and ::."""
    if len(packed) == 4:
        return ".".join(map(str, packed)) if any(packed) else None
    if len(packed) != 16 or not any(packed):
        return None
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)


def interval_of(seconds: int) -> int:
    """An interval that can be kept: the usual one for nonsense, a week at most."""
    return min(seconds, _LONGEST_INTERVAL) if seconds > 0 else DEFAULT_INTERVAL


def shown(words: bytes) -> str:
    """What a tracker says in words, fit for a terminal: one line, not too long."""
    text = " ".join(words[:_MOST_READ].rstrip(b"\0").decode("utf-8", "replace").split())
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    if len(text) <= _LONGEST_TEXT and len(words) <= _MOST_READ:
        return text
    cut = text[: _LONGEST_TEXT - 1]
    return (cut.rpartition(" ")[0] or cut) + "…"  # between words: half a passkey would not be known as one
