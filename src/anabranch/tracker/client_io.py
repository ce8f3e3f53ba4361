"""Asking a tracker by its URL: HTTP, UDP or WebSocket, over IPv4 and IPv6 where its host has both, as one answer.

Who asks is a task of the loop that the client belongs to, and may be cancelled at any time. When to ask is not known
here. A proxy looks names up itself, and by one family: then there is one question. UDP goes by no proxy.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from anabranch.model import Address, InputRefused, TorrentError
from anabranch.net import (
    Datagrams,
    HttpClient,
    NetworkFailed,
    NotResolved,
    Resolve,
    Trouble,
    Url,
    Use,
    address_in,
    parse_url,
    resolve_soon,
    source_for,
    why_not_asked,
    without_secrets,
)

from . import http as over_http
from . import udp as over_udp
from .asked import Announced, Endpoint, larger, merged, telling
from .faults import FaultKind, TrackerFault
from .kinds import SCHEMES
from .messages import AnnounceReply, AnnounceRequest, ScrapeReply
from .udp_io import UdpTrackers
from .websocket import Offer
from .websocket_io import WebSocketTrackers

PATIENCE = 15.0  # seconds for an announce or a scrape
_GRACE = 3.0  # seconds that the other family gets when one has answered: IPv6 may lead nowhere, and nobody says so
_LAME_GRACE = 0.3  # seconds, where it had its time once and was silent: thousands of torrents would wait for it
_MOST_LAME = 1000  # trackers that are known to be so
_OK = 200
_SHORT = 64 * 1024  # bytes of a reply that is read on the loop: 4,096 peers take 24 KiB

_Reply = TypeVar("_Reply")

_KINDS: Mapping[Trouble, FaultKind] = {
    Trouble.CONNECTION: FaultKind.NETWORK,
    Trouble.TIMEOUT: FaultKind.TIMEOUT,
    Trouble.TLS: FaultKind.TLS,
    Trouble.PROTOCOL: FaultKind.REPLY,
    Trouble.SIZE: FaultKind.REPLY,
    Trouble.REDIRECT: FaultKind.REPLY,
    Trouble.FORBIDDEN: FaultKind.FORBIDDEN,
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Answer(Generic[_Reply]):
    """What a tracker said, and which of its addresses; None where only a proxy knows."""

    reply: _Reply
    address: Address | None


@dataclass(frozen=True, slots=True)
class _Came(Generic[_Reply]):
    """What came of one family: an answer, or a fault."""

    addresses: list[Address]
    seconds: float
    answer: _Answer[_Reply] | None = None
    fault: TrackerFault | None = None

    def endpoint(self, reply: AnnounceReply | None) -> Endpoint:
        first = self.addresses[0] if self.addresses else None
        family = "proxy" if first is None else "ipv6" if first.is_v6 else "ipv4"
        address = first if self.answer is None else self.answer.address or first
        return Endpoint(family, address, self.seconds, reply, self.fault)


_Ask = Callable[[Url, list[Address], float], Awaitable[_Answer[_Reply]]]  # where, addresses of one family, seconds


class TrackerClient:
    """Asks trackers by their URLs: http, https, udp, ws, wss. Belongs to one loop; close it there.

    Args:
        user_agent: What we call ourselves; empty for nothing.
        bind: Our own IP addresses to speak from, none for the system's choice; a family without one is not spoken.
        proxy: Who carries what goes by TCP, an http URL; it is never passed by.
        tls: How servers are verified; None for the system's certificates.
        resolve: Who knows names.
        mitigate: Hold URLs that nobody trusts to why_not_asked().
        heard: Told of WebRTC peers that WebSocket trackers bring, on the loop; None drops them.
        websockets: Whether WebSocket trackers are asked.
        datagrams: Sockets by which UDP trackers are asked, by "is IPv6", which others may use too; they are not closed
            here. A family without one has one of its own.
    """

    def __init__(
        self,
        user_agent: str,
        *,
        bind: Sequence[str] = (),
        proxy: Url | None = None,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = resolve_soon,
        mitigate: bool = True,
        heard: Callable[[Offer], None] | None = None,
        websockets: bool = True,
        datagrams: Mapping[bool, Datagrams] | None = None,
    ) -> None:
        self._bind = bind
        self._proxied = proxy is not None
        self._resolve = resolve
        self._mitigate = mitigate
        self._schemes = [scheme for scheme, way in SCHEMES.items() if websockets or way != "websocket"]
        self._http = HttpClient(user_agent, bind=bind, proxy=proxy, tls=tls, resolve=resolve, mitigate=mitigate)
        self._udp = UdpTrackers(bind, datagrams)
        self._websockets = WebSocketTrackers(user_agent, bind=bind, proxy=proxy, tls=tls, resolve=resolve, heard=heard)
        self._lame: dict[str, None] = {}  # trackers of which one family does not answer, the latest last
        self._asking: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def announce(
        self, url: str, request: AnnounceRequest, *, patience: float = PATIENCE, trusted: bool = False
    ) -> Announced:
        """Tell a tracker about us, and learn who else is there.

        Args:
            url: The announce URL.
            request: What to tell.
            patience: Seconds for all of it.
            trusted: The user named the URL: in our own network it may be any, not only /announce (see why_not_asked()).

        Raises:
            TrackerFault: no answer of use; the text names the tracker's host and never a passkey.
        """
        came = await self._ask(url, partial(self._announce_to, request, trusted), trusted, patience)
        replies = [one.answer.reply for one in came if one.answer is not None]
        endpoints = tuple(one.endpoint(one.answer.reply if one.answer is not None else None) for one in came)
        return Announced(merged(replies), endpoints)

    async def scrape(
        self, url: str, info_hashes: Sequence[bytes], *, patience: float = PATIENCE, trusted: bool = False
    ) -> dict[bytes, ScrapeReply]:
        """Ask a tracker for the numbers of torrents, in as many questions as that takes.

        Args:
            url: The announce URL.
            info_hashes: 20 bytes each.
            patience: Seconds for each question.
            trusted: As for announce().

        Returns:
            What the tracker knows of them; where both families answer, the larger numbers.

        Raises:
            TrackerFault: no answer of use to one of the questions.
        """
        most = min(over_http.MAX_SCRAPED, over_udp.MAX_SCRAPED)
        numbers: dict[bytes, ScrapeReply] = {}
        wanted = list(dict.fromkeys(info_hashes))
        for start in range(0, len(wanted), most):
            ask = partial(self._scrape_from, wanted[start : start + most], trusted)
            for came in await self._ask(url, ask, trusted, patience):
                for info_hash, one in came.answer.reply.items() if came.answer is not None else ():
                    numbers[info_hash] = larger(numbers[info_hash], one) if info_hash in numbers else one
        return numbers

    async def close(self) -> None:
        """Hang up everywhere, for good. What is asked just now, or later, ends with a TrackerFault."""
        self._closed = True
        for task in self._asking:
            task.cancel()
        if self._asking:
            await asyncio.wait(set(self._asking))
        self._udp.close()
        await self._websockets.close()
        await self._http.close()

    async def _ask(self, url: str, ask: _Ask[_Reply], trusted: bool, patience: float) -> list[_Came[_Reply]]:
        """Ask over every family at once; return what came, one answer at least."""
        try:
            place = parse_url(url, self._schemes)
        except InputRefused as refusal:
            raise TrackerFault(FaultKind.URL, str(refusal)) from refusal
        outcome = await self._until_closed(self._families(place, ask, trusted, patience))
        if outcome is None:
            raise TrackerFault(FaultKind.CLOSED, f"{place}: the client was closed before there was an answer")
        if isinstance(outcome, TrackerFault):
            raise outcome
        if any(one.answer is not None for one in outcome):
            return outcome
        fault = telling([one.fault for one in outcome if one.fault is not None])
        fault.endpoints = tuple(one.endpoint(None) for one in outcome)
        raise fault

    async def _until_closed(self, work: Coroutine[Any, Any, _Reply]) -> _Reply | None:
        """What comes of the work, which does not raise; None where the client ended before."""
        if self._closed:
            work.close()
            return None
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return None if task.cancelled() else task.result()

    async def _families(
        self, place: Url, ask: _Ask[_Reply], trusted: bool, patience: float
    ) -> list[_Came[_Reply]] | TrackerFault:
        """What came of each family, or why none could be asked."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        try:
            async with asyncio.timeout(patience):
                families = await self._addresses(place, trusted)
        except (TorrentError, TimeoutError) as failure:
            return _told(place, failure)
        except Exception:  # bulkhead: our own mistake, or that of who was given to us as resolver
            log.exception("internal error in finding a tracker tracker=%s", place)
            return _our_mistake(place)

        async def attempt(addresses: list[Address]) -> _Came[_Reply]:
            try:
                answer = await ask(place, addresses, max(0.0, begun + patience - clock()))
            except TorrentError as failure:
                return _Came(addresses, clock() - begun, fault=_told(place, failure))
            except Exception:  # bulkhead: our own mistake with one family; the other may answer
                log.exception("internal error in asking a tracker tracker=%s", place)
                return _Came(addresses, clock() - begun, fault=_our_mistake(place))
            return _Came(addresses, clock() - begun, answer)

        if len(families) == 1:
            return [await attempt(families[0])]
        grace = _GRACE if str(place) not in self._lame else _LAME_GRACE
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attempt(addresses)) for addresses in families]
            pending, answered = set(tasks), False
            while pending:
                done, pending = await asyncio.wait(
                    pending, timeout=grace if answered else None, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                answered = answered or any(task.result().answer is not None for task in done)
            for task in pending:
                task.cancel()
        self._remember(str(place), lame=bool(pending))
        text = f"{place}: given up: its other address family had answered {grace:g} s before"
        given_up = TrackerFault(FaultKind.CANCELLED, text)
        return [
            _Came(addresses, clock() - begun, fault=given_up) if task.cancelled() else task.result()
            for task, addresses in zip(tasks, families, strict=True)
        ]

    def _remember(self, name: str, *, lame: bool) -> None:
        """Whether one family of that tracker is silent while the other answers: so it will be for all its torrents."""
        self._lame.pop(name, None)
        if lame:
            self._lame[name] = None
            if len(self._lame) > _MOST_LAME:
                del self._lame[next(iter(self._lame))]

    async def _addresses(self, place: Url, trusted: bool) -> list[list[Address]]:
        """The addresses that may be asked, IPv4 and IPv6 apart; one family without any where a proxy looks names up.

        Raises:
            NotResolved: there is no such name.
            NetworkFailed: no address of its may be asked.
        """
        if place.scheme != "udp" and self._proxied:
            return [self._by_proxy(place, trusted)]
        found = await self._resolve(place.host, place.port)
        trusted = place.scheme == "udp" or trusted or not self._mitigate  # UDP makes no server do anything
        reasons = [why_not_asked(place, one, Use.TRACKER, trusted=trusted) for one in found]
        if all(reasons):
            raise NetworkFailed(Trouble.FORBIDDEN, f"its host may not be asked: {reasons[0]}")
        usable = [one for one, why in zip(found, reasons, strict=True) if not why]
        families = [
            [one for one in usable if one.is_v6 is v6]
            for v6 in (False, True)
            if source_for(self._bind, v6=v6) is not None
        ]
        if not any(families):
            raise NetworkFailed(Trouble.CONNECTION, "its host has no address that we may ask from where we are bound")
        return [family for family in families if family]

    def _by_proxy(self, place: Url, trusted: bool) -> list[Address]:
        """No address: only the proxy knows; but a host that is an address itself is judged here."""
        address = address_in(place)
        trusted = trusted or not self._mitigate
        if address is not None and (why := why_not_asked(place, address, Use.TRACKER, trusted=trusted)):
            raise NetworkFailed(Trouble.FORBIDDEN, f"its host may not be asked: {why}")
        return []

    async def _announce_to(
        self, request: AnnounceRequest, trusted: bool, place: Url, addresses: list[Address], seconds: float
    ) -> _Answer[AnnounceReply]:
        if place.scheme == "udp":
            return await self._by_udp(
                addresses, seconds, lambda one, left: self._udp.announce(one, place.target, request, left)
            )
        if SCHEMES[place.scheme] == "websocket":
            reply, answered = await self._websockets.announce(place, addresses, request, seconds), None
        else:
            asking = replace(place, target=over_http.announce_target(place.target, request))
            body, answered = await self._get(asking, addresses, seconds, trusted)
            reply = await _read(over_http.read_announce, body)
        return _Answer(replace(reply, warning=without_secrets(reply.warning, place)), answered)

    async def _scrape_from(
        self, info_hashes: list[bytes], trusted: bool, place: Url, addresses: list[Address], seconds: float
    ) -> _Answer[dict[bytes, ScrapeReply]]:
        if place.scheme == "udp":
            return await self._by_udp(addresses, seconds, lambda one, left: self._udp.scrape(one, info_hashes, left))
        if SCHEMES[place.scheme] == "websocket":
            return _Answer(await self._websockets.scrape(place, addresses, info_hashes, seconds), None)
        asking = replace(place, target=over_http.scrape_target(place.target, info_hashes))
        body, answered = await self._get(asking, addresses, seconds, trusted)
        return _Answer(await _read(partial(over_http.read_scrape, info_hashes=info_hashes), body), answered)

    async def _by_udp(
        self, addresses: list[Address], seconds: float, ask: Callable[[Address, float], Awaitable[_Reply]]
    ) -> _Answer[_Reply]:
        """Ask one of the addresses, of those that were not silent before the first; the next where nobody listens."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        *others, last = self._udp.by_hope(addresses)
        for address in others:
            try:
                return _Answer(await ask(address, max(0.0, end - clock())), address)
            except TrackerFault as fault:
                if fault.kind is not FaultKind.NETWORK:
                    raise
        return _Answer(await ask(last, max(0.0, end - clock())), last)

    async def _get(
        self, asking: Url, addresses: list[Address], seconds: float, trusted: bool
    ) -> tuple[bytes, Address | None]:
        reply = await self._http.get(
            asking, timeout=seconds, limit=over_http.MAX_REPLY, to=addresses, use=Use.TRACKER, trusted=trusted
        )
        if reply.status != _OK:
            raise over_http.status_fault(reply.status, reply.reason, reply.body, reply.headers.get("retry-after", ""))
        return reply.body, reply.address


async def _read(read: Callable[[bytes], _Reply], body: bytes) -> _Reply:
    """What the body says. Megabytes of small things take 0.2 s: the loop has better to do."""
    return read(body) if len(body) <= _SHORT else await asyncio.to_thread(read, body)


def _our_mistake(place: Url) -> TrackerFault:
    return TrackerFault(FaultKind.INTERNAL, f"{place}: internal error")


def _told(place: Url, failure: Exception) -> TrackerFault:
    """The failure as the tracker's fault, in words that name its host and hide its passkey."""
    if isinstance(failure, TrackerFault):
        return TrackerFault(
            failure.kind,
            f"{place}: {without_secrets(failure.text, place)}",
            status=failure.status,
            retry_in=failure.retry_in,
            reason=without_secrets(failure.reason, place),
        )
    kind, text = FaultKind.NAME, "its name could not be looked up in time"
    if isinstance(failure, NotResolved):
        kind, text = FaultKind.NAME, failure.reason
    elif isinstance(failure, NetworkFailed):
        kind, text = _KINDS[failure.trouble], str(failure)
    elif isinstance(failure, TorrentError):
        kind, text = FaultKind.NETWORK, str(failure)
    return TrackerFault(kind, f"{place}: {without_secrets(text, place)}")
