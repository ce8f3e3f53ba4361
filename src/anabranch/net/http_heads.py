"""Heads of HTTP/1.1: a request's as bytes, and a reply's out of whatever a server sends. Without I/O.

Source: RFC 9110 and 9112. Read leniently where servers are known to be careless (bare LF, no reason, space before a
colon), strictly where a reply could be read in two ways: whoever disagrees about where a body ends takes one reply for
another. Not here: bodies (http_bodies), and what a status means to whom.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from anabranch.model import InputRefused

from .troubles import NetworkFailed, Trouble
from .urls import Url

MAX_HEAD = 64 * 1024  # bytes, with the interim replies before it; servers themselves mostly stop at 8 or 16 KiB
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) +([1-9][0-9][0-9])(?: (.*)|)", re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_NOT_IN_A_LINE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BLANK = " \t"  # and no more: of what else strip() takes off, others make part of a value
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)
_OURS = frozenset(  # they decide how a reply is read
    (
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before a reply's body.

    Args:
        status: 200 and the like; never an interim one.
        reason: The server's words for it, maybe empty.
        headers: Names in lower case; of those that come twice, the first.
        length: Of the body in bytes; None where its own shape or the connection's end tells.
        in_parts: Whether the body comes in sized parts (RFC 9112, 7.1).
        keeps: Whether the connection may serve another request behind the body.
    """

    status: int
    reason: str
    headers: Mapping[str, str] = field(repr=False)
    length: int | None
    in_parts: bool
    keeps: bool


class HeadReader:
    """One reply's head, out of bytes as they come."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._rest = bytearray()  # the last line, so far
        self._size = 0

    def receive(self, data: bytes | bytearray | memoryview) -> tuple[Head, bytes] | None:
        """Take what came; answers the head and the bytes behind it, once it is there.

        Raises:
            NetworkFailed: this is no HTTP, too long, or could be read in two ways.
        """
        searched = len(self._rest)
        self._rest += data
        start = 0
        while (end := self._rest.find(b"\n", max(start, searched))) >= 0:
            line = bytes(self._rest[start : end - 1 if end > start and self._rest[end - 1] == 0x0D else end])
            start = end + 1
            if not self._lines and not line.startswith(b"HTTP/1."):
                raise NetworkFailed(Trouble.PROTOCOL, "the reply is not HTTP")
            if line:
                self._lines.append(line)
            if self._size + start > MAX_HEAD:
                break
            if not line:
                head = _head(self._lines)
                self._lines.clear()
                if head.status >= 200:
                    return head, bytes(self._rest[start:])
        self._size += start
        del self._rest[:start]
        if self._size + len(self._rest) > MAX_HEAD:
            raise NetworkFailed(Trouble.PROTOCOL, f"the reply's head is longer than {MAX_HEAD} bytes")
        if not self._lines and not b"HTTP/1.".startswith(self._rest[:7]):
            raise NetworkFailed(Trouble.PROTOCOL, "the reply is not HTTP")
        return None


def request_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """A request without a body.

    Args:
        method: GET, CONNECT.
        target: As the server is to see it.
        headers: In this order.

    Raises:
        InputRefused: something cannot stand in a request: it would become another one.
    """
    if not target.isascii() or not target.isprintable() or " " in target:
        raise InputRefused("a URL with bytes that cannot stand in a request")
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise InputRefused(f"no name of an HTTP header: {name[:40]!r}")
        if _NOT_IN_A_LINE.search(value):
            raise InputRefused(f"the HTTP header {name} has bytes that cannot stand in a header")
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value.strip()}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("utf-8", "replace")


def headers_for(
    url: Url, user_agent: str, span: tuple[int, int] | None = None, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What a GET is sent with.

    Args:
        url: Who is asked; its login becomes an Authorization.
        user_agent: What we call ourselves.
        span: First byte and the one behind the last, of a part of what the URL names.
        more: Headers somebody wants besides; they win over Host, User-Agent and the login.

    Raises:
        InputRefused: *more* has one that decides how the reply is read.
    """
    sent = {"Host": url.authority, "User-Agent": user_agent, "Accept-Encoding": "identity"}
    if span is not None:
        sent["Range"] = f"bytes={span[0]}-{span[1] - 1}"
    if url.login:
        sent["Authorization"] = basic(url.login)
    spelt = {name.lower(): name for name in sent}
    for name, value in (more or {}).items():
        if name.lower() in _OURS or name.lower().startswith("proxy-"):
            raise InputRefused(f"the HTTP header {name[:40]!r} is not to be chosen")
        sent.pop(spelt.get(name.lower(), ""), None)
        sent[name] = value
    return sent


def basic(login: str) -> str:
    """A login as RFC 7617 sends it."""
    return "Basic " + b64encode(login.encode()).decode()


def _head(lines: list[bytes]) -> Head:
    found = _STATUS_LINE.fullmatch(lines[0])
    if found is None:
        raise NetworkFailed(Trouble.PROTOCOL, "the reply is not HTTP")
    minor, status = int(found[1]), int(found[2])
    if status == 101:
        raise NetworkFailed(Trouble.PROTOCOL, "the server wants to speak something else than HTTP/1.1")
    fields = _fields(lines[1:])
    headers: dict[str, str] = {}
    for name, value in fields:
        headers.setdefault(name, value)
    codings = _listed(fields, "transfer-encoding")
    in_parts = codings == ["chunked"]
    if codings not in ([], ["identity"], ["chunked"]) or (in_parts and minor == 0):
        raise NetworkFailed(Trouble.PROTOCOL, "the reply is coded in a way that we did not ask for")
    lengths = set(_listed(fields, "content-length"))
    if len(lengths) > 1 or (lengths and in_parts):
        raise NetworkFailed(Trouble.PROTOCOL, "the reply has two lengths")
    length = lengths.pop() if lengths else None
    if length is not None and not _DIGITS.fullmatch(length):
        raise NetworkFailed(Trouble.PROTOCOL, f"the reply's length is no number: {length[:20]!r}")
    wishes = _listed(fields, "connection")
    reason = (found[3] or b"").decode("latin-1").strip()
    return Head(
        status,
        reason,
        headers,
        int(length) if length is not None else None,
        in_parts,
        "close" not in wishes and (minor == 1 or "keep-alive" in wishes),
    )


def _fields(lines: list[bytes]) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    for line in lines:
        text = line.decode("latin-1")
        if _NOT_IN_A_LINE.search(text):
            raise NetworkFailed(Trouble.PROTOCOL, "the reply has a header with control characters")
        if text[0] in " \t":  # RFC 9112, 5.2: a header that goes on, long deprecated
            if not fields:
                raise NetworkFailed(Trouble.PROTOCOL, "the reply is not HTTP")
            name, value = fields.pop()
            fields.append((name, f"{value} {text.strip(_BLANK)}"))
            continue
        name, colon, value = text.partition(":")
        if not colon or not _TOKEN.fullmatch(name.rstrip(_BLANK)):
            raise NetworkFailed(Trouble.PROTOCOL, "the reply has a header without a name")
        fields.append((name.rstrip(_BLANK).lower(), value.strip(_BLANK)))
    return fields


def _listed(fields: list[tuple[str, str]], name: str) -> list[str]:
    """All that headers of one name list, in lower case."""
    return [one.strip(_BLANK).lower() for key, value in fields if key == name for one in value.split(",")]
