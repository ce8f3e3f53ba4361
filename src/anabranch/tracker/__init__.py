"""Trackers, which tell who else has a torrent: asked over HTTP and UDP, for peers (announce) and numbers (scrape)."""

from .ask_io import announce, scrape
from .faults import FaultKind, TrackerFault
from .messages import AnnounceReply, AnnounceRequest, Event, ScrapeReply
from .udp_io import UdpTrackers

__all__ = [
    "AnnounceReply",
    "AnnounceRequest",
    "Event",
    "FaultKind",
    "ScrapeReply",
    "TrackerFault",
    "UdpTrackers",
    "announce",
    "scrape",
]
