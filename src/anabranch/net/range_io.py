"""GET of a part of what a URL names, straight into the memory where it belongs: for web seeds.

Names, addresses and redirects are our own affair, as in http_io: a name is looked up once for a request, so that what
was checked (urls.why_not_asked) is what is connected to. What a status or a range means is the sink's: it sees the
head before any byte. http_connection_io has what was measured. Not here: HTTP/2, cookies, packed bodies.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from typing import NamedTuple, Protocol

from anabranch.model import Address, InputRefused

from .http_connection_io import BodyFlow, Dead, HttpConnection
from .http_heads import Head, basic, headers_for, request_head
from .resolve_io import NotResolved, resolve_soon
from .sources import source_for
from .troubles import NetworkFailed, Trouble
from .urls import Url, Use, address_in, is_public, redirected, why_not_asked

MAX_REDIRECTS = 5
CONNECT_PATIENCE = 10.0  # seconds for all addresses of a name, TLS included
_ADDRESS_PATIENCE = 5.0  # seconds for one address while there are others
_MOST_ADDRESSES = 4  # of a name that are tried
_MOST_IDLE = 10  # connections kept for one host
_MOVED = frozenset({301, 302, 303, 307, 308})

Resolve = Callable[[str, int], Awaitable[list[Address]]]


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of a reply, after redirects.

    Args:
        status: 200 and the like.
        reason: The server's words for it, maybe empty.
        headers: Names in lower case; of those that come twice, the first.
        length: Of the body in bytes, as it is sent; None: not told.
        url: Who answered.
        address: Where that is; None: a proxy knows.
    """

    status: int
    reason: str
    headers: Mapping[str, str] = field(repr=False)
    length: int | None
    url: Url
    address: Address | None


class Sink(Protocol):
    """Where a body goes. All is called on the loop's thread, from its callbacks.

    landing() may be called again without a landed() in between; what it gave last counts, and only until the loop's
    callback ends: nothing is written there between callbacks, nor after get() has ended.
    """

    def begun(self, answer: Answer, flow: BodyFlow) -> int:
        """The answer begins. Answers how many bytes of the body to leave out. Raises what get() is to raise."""

    def landing(self) -> memoryview | None:
        """Memory for what comes next, not empty, never beyond what is wanted; None: none now, until resume()."""

    def landed(self, count: int) -> bool:
        """So many bytes are there now. False: no more is wanted."""


