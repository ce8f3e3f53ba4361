"""Heads of replies, out of bytes cut anywhere, and of requests."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import InputRefused
from anabranch.net import NetworkFailed, parse_url
from anabranch.net.http_heads import MAX_HEAD, Head, HeadReader, headers_for, request_head


def read(raw: bytes) -> Head:
    found = HeadReader().receive(raw)
    assert found is not None
    return found[0]


def reply(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def test_a_head_is_read_and_what_stands_behind_it_is_handed_on() -> None:
    """RFC 9112: a status line, headers, an empty line; names in lower case, the first of two."""
    raw = reply("HTTP/1.1 206 Partial Content", "Content-Length: 5", "X-Who:  me \t", "x-who: you") + b"body"
    found = HeadReader().receive(raw)
    assert found is not None
    head, rest = found
    assert (head.status, head.reason, rest) == (206, "Partial Content", b"body")
    assert head.headers == {"content-length": "5", "x-who": "me"}
    assert (head.length, head.in_parts, head.keeps) == (5, False, True)


@given(st.lists(st.integers(1, 30)))
def test_a_head_is_the_same_however_the_network_cuts_it(cuts: list[int]) -> None:
    """Where TCP splits it means nothing."""
    raw = reply("HTTP/1.1 103 Early Hints", "Link: x") + reply("HTTP/1.1 200 OK", "A: b", " c", "Content-Length: 3")
    reader, found, begin = HeadReader(), None, 0
    for cut in [*cuts, len(raw)]:
        found = reader.receive(raw[begin : begin + cut])
        begin += cut
        if found is not None:
            break
    assert found is not None
    assert found[0] == read(raw)
    assert found[0].headers["a"] == "b c"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 3\n\n",
        b"HTTP/1.0 200\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n\r\n",
        b"HTTP/1.1 200 \r\nContent-Length : 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: identity\r\n\r\n",
    ],
    ids=["LF", "1.0", "spaces", "thrice", "identity"],
)
def test_a_careless_server_is_understood(raw: bytes) -> None:
    """Where there is only one way to read it."""
    head = read(raw)
    assert (head.status, head.length, head.in_parts, head.keeps) == (200, 3, False, True)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["SSH-2.0-x"], "not HTTP"),
        (["HTTP/2 200 OK"], "not HTTP"),
        (["HTTP/1.1 20 OK"], "not HTTP"),
        (["HTTP/1.1 200 OK", " folded"], "not HTTP"),
        (["HTTP/1.1 200 OK", "no colon"], "without a name"),
        (["HTTP/1.1 200 OK", ": no name"], "without a name"),
        (["HTTP/1.1 200 OK", "A: b\rc"], "control characters"),
        (["HTTP/1.1 200 OK", "A: b\0c"], "control characters"),
        (["HTTP/1.1 200 OK", "Content-Length\xa0: 5"], "without a name"),
        (["HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 6"], "two lengths"),
        (["HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"], "two lengths"),
        (["HTTP/1.1 200 OK", "Content-Length: -5"], "no number"),
        (["HTTP/1.1 200 OK", "Content-Length:"], "no number"),
        (["HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked"], "did not ask for"),
        (["HTTP/1.1 200 OK", "Transfer-Encoding: \xa0chunked"], "did not ask for"),
        (["HTTP/1.0 200 OK", "Transfer-Encoding: chunked"], "did not ask for"),
        (["HTTP/1.1 101 Switching Protocols"], "something else"),
    ],
)
def test_what_is_no_head_or_could_be_read_in_two_ways_is_refused(lines: list[str], words: str) -> None:
    """RFC 9112, 6.3: who errs about a body's end takes one reply for another."""
    with pytest.raises(NetworkFailed, match=words):
        HeadReader().receive(reply(*lines))


