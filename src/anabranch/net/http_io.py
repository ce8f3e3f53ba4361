"""GET by HTTP/1.1, for trackers and everything else that comes by URL: bounded, verified, and silent about passkeys.

aiohttp carries the bytes. Names, addresses and redirects are our own affair: where a name leads is decided once for a
request, so that what was checked is what is connected to. A server in the Internet cannot send us on into our own
network. aiohttp takes 0.2 s to import: that happens at the first request, in a thread. Through a proxy it is the proxy
who knows names: what may be asked is then judged by hosts that tell their address themselves. Not here: replies without
a status line, proxies of another kind than HTTP.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import zlib
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING
from weakref import WeakSet

from anabranch.model import Address, InputRefused

from .http_connection_io import readable
from .resolve_io import NotResolved, resolve_soon
from .sources import source_for
from .troubles import NetworkFailed, Trouble
from .urls import Url, Use, address_in, is_public, parse_url, redirected, why_not_asked

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.connector import Connection

MAX_REDIRECTS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})
_MOST_ADDRESSES = 4  # of a name that are tried
_CONNECT_PATIENCE = 5.0  # seconds for one address while there are others
_ANY_ZLIB = zlib.MAX_WBITS | 32  # gzip or zlib, by the data's own head

Resolve = Callable[[str, int], Awaitable[list[Address]]]
_Judge = Callable[[Address], str]  # why it is not asked


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a server answered.

    Args:
        status: 200 and the like.
        reason: The server's words for it, maybe empty.
        headers: Names in lower case; of those that come twice, the first.
        body: Decoded.
        url: Who answered, after redirects.
        address: Where that is; None where only the proxy knows.
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: Url
    address: Address | None


class HttpClient:
    """Connections to HTTP servers, kept open for the next request. Belongs to one event loop; close it there.

    Args:
        user_agent: What we call ourselves.
        bind: Our own IP addresses to speak from, none for the system's choice; a family without one is not spoken.
        proxy: Who carries every request (RFC 9110, 7.7 and 9.3.6), an http URL; it is never passed by.
        tls: How servers are verified; None for the system's certificates.
        resolve: Who knows names; with a proxy, its own only.
        mitigate: Hold URLs that nobody trusts to why_not_asked(); what is_forbidden() is so without this, too.
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
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by "is IPv6"

    @property
    def proxied(self) -> bool:
        """Whether a proxy looks names up: what is known here of their addresses is of no use."""
        return self._proxy is not None

    @property
    def mitigates(self) -> bool:
        """Whether URLs that nobody trusts are held to why_not_asked()."""
        return self._mitigate

    async def get(
        self,
        url: str | Url,
        *,
        timeout: float,  # noqa: ASYNC109 # it must also end the wait for a name, in one kind of error
        limit: int,
        headers: Mapping[str, str] | None = None,
        to: Sequence[Address] = (),
        use: Use = Use.METADATA,
        trusted: bool = True,
    ) -> HttpReply:
        """Ask for what *url* names. A status that tells of an error is an answer too.

        Args:
            url: http or https; taken apart already, or not.
            timeout: Seconds for all of it, redirects included.
            limit: Most bytes of body, as they come and decoded.
            headers: More of them, also sent where a redirect stays with the server.
            to: Addresses of the URL's host, where they are known already.
            use: What the URL is for.
            trusted: Whether the user named it: see why_not_asked().

        Raises:
            InputRefused: not such a URL.
            NotResolved: the host has no address.
            NetworkFailed: everything else.
        """
        here = parse_url(url, ("http", "https")) if isinstance(url, str) else url
        try:
            async with asyncio.timeout(timeout):
                return await self._follow(here, dict(headers or {}), limit, list(to), use, trusted)
        except TimeoutError as late:
            raise NetworkFailed(Trouble.TIMEOUT, f"no answer within {round(timeout, 2):g} s") from late

    async def close(self) -> None:
        """Hang up everywhere. A later get() would start anew."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def _follow(
        self, here: Url, headers: dict[str, str], limit: int, to: list[Address], use: Use, trusted: bool
    ) -> HttpReply:
        from_outside = False
        families: set[bool] = {address.is_v6 for address in to} or {False, True}
        for _ in range(MAX_REDIRECTS + 1):
            judge = partial(
                why_not_asked, here, use=use, from_outside=from_outside, trusted=trusted or not self._mitigate
            )
            reply = await self._ask_any(here, await self._hosts(here, to, families, judge), headers, limit)
            location = reply.headers.get("location")
            if reply.status not in _MOVED or location is None:
                return reply
            address = reply.address or address_in(here)
            from_outside = self._mitigate and (from_outside or address is None or is_public(address))
            try:
                there = redirected(here, location)
            except InputRefused as refusal:
                raise NetworkFailed(Trouble.REDIRECT, f"redirected, but not followed: {refusal}") from refusal
            if str(there) != str(here):
                headers, to = {}, []
            trusted = trusted and there.host == here.host
            here = there
        raise NetworkFailed(Trouble.REDIRECT, f"more than {MAX_REDIRECTS} redirects")

    async def _hosts(self, url: Url, to: list[Address], families: set[bool], judge: _Judge) -> list[Address]:
        """Where to connect for a URL: to its host, or the proxy's."""
        if self._proxy is not None:
            address = address_in(url)
            if address is not None and (why := judge(address)):
                raise NetworkFailed(Trouble.FORBIDDEN, why)
            try:
                return (await self._resolve(self._proxy.host, self._proxy.port))[:_MOST_ADDRESSES]
            except NotResolved as unknown:
                raise NetworkFailed(Trouble.CONNECTION, f"the proxy: {unknown}") from unknown
        found = [one for one in to or await self._resolve(url.host, url.port) if one.is_v6 in families]
        reasons = [judge(one) for one in found]
        usable = [one for one, why in zip(found, reasons, strict=True) if not why]
        if not usable:
            raise (
                NetworkFailed(Trouble.FORBIDDEN, reasons[0])
                if reasons
                else NetworkFailed(Trouble.CONNECTION, f"{url.host} has no address of a family that is spoken here")
            )
        return usable[:_MOST_ADDRESSES]

    async def _ask_any(self, url: Url, addresses: list[Address], headers: dict[str, str], limit: int) -> HttpReply:
        """Ask the first address that can be connected to."""
        for address in addresses[:-1]:
            try:
                return await self._ask(url, address, headers, limit, _CONNECT_PATIENCE)
            except _NotConnected:
                continue
        return await self._ask(url, addresses[-1], headers, limit, None)

    async def _ask(
        self, url: Url, address: Address, headers: dict[str, str], limit: int, patience: float | None
    ) -> HttpReply:
        session, proxy = await self._session(address.is_v6), self._proxy
        import aiohttp
        from yarl import URL

        agent = {"User-Agent": self._user_agent}
        sent = {"Host": url.authority, **agent, "Accept-Encoding": "gzip", **headers}
        if url.login:
            sent["Authorization"] = _basic(url)
        if proxy is not None and proxy.login:
            (sent if url.scheme == "http" else agent)["Proxy-Authorization"] = _basic(proxy)
        try:
            async with session.get(
                URL(url.at(address) if proxy is None else url.whole, encoded=True),
                headers=sent,
                proxy=None if proxy is None else URL(f"http://{address}"),
                proxy_headers=None if proxy is None else agent,
                allow_redirects=False,
                server_hostname=url.host if url.scheme == "https" else None,
                ssl=self._tls if self._tls is not None else True,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=patience),
            ) as response:
                if proxy is not None and response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
                    raise _refused_by_proxy(response.status)
                answered: dict[str, str] = {}
                for name, value in response.headers.items():
                    answered.setdefault(name.lower(), value)
                body = _Body(limit, answered.get("content-encoding", ""))
                async for received in response.content.iter_any():
                    body.take(received)
                return HttpReply(
                    response.status, response.reason or "", answered, body.whole(), url, None if proxy else address
                )
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            raise _in_words(failure) from failure

    async def _session(self, v6: bool) -> aiohttp.ClientSession:
        source = source_for(self._bind, v6=v6)
        if source is None:
            raise _NotConnected(Trouble.CONNECTION, f"we are bound to no {'IPv6' if v6 else 'IPv4'} address")
        if v6 not in self._sessions:
            await asyncio.to_thread(import_module, "aiohttp")
        if v6 not in self._sessions:  # still: another task may have been here meanwhile
            import aiohttp

            self._sessions[v6] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    family=socket.AF_INET6 if v6 else socket.AF_INET,
                    local_addr=(source, 0) if self._bind else None,
                ),
                request_class=_wary(),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("Accept", "Content-Type"),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._sessions[v6]


