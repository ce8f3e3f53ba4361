"""Trackers, which tell who else has a torrent: asked over HTTP, UDP, WebSocket, for peers (announce) and numbers."""

from .asked import Announced, Endpoint
from .client_io import TrackerClient
from .faults import TrackerFault
from .kinds import SCHEMES, ErrorType, FaultKind
from .messages import AnnounceReply, AnnounceRequest, Event, ScrapeReply
from .remedies import remedy_for
from .websocket import Offer

__all__ = [
    "SCHEMES",
    "AnnounceReply",
    "AnnounceRequest",
    "Announced",
    "Endpoint",
    "ErrorType",
    "Event",
    "FaultKind",
    "Offer",
    "ScrapeReply",
    "TrackerClient",
    "TrackerFault",
    "remedy_for",
]
