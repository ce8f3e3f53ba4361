"""Requests of HTTP as they come to a tracker, cut in every way and bent in many."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.tracking.requests import MOST_HEAD, NOT_FOUND, OK, BadRequest, Request, RequestReader, answer

WIRE = (
    b"GET /announce?info_hash=%00+x&port=1 HTTP/1.1\r\nHost: tracker\r\nUser-Agent: aria2/1.36.0\r\n\r\n"
    b"HEAD /scrape HTTP/1.1\r\n\r\n"
    b"\r\nGET /a?b?c HTTP/1.0\nConnection: Keep-Alive\n\n"
    b"GET http://tracker:80/x?y HTTP/1.1\r\nconnection: TE , Close\r\nContent-Length: 0\r\n\r\n"
)
READ = [
    Request(b"/announce", b"info_hash=%00+x&port=1", user_agent="aria2/1.36.0"),
    Request(b"/scrape", b"", with_body=False),
    Request(b"/a", b"b?c", is_old=True),
    Request(b"/x", b"y", keeps=False),
]


def read(*parts: bytes) -> list[Request]:
    reader, found = RequestReader(), []
    for part in parts:
        reader.receive(part)
        while (request := reader.next()) is not None:
            found.append(request)
    return found


def test_requests_are_read_the_same_however_the_network_cuts_them() -> None:
    """One by one, all at once, or cut in two anywhere."""
    assert read(WIRE) == read(*(bytes([byte]) for byte in WIRE)) == READ
    for place in range(len(WIRE)):
        assert read(WIRE[:place], WIRE[place:]) == READ


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"POST /announce HTTP/1.1\r\n\r\n", 405),
        (b"GET /announce HTTP/2.0\r\n\r\n", 400),
        (b"GET /announce\r\n\r\n", 400),
        (b"GET /an nounce HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /" + b"a" * MOST_HEAD + b" HTTP/1.1\r\n\r\n", 431),
        (b"a" * (MOST_HEAD + 1), 431),
    ],
)
def test_what_is_no_request_for_a_tracker_is_told_why(wire: bytes, status: int) -> None:
    """A body would be taken for the next request."""
    with pytest.raises(BadRequest) as bad:
        read(wire)
    assert bad.value.status == status
    assert answer(None, status, b"").startswith(b"HTTP/1.1 %d " % status)


@given(st.lists(st.binary() | st.sampled_from([WIRE, b"GET / HTTP/1.1\r\n", b"\r\n\r\n"]), max_size=5))
def test_any_bytes_are_requests_or_blamed(parts: list[bytes]) -> None:
    """Nothing else comes out."""
    with suppress(BadRequest):
        read(*parts)


@pytest.mark.parametrize(
    ("request_", "connection"),
    [
        (READ[0], b""),
        (READ[2], b"Connection: keep-alive\r\n"),
        (READ[3], b"Connection: close\r\n"),
        (None, b"Connection: close\r\n"),
    ],
)
def test_an_answer_says_what_becomes_of_the_connection(request_: Request | None, connection: bytes) -> None:
    """HTTP/1.1 goes on unless it is said, 1.0 only if it is."""
    said = answer(request_, OK, b"de", "text/plain")
    assert said == b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n" + connection + b"\r\nde"


def test_head_is_answered_without_a_body() -> None:
    """Its length is told (RFC 9110, 9.3.2)."""
    assert answer(READ[1], NOT_FOUND, b"nothing").endswith(b"Content-Length: 7\r\n\r\n")
