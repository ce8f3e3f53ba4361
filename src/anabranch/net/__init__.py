"""The network below every protocol: TCP and UDP sockets, names, URLs, HTTP, rate limits, and who we say we are."""

from .address_rules import is_this_machine, neighbourhood, network, why_not_dialed
from .buckets import Bucket
from .datagrams_io import Datagrams
from .http_io import HttpClient, HttpReply
from .identity import RANDOM_BYTES, Identity
from .peer_priority import crc32c, peer_priority
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
from .urls import Url, is_forbidden, parse_url, without_secrets

__all__ = [
    "ACCEPT_PAUSE",
    "RANDOM_BYTES",
    "Bucket",
    "Datagrams",
    "DescriptorsExhausted",
    "HttpClient",
    "HttpReply",
    "Identity",
    "NetworkFailed",
    "NotResolved",
    "Trouble",
    "Url",
    "accept_all",
    "ample_descriptors",
    "crc32c",
    "descriptor_limit",
    "dial",
    "dialled",
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
    "why_not_dialed",
    "without_secrets",
]