def _basic(url: Url) -> str:
    """The URL's login, as HTTP has it (RFC 7617)."""
    return "Basic " + b64encode(url.login.encode()).decode()


@cache
def _wary() -> type[aiohttp.ClientRequest]:
    """Requests that use no kept connection that brought more than was asked for: it would be taken for their answer."""
    import aiohttp

    known: WeakSet[object] = WeakSet()

    class Wary(aiohttp.ClientRequest):
        async def send(self, conn: Connection) -> aiohttp.ClientResponse:
            await asyncio.sleep(0)  # in which TLS hands over what it holds
            protocol, transport = conn.protocol, conn.transport
            if protocol is None or transport is None:
                raise aiohttp.ServerDisconnectedError
            kept = protocol in known
            known.add(protocol)
            if kept and (protocol.should_close or readable(transport.get_extra_info("socket").fileno())):
                raise aiohttp.ServerDisconnectedError  # aiohttp then asks once more, over another connection
            return await super().send(conn)

    return Wary


class _NotConnected(NetworkFailed):
    """Nothing was sent: another address may do."""


class _Body:
    """A reply's body as it comes, decoded within its limit however well it was packed."""

    def __init__(self, limit: int, encoding: str) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._received = 0
        self._length = 0
        self._decoder: zlib._Decompress | None = None
        coding = encoding.strip().lower()
        if coding in ("gzip", "x-gzip", "deflate"):
            self._decoder = zlib.decompressobj(_ANY_ZLIB)
        elif coding not in ("", "identity"):
            raise NetworkFailed(Trouble.PROTOCOL, f"the reply is encoded as {coding[:20]!r}, which we did not ask for")

    def take(self, received: bytes) -> None:
        self._received += len(received)
        if self._decoder is not None:
            try:
                received = self._decoder.decompress(received, self._limit + 1 - self._length)
            except zlib.error as bad:
                if self._length:
                    raise NetworkFailed(Trouble.PROTOCOL, "the reply is packed, and broken inside") from bad
                self._decoder = None  # it said gzip and is not: some servers do, and their reply is good
        self._length += len(received)
        if max(self._length, self._received) > self._limit:
            raise NetworkFailed(Trouble.SIZE, f"the reply is longer than {self._limit} bytes")
        self._parts.append(received)

    def whole(self) -> bytes:
        if self._decoder is not None and self._received and not self._decoder.eof:
            raise NetworkFailed(Trouble.PROTOCOL, "the reply is packed, and ends too early")
        return b"".join(self._parts)


