"""How web servers answer, without a server."""

from __future__ import annotations

from random import Random

from anabranch.testing import Pause, WebRequest, WebScript, in_pieces, redirected, refused

CONTENT = bytes(range(250))


def piece_of(piece: int, begin: int, length: int) -> bytes:
    return CONTENT[piece * 100 :][:100][begin : begin + length]


def answered(script: WebScript, target: str) -> bytes:
    """All that it sends."""
    request = WebRequest("GET", target, "HTTP/1.1", {}, 0, 0, 0, "http://h:1", None, Random(0))
    return b"".join(bytes(step) for step in script(request) if isinstance(step, bytes | memoryview))


def test_pieces_are_served_by_their_query() -> None:
    """BEP 17: a piece, or ranges of it, whose last byte is named; the last piece may be short."""
    script = in_pieces(piece_of, lambda piece: min(100, len(CONTENT) - 100 * piece))
    assert answered(script, "/seed?info_hash=%aa&piece=1").endswith(b"Content-Length: 100\r\n\r\n" + CONTENT[100:200])
    assert answered(script, "/seed?piece=2&ranges=0-9,40-49").endswith(b"20\r\n\r\n" + CONTENT[200:210] + CONTENT[240:])


def test_a_redirect_names_what_was_asked_for() -> None:
    """In the place of {target}, {host} and {server}."""
    assert b"301 Moved Permanently\r\nLocation: https://{}/a?b\r\n".replace(b"{}", b"h:1") in answered(
        redirected("https://{host}{target}", 301), "/a?b"
    )
    assert b"Location: http://h:1/x\r\n" in answered(redirected("{server}/x"), "/a")


def test_a_refusal_has_its_status_and_headers() -> None:
    assert answered(refused(503, "Retry-After: 7"), "/").startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Retry-After: 7\r\n" in answered(refused(503, "Retry-After: 7"), "/")
    assert not any(isinstance(step, Pause) for step in refused(404)(None))  # type: ignore[arg-type]  # it does not look
