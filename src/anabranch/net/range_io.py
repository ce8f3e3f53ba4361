"""GET of a part of what a URL names, straight into the memory where it belongs: for web seeds.

What a status or a range means is the sink's: it sees the head before any byte. http_connection_io has what was
measured, http_walk_io the rules. Not here: HTTP/2, cookies, packed bodies.
"""

from __future__ import annotations

from collections.abc import Mapping

from .http_walk_io import Errand, Sink, Walker
from .urls import Url, Use


class RangeClient(Walker):
    """HTTP servers, asked for parts of what they have. Made and closed as Walker says."""

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
        await self.walk(url, errand)
