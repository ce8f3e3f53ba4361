"""The network below every protocol: TCP sockets, names, rate limits, and who we say we are."""

from .buckets import Bucket
from .identity import RANDOM_BYTES, Identity
from .resolve_io import NotResolved, resolve, resolve_soon
from .sockets_io import ACCEPT_PAUSE, DescriptorsExhausted, accept_all, dial, dialled, listen, until_connected

__all__ = [
    "ACCEPT_PAUSE",
    "RANDOM_BYTES",
    "Bucket",
    "DescriptorsExhausted",
    "Identity",
    "NotResolved",
    "accept_all",
    "dial",
    "dialled",
    "listen",
    "resolve",
    "resolve_soon",
    "until_connected",
]
