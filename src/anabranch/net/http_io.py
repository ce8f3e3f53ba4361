"""GET by HTTP/1.1, for trackers and everything else that comes by URL: bounded, verified, and silent about passkeys.

A reply is read as a whole, of careless servers too (http_heads says which). One that is cut is taken where what came is
one whole bencoded value: what trackers and .torrent files are. http_walk_io has the rules of who is asked. Measured on
2 cores: an announce over a kept connection takes 0.14 ms of CPU, most of it the system's, where aiohttp 3.14 took 0.21;
and no 0.13 s of import at the first. Not here: replies without a status line, other proxies than HTTP's, cookies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from sys import maxsize

from anabranch.bencode import BencodeError, decode
from anabranch.model import Address

from .http_connection_io import BodyFlow
from .http_packing import unpacked
from .http_walk_io import Answer, Errand, Walker
from .troubles import NetworkFailed, Trouble
from .urls import Url, Use, parse_url

_WINDOW = 16 * 1024  # bytes that are offered at once
_SHORT = 64 * 1024  # bytes of a cut reply that are looked at: reading megabytes would hold up the loop


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


class HttpClient(Walker):
    """HTTP servers, asked for all of something. Made and closed as Walker says."""

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
            InputRefused: not such a URL, or a header that cannot be sent.
            NotResolved: the host has no address.
            NetworkFailed: everything else.
        """
        here = parse_url(url, ("http", "https")) if isinstance(url, str) else url
        reply = _Reply(limit)
        errand = Errand(reply, maxsize, use, trusted, headers=headers, to=to, whole=reply.may_be_all)
        try:
            async with asyncio.timeout(timeout):
                await self.walk(here, errand)
        except TimeoutError as late:
            raise NetworkFailed(Trouble.TIMEOUT, f"no answer within {round(timeout, 2):g} s") from late
        return reply.read()


class _Reply:
    """A reply as it comes, within its limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._window = memoryview(b"")  # until something comes
        self._answer: Answer | None = None
        self._body = bytearray()

    def begun(self, answer: Answer, flow: BodyFlow) -> int:
        self._answer = answer
        if answer.length is not None and answer.length > self._limit:
            raise self._too_long()
        return 0

    def landing(self) -> memoryview:
        self._window = self._window or memoryview(bytearray(_WINDOW))
        return self._window

    def landed(self, count: int) -> bool:
        self._body += self._window[:count]
        if len(self._body) > self._limit:
            raise self._too_long()
        return True

    def may_be_all(self) -> bool:
        """Whether it is complete though its end is missing, by the server's own account."""
        try:
            body = self.read().body
            return len(body) <= _SHORT and decode(body, lenient=True) is not None
        except (BencodeError, NetworkFailed):
            return False

    def read(self) -> HttpReply:
        """The reply, unpacked. Raises NetworkFailed."""
        answer = self._answer
        assert answer is not None, "no reply is read before it has begun"
        body = unpacked(bytes(self._body), answer.headers.get("content-encoding", ""), self._limit)
        return HttpReply(answer.status, answer.reason, answer.headers, body, answer.url, answer.address)

    def _too_long(self) -> NetworkFailed:
        return NetworkFailed(Trouble.SIZE, f"the reply is longer than {self._limit} bytes")
