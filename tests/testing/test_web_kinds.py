"""Every kind of web server, as the standard library's client sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException

import pytest

from anabranch.testing import WEB_KINDS, WebServer

HOST = "127.0.14.92"
LENGTH = 600_000
CONTENT = {"folder/a.bin": bytes((place * 7 + place // 251) % 256 for place in range(LENGTH))}
BEGIN, END = 200_000, 500_000
RIGHT = CONTENT["folder/a.bin"][BEGIN:END]
NEEDS_MORE = {"early-words", "redirects"}  # of a client than the standard library's does
UNSEEN = {"wrong-total", "two-lengths"}  # by the standard library's client
REFUSING = [name for name, kind in WEB_KINDS.items() if not kind.works and not kind.lies and name not in UNSEEN]


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    with WebServer(CONTENT, host=HOST) as server:
        yield server


def fetched(server: WebServer, kind: str, patience: float = 5) -> tuple[int, bytes]:
    """Status and body; empty where the client gives up, and too short where its patience ends before."""
    server.answers = kind
    deadline = time.monotonic() + patience
    with closing(HTTPConnection(HOST, server.port, timeout=patience)) as line:
        try:
            line.request("GET", "/folder/a.bin", headers={"Range": f"bytes={BEGIN}-{END - 1}"})
            answer = line.getresponse()
            body = b""
            while len(body) < END - BEGIN and time.monotonic() < deadline and (more := answer.read1(END - BEGIN)):
                body += more
        except (OSError, HTTPException):
            return 0, b""
        return answer.status, body[: END - BEGIN]


@pytest.mark.parametrize("kind", [name for name, kind in WEB_KINDS.items() if kind.works and name not in NEEDS_MORE])
def test_who_works_gives_what_was_asked_for(server: WebServer, kind: str) -> None:
    """However it says it."""
    assert fetched(server, kind) == (206, RIGHT)


@pytest.mark.parametrize("kind", [name for name, kind in WEB_KINDS.items() if kind.lies and name != "endless-noise"])
def test_who_lies_looks_right(server: WebServer, kind: str) -> None:
    """The status, the length, and other bytes."""
    status, body = fetched(server, kind)
    assert (status, len(body)) == (206, END - BEGIN)
    assert body != RIGHT
    assert fetched(server, kind) == (206, body) or kind == "another-file"


@pytest.mark.parametrize("kind", REFUSING)
def test_who_does_not_work_gives_it_to_nobody(server: WebServer, kind: str) -> None:
    """An error, too little, or something else; those who keep us waiting are waited for as long as it takes to see."""
    patience = 0.2 if WEB_KINDS[kind].holds else 5
    assert fetched(server, kind, patience) != (206, RIGHT)


def test_a_wrong_byte_is_one_byte(server: WebServer) -> None:
    """Who flips a few flips them where the file says, whatever range is asked for."""
    _, body = fetched(server, "flips-a-few")
    wrong = [place for place, (one, other) in enumerate(zip(body, RIGHT, strict=True)) if one != other]
    assert wrong == [256 * 1024 - BEGIN]
