"""What a web server's script knows of a request."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.testing import WebRequest, right_head


def request(span: str = "", target: str = "/a", length: int = 1000, **words: str) -> WebRequest:
    return WebRequest(
        method="GET",
        target=target,
        version=words.pop("version", "HTTP/1.1"),
        headers={**({"range": span} if span else {}), **words},
        number=0,
        before=0,
        connection=0,
        server="http://127.0.0.1:80",
        content=memoryview(bytes(length)),
        draw=Random(0),
    )


@pytest.mark.parametrize(
    ("span", "found"),
    [
        ("", None),
        ("bytes=0-9", (0, 10)),
        ("bytes=990-", (990, 1000)),
        ("bytes=990-5000", (990, 1000)),
        ("bytes=2000-", (1000, 1000)),
        ("bytes=-5", None),
        ("bytes=1-2,5-6", None),
    ],
)
def test_a_range_goes_no_further_than_the_content(span: str, found: tuple[int, int] | None) -> None:
    """[begin, end); forms that no web seed's client uses count as no range."""
    assert request(span).range == found


@given(st.text(max_size=30))
def test_any_range_is_inside_of_the_content(span: str) -> None:
    begin, end = request("bytes=" + span).range or (0, 1000)
    assert 0 <= begin <= 1000
    assert 0 <= end <= 1000


def test_a_right_head_says_what_is_wanted() -> None:
    """206 with the range, or 200."""
    assert right_head(request("bytes=10-19")) == (
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 10-19/1000\r\nContent-Length: 10\r\n\r\n"
    )
    assert right_head(request(), "X: y", length=-1, version="HTTP/1.0") == b"HTTP/1.0 200 OK\r\nX: y\r\n\r\n"


def test_targets_are_taken_apart() -> None:
    """The path without what escapes it, and the query as it came."""
    asked = request(target="/elsewhere/a%20b/%2B?piece=1&x=%20")
    assert (asked.path, asked.query) == ("a b/+", "piece=1&x=%20")
    assert request(connection="close").goes_on is False
    assert request(version="HTTP/1.0").goes_on is False
    assert request(version="HTTP/1.0", connection="Keep-Alive").goes_on
