"""Replies as careless trackers send them: which are read, and that nothing odd is followed by another reply.

What libtorrent 2.1.1 (L), aria2 1.36 (A) and Transmission 3.00 with curl 7.88.1 (T) read of these was seen: announces
to a server that sent just this; aria2 asks for nothing packed and unpacks nothing. Where Transmission read a reply only
when its patience had ended, a "t" says so.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from anabranch.net import HttpClient, HttpReply, NetworkFailed, Trouble
from loops import Run
from net.raw_server import Caller, RawServer, descriptors

BODY = b"d8:intervali1800e5:peers6:\x7f\0\0\x01\x1a\xe17:comment40:" + b"x" * 40 + b"e"
LIMIT = 10_000
SIZED = b"Content-Length: %d\r\n" % len(BODY)
LONGER = b"Content-Length: %d\r\n" % (len(BODY) + 10)
OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + SIZED + b"\r\n" + BODY


def parted(body: bytes = BODY, last: bytes = b"0\r\n\r\n", end: bytes = b"\r\n") -> bytes:
    parts = [body[begin : begin + 50] for begin in range(0, len(body), 50)]
    return b"".join(b"%x%b%b%b" % (len(part), end, part, end) for part in parts) + last


def in_parts(body: bytes, start: bytes = OK, *more: bytes) -> bytes:
    return start + b"Transfer-Encoding: chunked\r\n" + b"".join(more) + b"\r\n" + body


def packed(body: bytes, coding: bytes = b"gzip") -> bytes:
    return OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body)) + body


def headed(*lines: bytes) -> bytes:
    return OK + b"".join(line + b"\r\n" for line in lines) + SIZED + b"\r\n" + BODY


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


ZIPPED = gzip.compress(BODY, mtime=0)


class Case(NamedTuple):
    """A reply.

    Args:
        readers: Who of L, A and T reads it.
        reply: Its bytes.
        ends: The server hangs up behind it.
        kept: It is no reason for a new connection.
    """

    readers: str
    reply: bytes
    ends: bool = False
    kept: bool = False


READ: Mapping[str, Case] = {
    "as it should be": Case("LAT", PLAIN, kept=True),
    "LF": Case("LAT", PLAIN.replace(b"\r\n", b"\n"), kept=True),
    "no reason": Case("LAT", b"HTTP/1.1 200\r\n" + SIZED + b"\r\n" + BODY, kept=True),
    "HTTP/1.0": Case("LAT", b"HTTP/1.0 200 OK\r\n\r\n" + BODY, ends=True),
    "HTTP/0.9": Case("LA", b"HTTP/0.9 200 OK\r\n" + SIZED + b"\r\n" + BODY),
    "HTTP/1.2": Case("LA", b"HTTP/1.2 200 OK\r\n" + SIZED + b"\r\n" + BODY),
    "HTTP/2": Case("LAT", b"HTTP/2 200 OK\r\n" + SIZED + b"\r\n" + BODY),
    "HTTP/2.0": Case("LAT", b"HTTP/2.0 200 OK\r\n" + SIZED + b"\r\n" + BODY),
    "lower case": Case("AT", b"http/1.1 200 ok\r\n" + SIZED + b"\r\n" + BODY),
    "colon in the status line": Case("LA", b"HTTP/1.1: 200 OK\r\n" + SIZED + b"\r\n" + BODY),
    "8 bits in the reason": Case("LAT", b"HTTP/1.1 200 \xe4\xff\r\n" + SIZED + b"\r\n" + BODY, kept=True),
    "header without a name": Case("LT", headed(b": nonsense")),
    "space in a name": Case("LT", headed(b"X Y: nonsense")),
    "8 bits in a name": Case("LAT", headed(b"X\xe4: y")),
    "8 bits in a value": Case("LAT", headed(b"X: \xff\xe4"), kept=True),
    "NUL in a value": Case("LA", headed(b"X: a\0b")),
    "control character in a value": Case("LAT", headed(b"X: a\x01b")),
    "CR in a value": Case("LT", headed(b"X: a\rb")),
    "CR CR LF": Case("LT", PLAIN.replace(b"\r\n", b"\r\r\n")),
    "space before the colon": Case("T", PLAIN.replace(b"Length:", b"Length :"), kept=True),
    "length in a folded line": Case("LAT", OK + b"X: y\r\n " + SIZED + b"\r\n" + BODY, ends=True),
    "no headers": Case("LAT", OK + b"\r\n" + BODY, ends=True),
    "length too long": Case("LT", OK + LONGER + b"\r\n" + BODY, ends=True),
    "more behind the body": Case("LAT", PLAIN + b"\r\nmore"),
    "length twice": Case("LAT", headed(SIZED[:-2]), kept=True),
    "length twice in one": Case("LT", PLAIN.replace(b"\r\n\r\n", b", %d\r\n\r\n" % len(BODY)), kept=True),
    "two lengths, the first right": Case("LAT", OK + SIZED + LONGER + b"\r\n" + BODY, ends=True),
    "two lengths, the last right": Case("LT", OK + LONGER + SIZED + b"\r\n" + BODY, ends=True),
    "two lengths, the first right, open": Case("At", OK + SIZED + LONGER + b"\r\n" + BODY),
    "two lengths, the last right, open": Case("LT", OK + LONGER + SIZED + b"\r\n" + BODY),
    "length with a sign": Case("LAT", PLAIN.replace(b"Length: ", b"Length: +")),
    "length with its unit": Case("LT", PLAIN.replace(b"\r\n\r\n", b" bytes\r\n\r\n")),
    "parts": Case("LAT", in_parts(parted()), kept=True),
    "parts and a length": Case("LAT", in_parts(parted(), OK, SIZED)),
    "parts, LF": Case("LT", in_parts(parted(end=b"\n", last=b"0\n\n")), kept=True),
    "parts with trailers": Case("LAT", in_parts(parted(last=b"0\r\nX: y\r\n\r\n")), kept=True),
    "parts with extensions": Case("T", in_parts(parted().replace(b"32\r\n", b"32 ;a=b\r\n")), kept=True),
    "parts with odd trailers": Case("LAT", in_parts(parted(last=b"0\r\nnonsense\r\n\r\n"))),
    "parts without the last": Case("LT", in_parts(parted(last=b"")), ends=True),
    "parts without their last line": Case("LT", in_parts(parted(last=b"0\r\n")), ends=True),
    "parts with cut trailers": Case("LT", in_parts(parted(last=b"0\r\nnonsense")), ends=True),
    "parts of HTTP/1.0": Case("LAT", in_parts(parted(), b"HTTP/1.0 200 OK\r\n")),
    "parts twice": Case("LAT", in_parts(parted(), OK, b"Transfer-Encoding: chunked\r\n")),
    "identity": Case("LT", headed(b"Transfer-Encoding: identity"), kept=True),
    "gzip": Case("LT", packed(ZIPPED), kept=True),
    "x-gzip": Case("LT", packed(ZIPPED, b"x-gzip"), kept=True),
    "gzip and more": Case("LT", packed(ZIPPED + b"\r\n\r\n"), kept=True),
    "gzip without its check sum": Case("LT", packed(ZIPPED[:-8]), kept=True),
    "gzip with a wrong check sum": Case("LT", packed(ZIPPED[:-8] + bytes(8)), kept=True),
    "gzip with the length unpacked": Case(
        "LT", OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % (len(ZIPPED) + 9) + ZIPPED, ends=True
    ),
    "no gzip, though it says so": Case("A", packed(BODY), kept=True),
    "zlib": Case("T", packed(zlib.compress(BODY), b"deflate"), kept=True),
    "deflate without a head": Case("T", packed(raw_deflate(BODY), b"deflate"), kept=True),
    "a packing of no packing": Case("LAT", packed(BODY, b"none"), kept=True),
    "a character set as packing": Case("LA", packed(BODY, b"utf-8"), kept=True),
    "100 before": Case("LAT", b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN, kept=True),
    "103 before": Case("AT", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + PLAIN, kept=True),
    "a head of 60 KiB": Case("LAT", headed(*[b"X: " + b"y" * 1000] * 60), kept=True),
}

REFUSED: Mapping[str, Case] = {
    "no status line": Case("", BODY, ends=True),
    "no status line, open": Case("", BODY),
    "headers without a status line": Case("", SIZED + b"\r\n" + BODY, ends=True),
    "status line and body": Case("", OK + BODY, ends=True),
    "no empty line": Case("", OK + SIZED + BODY, ends=True),
    "CR": Case("", PLAIN.replace(b"\r\n", b"\r"), ends=True),
    "empty line first": Case("", b"\r\n" + PLAIN),
    "space first": Case("", b" " + PLAIN),
    "another protocol": Case("A", PLAIN.replace(b"HTTP/1.1", b"ICY"), ends=True),
    "tab in the status line": Case("A", PLAIN.replace(b" 200", b"\t200"), ends=True),
    "no space behind the status": Case("T", PLAIN.replace(b"200 ", b"200")),
    "header without a colon": Case("", headed(b"nonsense line")),
    "folded line first": Case("L", headed(b" X: y")),
    "length too short": Case("L", OK + b"Content-Length: 20\r\n\r\n" + BODY, ends=True),
    "length too long, open": Case("t", OK + LONGER + b"\r\n" + BODY),
    "negative length": Case("", OK + b"Content-Length: -1\r\n\r\n" + BODY, ends=True),
    "length in words": Case("L", OK + b"Content-Length: abc\r\n\r\n" + BODY, ends=True),
    "empty length": Case("L", OK + b"Content-Length:\r\n\r\n" + BODY, ends=True),
    "endless length": Case("T", OK + b"Content-Length: 99999999999999999999999\r\n\r\n" + BODY, ends=True),
    "no parts, though it says so": Case("", in_parts(BODY), ends=True),
    "part too short": Case("T", in_parts(b"%x\r\n" % (len(BODY) + 10) + BODY[:-1]), ends=True),
    "packed parts": Case("T", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + parted(ZIPPED), ends=True),
    "unknown coding": Case("L", headed(b"Transfer-Encoding: banana"), ends=True),
    "gzip cut": Case("", packed(ZIPPED[:-20])),
    "101": Case("A", b"HTTP/1.1 101 Switching\r\n\r\n" + PLAIN, ends=True),
    "a head of 90 KiB": Case("LAT", headed(*[b"X: " + b"y" * 1000] * 90)),  # a bound of ours
}


async def asked(client: HttpClient, server: RawServer, patience: float = 10.0) -> HttpReply:
    return await client.get(f"{server.url}/announce?0123456789abcdefs3cret", timeout=patience, limit=LIMIT)


def scripted(case: Case) -> RawServer:
    def script(caller: Caller) -> None:
        while caller.head():
            caller.say(case.reply)
            if case.ends:
                return

    return RawServer(script)


@pytest.mark.parametrize("kind", READ)
def test_what_two_of_three_clients_read_is_read_and_nothing_odd_is_asked_again(run: Run[Any], kind: str) -> None:
    """What could be read in two ways is the last thing that its connection says; what we read before stays so."""
    case = READ[kind]

    async def work(server: RawServer) -> list[bytes]:
        client = HttpClient("Test/1.0")
        replies = [(await asked(client, server)).body for _ in range(2)]
        await client.close()
        return replies

    with scripted(case) as server:
        assert run(work(server)) == [BODY, BODY]
        assert server.connections == (1 if case.kept else 2)
    assert len(case.readers) > 1 or case.readers in ("T", "A")


@pytest.mark.parametrize("kind", REFUSED)
def test_what_one_client_at_most_reads_is_refused_in_words(run: Run[Any], kind: str) -> None:
    """On one line, without the passkey; or taken as it was told, which is no bencode then."""
    case = REFUSED[kind]

    async def work(server: RawServer) -> bytes:
        client = HttpClient("Test/1.0")
        try:
            return (await asked(client, server, 0.1 if kind == "length too long, open" else 10.0)).body
        finally:
            await client.close()

    run(asyncio.sleep(0))  # a first loop of a kind opens some for good
    before = descriptors()
    with scripted(case) as server:
        if kind == "length too short":
            assert run(work(server)) == BODY[:20]
        else:
            with pytest.raises(NetworkFailed) as caught:
                run(work(server))
            assert caught.value.trouble in (Trouble.PROTOCOL, Trouble.TIMEOUT, Trouble.SIZE, Trouble.CONNECTION)
            assert "s3cret" not in str(caught.value)
            assert "\n" not in str(caught.value)
    assert descriptors() <= before
