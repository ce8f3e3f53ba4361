"""What can go wrong between us and a server that somebody named by URL: the kind for programs, the words for people."""

from __future__ import annotations

from enum import StrEnum

from anabranch.model import TorrentError


class Trouble(StrEnum):
    """Where it went wrong."""

    CONNECTION = "connection"  # refused, unreachable, reset
    TIMEOUT = "timeout"
    TLS = "tls"  # no secure connection, or a certificate that proves nothing
    PROTOCOL = "protocol"  # what came is not what was agreed on
    SIZE = "size"  # more came than we take
    REDIRECT = "redirect"  # sent on to where we do not go
    FORBIDDEN = "forbidden"  # where it leads, such a URL is not asked


class NetworkFailed(TorrentError):
    """A server could not be reached, or not be understood. The text never has more of a URL than its host.

    Args:
        trouble: Where it went wrong.
        text: The system's own words where there are any.
    """

    def __init__(self, trouble: Trouble, text: str) -> None:
        super().__init__(text)
        self.trouble = trouble
