"""How trackers answer over HTTP: honestly, and in every way in which they do not.

Source: BEP 3, 7, 23 and 48 for what is right. What is wrong has been seen on real trackers and on what stands before
them, or is what somebody would try who means harm. Queries are read just far enough to answer.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from anabranch.bencode import encode

from .scene import Pause, Reset
from .tracker_talk import FOREVER
from .web_request import HangUp, WebRequest, WebScript, WebSteps

PEERS = bytes([192, 0, 2, 7, 0x1A, 0xE1, 192, 0, 2, 8, 0x1A, 0xE1])  # two, from what is kept for examples (RFC 5737)
GOOD: dict[bytes, object] = {b"complete": 3, b"incomplete": 4, b"interval": 1800, b"peers": PEERS}
DIGITS = b"<html><title>404 503 403 401</title>passkey timeout unregistered torrent not found</html>"
_MIB = 1024 * 1024
_BODILESS = frozenset({204, 205, 304})  # statuses whose replies have no body (RFC 9110)


def status_line(status: int) -> bytes:
    """Any status, also one that no specification has; with HTTP's word where there is one."""
    phrase = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else "Odd"
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


def whole(body: bytes, *headers: str, status: int = 200) -> bytes:
    """A whole reply."""
    lines = list(headers) if status in _BODILESS else [f"Content-Length: {len(body)}", *headers]
    shown = b"" if status in _BODILESS else body
    return status_line(status) + "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + shown


def answering(body: bytes, *headers: str, status: int = 200) -> WebScript:
    """Who answers everything with that."""

    def script(request: WebRequest) -> WebSteps:
        yield whole(body, *headers, status=status)

    return script


def refusing(reason: object, *headers: str, status: int = 200, **more: object) -> WebScript:
    """Who refuses for that reason, which need not be text; *more* goes into the dictionary, "_" for a space."""
    table = {name.replace("_", " "): value for name, value in more.items()}
    return answering(encode({"failure reason": reason, **table}), *headers, status=status)


def differing(**changes: object) -> WebScript:
    """Who answers an announce with other values than the honest one; None takes a key away, "_" is a space."""
    table = GOOD | {name.replace("_", " ").encode(): value for name, value in changes.items()}
    return answering(encode({key: value for key, value in table.items() if value is not None}))


def honest(request: WebRequest) -> WebSteps:
    """Two peers, or the numbers of whatever is asked about."""
    if not request.path.startswith("scrape"):
        yield whole(encode(GOOD))
        return
    numbers = {b"complete": 3, b"downloaded": 5, b"incomplete": 4}
    yield whole(encode({"files": dict.fromkeys(_info_hashes(request), numbers)}))


def _info_hashes(request: WebRequest) -> Iterator[bytes]:
    for pair in request.query.split("&"):
        name, _, value = pair.partition("=")
        if name == "info_hash":
            yield unquote_to_bytes(value)


# What repeats the URL, which may have a passkey.


def echoing_reason(request: WebRequest) -> WebSteps:
    """Refuses, and repeats what was asked for."""
    yield whole(encode({"failure reason": f"Sorry, {request.target} is wrong"}))


def echoing_capitals(request: WebRequest) -> WebSteps:
    """Refuses, and repeats the query in capitals."""
    yield whole(encode({"failure reason": f"BAD QUERY {request.query.upper()}"}))


def echoing_status(request: WebRequest) -> WebSteps:
    """404, and repeats what was asked for in place of "Not Found"."""
    yield f"HTTP/1.1 404 {request.target} not here\r\nContent-Length: 0\r\n\r\n".encode("latin-1")


def echoing_page(request: WebRequest) -> WebSteps:
    """Nothing but what was asked for."""
    yield whole(f"{request.query}&{request.target}".encode())


def echoing_warning(request: WebRequest) -> WebSteps:
    """Two peers, and a warning that repeats what was asked for."""
    yield whole(encode(GOOD | {b"warning message": f"{request.target} is old".encode()}))


# What ends, or does not.


def silent(request: WebRequest) -> WebSteps:
    """Nothing."""
    yield Pause(FOREVER)


