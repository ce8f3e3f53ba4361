"""How web servers answer: honestly, and in every way in which they do not.

Source: RFC 9110 and 9112 for what is right. What is wrong has been seen on real servers, or is what somebody would try
who means harm.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs

from .scene import Content, Pause, Reset
from .web_request import ELSEWHERE, HangUp, WebRequest, WebScript, WebSteps, head, right_head

_FOREVER = 3600.0  # seconds; longer than anybody's patience
_TICK = 0.05  # seconds
_PART = 64 * 1024  # bytes
_NOISE = 1024 * 1024  # bytes
_PAGE = b"<html><body>Please log in to use this network.</body></html>"


def honest(request: WebRequest) -> WebSteps:
    """What was asked for; 404 where there is nothing, 416 where it is shorter."""
    if request.content is None:
        yield from refused(404)(request)
    elif request.range is not None and not request.wanted:
        yield head(416, f"Content-Range: bytes */{request.length}", "Content-Length: 0")
    else:
        yield right_head(request)
        if request.method != "HEAD":
            yield request.wanted


def refused(status: int, *headers: str) -> WebScript:
    """Who answers with that status and a few words."""

    def script(request: WebRequest) -> WebSteps:
        body = f"{status}, whatever you ask\n".encode()
        yield head(status, f"Content-Length: {len(body)}", "Content-Type: text/plain", *headers)
        yield body

    return script


def redirected(location: str, status: int = 302) -> WebScript:
    """Who sends everybody to that URL, in which {target}, {host} and {server} stand for those of the request."""

    def script(request: WebRequest) -> WebSteps:
        host = request.server.partition("://")[2]
        to = location.format(target=request.target, host=host, server=request.server)
        yield head(status, f"Location: {to}", "Content-Length: 0")

    return script


def in_pieces(content: Content, length_of: Callable[[int], int]) -> WebScript:
    """Who serves pieces by the query of BEP 17: `info_hash`, `piece`, and `ranges` where not all of it is wanted.

    A range that goes beyond the piece, which is as long as *length_of* says, is answered as far as that goes.
    """

    def script(request: WebRequest) -> WebSteps:
        query = parse_qs(request.query, encoding="latin-1")
        piece = int(query["piece"][0])
        body = bytearray()
        for span in query.get("ranges", ["0-"])[0].split(","):
            first, _, last = span.partition("-")
            stop = min(int(last) + 1, length_of(piece)) if last else length_of(piece)
            body += content(piece, int(first), stop - int(first)) if int(first) < stop else b""
        yield head(200, f"Content-Length: {len(body)}")
        yield memoryview(body)

    return script


def at_rate(rate: float) -> WebScript:
    """Who is honest and sends so many bytes a second to each connection."""

    def script(request: WebRequest) -> WebSteps:
        yield right_head(request)
        for part in _in_parts(request.wanted, max(1, int(rate * _TICK))):
            yield part
            yield Pause(_TICK)

    return script


# What a client has to bear: a right answer in unusual clothes.


def whole(request: WebRequest) -> WebSteps:
    """All of the file, whatever range was asked for."""
    yield head(200, f"Content-Length: {request.length}")
    yield request.content or b""


def of_unknown_length(request: WebRequest) -> WebSteps:
    """A body that ends with the connection."""
    yield right_head(request, "Connection: close", length=-1)
    yield request.wanted
    yield HangUp()


def in_sized_parts(request: WebRequest) -> WebSteps:
    """HTTP/1.1's own transfer coding."""
    yield right_head(request, "Transfer-Encoding: chunked", length=-1)
    for part in _in_parts(request.wanted, _PART):
        yield f"{len(part):x};of=many\r\n".encode()
        yield part
        yield b"\r\n"
    yield b"0\r\nLast: one\r\n\r\n"


def closing_after(request: WebRequest) -> WebSteps:
    """A connection for each request, as it says."""
    yield right_head(request, "Connection: close")
    yield request.wanted
    yield HangUp()


def closing_unsaid(request: WebRequest) -> WebSteps:
    """A connection that is closed while the client keeps it."""
    yield right_head(request)
    yield request.wanted
    yield Pause(_TICK)
    yield HangUp()


