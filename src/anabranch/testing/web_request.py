"""What a web server's script is told and what it may do: the words between scripts and the server that runs them.

A script is a generator of steps and does no I/O. It answers one request; the bytes of the whole answer, head and body,
are its own, so that it can say anything, also what is no HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from random import Random
from urllib.parse import unquote

from .scene import Pause, Reset

ELSEWHERE = "/elsewhere"  # what is asked for below it is the same without it, and always served honestly
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection in order, after what was sent."""


WebStep = bytes | memoryview | Pause | Reset | HangUp  # bytes are sent
WebSteps = Generator[WebStep, None, None]  # after a script's end the next request of the connection is waited for
WebScript = Callable[["WebRequest"], WebSteps]


@dataclass(frozen=True, slots=True)
class WebRequest:
    """One request of a client.

    Args:
        method: Its first word.
        target: Path and query as they came.
        version: "HTTP/1.1".
        headers: By lower-case names; of several with one name the last.
        number: How many requests the server had before.
        before: How many of them were for the same target.
        connection: Number of the connection that it came by, from 0.
        server: "http://host:port" of who was asked.
        content: What the path names; None where there is nothing.
        draw: Chance, the same for the same seed.
    """

    method: str
    target: str
    version: str
    headers: Mapping[str, str]
    number: int
    before: int
    connection: int
    server: str
    content: memoryview | None
    draw: Random

    @property
    def path(self) -> str:
        """What it names, with nothing escaped and without the first "/"."""
        return path_of(self.target)

    @property
    def query(self) -> str:
        """What follows the "?", as it came."""
        return self.target.partition("?")[2]

    @property
    def range(self) -> tuple[int, int] | None:
        """The bytes that are wanted, [begin, end), no further than the content goes; None for all of it."""
        found = _RANGE.fullmatch(self.headers.get("range", ""))
        if found is None:
            return None
        length = self.length
        return min(int(found[1]), length), min(int(found[2] or length) + 1, length)

    @property
    def length(self) -> int:
        """Bytes of the whole content."""
        return len(self.content) if self.content is not None else 0

    @property
    def wanted(self) -> memoryview:
        """The bytes of the range, or all of them."""
        begin, end = self.range or (0, self.length)
        return (self.content or memoryview(b""))[begin:end]

    @property
    def goes_on(self) -> bool:
        """Whether the client keeps the connection for its next request."""
        said = self.headers.get("connection", "").lower()
        return said == "keep-alive" or (said != "close" and self.version == "HTTP/1.1")


def path_of(target: str) -> str:
    """What a target names, with nothing escaped."""
    path = target.partition("?")[0]
    return unquote(path.removeprefix(ELSEWHERE) if path.startswith(ELSEWHERE + "/") else path).removeprefix("/")


def head(status: int, *headers: str, version: str = "HTTP/1.1") -> bytes:
    """The head of an answer, with the empty line behind it."""
    return "\r\n".join([f"{version} {status} {HTTPStatus(status).phrase}", *headers, "", ""]).encode()


def right_head(request: WebRequest, *more: str, length: int | None = None, version: str = "HTTP/1.1") -> bytes:
    """The head that an honest server would send: 206 for a range, 200 otherwise.

    Args:
        request: What is answered.
        more: Headers beside those.
        length: What it says of the body's length; what is wanted, if not given, and nothing, if -1.
        version: First word of the status line.
    """
    told = len(request.wanted) if length is None else length
    lines = [] if told < 0 else [f"Content-Length: {told}"]
    if request.range is None:
        return head(200, *lines, *more, version=version)
    begin, end = request.range
    return head(206, f"Content-Range: bytes {begin}-{end - 1}/{request.length}", *lines, *more, version=version)
