"""The network below every protocol: TCP and UDP sockets, names, URLs, HTTP, rate limits, and who we say we are."""

from .address_rules import is_this_machine, neighbourhood, network, pack_host, why_not_dialed
from .blocklist import Blocklist
from .buckets import Bucket
from .datagrams_io import Datagrams, udp_socket
from .http_connection_io import BodyFlow
from .http_dial_io import connect_to, system_tls
from .http_heads import headers_for, request_head
from .http_io import HttpClient, HttpReply
from .http_walk_io import Answer, Sink
from .identity import ANABRANCH, ANONYMOUS, DELUGE, IDENTITIES, RANDOM_BYTES, Identity, identity_named
from .loops_io import new_loop
from .names_io import Names
from .peer_priority import crc32c, peer_priority
from .range_io import RangeClient
from .resolve_io import NotResolved, Resolve, resolve, resolve_soon
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
from .urls import Url, Use, address_in, parse_url, why_not_asked, without_secrets

__all__ = [
    "ACCEPT_PAUSE",
    "ANABRANCH",
    "ANONYMOUS",
    "DELUGE",
    "IDENTITIES",
    "RANDOM_BYTES",
    "Answer",
    "Blocklist",
    "BodyFlow",
    "Bucket",
    "Datagrams",
    "DescriptorsExhausted",
    "HttpClient",
    "HttpReply",
    "Identity",
    "Names",
    "NetworkFailed",
    "NotResolved",
    "RangeClient",
    "Resolve",
    "Sink",
    "Trouble",
    "Url",
    "Use",
    "accept_all",
    "address_in",
    "ample_descriptors",
    "connect_to",
    "crc32c",
    "descriptor_limit",
    "dial",
    "dialled",
    "headers_for",
    "hung_up",
    "identity_named",
    "is_this_machine",
    "listen",
    "neighbourhood",
    "network",
    "new_loop",
    "pack_host",
    "parse_url",
    "peer_priority",
    "request_head",
    "resolve",
    "resolve_soon",
    "source_for",
    "system_tls",
    "udp_socket",
    "until_connected",
    "why_not_asked",
    "why_not_dialed",
    "without_secrets",
]
