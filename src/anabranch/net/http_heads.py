"""Heads of HTTP/1.1: a request's as bytes, and a reply's out of whatever a server sends. Without I/O.

Source: RFC 9110 and 9112. Read leniently where servers are known to be careless (bare LF, no reason, space before a
colon), strictly where a reply could be read in two ways: whoever disagrees about where a body ends takes one reply for
another. Of trackers, which are scripts of many hands, more is read: what two of libtorrent 2.1.1, aria2 1.36 and
Transmission 3.00 read (tests/net/test_http_careless.py has the table). A connection that showed such a thing serves no
other request, so that nothing can be taken for another's reply. Not here: bodies (http_bodies), and what a status means
to whom.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from anabranch.model import InputRefused

from .troubles import NetworkFailed, Trouble
from .urls import Url

MAX_HEAD = 64 * 1024  # bytes, with the interim replies before it; servers themselves mostly stop at 8 or 16 KiB
_STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) +([1-9][0-9][0-9])(?: (.*)|)", re.DOTALL)
_CARELESS_STATUS_LINE = re.compile(  # of HTTP/2 in the clear, too, it is what these servers mean by it
    rb"HTTP/([0-9]{1,2}(?:\.[0-9]{1,2})?):? +([1-9][0-9][0-9])(?: (.*)|)", re.DOTALL | re.IGNORECASE
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_NOT_IN_A_LINE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BLANK = " \t"  # and no more: of what else strip() takes off, others make part of a value
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)
_CARELESS_DIGITS = re.compile(r"\+?([0-9]{1,18})(?:[ \t].*)?", re.ASCII)
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
    """One reply's head, out of bytes as they come.

    Args:
        careless: Read what trackers send, too: see above.
    """

    def __init__(self, *, careless: bool = False) -> None:
        self._careless = careless
        self._start = b"HTTP/" if careless else b"HTTP/1."
        self._odd = False
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
            if self._careless and line.endswith(b"\r"):
                line, self._odd = line.rstrip(b"\r"), True
            start = end + 1
            if not self._lines and not self._begins(line, whole=True):
                raise NetworkFailed(Trouble.PROTOCOL, "the reply is not HTTP")
            if line:
                self._lines.append(line)
            if self._size + start > MAX_HEAD:
                break
            if not line:
                head = _head(self._lines, self._careless)
                self._lines.clear()
                if head.status >= 200:
                    head = replace(head, keeps=False) if self._odd else head
                    return head, bytes(self._rest[start:])
        self._size += start
        del self._rest[:start]
        if self._size + len(self._rest) > MAX_HEAD:
            raise NetworkFailed(Trouble.PROTOCOL, f"the reply's head is longer than {MAX_HEAD} bytes")
        if not self._lines and not self._begins(self._rest, whole=False):
            raise NetworkFailed(Trouble.PROTOCOL, "the reply is not HTTP")
        return None

    def _begins(self, line: bytes | bytearray, *, whole: bool) -> bool:
        """Whether this is the first line, or may become it."""
        begun = bytes(line[: len(self._start)])
        if self._careless:
            begun = begun.upper()
        return begun == self._start if whole else self._start.startswith(begun)


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
    url: Url,
    user_agent: str,
    span: tuple[int, int] | None = None,
    more: Mapping[str, str] | None = None,
    *,
    packed: bool = False,
) -> dict[str, str]:
    """What a GET is sent with.

    Args:
        url: Who is asked; its login becomes an Authorization.
        user_agent: What we call ourselves; nothing is sent where it is empty.
        span: First byte and the one behind the last, of a part of what the URL names.
        more: Headers somebody wants besides; they win over Host, User-Agent and the login.
        packed: The reply may be packed. It is then read as a whole, whichever part of something it is.

    Raises:
        InputRefused: *more* has one that decides how the reply is read.
    """
    sent = {"Host": url.authority, **named(user_agent), "Accept-Encoding": "gzip" if packed else "identity"}
    if span is not None:
        sent["Range"] = f"bytes={span[0]}-{span[1] - 1}"
    if url.login:
        sent["Authorization"] = basic(url.login)
    spelt = {name.lower(): name for name in sent}
    for name, value in (more or {}).items():
        ours = name.lower() in _OURS and not (packed and name.lower() == "range")
        if ours or name.lower().startswith("proxy-"):
            raise InputRefused(f"the HTTP header {name[:40]!r} is not to be chosen")
        sent.pop(spelt.get(name.lower(), ""), None)
        sent[name] = value
    return sent


def named(user_agent: str) -> dict[str, str]:
    """The header that says who we are, if we are anybody."""
    return {"User-Agent": user_agent} if user_agent else {}


def basic(login: str) -> str:
    """A login as RFC 7617 sends it."""
    return "Basic " + b64encode(login.encode()).decode()


def _head(lines: list[bytes], careless: bool) -> Head:
    found = (_CARELESS_STATUS_LINE if careless else _STATUS_LINE).fullmatch(lines[0])
    if found is None:
        raise NetworkFailed(Trouble.PROTOCOL, "the reply is not HTTP")
    version, status, reason = found[1], int(found[2]), (found[3] or b"").decode("latin-1")
    if status == 101:
        raise NetworkFailed(Trouble.PROTOCOL, "the server wants to speak something else than HTTP/1.1")
    fields, odd_fields = _fields(lines[1:], careless)
    headers: dict[str, str] = {}
    for name, value in fields:
        headers.setdefault(name, value)
    in_parts, odd_parts = _whether_in_parts(_listed(fields, "transfer-encoding"), version == b"1.0", careless)
    length, odd_length = _length(_listed(fields, "content-length"), in_parts, careless)
    odd = odd_fields or odd_parts or odd_length or not _STATUS_LINE.fullmatch(lines[0])
    wishes = _listed(fields, "connection")
    keeps = not odd and "close" not in wishes and (version == b"1.1" or "keep-alive" in wishes)
    return Head(status, _NOT_IN_A_LINE.sub(" ", reason).strip(), headers, length, in_parts, keeps)


def _whether_in_parts(codings: list[str], old: bool, careless: bool) -> tuple[bool, bool]:
    """Whether the body comes in parts, and whether a careless server says so."""
    if codings in ([], ["identity"]):
        return False, False
    if codings == ["chunked"] and not old:
        return True, False
    if careless and set(codings) == {"chunked"}:
        return True, True
    raise NetworkFailed(Trouble.PROTOCOL, "the reply is coded in a way that we did not ask for")


def _length(told: list[str], in_parts: bool, careless: bool) -> tuple[int | None, bool]:
    """The body's length, and whether it is told in a careless way: of several the least, or the rest of another."""
    if not told:
        return None, False
    if careless and in_parts:
        return None, True
    lengths = set(told)
    if not careless and (in_parts or len(lengths) > 1):
        raise NetworkFailed(Trouble.PROTOCOL, "the reply has two lengths")
    numbers = []
    for one in lengths:
        found = (_CARELESS_DIGITS if careless else _DIGITS).fullmatch(one)
        if found is None:
            raise NetworkFailed(Trouble.PROTOCOL, "the reply's length is no number")
        numbers.append(int(found[found.re.groups]))
    return min(numbers), len(lengths) > 1 or not all(map(_DIGITS.fullmatch, lengths))