def ending_after(sent: bytes, *, reset: bool = False) -> WebScript:
    """Who sends that and ends the connection."""

    def script(request: WebRequest) -> WebSteps:
        if sent:
            yield sent
        if reset:
            yield Pause(0.02)  # what a reset overtakes is lost
        yield Reset() if reset else HangUp()

    return script


def hanging_after(sent: bytes) -> WebScript:
    """Who sends that and no more."""

    def script(request: WebRequest) -> WebSteps:
        yield sent
        yield Pause(FOREVER)

    return script


def dripping(request: WebRequest) -> WebSteps:
    """An honest reply, a byte each second."""
    for byte in whole(encode(GOOD)):
        yield bytes([byte])
        yield Pause(1.0)


def repeating(status: int) -> WebScript:
    """Who says provisional things without end."""

    def script(request: WebRequest) -> WebSteps:
        while True:
            yield status_line(status) + b"\r\n"
            yield Pause(0.01)

    return script


def provisional(request: WebRequest) -> WebSteps:
    """Two provisional answers before the real one."""
    yield status_line(100) + b"\r\n" + status_line(103) + b"Link: </a>\r\n\r\n"
    yield from honest(request)


def chain(length: int) -> WebScript:
    """Who sends everybody on so many times before an honest reply."""

    def script(request: WebRequest) -> WebSteps:
        path, _, step = request.target.partition("?")[0].partition("/step-")
        done = int(step or 0)
        if done == length:
            yield from honest(request)
        else:
            yield whole(b"", f"Location: {path}/step-{done + 1}", status=302)

    return script


# What is too much.


def endless(request: WebRequest) -> WebSteps:
    """A string without a length, and without an end."""
    yield status_line(200) + b"Content-Type: text/plain\r\n\r\nd5:peers"
    block = bytes(256 * 1024)
    while True:
        yield block


def bomb(coding: str) -> WebScript:
    """Who packs 16 MiB of zeros into 16 KiB, by gzip or deflate."""

    def script(request: WebRequest) -> WebSteps:
        yield whole(_bomb(coding), f"Content-Encoding: {coding}")

    return script


@cache
def _bomb(coding: str) -> bytes:
    packer = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
    zeros = bytes(_MIB)
    return b"".join([*(packer.compress(zeros) for _ in range(16)), packer.flush()])


def of_huge_head(request: WebRequest) -> WebSteps:
    """A megabyte of headers."""
    yield status_line(200) + b"X-Large: " + b"x" * _MIB + b"\r\n\r\n"


def refusing_at_length(length: int) -> WebScript:
    """Who needs that many bytes to say why not."""

    def script(request: WebRequest) -> WebSteps:
        yield whole(encode({"failure reason": b"Unregistered torrent " + b"because " * (length // 8)}))

    return script


def a_crowd(request: WebRequest) -> WebSteps:
    """More peers than anybody needs, in 3.6 MB."""
    yield _crowd()


def a_listed_crowd(request: WebRequest) -> WebSteps:
    """Twenty thousand peers as dictionaries."""
    yield _listed_crowd()


@cache
def _crowd() -> bytes:
    return whole(encode(GOOD | {b"peers": PEERS * 300_000}))


@cache
def _listed_crowd() -> bytes:
    peers = [{"ip": f"192.0.2.{number % 256}", "port": 1 + number} for number in range(20_000)]
    return whole(encode(GOOD | {b"peers": peers}))


# What is unusual and good.


def zipped(request: WebRequest) -> WebSteps:
    """gzip, and says so."""
    yield whole(gzip.compress(encode(GOOD), 1), "Content-Encoding: gzip")


def in_parts(request: WebRequest) -> WebSteps:
    """HTTP/1.1's transfer coding, a few bytes each."""
    body = encode(GOOD)
    yield status_line(200) + b"Transfer-Encoding: chunked\r\n\r\n"
    for begin in range(0, len(body), 10):
        part = body[begin : begin + 10]
        yield f"{len(part):x}\r\n".encode() + part + b"\r\n"
    yield b"0\r\n\r\n"


def in_lines_of_its_own(request: WebRequest) -> WebSteps:
    """HTTP/1.0 with bare line feeds, no reason, no length."""
    yield b"HTTP/1.0 200\nContent-Type: text/plain\n\n" + encode(GOOD)
    yield HangUp()
