"""Bodies of HTTP replies that come packed, unpacked within a bound. Without I/O.

Source: RFC 9110, 8.4; RFC 1950 to 1952. We ask for gzip; servers answer with its relatives, too, and say so of what is
none. Not here: other packings (br, zstd), which nobody is asked for.
"""

from __future__ import annotations

import zlib

from .troubles import NetworkFailed, Trouble

_ANY_ZLIB = zlib.MAX_WBITS | 32  # gzip or zlib, by the data's own head
_GZIP = b"\x1f\x8b\x08\x00"  # of a head without more than it must have
_GZIP_HEAD = 10  # bytes of such a head
_OURS = frozenset({"gzip", "x-gzip", "deflate"})
_OTHERS = frozenset({"br", "zstd", "compress", "x-compress"})


def unpacked(body: bytes, coding: str, limit: int) -> bytes:
    """A whole body, as it was before it was packed.

    Args:
        body: As it came.
        coding: The Content-Encoding. What is the name of no packing ("none", "utf-8") packs nothing.
        limit: Most bytes, unpacked.

    Raises:
        NetworkFailed: longer, packed in another way, or broken inside. A check sum that is wrong or missing at the end
            is none of that: libtorrent 2.1.1 and Transmission 3.00 read such replies.
    """
    codings = {one.strip().lower() for one in coding.split(",")} - {"", "identity"}
    if codings & _OTHERS or len(codings & _OURS) > 1:
        known = ", ".join(sorted(codings & (_OTHERS | _OURS)))  # and not what else it says: half a passkey, maybe
        raise NetworkFailed(Trouble.PROTOCOL, f"the reply is encoded as {known!r}, which we did not ask for")
    if not body or not codings & _OURS:
        return body
    ways = [(body, _ANY_ZLIB)]
    if body.startswith(_GZIP):
        ways.append((body[_GZIP_HEAD:], -zlib.MAX_WBITS))  # without the check sum behind it
    elif "deflate" in codings:
        ways.append((body, -zlib.MAX_WBITS))  # many servers leave the head out
    for packed, way in ways:
        decoder = zlib.decompressobj(way)
        try:
            content = decoder.decompress(packed, limit + 1)
        except zlib.error:
            continue
        if len(content) > limit:
            raise NetworkFailed(Trouble.SIZE, f"the reply is longer than {limit} bytes")
        if decoder.eof:
            return content
    is_zlib = body[0] & 15 == 8 and int.from_bytes(body[:2]) % 31 == 0  # by its head (RFC 1950, 2.2)
    if is_zlib or body.startswith(_GZIP[:2]):
        raise NetworkFailed(Trouble.PROTOCOL, "the reply is packed, and broken inside or cut")
    return body  # it said so and is not: some servers do, and their reply is good
