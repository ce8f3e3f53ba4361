"""A way to a server that a URL names: TCP from where we are bound, through a proxy's tunnel, TLS; and what went wrong.

Source: RFC 9110, 9.3.6 (CONNECT). The server's address is given: who may be asked was judged before. Not here: time
limits, which are the caller's; what is spoken then; proxies of another kind than HTTP.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TypeVar

from anabranch.model import Address

from .http_connection_io import HttpConnection
from .http_heads import basic, named, request_head
from .sources import source_for
from .troubles import NetworkFailed, Trouble
from .urls import Url

_SECURE = frozenset({"https", "wss"})
_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)

_CERTIFICATES: Mapping[int, str] = {  # by OpenSSL's number (X509_V_ERR_...); of others, OpenSSL's own words
    9: "it is not valid yet (or this machine's clock is wrong)",
    10: "it has expired (or this machine's clock is wrong)",
    18: "it is self-signed: only its own maker vouches for it",
    19: "its chain ends at an authority that is not trusted here (self-signed)",
    20: "its authority is not known here",
    21: "its authority is not known here: the server shows no chain",
    23: "it was revoked",
    62: "it is for another name",
    64: "it is for another address",
}


class NotConnected(NetworkFailed):
    """Nothing was said to the server: another address of its may do."""


async def connect_to(
    url: Url,
    address: Address,
    make: Callable[[], _Protocol],
    *,
    bind: Sequence[str] = (),
    proxy: Url | None = None,
    tls: ssl.SSLContext | None = None,
    user_agent: str = "",
    always_tunnel: bool = False,
) -> _Protocol:
    """Connect to a URL's server. It may be cancelled: nothing stays open.

    Args:
        url: Its host is whom the certificate must name; https and wss speak TLS.
        address: Of the host; of the proxy where there is one.
        make: Makes the protocol when the way stands.
        bind: Our own IP addresses to speak from, none for the system's choice.
        proxy: Who makes a tunnel for TLS; with its login.
        tls: How servers are verified; needed for https and wss.
        user_agent: What the proxy hears; empty for nothing.
        always_tunnel: The proxy makes a tunnel for what is not TLS, too.

    Raises:
        NetworkFailed: no way; NotConnected where another address may have one.
    """
    if url.scheme not in _SECURE:
        tls = None
    elif tls is None:
        raise ValueError("no secure connection without a context that says how")
    if proxy is None or not (tls or always_tunnel):
        return await _connected(address, make, bind, tls, url.host, whose="" if proxy is None else "the proxy: ")
    before = await _connected(address, HttpConnection, bind, None, "", whose="the proxy: ")
    try:
        await _tunnel(before, url, proxy.login, user_agent)
        transport, protocol = before.given_away(), make()
        if tls is None:
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            return protocol
    except BaseException:
        before.hang_up()
        raise
    try:
        secure = await asyncio.get_running_loop().start_tls(transport, protocol, tls, server_hostname=url.host)
    except BaseException as failure:
        transport.abort()
        if isinstance(failure, OSError):
            raise in_words(failure) from failure
        raise
    if secure is None:  # asyncio's way to say that the server hung up
        transport.abort()
        raise NetworkFailed(Trouble.TLS, "no secure connection: the server hung up")
    protocol.connection_made(secure)
    return protocol


async def system_tls() -> ssl.SSLContext:
    """The system's certificates, and HTTP/1.1. They take tens of milliseconds to read: in a thread."""
    tls = await asyncio.to_thread(ssl.create_default_context)
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def in_words(failure: OSError, whose: str = "") -> NetworkFailed:
    """What the system or OpenSSL said, on one line, without the address.

    Args:
        failure: What was raised.
        whose: Goes before it, where it is not the server's.
    """
    if isinstance(failure, ssl.SSLCertVerificationError):
        number, said = getattr(failure, "verify_code", 0), getattr(failure, "verify_message", "")
        reason = _CERTIFICATES.get(number) or said or "it does not prove who the server is"
        return NetworkFailed(Trouble.TLS, f"the server's certificate was refused: {reason}")
    if isinstance(failure, ssl.SSLError):
        return NetworkFailed(
            Trouble.TLS, f"no secure connection: {getattr(failure, 'reason', None) or 'handshake failed'}"
        )
    # asyncio's own words repeat the address
    words = os.strerror(failure.errno) if failure.errno and failure.errno > 0 else "the server hung up"
    return NotConnected(Trouble.CONNECTION, whose + words)


def refused_by_proxy(status: int) -> NetworkFailed:
    """In HTTP's words, not in the proxy's own, which may repeat a login."""
    words = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else ""
    return NetworkFailed(Trouble.CONNECTION, f"the proxy answered {status} {words}".rstrip())


async def _connected(
    address: Address,
    make: Callable[[], _Protocol],
    bind: Sequence[str],
    tls: ssl.SSLContext | None,
    name: str,
    *,
    whose: str,
) -> _Protocol:
    source = source_for(bind, v6=address.is_v6)
    if source is None:
        family = "IPv6" if address.is_v6 else "IPv4"
        raise NotConnected(Trouble.CONNECTION, f"we are bound to no {family} address")
    try:
        _, protocol = await asyncio.get_running_loop().create_connection(
            make,
            *address,
            ssl=tls,
            server_hostname=name if tls is not None else None,
            local_addr=(source, 0) if bind else None,
        )
    except OSError as failure:
        raise in_words(failure, whose) from failure
    return protocol


async def _tunnel(connection: HttpConnection, url: Url, login: str, user_agent: str) -> None:
    """Have the proxy connect us to the server."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    sent = {"Host": f"{host}:{url.port}", **named(user_agent)}
    if login:
        sent["Proxy-Authorization"] = basic(login)
    request = request_head("CONNECT", f"{host}:{url.port}", sent)
    head = await connection.ask(request, lambda _: None, _Nothing(), 1, tunnel=True)
    if not 200 <= head.status < 300:
        raise refused_by_proxy(head.status)
    if not connection.free:
        raise NetworkFailed(Trouble.PROTOCOL, "the proxy does not keep the connection it made")


class _Nothing:
    """Where a body goes that is none."""

    def landing(self) -> memoryview | None:
        return None

    def landed(self, count: int) -> bool:
        return False