def _in_words(failure: Exception) -> NetworkFailed:
    """What aiohttp raised, in one line and without the URL, which its own texts repeat."""
    import aiohttp

    match failure:
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(failure.certificate_error, "verify_message", "") or "it does not prove who the server is"
            return NetworkFailed(Trouble.TLS, f"the server's certificate was refused: {reason}")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            inner = failure.os_error if isinstance(failure, aiohttp.ClientSSLError) else failure
            reason = getattr(inner, "reason", None) or inner.strerror or "handshake failed"
            return NetworkFailed(Trouble.TLS, f"no secure connection: {reason}")
        case aiohttp.ClientProxyConnectionError():
            return _NotConnected(Trouble.CONNECTION, f"the proxy: {_system_words(failure.os_error)}")
        case aiohttp.ClientConnectorError():
            return _NotConnected(Trouble.CONNECTION, _system_words(failure.os_error))
        case aiohttp.ConnectionTimeoutError():
            return _NotConnected(Trouble.TIMEOUT, f"no connection within {_CONNECT_PATIENCE:g} s")
        case aiohttp.ServerDisconnectedError():
            return NetworkFailed(Trouble.CONNECTION, "the server hung up without an answer")
        case aiohttp.ClientPayloadError():
            return NetworkFailed(Trouble.PROTOCOL, "the reply ends too early")
        case aiohttp.ClientHttpProxyError():
            return _refused_by_proxy(failure.status)
        case aiohttp.ClientResponseError():
            return NetworkFailed(Trouble.PROTOCOL, "the reply is not HTTP")
        case OSError():
            return NetworkFailed(Trouble.CONNECTION, _system_words(failure))
        case _:
            return NetworkFailed(Trouble.PROTOCOL, f"the request failed: {type(failure).__name__}")


def _refused_by_proxy(status: int) -> NetworkFailed:
    """In HTTP's words, not in its own, which may repeat a login."""
    words = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else ""
    return NetworkFailed(Trouble.CONNECTION, f"the proxy answered {status} {words}".rstrip())


def _system_words(error: OSError) -> str:
    """asyncio hides the system's words behind its own, which repeat the address."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or "connection failed"
