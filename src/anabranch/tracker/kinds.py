"""Kinds of trackers, and names for what goes wrong: the categories that programs are promised, and where it was."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

SCHEMES: Mapping[str, str] = MappingProxyType(  # of the URLs that can be asked, and how each is spoken to
    {"http": "http", "https": "http", "udp": "udp", "ws": "websocket", "wss": "websocket"}
)


class ErrorType(StrEnum):
    """What a failure means to who looks after torrents. These names are kept; where all is well there is none."""

    TRACKER_NOT_FOUND = "tracker_not_found"  # nothing is at that URL
    TRACKER_UNAVAILABLE = "tracker_unavailable"  # it says itself that it cannot serve now
    AUTHENTICATION_FAILED = "authentication_failed"  # it does not take us: passkey, account, client, address
    TRACKER_HTTP_ERROR = "tracker_http_error"  # another HTTP status
    TORRENT_NOT_REGISTERED = "torrent_not_registered"  # it does not know the torrent, or not any more
    TRACKER_FAILURE = "tracker_failure"  # it gave another reason, or said what nobody understands
    DNS_ERROR = "dns_error"  # its name has no address
    CLIENT_CLOSED = "client_closed"  # we ended
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"  # we gave the question up
    NETWORK_ERROR = "network_error"  # refused, unreachable, reset, no secure connection
    UDP_CONNECTION_ERROR = "udp_connection_error"  # no connection id that it would take back
    UNKNOWN_ERROR = "unknown_error"  # our own mistake


class FaultKind(StrEnum):
    """Where it went wrong."""

    URL = "url"  # not one that we can ask
    FORBIDDEN = "forbidden"  # its host is where such a URL may not lead
    NAME = "name"  # its host has no address
    NETWORK = "network"  # refused, unreachable, reset
    TIMEOUT = "timeout"
    TLS = "tls"
    STATUS = "status"  # HTTP says other than 200
    PAGE = "page"  # a page for people
    REPLY = "reply"  # not understood
    REFUSED = "refused"  # the tracker gave a failure reason
    UNLISTED = "unlisted"  # refused without a word, as is done with torrents that a tracker does not serve
    NO_SCRAPE = "no scrape"  # its URL tells that it has none (BEP 48)
    UDP_CONNECTION = "udp connection"  # a connection id is never given, or not taken back (BEP 15)
    CLOSED = "closed"  # our client ended
    CANCELLED = "cancelled"  # we gave the question up
    INTERNAL = "internal"  # our own mistake
