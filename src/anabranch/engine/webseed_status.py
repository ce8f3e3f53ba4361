"""What is told about a torrent's web seeds: frozen pictures, made within a turn and read without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from anabranch.model import InputRefused
from anabranch.net import parse_url
from anabranch.webseed import Request, Source, State, WebSeed


@dataclass(frozen=True, slots=True)
class WebSeedStatus:
    """One web seed of a torrent. Lengths in bytes, rates in bytes per second.

    Args:
        url: As it was given, with its secrets: not for logs (and not in the repr).
        name: Its scheme and host, fit for logs.
        kind: "url-list" (BEP 19) or "httpseeds" (BEP 17).
        trusted: The user named it; otherwise a torrent or link did.
        state: "active" (asked right now), "idle", "suspended" (it gave something wrong), "paused" (as it wished),
            "unusable", or "off" (Config.disable_webseeds).
        reason: Why it is suspended, paused or unusable; else "".
        rate: Content, now.
        downloaded, wasted: Content received in this run, and what of it was of no use.
        reserved, starting, reading, resting: Its requests, by how far they are: planned; begun; answered; failed, and
            waiting a moment.
        last_error: What went wrong last, "" if nothing did.
        penance_left: Seconds until it is asked again; 0.0 where it may be asked.
        at: When the picture was made, on the engine's clock: its age is `time.monotonic() - at`.
    """

    url: str = field(repr=False)
    name: str
    kind: str
    trusted: bool
    state: str
    reason: str = ""
    rate: float = 0.0
    downloaded: int = 0
    wasted: int = 0
    reserved: int = 0
    starting: int = 0
    reading: int = 0
    resting: int = 0
    last_error: str = ""
    penance_left: float = 0.0
    at: float = 0.0

    @property
    def requests(self) -> int:
        """Requests that are planned or under way."""
        return self.reserved + self.starting + self.reading


def webseed_name(url: str) -> str:
    """A web seed's scheme and host, fit for logs and events."""
    try:
        return str(parse_url(url, ("http", "https")))
    except (InputRefused, UnicodeError):
        return "a web seed that has no URL"


def status_of(seed: WebSeed, requests: Iterable[Request], now: float) -> WebSeedStatus:
    """The picture of a web seed, and of its requests of that torrent. Within a turn."""
    states = Counter(request.state for request in requests)
    busy = states[State.STARTING] + states[State.READING]
    left = max(seed.penance_until, seed.pause_until) - now
    if seed.unusable:
        state, reason, left = "unusable", seed.unusable, 0.0
    elif left > 0:
        state = "suspended" if seed.penance_until >= seed.pause_until else "paused"
        reason = seed.last_error
    else:
        state, reason, left = "active" if busy else "idle", "", 0.0
    return WebSeedStatus(
        url=seed.source.url,
        name=webseed_name(seed.source.url),
        kind=str(seed.source.kind),
        trusted=seed.source.trusted,
        state=state,
        reason=reason,
        rate=seed.down.rate(now),
        downloaded=seed.downloaded,
        wasted=seed.wasted,
        reserved=states[State.RESERVED],
        starting=states[State.STARTING],
        reading=states[State.READING],
        resting=states[State.RESTING],
        last_error=seed.last_error,
        penance_left=left,
        at=now,
    )


def unasked(source: Source, now: float, *, off: bool) -> WebSeedStatus:
    """The picture of one that nothing can be asked of yet: the torrent is not open, or web seeds are switched *off*."""
    state = "off" if off else "idle"
    return WebSeedStatus(source.url, webseed_name(source.url), str(source.kind), source.trusted, state, at=now)
