"""Connections to HTTP servers: asked, kept for the next request, and made.

A connection is kept for the server that it was made for, and used again for an address of that server that may be asked
now. Not here: who may be asked, and redirects (http_walk_io).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

from anabranch.model import Address

from .http_connection_io import Dead, HttpConnection, Landing
from .http_dial_io import NotConnected, connect_to, refused_by_proxy, system_tls
from .http_heads import Head, basic, request_head
from .troubles import NetworkFailed, Trouble
from .urls import Url

CONNECT_PATIENCE = 10.0  # seconds for all addresses of a name, TLS included
MOST_KEPT = 200  # connections that wait for a request, of all servers
MOST_KEPT_FOR_ONE = 32  # as many as are told at once that torrents leave; idle ones are closed soon
_ADDRESS_PATIENCE = 5.0  # seconds for one address while there are others
_MOST_ADDRESSES = 4  # of a name that are tried


@dataclass(frozen=True, slots=True)
class Question:
    """What one server is asked.

    Args:
        url: What for.
        headers: Of the request, without the proxy's.
        heard: Told of the reply's head, where it is (None where only a proxy knows) and the connection; answers as
            HttpConnection.ask() has it.
        sink: Where the body goes.
        length: Of what is wanted of it.
        whole: As HttpConnection.ask() has it.
    """

    url: Url
    headers: dict[str, str]
    heard: Callable[[Head, Address | None, HttpConnection], int | None]
    sink: Landing
    length: int
    whole: Callable[[], bool] | None


class _Door(NamedTuple):
    """Connections to one of these are as good as each other, if they lead to the same address."""

    scheme: str  # "proxy": of the proxy, for whatever http URL
    host: str
    port: int


class Pool:
    """Connections that are open. Belongs to one event loop; close it there.

    Args:
        user_agent: What a proxy hears of us when it makes a tunnel; empty for nothing.
        bind: Our own IP addresses to speak from, none for the system's choice.
        proxy: An http URL, with its login; None: no proxy.
        tls: How servers are verified; None for the system's certificates.
    """

    def __init__(self, user_agent: str, bind: Sequence[str], proxy: Url | None, tls: ssl.SSLContext | None) -> None:
        self._user_agent = user_agent
        self._bind = bind
        self._proxy = proxy
        self._tls = tls
        self._kept: dict[_Door, list[tuple[Address, HttpConnection]]] = {}
        self._by_age: OrderedDict[HttpConnection, None] = OrderedDict()  # those that are kept
        self._open: set[HttpConnection] = set()

    async def ask(self, question: Question, places: Sequence[Address]) -> tuple[Head, Address | None]:
        """One request and its reply: on a connection that is open, or on a new one.

        Args:
            question: What.
            places: Addresses of the server, or of the proxy, in the order in which they are tried; one at least.

        Raises:
            NetworkFailed: no answer, or not all that was wanted. NotConnected: of all addresses.
        """
        url, sent = question.url, dict(question.headers)
        carried = self._proxy is not None and url.scheme == "http"  # the proxy reads it, and has its own logins
        if carried and self._proxy is not None and self._proxy.login:
            sent["Proxy-Authorization"] = basic(self._proxy.login)
        request = request_head("GET", url.whole if carried else url.target, sent)
        door = _Door("proxy", "", 0) if carried else _Door(url.scheme, url.host, url.port)

        async def asked(place: Address, connection: HttpConnection) -> tuple[Head, Address | None]:
            address = None if self._proxy is not None else place

            def heard(head: Head) -> int | None:
                if carried and head.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
                    raise refused_by_proxy(head.status)
                return question.heard(head, address, connection)

            head = await connection.ask(request, heard, question.sink, question.length, whole=question.whole)
            return head, address

        if open_one := await self._waiting(door, places):
            with suppress(Dead):
                return await asked(*open_one)
        place, connection = await self._connected(url, places[:_MOST_ADDRESSES])
        connection.freed = partial(self._keep, door, place)
        self._open.add(connection)
        connection.gone.add_done_callback(lambda _: self._forget(door, connection))
        return await asked(place, connection)

    async def close(self) -> None:
        """Hang up everywhere; what is under way fails. A later ask() would start anew."""
        self._kept.clear()
        self._by_age.clear()
        going = list(self._open)
        for connection in going:
            connection.hang_up(NetworkFailed(Trouble.CONNECTION, "we hung up"))
        if going:
            await asyncio.wait([connection.gone for connection in going], timeout=1.0)

    def _keep(self, door: _Door, address: Address, connection: HttpConnection) -> None:
        kept = self._kept.setdefault(door, [])
        kept.append((address, connection))
        self._by_age[connection] = None
        if len(kept) > MOST_KEPT_FOR_ONE:
            oldest = kept.pop(0)[1]
            del self._by_age[oldest]
            oldest.hang_up()
        elif len(self._by_age) > MOST_KEPT:
            self._by_age.popitem(last=False)[0].hang_up()  # and is forgotten when it is gone

    async def _waiting(self, door: _Door, addresses: Sequence[Address]) -> tuple[Address, HttpConnection] | None:
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

    def _taken(self, door: _Door, addresses: Sequence[Address]) -> tuple[Address, HttpConnection] | None:
        kept = self._kept.get(door, [])
        place = next((place for place in reversed(range(len(kept))) if kept[place][0] in addresses), None)
        if place is None:
            return None
        self._by_age.pop(kept[place][1], None)
        return kept.pop(place)

    def _forget(self, door: _Door, connection: HttpConnection) -> None:
        self._open.discard(connection)
        self._by_age.pop(connection, None)
        left = [one for one in self._kept.pop(door, []) if one[1] is not connection]
        if left:
            self._kept[door] = left

    async def _connected(self, url: Url, addresses: Sequence[Address]) -> tuple[Address, HttpConnection]:
        """The first address that can be connected to."""
        if url.scheme == "https" and self._tls is None:
            self._tls = await system_tls()
        try:
            async with asyncio.timeout(CONNECT_PATIENCE):
                for address in addresses[:-1]:
                    try:
                        async with asyncio.timeout(_ADDRESS_PATIENCE):
                            return address, await self._connect(url, address)
                    except (TimeoutError, NotConnected):
                        continue
                return addresses[-1], await self._connect(url, addresses[-1])
        except TimeoutError as late:
            raise NotConnected(Trouble.TIMEOUT, f"no connection within {CONNECT_PATIENCE:g} s") from late

    async def _connect(self, url: Url, address: Address) -> HttpConnection:
        return await connect_to(
            url,
            address,
            HttpConnection,
            bind=self._bind,
            proxy=self._proxy,
            tls=self._tls,
            user_agent=self._user_agent,
        )
