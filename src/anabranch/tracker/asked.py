"""What came of asking a tracker: over each address family, and of all of them as one.

A host with IPv4 and IPv6 is one tracker with two endpoints (BEP 7): one list of peers, the longer of the waits, and,
where nobody answered, the fault that tells most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from anabranch.model import Address

from .faults import TrackerFault
from .kinds import FaultKind
from .messages import MOST_PEERS, AnnounceReply, ScrapeReply

_TELLING = (  # most telling first
    FaultKind.REFUSED,
    FaultKind.UNLISTED,
    FaultKind.NO_SCRAPE,
    FaultKind.UDP_CONNECTION,
    FaultKind.REPLY,
    FaultKind.STATUS,
    FaultKind.PAGE,
    FaultKind.TLS,
    FaultKind.INTERNAL,
    FaultKind.URL,
    FaultKind.FORBIDDEN,
    FaultKind.NAME,
    FaultKind.TIMEOUT,
    FaultKind.NETWORK,
    FaultKind.CLOSED,
    FaultKind.CANCELLED,
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What came of asking a tracker over one address family: a reply or a fault; neither of an answered scrape.

    Args:
        family: "ipv4", "ipv6", or "proxy" where only a proxy knows.
        address: Who answered, or was asked first; None where only a proxy knows.
        seconds: How long it took.
        reply: Of an announce that was answered.
        fault: What went wrong; of kind CANCELLED for a family that was given up because the other had answered.
    """

    family: str
    address: Address | None
    seconds: float
    reply: AnnounceReply | None = None
    fault: TrackerFault | None = None


@dataclass(frozen=True, slots=True)
class Announced:
    """A tracker's answer to an announce.

    Args:
        reply: Of all families that answered.
        endpoints: What came of each.
    """

    reply: AnnounceReply
    endpoints: tuple[Endpoint, ...]


def telling(faults: Iterable[TrackerFault]) -> TrackerFault:
    """Of several faults, at least one, that which speaks for the tracker."""
    return min(faults, key=lambda fault: _TELLING.index(fault.kind))


def merged(replies: Sequence[AnnounceReply]) -> AnnounceReply:
    """Replies, at least one, as one: everybody's peers, and the longer of the waits."""
    first, *others = replies
    for other in others:
        first = AnnounceReply(
            interval=max(first.interval, other.interval),
            min_interval=_most(first.min_interval, other.min_interval),
            seeders=_most(first.seeders, other.seeders),
            leechers=_most(first.leechers, other.leechers),
            downloaded=_most(first.downloaded, other.downloaded),
            peers=tuple(islice(dict.fromkeys(first.peers + other.peers), MOST_PEERS)),
            external_ip=first.external_ip or other.external_ip,
            warning=first.warning or other.warning,
            tracker_id=first.tracker_id or other.tracker_id,
        )
    return first


def larger(one: ScrapeReply, other: ScrapeReply) -> ScrapeReply:
    """The larger of the numbers that two families tell of a torrent."""
    return ScrapeReply(
        _most(one.seeders, other.seeders), _most(one.completed, other.completed), _most(one.leechers, other.leechers)
    )


def _most(one: int | None, other: int | None) -> int | None:
    return max((count for count in (one, other) if count is not None), default=None)
