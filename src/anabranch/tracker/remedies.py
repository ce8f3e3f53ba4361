"""What a user can do about a tracker that fails, in words: for each category, and for what is known in more detail."""

from __future__ import annotations

from collections.abc import Mapping

from .kinds import ErrorType, FaultKind

_REMEDIES: Mapping[ErrorType, str] = {
    ErrorType.TRACKER_NOT_FOUND: (
        "Nothing answers announces at this URL. Look for a typing error in it, or for the tracker's new address; where "
        "there is none, remove the tracker."
    ),
    ErrorType.TRACKER_UNAVAILABLE: (
        "The tracker is overloaded or under maintenance. It is asked again by itself; others bring peers meanwhile."
    ),
    ErrorType.AUTHENTICATION_FAILED: (
        "The tracker does not let us in. Log in to its site, look whether your account is in order, and download the "
        ".torrent file once more: the passkey in it may be old."
    ),
    ErrorType.TRACKER_HTTP_ERROR: (
        "The tracker's server has a problem of its own. It is asked again by itself; if it lasts, only those who "
        "run it can help."
    ),
    ErrorType.TORRENT_NOT_REGISTERED: (
        "The tracker does not know this torrent, or not any more: it may have been deleted or replaced. Look for it on "
        "the tracker's site and download its .torrent file anew, or remove the tracker."
    ),
    ErrorType.TRACKER_FAILURE: (
        "The tracker gave a reason of its own: what it says tells what to do. It is asked again by itself."
    ),
    ErrorType.DNS_ERROR: (
        "The tracker's name has no address. If other names work, the tracker has moved or is gone: remove it; if none "
        "does, look at your network's DNS."
    ),
    ErrorType.CLIENT_CLOSED: "The client was closed while it asked. Start it again.",
    ErrorType.TIMEOUT: (
        "The tracker does not answer. It may be down or overloaded, or a firewall keeps us apart. It is asked again by "
        "itself; if others answer and this one never does, remove it."
    ),
    ErrorType.CANCELLED: "Nobody waited for the answer any more. Nothing has to be done.",
    ErrorType.NETWORK_ERROR: (
        "There is no connection to the tracker. If other trackers answer, this one is down; if none does, look at your "
        "network, your VPN or proxy, and the address you bind to."
    ),
    ErrorType.UDP_CONNECTION_ERROR: (
        "The tracker does not know us again from one datagram to the next, as happens where our address changes on the "
        "way. It is asked again by itself; if it lasts, use its HTTP URL where it has one."
    ),
    ErrorType.UNKNOWN_ERROR: "A mistake of this program. Its log has the details: report them, please.",
}

_FINER: Mapping[FaultKind, str] = {
    FaultKind.URL: "This URL cannot be asked: correct it or remove it.",
    FaultKind.FORBIDDEN: (
        "The URL leads into your own machine or network, where little is asked of what torrents name, and at some "
        "addresses nothing ever. If you trust this tracker, switch that protection off; else remove it."
    ),
    FaultKind.TLS: (
        "There is no secure connection: the server's certificate is not valid or not trusted, or something on the way "
        "reads along. Look at this machine's clock and certificates; else only those who run the tracker can help."
    ),
    FaultKind.PAGE: (
        "There is a page for people where the tracker should be: the tracker has moved or is blocked, or a login page "
        "of your network comes first. Open its site in a browser."
    ),
    FaultKind.REPLY: (
        "What came is no tracker's answer: the server is broken, or is no tracker. It is asked again by itself; if it "
        "lasts, remove it."
    ),
    FaultKind.NO_SCRAPE: "This tracker tells no numbers by itself; announcing to it works all the same.",
}

_OF_STATUS: Mapping[int, str] = {
    400: (
        "The tracker's server did not understand what it was asked. Look whether the URL is the tracker's announce URL."
    ),
    407: "A proxy on the way wants a login: give it with the proxy's URL.",
    429: ("The tracker was asked too often. It is asked again when it allows that; asking by hand makes it longer."),
}


def remedy_for(error_type: ErrorType) -> str:
    """What a user can do about a tracker of this category."""
    return _REMEDIES[error_type]


def finer_remedy(kind: FaultKind, status: int) -> str:
    """What is known better than by the category: by where it went wrong, or by the HTTP status; empty for nothing."""
    return _OF_STATUS.get(status, "") if kind is FaultKind.STATUS else _FINER.get(kind, "")
