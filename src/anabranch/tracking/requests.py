"""HTTP/1.1 as a tracker's server needs it: requests without a body, one after another, and small answers.

Source: RFC 9112. What comes is from strangers: a head is bounded, and what could be read in two ways ends the
connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from anabranch.model import TorrentError

OK, BAD_REQUEST, NOT_FOUND, BAD_METHOD, TOO_LONG = 200, 400, 404, 405, 431
MOST_HEAD = 16 * 1024  # bytes; a scrape of 74 torrents has about 5 KiB
_PHRASES: Mapping[int, str] = {
    OK: "OK",
    BAD_REQUEST: "Bad Request",
    NOT_FOUND: "Not Found",
    BAD_METHOD: "Method Not Allowed",
    TOO_LONG: "Request Header Fields Too Large",
}
_END = re.compile(rb"\r?\n\r?\n")
_FIRST_LINE = re.compile(rb"([A-Z]{1,20}) ([!-~\x80-\xff]+) HTTP/1\.([01])")
_AUTHORITY = re.compile(rb"^https?://[^/?]*", re.IGNORECASE)


class BadRequest(TorrentError):
    """What came is no request that is served here: answer with *status* and hang up."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks for something.

    Args:
        path: As it came: "/announce".
        query: What follows the "?", as it came.
        with_body: Whether the answer has its body (GET), or only tells of it (HEAD).
        keeps: Whether the connection may go on behind the answer.
        is_old: Whether it is HTTP/1.0, which has to be told so.
        user_agent: What the asker calls itself, empty for nothing.
    """

    path: bytes
    query: bytes
    with_body: bool = True
    keeps: bool = True
    is_old: bool = False
    user_agent: str = ""


class RequestReader:
    """The requests of one connection, out of bytes as they come."""

    def __init__(self) -> None:
        self._heard = bytearray()
        self._searched = 0  # bytes in which no head ends

    @property
    def unread(self) -> int:
        """Bytes that came and were not asked for yet."""
        return len(self._heard)

    def receive(self, data: bytes) -> None:
        """Take what came."""
        self._heard += data

    def next(self) -> Request | None:
        """The next request, None while it is not complete.

        Raises:
            BadRequest: nothing behind it will be understood.
        """
        if not self._searched and self._heard.startswith((b"\r", b"\n")):  # RFC 9112, 2.2: empty lines before a request
            self._heard = self._heard.lstrip(b"\r\n")
        found = _END.search(self._heard, max(0, self._searched - 3))
        if (found.start() if found is not None else len(self._heard)) > MOST_HEAD:
            raise BadRequest(TOO_LONG, f"the head has more than {MOST_HEAD} bytes")
        if found is None:
            self._searched = len(self._heard)
            return None
        head = bytes(self._heard[: found.start()])
        del self._heard[: found.end()]
        self._searched = 0
        return _request(head)


def answer(request: Request | None, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> bytes:
    """A whole answer.

    Args:
        request: What it answers; None where that was not understood, and the connection ends.
        status: One of those above.
        body: What is said.
        kind: Its media type.
    """
    keeps = request is not None and request.keeps
    going = "" if keeps and request is not None and not request.is_old else "keep-alive" if keeps else "close"
    head = f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    if going:
        head += f"Connection: {going}\r\n"
    return head.encode() + b"\r\n" + (body if request is None or request.with_body else b"")


def _request(head: bytes) -> Request:
    first, *lines = head.split(b"\n")
    found = _FIRST_LINE.fullmatch(first.rstrip(b"\r"))
    if found is None:
        raise BadRequest(BAD_REQUEST, "this is not HTTP/1.1")
    method, target, minor = found.groups()
    if method not in (b"GET", b"HEAD"):
        raise BadRequest(BAD_METHOD, "there is nothing here but to GET")
    is_old = minor == b"0"
    keeps, user_agent = not is_old, ""
    for line in lines:
        name, _, value = line.partition(b":")
        match name.lower():
            case b"connection":
                wishes = {wish.strip().lower() for wish in value.split(b",")}
                keeps = b"close" not in wishes and (keeps or b"keep-alive" in wishes)
            case b"user-agent":
                user_agent = value.strip().decode("latin-1")
            case b"content-length" if value.strip() != b"0":
                raise BadRequest(BAD_REQUEST, "a request here has no body")
            case b"transfer-encoding":
                raise BadRequest(BAD_REQUEST, "a request here has no body")
    path, _, query = _AUTHORITY.sub(b"", target, count=1).partition(b"?")
    return Request(path, query, method == b"GET", keeps, is_old, user_agent)