def of_http_1_0(request: WebRequest) -> WebSteps:
    """An old server."""
    yield right_head(request, version="HTTP/1.0")
    yield request.wanted
    yield HangUp()


def in_odd_lines(request: WebRequest) -> WebSteps:
    """A head of odd case with bare line feeds."""
    lines = right_head(request).decode().split("\r\n")
    yield "\n".join([lines[0], *(line.swapcase() for line in lines[1:])]).encode()
    yield request.wanted


def saying_all_twice(request: WebRequest) -> WebSteps:
    """Every header twice."""
    first, *lines = right_head(request).decode().removesuffix("\r\n\r\n").split("\r\n")
    yield "\r\n".join([first, *lines, *lines, "", ""]).encode()
    yield request.wanted


def with_early_words(request: WebRequest) -> WebSteps:
    """Two provisional answers before the real one."""
    yield b"HTTP/1.1 100 Continue\r\n\r\n"
    yield b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    yield from honest(request)


def byte_by_byte(request: WebRequest) -> WebSteps:
    """A right head, a byte at a time, and a right body."""
    for byte in right_head(request):
        yield bytes([byte])
        yield Pause(0.001)
    yield request.wanted


def going_on_after(request: WebRequest) -> WebSteps:
    """A right body without a length, which then goes on with other bytes and never ends."""
    yield right_head(request, "Connection: close", length=-1)
    yield request.wanted
    while True:
        yield request.draw.randbytes(_PART)


def with_more_behind(request: WebRequest) -> WebSteps:
    """A right answer, and in one write with its end another one that nobody asked for, of wrong bytes."""
    wanted = request.wanted
    end = max(len(wanted) - _PART, 0)
    yield right_head(request) if end else b""
    yield wanted[:end]
    last = bytes(wanted[end:])
    more = right_head(request) + request.draw.randbytes(min(len(wanted), 1000))
    yield last + more if end else right_head(request) + last + more


# What a client cannot take.


def of_another_range(request: WebRequest) -> WebSteps:
    """206 with the bytes, and a Content-Range, that are one further on."""
    begin, end = request.range or (0, request.length)
    shifted = (request.content or memoryview(b""))[begin + 1 : end + 1]
    told = f"Content-Range: bytes {begin + 1}-{begin + len(shifted)}/{request.length}"
    yield head(206, told, f"Content-Length: {len(shifted)}")
    yield shifted


def of_another_total(request: WebRequest) -> WebSteps:
    """206 of a file of another length."""
    begin, end = request.range or (0, request.length)
    told = f"Content-Range: bytes {begin}-{end - 1}/{request.length + 1}"
    yield head(206, told, f"Content-Length: {end - begin}")
    yield request.wanted


def of_another_length(request: WebRequest) -> WebSteps:
    """The right range, and a Content-Length and a body of 7 bytes less."""
    yield right_head(request, length=max(len(request.wanted) - 7, 0))
    yield request.wanted[:-7]


