"""A web server for tests, over real sockets."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path

import pytest

from anabranch.testing import HangUp, WebRequest, WebServer, WebSteps, at_rate, flipping, head
from authority import make_authority
from ours import until

HOST = "127.0.14.91"
CONTENT = {"a.bin": bytes(range(256)) * 4096, "deep/ü + b.txt": b"hello", "empty": b""}
TIMEOUT = 10


def dial(server: WebServer) -> HTTPConnection:
    return HTTPConnection(server.host, server.port, timeout=TIMEOUT)


def ask(line: HTTPConnection, target: str, span: str = "") -> tuple[HTTPResponse, bytes]:
    """One request by a connection, and its whole answer."""
    line.request("GET", target, headers={"Range": f"bytes={span}"} if span else {})
    answer = line.getresponse()
    return answer, answer.read()


def test_an_honest_server_gives_what_is_asked_for() -> None:
    """Whole files and ranges, by one connection, and it knows what it was asked."""
    with WebServer(CONTENT, host=HOST) as server, closing(dial(server)) as line:
        assert ask(line, "/a.bin")[1] == CONTENT["a.bin"]
        answer, body = ask(line, "/a.bin", "255-1000")
        assert (answer.status, body) == (206, CONTENT["a.bin"][255:1001])
        assert answer.headers["Content-Range"] == f"bytes 255-1000/{len(CONTENT['a.bin'])}"
        assert ask(line, "/deep/%C3%BC%20%2B%20b.txt?some=query", "4-")[1] == b"o"
        assert ask(line, "/empty")[1] == b""
        assert ask(line, "/nothing")[0].status == 404
        assert ask(line, "/a.bin", "99999999-")[0].status == 416
        until(lambda: server.busy == 0)  # it has seen that all is sent
        assert (server.connections, server.open, server.most_open) == (1, 1, 1)
        assert server.statuses == {200: 2, 206: 2, 404: 1, 416: 1}
        assert server.targets[2] == "/deep/%C3%BC%20%2B%20b.txt?some=query"
        assert [request.before for request in server.requests] == [0, 1, 0, 0, 0, 2]
        assert server.sent > len(CONTENT["a.bin"])
    assert server.open == 0


def test_it_serves_a_folder_and_nothing_beside_it(tmp_path: Path) -> None:
    """Files are mapped; a path that leads out of the folder leads nowhere."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "日本.bin").write_bytes(CONTENT["a.bin"])
    (tmp_path / "served" / "none").touch()
    (tmp_path / "secret").write_bytes(b"secret")
    with WebServer(tmp_path / "served", host=HOST) as server, closing(dial(server)) as line:
        assert ask(line, "/%E6%97%A5%E6%9C%AC.bin", "3-5")[1] == b"\3\4\5"
        assert ask(line, "/none")[1] == b""
        for target in ("/../secret", "/%2e%2e/secret", "/..%2fsecret", "//" + str(tmp_path / "secret"), "/"):
            assert ask(line, target)[0].status == 404


def test_answers_are_chosen_for_each_request_and_may_change() -> None:
    """By a kind's name for all, or by a function that sees the request."""

    def moody(request: WebRequest) -> str:
        return "status-503" if request.before == 0 else "honest"

    with WebServer(CONTENT, moody, host=HOST) as server, closing(dial(server)) as line:
        assert [ask(line, "/a.bin", "0-9")[0].status for _ in range(3)] == [503, 206, 206]
        server.answers = "status-404"
        assert ask(line, "/a.bin")[0].status == 404
        server.answers = lambda request: flipping(4)
        assert ask(line, "/a.bin", "3-8")[1] == b"\3" + bytes([4 ^ 0x55]) + b"\5\6\7" + bytes([8 ^ 0x55])
        server.answers = lambda request: flipping(4, first=5)
        assert ask(line, "/a.bin", "3-8")[1] == b"\3\4\5\6\7" + bytes([8 ^ 0x55])
        server.answers = lambda request: at_rate(1e9)
        assert ask(line, "/a.bin")[1] == CONTENT["a.bin"]


def test_a_script_of_ones_own_says_what_it_likes() -> None:
    """Its bytes are the answer, and its end leaves the connection as it is."""

    def teapot(request: WebRequest) -> WebSteps:
        yield head(418, "Content-Length: 5")
        yield b"short"
        if request.before:
            yield HangUp()

    with WebServer({}, lambda request: teapot, host=HOST) as server, closing(dial(server)) as line:
        assert ask(line, "/tea")[1] == b"short"
        assert ask(line, "/tea")[0].status == 418
        until(lambda: not server.open)
        assert server.connections == 1


