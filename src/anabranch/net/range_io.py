"""GET of a part of what a URL names, straight into the memory where it belongs: for web seeds.

What a status or a range means is the sink's: it sees the head before any byte. http_connection_io has what was
measured, http_walk_io the rules. Not here: HTTP/2, cookies, packed bodies.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence

from .http_walk_io import Answer, Errand, Forget, Sink, Walker
from .resolve_io import Resolve, resolve_soon
from .urls import Url, Use

__all__ = ["Answer", "RangeClient", "Sink"]


class RangeClient:
    """Connections to HTTP servers, kept open for the next request. Belongs to one event loop; close it there.

    Args:
        user_agent: What we call ourselves; empty: we do not say.
        bind: Our own IP addresses to speak from, none for the system's choice; a family without one is not spoken.
        proxy: An http URL, with its login; it then looks names up, and hosts that are addresses are all that can be
            judged. None: no proxy.
        tls: How servers are verified; None for the system's certificates.
        resolve: Who knows names.
        forget: Told of a host that could not be connected to at any of its addresses: what is remembered may be old.
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
        forget: Forget | None = None,
        mitigate: bool = True,
    ) -> None:
        self._walker = Walker(
            user_agent, bind=bind, proxy=proxy, tls=tls, resolve=resolve, forget=forget, mitigate=mitigate
        )

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
        errand = Errand(sink, length, Use.WEB_SEED, trusted, span=span, headers=headers, named=named)
        await self._walker.get(url, errand)

    async def close(self) -> None:
        """Hang up everywhere; what is under way fails. A later get() would start anew."""
        await self._walker.close()