def ending_early(request: WebRequest) -> WebSteps:
    """Half of the body, and the connection closes."""
    yield right_head(request)
    yield request.wanted[: len(request.wanted) // 2]
    yield HangUp()


def ending_early_unsaid(request: WebRequest) -> WebSteps:
    """The same without a length: only who counts sees that it is not all."""
    yield right_head(request, "Connection: close", length=-1)
    yield request.wanted[: len(request.wanted) // 2]
    yield HangUp()


def resetting_body(request: WebRequest) -> WebSteps:
    """Half of the body, and the connection is reset."""
    yield right_head(request)
    yield request.wanted[: len(request.wanted) // 2]
    yield Pause(_TICK)
    yield Reset()


def resetting_head(request: WebRequest) -> WebSteps:
    """Half of the head, and the connection is reset."""
    yield right_head(request)[:20]
    yield Pause(_TICK)
    yield Reset()


def hanging_up(request: WebRequest) -> WebSteps:
    """The connection closes without an answer."""
    yield HangUp()


def silent(request: WebRequest) -> WebSteps:
    """The request is taken and never answered."""
    yield Pause(_FOREVER)


def stalling(request: WebRequest) -> WebSteps:
    """Half of the body, and then nothing."""
    yield right_head(request)
    yield request.wanted[: len(request.wanted) // 2]
    yield Pause(_FOREVER)


def dripping(request: WebRequest) -> WebSteps:
    """A right answer whose body comes at 20 bytes a second."""
    yield right_head(request)
    for byte in request.wanted:
        yield bytes([byte])
        yield Pause(_TICK)


def of_endless_head(request: WebRequest) -> WebSteps:
    """Header after header, slowly, and no end."""
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield f"X-{request.draw.randrange(10**9)}: more\r\n".encode()
        yield Pause(_TICK / 5)


def of_huge_head(request: WebRequest) -> WebSteps:
    """A megabyte of headers before a right body."""
    yield right_head(request, f"X-Large: {'x' * _NOISE}")
    yield request.wanted


def garbage(request: WebRequest) -> WebSteps:
    """Random bytes."""
    yield request.draw.randbytes(4096)
    yield HangUp()


def of_two_lengths(request: WebRequest) -> WebSteps:
    """Two Content-Lengths that differ (request smuggling's favourite)."""
    yield right_head(request, "Content-Length: 3")
    yield request.wanted


def in_wrong_parts(request: WebRequest) -> WebSteps:
    """Transfer coding whose sizes are none."""
    yield right_head(request, "Transfer-Encoding: chunked", length=-1)
    yield b"ten thousand\r\n"
    yield request.wanted
    yield b"\r\n0\r\n\r\n"


def zipped(request: WebRequest) -> WebSteps:
    """gzip, which was not asked for."""
    body = gzip.compress(request.wanted, 1)
    yield right_head(request, "Content-Encoding: gzip", length=len(body))
    yield body


def in_several_ranges(request: WebRequest) -> WebSteps:
    """206 in the form for several ranges, though one was asked for."""
    begin, end = request.range or (0, request.length)
    before = f"--border\r\nContent-Range: bytes {begin}-{end - 1}/{request.length}\r\n\r\n".encode()
    behind = b"\r\n--border--\r\n"
    length = len(before) + end - begin + len(behind)
    yield head(206, "Content-Type: multipart/byteranges; boundary=border", f"Content-Length: {length}")
    yield before
    yield request.wanted
    yield behind


def of_a_page(request: WebRequest) -> WebSteps:
    """200 with somebody else's page, as hotels have it."""
    yield head(200, "Content-Type: text/html", f"Content-Length: {len(_PAGE)}")
    yield _PAGE


def of_nothing(request: WebRequest) -> WebSteps:
    """A right head and a body of no bytes."""
    yield right_head(request, length=0)


def endless_noise(request: WebRequest) -> WebSteps:
    """200, no length, and random bytes without end."""
    yield head(200, "Content-Type: application/octet-stream")
    noise = request.draw.randbytes(_NOISE)
    while True:
        yield noise


# What looks right and is not.


def flipping(every: int, first: int = 0) -> WebScript:
    """Who changes one byte in so many, counted from the file's beginning; what is before *first* is right."""

    def script(request: WebRequest) -> WebSteps:
        begin, end = request.range or (0, request.length)
        body = bytearray(request.wanted)
        for place in range(max(begin, first) // every * every, end, every):
            if place >= max(begin, first):
                body[place - begin] ^= 0x55
        yield right_head(request)
        yield memoryview(body)

    return script


def shifted(request: WebRequest) -> WebSteps:
    """A right head, and the bytes that stand one before; the first one is made up."""
    begin, end = request.range or (0, request.length)
    content = request.content or memoryview(b"")
    yield right_head(request)
    yield bytes(content[begin - 1 : end - 1]) if begin else b"?" + bytes(content[: end - 1])


def of_another_file(request: WebRequest) -> WebSteps:
    """A right head and random bytes."""
    yield right_head(request)
    for part in _in_parts(request.wanted, _NOISE):
        yield request.draw.randbytes(len(part))


def elsewhere(host: str = "{host}") -> str:
    """A location for redirected(): the same at another place of that server, where it is served honestly."""
    return f"http://{host}{ELSEWHERE}{{target}}"


def _in_parts(body: memoryview, length: int) -> Iterator[memoryview]:
    for begin in range(0, len(body), length):
        yield body[begin : begin + length]
