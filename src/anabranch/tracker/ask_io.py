"""Asking a tracker by its URL: HTTP or UDP, over IPv4 and IPv6 where its host has both (BEP 7), as one answer.

Who asks is a task of the loop that the clients belong to, and may be cancelled at any time. When to ask is not known
here. A proxy of the HTTP client's looks names up itself, and by one family: then there is one question. UDP goes by no
proxy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TypeVar

from anabranch.model import Address, InputRefused, TorrentError
from anabranch.net import (
    HttpClient,
    NetworkFailed,
    NotResolved,
    Trouble,
    Url,
    Use,
    parse_url,
    resolve_soon,
    source_for,
    why_not_asked,
    without_secrets,
)

from . import http as over_http
from . import udp as over_udp
from .faults import FaultKind, TrackerFault
from .messages import MOST_PEERS, AnnounceReply, AnnounceRequest, ScrapeReply
from .udp_io import UdpTrackers

PATIENCE = 15.0  # seconds for an announce or a scrape
_GRACE = 3.0  # seconds that the other family gets when one has answered: IPv6 may lead nowhere, and nobody says so
_OK = 200
_SHORT = 64 * 1024  # bytes of a reply that is read on the loop: 4,096 peers take 24 KiB

Resolve = Callable[[str, int], Awaitable[list[Address]]]
_Reply = TypeVar("_Reply")
_Ask = Callable[[Url, list[Address], float], Awaitable[_Reply]]  # where, its addresses of one family, seconds

_KINDS: Mapping[Trouble, FaultKind] = {
    Trouble.CONNECTION: FaultKind.NETWORK,
    Trouble.TIMEOUT: FaultKind.TIMEOUT,
    Trouble.TLS: FaultKind.TLS,
    Trouble.PROTOCOL: FaultKind.REPLY,
    Trouble.SIZE: FaultKind.REPLY,
    Trouble.REDIRECT: FaultKind.REPLY,
    Trouble.FORBIDDEN: FaultKind.FORBIDDEN,
}


async def announce(
    url: str,
    request: AnnounceRequest,
    *,
    http: HttpClient,
    udp: UdpTrackers,
    bind: Sequence[str] = (),
    patience: float = PATIENCE,
    resolve: Resolve = resolve_soon,
    trusted: bool = False,
) -> AnnounceReply:
    """Tell a tracker about us, and learn who else is there.

    Args:
        url: The announce URL.
        request: What to tell.
        http: Carries it, or
        udp: carries it.
        bind: Our own addresses that both were bound to.
        patience: Seconds for all of it.
        resolve: Who knows names.
        trusted: The user named the URL: in our own network it may be any, not only /announce (see why_not_asked()).

    Raises:
        TrackerFault: no answer of use; the text names the tracker's host and never a passkey.
    """
    ask = partial(_announce_to, http, udp, request, trusted)
    return _merged(await _ask_all(url, ask, _Route(http, bind, resolve, trusted), patience))


async def scrape(
    url: str,
    info_hashes: Sequence[bytes],
    *,
    http: HttpClient,
    udp: UdpTrackers,
    bind: Sequence[str] = (),
    patience: float = PATIENCE,
    resolve: Resolve = resolve_soon,
    trusted: bool = False,
) -> dict[bytes, ScrapeReply]:
    """Ask a tracker for the numbers of torrents, in as many questions as that takes.

    Args:
        url: The announce URL.
        info_hashes: 20 bytes each.
        http: As for announce(), as is the rest; *patience* is for each question.

    Returns:
        What the tracker knows of them; where both families answer, the larger numbers.

    Raises:
        TrackerFault: no answer of use to one of the questions.
    """
    most = min(over_http.MAX_SCRAPED, over_udp.MAX_SCRAPED)
    numbers: dict[bytes, ScrapeReply] = {}
    wanted = list(dict.fromkeys(info_hashes))
    for start in range(0, len(wanted), most):
        ask = partial(_scrape_from, http, udp, wanted[start : start + most], trusted)
        for reply in await _ask_all(url, ask, _Route(http, bind, resolve, trusted), patience):
            for info_hash, one in reply.items():
                numbers[info_hash] = _larger(numbers[info_hash], one) if info_hash in numbers else one
    return numbers


async def _announce_to(
    http: HttpClient,
    udp: UdpTrackers,
    request: AnnounceRequest,
    trusted: bool,
    place: Url,
    addresses: list[Address],
    seconds: float,
) -> AnnounceReply:
    if place.scheme == "udp":
        return await udp.announce(addresses[0], place.target, request, seconds)
    target = over_http.announce_target(place.target, request)
    body = await _get(http, replace(place, target=target), addresses, seconds, trusted)
    reply = await _read(over_http.read_announce, body)
    return replace(reply, warning=without_secrets(reply.warning, place))


async def _scrape_from(
    http: HttpClient,
    udp: UdpTrackers,
    info_hashes: list[bytes],
    trusted: bool,
    place: Url,
    addresses: list[Address],
    seconds: float,
) -> dict[bytes, ScrapeReply]:
    if place.scheme == "udp":
        return await udp.scrape(addresses[0], info_hashes, seconds)
    target = over_http.scrape_target(place.target, info_hashes)
    body = await _get(http, replace(place, target=target), addresses, seconds, trusted)
    return await _read(partial(over_http.read_scrape, info_hashes=info_hashes), body)


async def _get(http: HttpClient, asking: Url, addresses: list[Address], seconds: float, trusted: bool) -> bytes:
    reply = await http.get(
        asking, timeout=seconds, limit=over_http.MAX_REPLY, to=addresses, use=Use.TRACKER, trusted=trusted
    )
    if reply.status != _OK:
        raise over_http.status_fault(reply.status, reply.reason, reply.body)
    return reply.body


async def _read(read: Callable[[bytes], _Reply], body: bytes) -> _Reply:
    """What the body says. Megabytes of small things take 0.2 s: the loop has better to do."""
    return read(body) if len(body) <= _SHORT else await asyncio.to_thread(read, body)


@dataclass(frozen=True, slots=True)
class _Route:
    """How a tracker's host is found, and whether it may be asked."""

    http: HttpClient
    bind: Sequence[str]
    resolve: Resolve
    trusted: bool

    async def families(self, place: Url) -> list[list[Address]]:
        """The addresses that may be asked, IPv4 and IPv6 apart; one family without any where a proxy looks names up.

        Raises:
            NotResolved: there is no such name.
            NetworkFailed: no address of its may be asked.
        """
        if place.scheme != "udp" and self.http.proxied:
            return [[]]
        found = await self.resolve(place.host, place.port)
        reasons = [self._why_not(place, one) for one in found]
        if all(reasons):
            raise NetworkFailed(Trouble.FORBIDDEN, f"its host may not be asked: {reasons[0]}")
        usable = [one for one, why in zip(found, reasons, strict=True) if not why]
        families = [
            [one for one in usable if one.is_v6 is v6]
            for v6 in (False, True)
            if source_for(self.bind, v6=v6) is not None
        ]
        if not any(families):
            raise NetworkFailed(Trouble.CONNECTION, "its host has no address that we may ask from where we are bound")
        return [family for family in families if family]

    def _why_not(self, place: Url, address: Address) -> str:
        trusted = place.scheme == "udp" or self.trusted or not self.http.mitigates  # UDP makes no server do anything
        return why_not_asked(place, address, Use.TRACKER, trusted=trusted)