def test_what_is_asked_for_elsewhere_is_served_honestly() -> None:
    """So that there is somewhere to be sent to."""
    with WebServer(CONTENT, "redirects", host=HOST) as server, closing(dial(server)) as line:
        answer, _ = ask(line, "/a.bin?x", "0-4")
        place = answer.headers["Location"]
        assert place == f"{server.url}/elsewhere/a.bin?x"
        assert ask(line, place.removeprefix(server.url), "0-4")[1] == b"\0\1\2\3\4"


def test_it_sees_a_client_go_whatever_it_is_doing() -> None:
    """While it waits, and while it writes: nothing is left of the connection."""
    content = {"large.bin": bytes(32 * 1024 * 1024)}
    for kind in ("silent", "stalls", "drips", "endless-head", "honest", "endless-noise"):
        with WebServer(content, kind, host=HOST) as server:
            with socket.create_connection((server.host, server.port), timeout=TIMEOUT) as sock:
                sock.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
                until(lambda: server.busy == 1)
            until(lambda: server.busy == 0 == server.open)


def test_it_ends_while_clients_are_there() -> None:
    """The end of the block does not wait for a script that waits."""
    for kind in ("silent", "honest", "drips", "endless-noise"):
        with WebServer({"a": bytes(16_000_000)}, kind, host=HOST) as server:
            sock = socket.create_connection((server.host, server.port), timeout=TIMEOUT)
            sock.sendall(b"GET /a HTTP/1.1\r\n\r\n")
            until(lambda: server.busy)
        sock.close()
        assert (server.busy, server.open) == (0, 0)


def test_what_is_no_request_is_hung_up_on() -> None:
    """It is a server for tests; but it has to live."""
    with WebServer(CONTENT, host=HOST) as server:
        for noise in (b"hello\r\n\r\n", b"\xff" * 100_000, b"\r\n\r\n", b"GET /a.bin\r\n\r\n"):
            with socket.create_connection((server.host, server.port), timeout=TIMEOUT) as sock:
                sock.sendall(noise)
                with suppress(ConnectionResetError):  # it had not read all of it
                    assert sock.recv(100) == b""
        assert not server.requests


def test_who_wants_the_connection_closed_has_it_closed() -> None:
    """HTTP/1.0 does unless it says otherwise."""
    with WebServer(CONTENT, host=HOST) as server:
        for request, stays in (
            (b"GET /empty HTTP/1.0\r\n\r\n", False),
            (b"GET /empty HTTP/1.1\r\nConnection: close\r\n\r\n", False),
            (b"GET /empty HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        ):
            with socket.create_connection((server.host, server.port), timeout=TIMEOUT) as sock:
                sock.sendall(request)
                heard = sock.recv(1000)
                assert heard.startswith(b"HTTP/1.1 200 OK")
                if not stays:
                    assert sock.recv(1000) == b""
                else:
                    sock.sendall(request)
                    assert sock.recv(1000)


def test_it_speaks_tls(tmp_path: Path) -> None:
    """With a certificate that only those take who know its authority."""
    authority = make_authority(tmp_path, "seed.test", HOST)
    with WebServer(CONTENT, host=HOST, tls=authority.server()) as server:
        trusting = ssl.create_default_context(cafile=str(authority.certificate))
        with closing(HTTPSConnection(HOST, server.port, timeout=TIMEOUT, context=trusting)) as line:
            assert ask(line, "/a.bin")[1] == CONTENT["a.bin"]
        with closing(HTTPSConnection(HOST, server.port, timeout=TIMEOUT)) as line, pytest.raises(ssl.SSLError):
            ask(line, "/a.bin")
        assert server.url.startswith("https://")


def test_a_mistake_in_a_script_is_raised_where_the_block_ends() -> None:
    """Not lost in a thread."""
    with (
        pytest.raises(ExceptionGroup, match="TaskGroup") as raised,
        WebServer(CONTENT, "no such kind", host=HOST) as server,
        closing(dial(server)) as line,
        pytest.raises(OSError, match=r".*"),
    ):
        ask(line, "/a.bin")
    assert isinstance(raised.value.exceptions[0], KeyError)
