"""What goes wrong with a tracker: kind and category for programs, words and a remedy for people.

The category is decided on structure: where it went wrong, the HTTP status, and of words only those that the tracker
gave as its failure reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from anabranch.model import TorrentError

from .kinds import ErrorType, FaultKind
from .reasons import category_of_reason, said_by
from .remedies import finer_remedy, remedy_for

if TYPE_CHECKING:
    from .asked import Endpoint

__all__ = ["ErrorType", "FaultKind", "TrackerFault"]

_BY_KIND: Mapping[FaultKind, ErrorType] = {
    FaultKind.URL: ErrorType.TRACKER_NOT_FOUND,
    FaultKind.FORBIDDEN: ErrorType.NETWORK_ERROR,
    FaultKind.NAME: ErrorType.DNS_ERROR,
    FaultKind.NETWORK: ErrorType.NETWORK_ERROR,
    FaultKind.TIMEOUT: ErrorType.TIMEOUT,
    FaultKind.TLS: ErrorType.NETWORK_ERROR,
    FaultKind.PAGE: ErrorType.TRACKER_FAILURE,
    FaultKind.REPLY: ErrorType.TRACKER_FAILURE,
    FaultKind.UNLISTED: ErrorType.TORRENT_NOT_REGISTERED,
    FaultKind.NO_SCRAPE: ErrorType.TRACKER_FAILURE,
    FaultKind.UDP_CONNECTION: ErrorType.UDP_CONNECTION_ERROR,
    FaultKind.CLOSED: ErrorType.CLIENT_CLOSED,
    FaultKind.CANCELLED: ErrorType.CANCELLED,
    FaultKind.INTERNAL: ErrorType.UNKNOWN_ERROR,
}
_BY_STATUS: Mapping[int, ErrorType] = {
    404: ErrorType.TRACKER_NOT_FOUND,
    410: ErrorType.TRACKER_NOT_FOUND,
    503: ErrorType.TRACKER_UNAVAILABLE,
    401: ErrorType.AUTHENTICATION_FAILED,
    403: ErrorType.AUTHENTICATION_FAILED,
    407: ErrorType.AUTHENTICATION_FAILED,  # at a proxy
}


class TrackerFault(TorrentError):
    """A tracker could not be asked, or did not give what was asked for: another may, the torrent goes on.

    Args:
        kind: Where it went wrong.
        text: In words; the tracker's own where it gave any. Never has a passkey.
        status: The HTTP status, 0 where there is none.
        retry_in: Seconds before which it should not be asked again (BEP 31), infinity for never; None: it did not say.
        reason: Of a refusal, the tracker's own words and nothing else; None where the text is just that.
        endpoints: What came of each address family, where the tracker was asked.
    """

    def __init__(
        self,
        kind: FaultKind,
        text: str,
        *,
        status: int = 0,
        retry_in: float | None = None,
        reason: str | None = None,
        endpoints: tuple[Endpoint, ...] = (),
    ) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.status = status
        self.retry_in = retry_in
        self.reason = "" if kind is not FaultKind.REFUSED else text if reason is None else reason
        self.endpoints = endpoints

    @property
    def error_type(self) -> ErrorType:
        """The category. A reason that came with an HTTP status other than 200 counts where its words say enough."""
        if self.kind is FaultKind.STATUS:
            return _by_status(self.status)
        if self.kind is not FaultKind.REFUSED:
            return _BY_KIND[self.kind]
        by_words = category_of_reason(self.reason)
        vague = by_words is ErrorType.TRACKER_FAILURE and self.status not in (0, 200)
        return _by_status(self.status) if vague else by_words

    @property
    def remedy(self) -> str:
        """What a user can do, in a sentence or two."""
        if self.kind is FaultKind.REFUSED:
            saying = said_by(self.reason)
            finer = saying.remedy if saying is not None else finer_remedy(FaultKind.STATUS, self.status)
        else:
            finer = finer_remedy(self.kind, self.status)
        return finer or remedy_for(self.error_type)


def refusal(words: str, retry_in: float | None = None) -> TrackerFault:
    """What a tracker's failure reason makes; it may be empty."""
    return TrackerFault(FaultKind.REFUSED, words or "refused without a reason", retry_in=retry_in, reason=words)


def _by_status(status: int) -> ErrorType:
    return _BY_STATUS.get(status, ErrorType.TRACKER_HTTP_ERROR)
