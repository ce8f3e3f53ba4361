"""GET along redirects: whose addresses are found, judged and asked, one server after the other.

A name is looked up once for each server, so that what was judged (urls.why_not_asked) is what is connected to. A server
in the Internet cannot send us on into our own network. Through a proxy it is the proxy who knows names: what may be
asked is then judged by hosts that tell their address themselves. Not here: what a status or a body means.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from anabranch.model import Address, InputRefused

from .http_connection_io import BodyFlow, HttpConnection, Landing
from .http_dial_io import NotConnected
from .http_heads import Head, headers_for
from .http_pool_io import Pool, Question
from .resolve_io import NotResolved, Resolve, resolve_soon
from .troubles import NetworkFailed, Trouble
from .urls import Url, Use, address_in, is_public, redirected, why_not_asked

MAX_REDIRECTS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})

Forget = Callable[[str], None]
_Judge = Callable[[Address], str]  # why it is not asked


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


class Sink(Landing, Protocol):
    """Where a body goes. All is called on the loop's thread, from its callbacks.

    landing() may be called again without a landed() in between; what it gave last counts, and only until the loop's
    callback ends: nothing is written there between callbacks, nor after get() has ended.
    """

    def begun(self, answer: Answer, flow: BodyFlow) -> int:
        """The answer begins. Answers how many bytes of the body to leave out. Raises what get() is to raise."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What is wanted, wherever it leads.

    Args:
        sink: Where the body goes.
        length: Of what is wanted of it, in bytes.
        use: What the URL is for.
        trusted: Whether the user named it.
        span: First byte and the one behind the last, of a part of what the URL names.
        headers: More of them; these, and the URL's login, are not sent to another server.
        to: Addresses of the URL's host, where they are known already; no other family is spoken then.
        named: The URL as it was named, where we added to its query.
        whole: All of the body is wanted, and it may be packed: as HttpConnection.ask() has it.
    """

    sink: Sink
    length: int
    use: Use
    trusted: bool
    span: tuple[int, int] | None = None
    headers: Mapping[str, str] | None = None
    to: Sequence[Address] = ()
    named: Url | None = None
    whole: Callable[[], bool] | None = None


class Walker:
    """Runs errands over connections that are kept for the next one. Belongs to one event loop; close it there.

    Args:
        user_agent: What we call ourselves; empty: we do not say.
        bind: Our own IP addresses to speak from, none for the system's choice; a family without one is not spoken.
        proxy: Who carries every request (RFC 9110, 7.7 and 9.3.6), an http URL; it is never passed by.
        tls: How servers are verified; None for the system's certificates.
        resolve: Who knows names; with a proxy, its own only.
        forget: Told of a host that could not be connected to at any of the addresses that are known.
        mitigate: Whether URLs that nobody trusts are held to why_not_asked(); is_forbidden() holds anyway.
    """

    def __init__(
        self,
        user_agent: str,
        *,
        bind: Sequence[str] = (),
        proxy: Url | None = None,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = resolve_soon,
        forget: Forget | None = None,
        mitigate: bool = True,
    ) -> None:
        self._proxy = proxy
        self._mitigate = mitigate
        self._user_agent = user_agent
        self._resolve = resolve
        self._forget = forget
        self._pool = Pool(user_agent, bind, proxy, tls)

    async def walk(self, url: Url, errand: Errand) -> None:
        """Bring what *url* names to the errand's sink.

        Raises:
            InputRefused: a header that cannot be sent.
            NotResolved: the host has no address.
            NetworkFailed: not reached, not understood, not all that was wanted.
        """
        here, outside = url, False
        families = {address.is_v6 for address in errand.to} or {False, True}
        for _ in range(MAX_REDIRECTS + 1):
            judge = partial(
                why_not_asked,
                errand.named or here,
                use=errand.use,
                from_outside=outside and self._mitigate,
                trusted=errand.trusted or not self._mitigate,
            )
            head, address = await self._ask(here, errand, await self._places(here, errand.to, families, judge))
            location = _location(head)
            if location is None:
                return
            address = address or address_in(here)
            outside = outside or address is None or is_public(address)
            try:
                there = redirected(here, location)
            except InputRefused as refusal:
                raise NetworkFailed(Trouble.REDIRECT, f"redirected, but not followed: {refusal}") from refusal
            if str(there) != str(here):
                errand = replace(errand, headers=None, to=())
            elif here.login and not there.login:
                there = replace(there, login=here.login)
            # the user typed that host, not the next
            errand = replace(errand, trusted=errand.trusted and there.host == here.host, named=None)
            here = there
        raise NetworkFailed(Trouble.REDIRECT, f"more than {MAX_REDIRECTS} redirects")

    async def close(self) -> None:
        """Hang up everywhere; what is under way fails. A later request would start anew."""
        await self._pool.close()

    async def _places(self, url: Url, to: Sequence[Address], families: set[bool], judge: _Judge) -> list[Address]:
        """Where to connect for a URL: to its host, or the proxy's."""
        if self._proxy is not None:
            address = address_in(url)
            if address is not None and (why := judge(address)):
                raise NetworkFailed(Trouble.FORBIDDEN, why)
            try:
                return await self._resolve(self._proxy.host, self._proxy.port)
            except NotResolved as unknown:
                raise NetworkFailed(Trouble.CONNECTION, f"the proxy: {unknown}") from unknown
        found = [one for one in to or await self._resolve(url.host, url.port) if one.is_v6 in families]
        reasons = [judge(one) for one in found]
        usable = [one for one, why in zip(found, reasons, strict=True) if not why]
        if usable:
            return usable
        if reasons:
            raise NetworkFailed(Trouble.FORBIDDEN, reasons[0])
        raise NetworkFailed(Trouble.CONNECTION, f"{url.host} has no address of a family that is spoken here")

    async def _ask(self, url: Url, errand: Errand, places: list[Address]) -> tuple[Head, Address | None]:
        def heard(head: Head, address: Address | None, connection: HttpConnection) -> int | None:
            if _location(head) is not None:
                return None
            answer = Answer(head.status, head.reason, head.headers, head.length, url, address)
            return errand.sink.begun(answer, connection)

        headers = headers_for(url, self._user_agent, errand.span, errand.headers, packed=errand.whole is not None)
        question = Question(url, headers, heard, errand.sink, errand.length, errand.whole)
        try:
            return await self._pool.ask(question, places)
        except NotConnected:
            if self._forget is not None:
                self._forget(url.host if self._proxy is None else self._proxy.host)
            raise


def _location(head: Head) -> str | None:
    """Where a reply sends us."""
    return head.headers.get("location") if head.status in _MOVED else None