async def _ask_all(url: str, ask: _Ask[_Reply], route: _Route, patience: float) -> list[_Reply]:
    """Ask over every family at once; return what came, one answer at least."""
    try:
        place = parse_url(url, ("http", "https", "udp"))
    except InputRefused as refusal:
        raise TrackerFault(FaultKind.URL, str(refusal)) from refusal
    clock = asyncio.get_running_loop().time
    end = clock() + patience
    try:
        async with asyncio.timeout_at(end):
            families = await route.families(place)
    except (TorrentError, TimeoutError) as failure:
        raise _told(place, failure) from failure

    async def attempt(addresses: list[Address]) -> _Reply | TrackerFault:
        try:
            return await ask(place, addresses, max(0.0, end - clock()))
        except TorrentError as failure:
            return _told(place, failure)

    replies: list[_Reply] = []
    faults: list[TrackerFault] = []
    async with asyncio.TaskGroup() as group:
        pending = {group.create_task(attempt(addresses)) for addresses in families}
        while pending:
            done, pending = await asyncio.wait(
                pending, timeout=_GRACE if replies else None, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for outcome in (task.result() for task in done):
                if isinstance(outcome, TrackerFault):
                    faults.append(outcome)
                else:
                    replies.append(outcome)
        for task in pending:
            task.cancel()
    if not replies:
        raise max(faults, key=lambda fault: fault.kind not in (FaultKind.NETWORK, FaultKind.TIMEOUT))
    return replies


def _told(place: Url, failure: Exception) -> TrackerFault:
    """The failure as the tracker's fault, in words that name its host and hide its passkey."""
    kind, text, status, retry_in = FaultKind.TIMEOUT, "no answer: its name could not be looked up in time", 0, None
    if isinstance(failure, TrackerFault):
        kind, text, status, retry_in = failure.kind, failure.text, failure.status, failure.retry_in
    elif isinstance(failure, NotResolved):
        kind, text = FaultKind.NAME, failure.reason
    elif isinstance(failure, NetworkFailed):
        kind, text = _KINDS[failure.trouble], str(failure)
    elif isinstance(failure, TorrentError):
        kind, text = FaultKind.NETWORK, str(failure)
    return TrackerFault(kind, f"{place}: {without_secrets(text, place)}", status=status, retry_in=retry_in)


def _merged(replies: list[AnnounceReply]) -> AnnounceReply:
    """Both families' answers as one: everybody's peers, and the longer of the waits."""
    first, *others = replies
    for other in others:
        first = AnnounceReply(
            interval=max(first.interval, other.interval),
            min_interval=_most(first.min_interval, other.min_interval),
            seeders=_most(first.seeders, other.seeders),
            leechers=_most(first.leechers, other.leechers),
            downloaded=_most(first.downloaded, other.downloaded),
            peers=tuple(islice(dict.fromkeys(first.peers + other.peers), MOST_PEERS)),
            external_ip=first.external_ip or other.external_ip,
            warning=first.warning or other.warning,
            tracker_id=first.tracker_id or other.tracker_id,
        )
    return first


def _larger(one: ScrapeReply, other: ScrapeReply) -> ScrapeReply:
    return ScrapeReply(
        _most(one.seeders, other.seeders), _most(one.completed, other.completed), _most(one.leechers, other.leechers)
    )


def _most(one: int | None, other: int | None) -> int | None:
    return max((count for count in (one, other) if count is not None), default=None)