class RangeClient:
    """Connections to HTTP servers, kept open for the next request. Belongs to one event loop; close it there.

    Args:
        user_agent: What we call ourselves.
        bind: Our own IP addresses to speak from, none for the system's choice; a family without one is not spoken.
        proxy: An http URL, with its login; it then looks names up, and hosts that are addresses are all that can be
            judged. None: no proxy.
        tls: How servers are verified; None for the system's certificates.
        resolve: Who knows names.
        mitigate: Whether URLs that nobody typed are kept out of the user's own network: see why_not_asked().
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
    ) -> None:
        self._user_agent = user_agent
        self._bind = bind
        self._proxy = proxy
        self._tls = tls
        self._resolve = resolve
        self._mitigate = mitigate
        self._idle: dict[_Door, list[tuple[Address, HttpConnection]]] = {}
        self._open: set[HttpConnection] = set()

    async def get(
        self,
        url: Url,
        sink: Sink,
        *,
        begin: int = 0,
        length: int,
        ranged: bool = True,
        headers: Mapping[str, str] | None = None,
        trusted: bool = False,
        named: Url | None = None,
    ) -> None:
        """Bring bytes of what *url* names to the sink: exactly *length*, or until it wants no more.

        Args:
            url: http or https.
            sink: Where they go; it sees every status.
            begin: The first byte of the range.
            length: In bytes, at least 1.
            ranged: Whether to ask for the range; otherwise for everything.
            headers: More of them; these, and the URL's login, are not sent to another host.
            trusted: Whether the user named the URL.
            named: The URL as it was named, where *url* has a query that we made (BEP 17).

        Raises:
            InputRefused: a header that cannot be sent.
            NotResolved: the host has no address.
            NetworkFailed: not reached, not understood, not all that was wanted.
        """
        if length < 1 or begin < 0:
            raise ValueError(f"no range: {length} bytes from {begin}")
        span = (begin, begin + length) if ranged else None
        here, more, outside = url, headers, False
        for _ in range(MAX_REDIRECTS + 1):
            judge = partial(
                why_not_asked,
                named or here,
                use=Use.WEB_SEED,
                from_outside=outside and self._mitigate,
                trusted=trusted or not self._mitigate,
            )
            head, address = await self._ask(here, judge, sink, span, length, more)
            location = head.headers.get("location")
            if head.status not in _MOVED or location is None:
                return
            address = address or address_in(here)
            outside = outside or address is None or is_public(address)
            try:
                there = redirected(here, location)
            except InputRefused as refusal:
                raise NetworkFailed(Trouble.REDIRECT, f"redirected, but not followed: {refusal}") from refusal
            if str(there) != str(here):
                more = None
            elif here.login and not there.login:
                there = replace(there, login=here.login)
            trusted = trusted and there.host == here.host  # the user typed that host, not the next
            here, named = there, None
        raise NetworkFailed(Trouble.REDIRECT, f"more than {MAX_REDIRECTS} redirects")

    async def close(self) -> None:
        """Hang up everywhere; what is under way fails. A later get() would start anew."""
        self._idle.clear()
        going = list(self._open)
        for connection in going:
            connection.hang_up(NetworkFailed(Trouble.CONNECTION, "we hung up"))
        if going:
            await asyncio.wait([connection.gone for connection in going], timeout=1.0)

    async def _places(self, url: Url, judge: Callable[[Address], str]) -> list[Address]:
        """Where to connect for a URL: to its host, or the proxy's."""
        if self._proxy is not None:
            address = address_in(url)
            if address is not None and (why := judge(address)):
                raise NetworkFailed(Trouble.FORBIDDEN, why)
            try:
                return await self._resolve(self._proxy.host, self._proxy.port)
            except NotResolved as unknown:
                raise NetworkFailed(Trouble.CONNECTION, f"the proxy: {unknown}") from unknown
        found = await self._resolve(url.host, url.port)
        reasons = [judge(one) for one in found]
        usable = [one for one, why in zip(found, reasons, strict=True) if not why]
        if not usable:
            raise NetworkFailed(Trouble.FORBIDDEN, reasons[0])
        return usable

    async def _ask(
        self,
        url: Url,
        judge: Callable[[Address], str],
        sink: Sink,
        span: tuple[int, int] | None,
        length: int,
        more: Mapping[str, str] | None,
    ) -> tuple[Head, Address | None]:
        """One request, and its answer: on a connection that is open, or on a new one."""
        sent = headers_for(url, self._user_agent, span, more)
        by_proxy = self._proxy is not None and url.scheme == "http"
        if by_proxy and self._proxy is not None and self._proxy.login:
            sent["Proxy-Authorization"] = basic(self._proxy.login)
        request = request_head("GET", url.whole if by_proxy else url.target, sent)
        door = _Door("proxy", "", 0) if by_proxy else _Door(url.scheme, url.host, url.port)
        places = await self._places(url, judge)

        async def asked(place: Address, connection: HttpConnection) -> tuple[Head, Address | None]:
            address = None if self._proxy is not None else place

            def heard(head: Head) -> int | None:
                if by_proxy and head.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
                    raise _refused_by_proxy(head.status)
                if head.status in _MOVED and "location" in head.headers:
                    return None
                return sink.begun(Answer(head.status, head.reason, head.headers, head.length, url, address), connection)

            return await connection.ask(request, heard, sink, length), address

        if kept := await self._kept(door, places):
            with suppress(Dead):
                return await asked(*kept)
        place, connection = await self._connected(url, places[:_MOST_ADDRESSES])
        connection.freed = partial(self._keep, door, place)
        self._open.add(connection)
        connection.gone.add_done_callback(lambda _: self._forget(door, connection))
        return await asked(place, connection)

    def _keep(self, door: _Door, address: Address, connection: HttpConnection) -> None:
        kept = self._idle.setdefault(door, [])
        kept.append((address, connection))
        if len(kept) > _MOST_IDLE:
            kept.pop(0)[1].hang_up()

    async def _kept(self, door: _Door, addresses: list[Address]) -> tuple[Address, HttpConnection] | None:
        """A connection to one of these that waits for a request, the one used last."""
        while taken := self._taken(door, addresses):
            connection = taken[1]
            try:
                await asyncio.sleep(0)  # in which TLS hands over what it holds of more than was asked for
            except asyncio.CancelledError:
                connection.hang_up()
                raise
            if connection.free and not connection.stale():
                return taken
            connection.hang_up()
        return None

    def _taken(self, door: _Door, addresses: list[Address]) -> tuple[Address, HttpConnection] | None:
        kept = self._idle.get(door, [])
        place = next((place for place in reversed(range(len(kept))) if kept[place][0] in addresses), None)
        return None if place is None else kept.pop(place)

    def _forget(self, door: _Door, connection: HttpConnection) -> None:
        self._open.discard(connection)
        left = [one for one in self._idle.pop(door, []) if one[1] is not connection]
        if left:
            self._idle[door] = left

    async def _connected(self, url: Url, addresses: list[Address]) -> tuple[Address, HttpConnection]:
        """The first address that can be connected to."""
        tls = await self._context() if url.scheme == "https" else None
        try:
            async with asyncio.timeout(CONNECT_PATIENCE):
                for address in addresses[:-1]:
                    try:
                        async with asyncio.timeout(_ADDRESS_PATIENCE):
                            return address, await self._connect(url, address, tls)
                    except TimeoutError:
                        continue
                    except NetworkFailed as failure:
                        if failure.trouble is Trouble.TLS:
                            raise
                return addresses[-1], await self._connect(url, addresses[-1], tls)
        except TimeoutError as late:
            raise NetworkFailed(Trouble.TIMEOUT, f"no connection within {CONNECT_PATIENCE:g} s") from late

    async def _connect(self, url: Url, address: Address, tls: ssl.SSLContext | None) -> HttpConnection:
        source = source_for(self._bind, v6=address.is_v6)
        if source is None:
            family = "IPv6" if address.is_v6 else "IPv4"
            raise NetworkFailed(Trouble.CONNECTION, f"we are bound to no {family} address")
        connection = HttpConnection()
        at_once = tls if self._proxy is None else None
        whose = "" if self._proxy is None else "the proxy: "  # whose fault it is
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection,
                *address,
                ssl=at_once,
                server_hostname=url.host if at_once is not None else None,
                local_addr=(source, 0) if self._bind else None,
            )
            whose = ""
            if tls is not None and self._proxy is not None:
                await self._tunnel(connection, url, tls, self._proxy.login)
        except OSError as failure:
            connection.hang_up()
            raise _in_words(failure, whose) from failure
        except BaseException:
            connection.hang_up()
            raise
        return connection

    async def _tunnel(self, connection: HttpConnection, url: Url, tls: ssl.SSLContext, login: str) -> None:
        """Have the proxy connect us to the server, and speak TLS with that."""
        host = f"[{url.host}]" if ":" in url.host else url.host
        sent = {"Host": f"{host}:{url.port}", "User-Agent": self._user_agent}
        if login:
            sent["Proxy-Authorization"] = basic(login)
        request = request_head("CONNECT", f"{host}:{url.port}", sent)
        head = await connection.ask(request, lambda _: None, _Nothing(), 1, tunnel=True)
        if not 200 <= head.status < 300:
            raise _refused_by_proxy(head.status)
        if not connection.free or connection.transport is None:
            raise NetworkFailed(Trouble.PROTOCOL, "the proxy does not keep the connection it made")
        connection.transport = await asyncio.get_running_loop().start_tls(
            connection.transport, connection, tls, server_hostname=url.host
        )

    async def _context(self) -> ssl.SSLContext:
        if self._tls is None:  # the system's certificates take tens of milliseconds to read
            tls = await asyncio.to_thread(ssl.create_default_context)
            tls.set_alpn_protocols(["http/1.1"])
            self._tls = tls
        return self._tls


class _Door(NamedTuple):
    """Connections to one of these are as good as each other, if they lead to the same address."""

    scheme: str  # "proxy": of the proxy, for whatever http URL
    host: str
    port: int


class _Nothing:
    """Where a body goes that is none."""

    def landing(self) -> memoryview | None:
        return None

    def landed(self, count: int) -> bool:
        return False


def _refused_by_proxy(status: int) -> NetworkFailed:
    """In HTTP's words, not in its own, which may repeat a login."""
    words = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else ""
    return NetworkFailed(Trouble.CONNECTION, f"the proxy answered {status} {words}".rstrip())


def _in_words(failure: OSError, whose: str) -> NetworkFailed:
    """What the system or OpenSSL said, on one line."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        reason = failure.verify_message or "it does not prove who the server is"
        return NetworkFailed(Trouble.TLS, f"the server's certificate was refused: {reason}")
    if isinstance(failure, ssl.SSLError):
        return NetworkFailed(Trouble.TLS, f"no secure connection: {failure.reason or 'handshake failed'}")
    words = os.strerror(failure.errno) if failure.errno and failure.errno > 0 else "the server hung up"
    return NetworkFailed(Trouble.CONNECTION, whose + words)  # asyncio's own words repeat the address
