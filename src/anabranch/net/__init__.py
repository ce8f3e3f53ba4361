"""The network below every protocol: TCP and UDP sockets, names, URLs, HTTP, rate limits, and who we say we are."""

from .address_rules import is_this_machine, neighbourhood, network, why_not_dialed
from .buckets import Bucket
from .datagrams_io import Datagrams
from .http_connection_io import BodyFlow
from .http_heads import headers_for
from .http_io import HttpClient, HttpReply
from .identity import RANDOM_BYTES, Identity
from .peer_priority import crc32c, peer_priority
from .range_io import Answer, RangeClient, Sink
from .resolve_io import NotResolved, resolve, resolve_soon
from .sockets_io import (
    ACCEPT_PAUSE,
    DescriptorsExhausted,
    accept_all,
    ample_descriptors,
    descriptor_limit,
    dial,
    dialled,
    hung_up,
    listen,
    until_connected,
)
from .sources import source_for
from .troubles import NetworkFailed, Trouble
from .urls import Url, Use, is_forbidden, parse_url, why_not_asked, without_secrets

__all__ = [
    "ACCEPT_PAUSE",
    "RANDOM_BYTES",
    "Answer",
    "BodyFlow",
    "Bucket",
    "Datagrams",
    "DescriptorsExhausted",
    "HttpClient",
    "HttpReply",
    "Identity",
    "NetworkFailed",
    "NotResolved",
    "RangeClient",
    "Sink",
    "Trouble",
    "Url",
    "Use",
    "accept_all",
    "ample_descriptors",
    "crc32c",
    "descriptor_limit",
    "dial",
    "dialled",
    "headers_for",
    "hung_up",
    "is_forbidden",
    "is_this_machine",
    "listen",
    "neighbourhood",
    "network",
    "parse_url",
    "peer_priority",
    "resolve",
    "resolve_soon",
    "source_for",
    "until_connected",
    "why_not_asked",
    "why_not_dialed",
    "without_secrets",
]
