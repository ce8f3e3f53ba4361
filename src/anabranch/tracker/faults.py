"""What goes wrong with a tracker: the kind for programs, the words for people."""

from __future__ import annotations

from enum import StrEnum

from anabranch.model import TorrentError


class FaultKind(StrEnum):
    """Where it went wrong."""

    URL = "url"  # not one that we can ask
    FORBIDDEN = "forbidden"  # its host is where such a URL may not lead
    NAME = "name"  # its host has no address
    NETWORK = "network"  # refused, unreachable, reset
    TIMEOUT = "timeout"
    TLS = "tls"
    STATUS = "status"  # HTTP says other than 200
    REPLY = "reply"  # not understood
    REFUSED = "refused"  # the tracker gave a failure reason
    NO_SCRAPE = "no scrape"  # its URL tells that it has none (BEP 48)


class TrackerFault(TorrentError):
    """A tracker could not be asked, or did not give what was asked for: another may, the torrent goes on.

    Args:
        kind: Where it went wrong.
        text: In words; the tracker's own where it gave any. Never has a passkey.
        status: The HTTP status, 0 where there is none.
        retry_in: Seconds before which it should not be asked again (BEP 31), infinity for never; None: it did not say.
    """

    def __init__(self, kind: FaultKind, text: str, *, status: int = 0, retry_in: float | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.status = status
        self.retry_in = retry_in
