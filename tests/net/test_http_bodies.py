"""Where bodies end, and which of their bytes are content."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.net import NetworkFailed
from anabranch.net.http_bodies import Body, PartedBody, body_of, refuse_packed
from anabranch.net.http_heads import Head


def head(length: int | None = None, *, status: int = 200, in_parts: bool = False, **headers: str) -> Head:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Head(status, "OK", named, length, in_parts, keeps=True)


def content(body: Body, raw: bytes, step: int) -> tuple[bytes, bytes]:
    """The content, and what stands behind the body, of bytes that come *step* at a time."""
    found = b""
    for begin in range(0, len(raw), step):
        data = raw[begin : begin + step]
        while data and not body.ended:
            if body.ahead:
                count = min(len(data), body.ahead)
                found += data[:count]
                body.took(count)
            else:
                count = body.framing(data)
                assert count > 0
            data = data[count:]
        if body.ended:
            return found, data + raw[begin + step :]
    return found, b""


@given(st.integers(1, 20))
def test_a_body_ends_at_its_length_or_with_its_last_part_or_with_the_connection(step: int) -> None:
    """RFC 9112, 6.3; wherever the network cuts it."""
    assert content(body_of(head(5)), b"12345HTTP", step) == (b"12345", b"HTTP")
    parts = b"3\r\n123\r\n00A;x=y\r\n4567890123\r\n1 \n4\n0\r\nTrailer: z\r\n\r\nHTTP"
    assert content(body_of(head(in_parts=True)), parts, step) == (b"12345678901234", b"HTTP")
    endless = body_of(head())
    assert content(endless, b"12345", step) == (b"12345", b"")
    assert not endless.ended


@pytest.mark.parametrize("which", [head(0), head(9, status=204), head(9, status=304)])
def test_a_body_may_be_none(which: Head) -> None:
    """RFC 9112, 6.3: whatever length a 204 or 304 tells."""
    assert body_of(which).ended


@pytest.mark.parametrize(
    "raw",
    [b"x\r\n", b"\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"1_0\r\n", b"3\r\n1234\r\n", b"1" * 5000, b"f" * 16 + b"\n"],
)
def test_parts_that_are_none_are_refused(raw: bytes) -> None:
    """Python's int() reads more than RFC 9112 allows."""
    with pytest.raises(NetworkFailed, match="not what they should be"):
        content(PartedBody(), raw, len(raw))


def test_trailers_have_a_bound() -> None:
    """Nobody reads them."""
    with pytest.raises(NetworkFailed, match="trailers"):
        content(PartedBody(), b"0\r\n" + b"X: y\r\n" * 100_000, 1 << 16)


@pytest.mark.parametrize("coding", ["gzip", "br", "Deflate", "identity, gzip", "s3cret" * 99])
def test_a_packed_body_is_refused_in_words(coding: str) -> None:
    """We asked for none: its bytes are not the file's."""
    with pytest.raises(NetworkFailed, match="did not ask for") as caught:
        refuse_packed(head(5, content_encoding=coding))
    assert len(str(caught.value)) < 100
    refuse_packed(head(5, content_encoding=" Identity "))
    refuse_packed(head(5))


@given(st.binary() | st.binary().map(b"5\r\n12345\r\n".__add__), st.integers(1, 9))
def test_any_bytes_are_parts_or_refused(noise: bytes, step: int) -> None:
    """In one kind of error."""
    with suppress(NetworkFailed):
        content(PartedBody(), noise, step)
