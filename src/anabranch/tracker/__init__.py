"""Trackers, which tell who else has a torrent: asked over HTTP, UDP, WebSocket, for peers (announce) and numbers."""

from .asked import Announced, Endpoint
from .client_io import TrackerClient
from .faults import TrackerFault
from .kinds import ErrorType, FaultKind
from .messages import AnnounceReply, AnnounceRequest, Event, ScrapeReply
from .reasons import category_of_reason
from .remedies import remedy_for
from .udp_io import UdpTrackers
from .websocket import Offer
from .websocket_io import WebSocketTrackers

__all__ = [
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
    "UdpTrackers",
    "WebSocketTrackers",
    "category_of_reason",
    "remedy_for",
]