@pytest.mark.parametrize("part", [b"X: y\r\n", b"x", b"HTTP/1.1 103 Early\r\n\r\n"], ids=["headers", "one", "interim"])
def test_a_head_has_a_bound(part: bytes) -> None:
    """However it is filled; nothing beyond the bound is kept."""
    reader = HeadReader()
    reader.receive(b"HTTP/1.1 200 OK\r\n" if part[:4] != b"HTTP" else b"")

    def endless() -> None:
        for _ in range(2 * MAX_HEAD // len(part)):
            reader.receive(part)

    with pytest.raises(NetworkFailed, match="longer than"):
        endless()


def test_no_http_is_seen_at_its_first_bytes() -> None:
    """A server that speaks something else, and waits for us, is not waited for."""
    with pytest.raises(NetworkFailed, match="not HTTP"):
        HeadReader().receive(b"220 ftp.example")
    assert HeadReader().receive(b"HT") is None


@pytest.mark.parametrize(
    ("lines", "keeps"),
    [
        (["HTTP/1.1 200 OK"], True),
        (["HTTP/1.1 200 OK", "Connection: Close"], False),
        (["HTTP/1.1 200 OK", "Connection: x, close"], False),
        (["HTTP/1.0 200 OK"], False),
        (["HTTP/1.0 200 OK", "Connection: keep-alive"], True),
    ],
)
def test_whether_a_connection_is_kept_is_told_by_the_head(lines: list[str], keeps: bool) -> None:
    """RFC 9112, 9.3."""
    assert read(reply(*lines)).keeps is keeps


@given(
    st.binary() | st.binary().map(b"HTTP/1.1 200 OK\r\n".__add__) | st.binary().map(b"http/2: 200 ".__add__),
    st.integers(1, 9),
    st.booleans(),
)
def test_any_bytes_are_a_head_or_refused(noise: bytes, step: int, careless: bool) -> None:
    """In one kind of error."""
    reader = HeadReader(careless=careless)
    with suppress(NetworkFailed):
        for begin in range(0, len(noise), step):
            if reader.receive(noise[begin : begin + step]):
                break


NUMBERS = ["5", "05", "+5", "5 bytes", "5, 5", "7", "x", "", "-5", "5x"]


@given(st.lists(st.sampled_from(["X: y", "X: a\0b", "A B: c", ": z", "X: a\rb", " more"]), max_size=3))
def test_what_is_read_of_a_careless_server_only_ends_its_connection(odd: list[str]) -> None:
    """Whatever was odd, no second reply is taken from there; and nothing of it gets into our words or lines."""
    raw = reply("HTTP/1.1 200 OK", "A: b", *odd, "Content-Length: 5")
    found = HeadReader(careless=True).receive(raw)
    assert found is not None
    head = found[0]
    assert (head.status, head.length) == (200, 5)
    assert head.keeps is all(line in ("X: y", " more") for line in odd)
    assert not set("".join(head.headers.values())) & set("\0\r\n")
    with suppress(NetworkFailed):
        assert read(raw) == head


@given(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3), st.booleans())
def test_a_careless_length_is_the_least_or_refused_and_parts_count_more(numbers: list[str], in_parts: bool) -> None:
    """Only where all agree may another reply follow; who reads strictly reads the same or nothing."""
    lines = ["HTTP/1.1 200 OK", *(f"Content-Length: {number}" for number in numbers)]
    raw = reply(*lines, *["Transfer-Encoding: chunked"] * in_parts)
    if not in_parts and set(numbers) & {"x", "", "-5", "5x"}:
        with pytest.raises(NetworkFailed, match="no number"):
            HeadReader(careless=True).receive(raw)
        return
    found = HeadReader(careless=True).receive(raw)
    assert found is not None
    assert (found[0].in_parts, found[0].length) == (in_parts, None if in_parts else min(map(int_of, numbers)))
    with suppress(NetworkFailed):
        assert read(raw) == found[0]
        assert found[0].keeps


def int_of(number: str) -> int:
    return 7 if number == "7" else 5


def test_a_request_has_what_is_needed_and_no_more() -> None:
    """Path and query byte for byte; the last byte of a range is counted in (RFC 9110, 14.1.2)."""
    url = parse_url("http://user:p%3Ass@a.example:81/a%2F~%7e?x=%aa", ("http",))
    assert request_head("GET", url.target, headers_for(url, "Test/1.0", (10, 20), {"X": " y "})) == (
        b"GET /a%2F~%7e?x=%aa HTTP/1.1\r\nHost: a.example:81\r\nUser-Agent: Test/1.0\r\n"
        b"Accept-Encoding: identity\r\nRange: bytes=10-19\r\nAuthorization: Basic dXNlcjpwOnNz\r\nX: y\r\n\r\n"
    )


def test_what_a_user_wants_sent_wins_except_over_how_the_reply_is_read() -> None:
    """A range or an encoding of somebody's own would bring bytes to the wrong place."""
    url = parse_url("http://user@a.example/", ("http",))
    assert headers_for(url, "Test/1.0", None, {"user-agent": "Else", "AUTHORIZATION": "Bearer x"}) == {
        "Host": "a.example",
        "Accept-Encoding": "identity",
        "user-agent": "Else",
        "AUTHORIZATION": "Bearer x",
    }
    for name in ("Range", "accept-encoding", "Connection", "Transfer-Encoding", "Proxy-Authorization"):
        with pytest.raises(InputRefused, match="not to be chosen"):
            headers_for(url, "Test/1.0", None, {name: "x"})


@given(st.text(), st.text(), st.text())
def test_no_text_writes_a_second_header_or_request(target: str, name: str, value: str) -> None:
    """Line ends come from nobody but us."""
    with suppress(InputRefused):
        raw = request_head("GET", target, {name: value})
        assert raw.count(b"\n") == raw.count(b"\r") == raw.count(b"\r\n") == 3
        assert raw.split(b"\r\n")[0].count(b" ") == 2
