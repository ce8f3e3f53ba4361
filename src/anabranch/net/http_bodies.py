"""Where the body of an HTTP/1.1 reply ends, and which of its bytes are content. Without I/O, and without the bytes.

Source: RFC 9112, 6 and 7. A body tells how much content comes next with nothing in between, so that it can be received
where it belongs. Not here: what a body was packed with; we ask for what is not packed, and refuse what is.
"""

from __future__ import annotations

import re
import sys

from .http_heads import MAX_HEAD, Head
from .troubles import NetworkFailed, Trouble

_LONGEST_LINE = 4 * 1024  # bytes; a size, and extensions that nobody sends
_LONGEST_CODING = 16  # characters of a name that is told
_ENDLESS = sys.maxsize  # until the connection ends: whether all of it came, nobody knows
_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?", re.DOTALL)


class Body:
    """One reply's body, counted.

    Args:
        ahead: Bytes of content that come next with nothing between them; 0: the framing is next, or nothing.
        told: Whether these are all of it.

    Attributes:
        ended: Nothing of it is missing.
        odd: Where it ended is not to be relied on.
    """

    def __init__(self, ahead: int, *, told: bool) -> None:
        self.ahead = ahead
        self.told = told
        self.ended = told and not ahead
        self.odd = False

    def took(self, count: int) -> None:
        """So many bytes of content came, *ahead* at most."""
        self.ahead -= count
        self.ended = self.told and not self.ahead

    def framing(self, data: bytes | memoryview) -> int:
        """How many of these bytes, which come next, are framing; for when *ahead* is 0 and it has not ended.

        Raises:
            NetworkFailed: it is none.
        """
        return 0


def body_of(head: Head) -> Body:
    """How the body behind a head is to be read, packed or not."""
    if head.status in (204, 304):
        return Body(0, told=True)
    if head.in_parts:
        return PartedBody()
    return Body(_ENDLESS, told=False) if head.length is None else Body(head.length, told=True)


def refuse_packed(head: Head) -> None:
    """Bytes of a file are wanted, not of an archive of it.

    Raises:
        NetworkFailed: the body is packed.
    """
    coding = head.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        # half a passkey would not be known as one
        named = repr(coding) if len(coding) <= _LONGEST_CODING else "something"
        raise NetworkFailed(Trouble.PROTOCOL, f"the reply is encoded as {named}, which we did not ask for")


class PartedBody(Body):
    """Parts with their sizes before them, one of size 0, trailers, an empty line."""

    def __init__(self) -> None:
        super().__init__(0, told=False)
        self._line = bytearray()
        self._due = self._size  # what to do with the next line
        self._trailers = 0  # bytes

    def framing(self, data: bytes | memoryview) -> int:
        """Lines, however they are cut."""
        raw = bytes(data[: _LONGEST_LINE + 2])
        end = raw.find(b"\n")
        self._line += raw if end < 0 else raw[: end + 1]
        if len(self._line) > _LONGEST_LINE:
            raise NetworkFailed(Trouble.PROTOCOL, "the reply's parts are not what they should be: a line too long")
        if end < 0:
            return len(raw)
        line = bytes(self._line[:-2] if self._line.endswith(b"\r\n") else self._line[:-1])
        self._line.clear()
        self._due(line)
        return end + 1

    def _size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise NetworkFailed(Trouble.PROTOCOL, "the reply's parts are not what they should be: no size")
        self.ahead = int(found[1], 16)
        self._due = self._end_of_part if self.ahead else self._trailer

    def _end_of_part(self, line: bytes) -> None:
        if line:
            raise NetworkFailed(Trouble.PROTOCOL, "the reply's parts are not what they should be: longer than told")
        self._due = self._size

    def _trailer(self, line: bytes) -> None:
        self.ended = not line
        self.odd = self.odd or (bool(line) and b":" not in line)
        self._trailers += len(line)
        if self._trailers > MAX_HEAD:
            raise NetworkFailed(Trouble.PROTOCOL, f"the reply's trailers are longer than {MAX_HEAD} bytes")