def _fields(lines: list[bytes], careless: bool) -> tuple[list[tuple[str, str]], bool]:
    """Names in lower case and values, and whether a careless server wrote them."""
    fields: list[tuple[str, str]] = []
    odd = False
    for line in lines:
        text = line.decode("latin-1")
        if _NOT_IN_A_LINE.search(text):
            if not careless:
                raise NetworkFailed(Trouble.PROTOCOL, "the reply has a header with control characters")
            text, odd = _NOT_IN_A_LINE.sub(" ", text), True
        if text[0] in _BLANK:  # RFC 9112, 5.2: a header that goes on, long deprecated
            if not fields:
                raise NetworkFailed(Trouble.PROTOCOL, "the reply is not HTTP")
            name, value = fields.pop()
            fields.append((name, f"{value} {text.strip(_BLANK)}"))
            continue
        name, colon, value = text.partition(":")
        if not colon or not _TOKEN.fullmatch(name.rstrip(_BLANK)):
            if not careless or not colon:
                raise NetworkFailed(Trouble.PROTOCOL, "the reply has a header without a name")
            odd = True  # whatever it is, it is none that we look at
            continue
        fields.append((name.rstrip(_BLANK).lower(), value.strip(_BLANK)))
    return fields, odd


def _listed(fields: list[tuple[str, str]], name: str) -> list[str]:
    """All that headers of one name list, in lower case."""
    return [one.strip(_BLANK).lower() for key, value in fields if key == name for one in value.split(",")]
