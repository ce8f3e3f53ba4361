"""Ranges of what URLs name, from servers on loopback: what is sent, whom it is sent to, and where the bytes land."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from anabranch.model import Address, InputRefused, TorrentError
from anabranch.net import Answer, BodyFlow, NetworkFailed, NotResolved, RangeClient, Trouble
from loops import Run
from net.certificates import contexts
from net.raw_server import BODY, SECRET, Caller, Memory, RawServer, answering, got, moved, names, reply, url_of
from small_servers import ProxyServer

LARGE = bytes(range(251)) * 40_000  # 10 MB: more than sockets hold


def noting(heads: list[str], answer: bytes = reply()) -> Any:
    """A server that keeps what it is asked."""

    def script(caller: Caller) -> None:
        while head := caller.head():
            heads.append(head)
            caller.say(answer)

    return script


def test_a_range_is_asked_for_and_lands(run: Run[Any]) -> None:
    """Path and query byte for byte, by the name, with no more headers than it takes; the sink sees the head."""
    heads: list[str] = []
    sink = Memory(len(BODY))
    with RawServer(noting(heads, reply(BODY, "ETag: x"))) as server:
        url = f"http://a.example:{server.port}/a%2F~%7e/"
        assert run(got(url, sink, begin=5, resolve=names(a_example="127.0.0.1"))) == BODY
    assert heads == [
        f"GET /a%2F~%7e/ HTTP/1.1\r\nHost: a.example:{server.port}\r\nUser-Agent: Test/1.0\r\n"
        "Accept-Encoding: identity\r\nRange: bytes=5-1028\r\n\r\n"
    ]
    [answer] = sink.answers
    assert (answer.status, answer.reason, answer.length) == (206, "Partial Content", len(BODY))
    assert answer.headers["etag"] == "x"
    assert (answer.url.whole, answer.address) == (url, Address("127.0.0.1", server.port))
    assert "%7e" not in repr(answer)


def test_everything_may_be_asked_for(run: Run[Any]) -> None:
    """A whole file needs no range."""
    heads: list[str] = []
    with RawServer(noting(heads)) as server:
        assert run(got(server.url, ranged=False)) == BODY
    assert "Range" not in heads[0]


@pytest.mark.parametrize(("begin", "length"), [(0, 0), (-1, 5)])
def test_a_range_of_nothing_is_our_own_mistake(run: Run[Any], begin: int, length: int) -> None:
    """HTTP has no way to ask for it."""
    with pytest.raises(ValueError, match="no range"):
        run(RangeClient("Test/1.0").get(url_of("http://a.example/"), Memory(5), begin=begin, length=length))


def test_a_connection_is_used_again_also_after_an_error_status(run: Run[Any]) -> None:
    """A file that is not there is not the connection's fault."""

    class Picky(Memory):
        def begun(self, answer: Answer, flow: BodyFlow) -> int:
            raise TorrentError(f"status {answer.status}")

    async def work(server: RawServer) -> None:
        client = RangeClient("Test/1.0")
        for _ in range(3):
            assert await got(server.url, client=client) == BODY
        with pytest.raises(TorrentError, match="status 206"):
            await got(server.url, Picky(len(BODY)), client=client)
        assert await got(server.url, client=client) == BODY
        await client.close()
        assert await got(server.url, client=client) == BODY
        await client.close()

    with RawServer(answering(reply())) as server:
        run(work(server))
        assert server.connections == 2


def test_requests_at_the_same_time_have_connections_of_their_own(run: Run[Any]) -> None:
    """They are kept afterwards."""

    async def work(server: RawServer) -> None:
        client = RangeClient("Test/1.0")
        for _ in range(2):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(got(server.url, client=client)) for _ in range(12)]
            assert [task.result() for task in tasks] == [BODY] * 12
        await client.close()

    with RawServer(answering(reply())) as server:
        run(work(server))
        assert server.connections == 12


def test_a_kept_connection_that_died_is_no_failure(run: Run[Any]) -> None:
    """The server had hung up before it was asked: it is asked again, on a new one."""

    def script(caller: Caller) -> None:
        caller.head()
        caller.say(reply())
        if caller.number == 0:
            caller.head()  # hears the next request, and hangs up

    async def work(server: RawServer) -> None:
        client = RangeClient("Test/1.0")
        for _ in range(2):
            assert await got(server.url, client=client) == BODY
        await client.close()

    with RawServer(script) as server:
        run(work(server))
        assert server.connections == 2


@pytest.mark.parametrize("secure", [False, True])
def test_a_large_body_lands_through_every_want_of_memory(run: Run[Any], tmp_path: Path, secure: bool) -> None:
    """The sink has memory again later, from within or from elsewhere: nothing is lost, nothing doubled."""

    class Tight(Memory):
        asked = 0

        def landing(self) -> memoryview | None:
            self.asked += 1
            if self.asked % 5 < 2:  # also when asked twice
                assert self.flow is not None
                self.flow.resume()
                return None
            return super().landing()

    theirs, ours = contexts(tmp_path)
    sink = Tight(len(LARGE), window=100_000)

    async def work(url: str) -> None:
        client = RangeClient("Test/1.0", tls=ours, resolve=names(localhost="127.0.0.1"))
        await client.get(url_of(url), sink, length=len(LARGE))
        await client.close()

    with RawServer(answering(reply(LARGE)), tls=theirs if secure else None) as server:
        run(work(f"http{'s' if secure else ''}://localhost:{server.port}/"))
    assert sink.body == LARGE


def test_bytes_before_the_wanted_ones_are_left_out(run: Run[Any]) -> None:
    """A server that knows no ranges sends all; what is behind the wanted ones is not read to its end."""

    class Skipping(Memory):
        def begun(self, answer: Answer, flow: BodyFlow) -> int:
            return 1000

    sink = Skipping(len(BODY))
    with RawServer(answering(reply(bytes(1000) + BODY + LARGE, status="200 OK"))) as server:
        assert run(got(server.url, sink)) == BODY


def test_the_next_address_is_asked_where_one_refuses(run: Run[Any]) -> None:
    """A name has several; also those of the other family. The last one's words are told."""
    with RawServer(answering(reply())) as server:
        url = f"http://a.example:{server.port}/"
        assert run(got(url, resolve=names(a_example="127.0.0.9 ::1 127.0.0.1"))) == BODY
        with pytest.raises(NetworkFailed, match=r"^Connection refused$") as caught:
            run(got(url, resolve=names(a_example="127.0.0.8 127.0.0.9")))
        assert caught.value.trouble is Trouble.CONNECTION

    async def nowhere(host: str, port: int) -> list[Address]:
        raise NotResolved(host, "asked for by a test")

    with pytest.raises(NotResolved, match=r"a\.example"):
        run(got("http://a.example/", resolve=nowhere))


def test_requests_come_from_where_we_are_bound(run: Run[Any]) -> None:
    """And a family in which we are bound to nothing is not spoken."""

    async def work(url: str, bind: str) -> str:
        client = RangeClient("Test/1.0", bind=(bind,))
        try:
            return (await got(url, client=client)).hex()
        finally:
            await client.close()

    callers: list[str] = []

    def script(caller: Caller) -> None:
        callers.append(caller.sock.getpeername()[0])
        answering(reply())(caller)

    with RawServer(script) as server:
        run(work(server.url, "127.0.0.5"))
        assert callers == ["127.0.0.5"]
        with pytest.raises(NetworkFailed, match="bound to no IPv4 address"):
            run(work(server.url, "::1"))
        with pytest.raises(NetworkFailed, match="Cannot assign requested address"):
            run(work(server.url, "192.0.2.1"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_with_the_range(run: Run[Any], status: int) -> None:
    """The user's headers and login go as far as his server; who answered in the end is told."""
    there: list[str] = []
    here: list[str] = []
    sink = Memory(len(BODY))

    with RawServer(noting(there)) as other:

        def script(caller: Caller) -> None:
            while head := caller.head():
                here.append(head)
                to = "/b" if "/a " in head else f"{other.url}/c"
                caller.say(moved(to).replace(b"302", str(status).encode()))

        with RawServer(script) as server:
            url = f"http://me:pw@127.0.0.1:{server.port}/a"
            assert run(got(url, sink, begin=7, headers={"X-Key": "y"}, trusted=True)) == BODY
    assert [("Range: bytes=7-" in head, "X-Key" in head, "Basic" in head) for head in here + there] == [
        (True, True, True),
        (True, True, True),
        (True, False, False),
    ]
    assert str(sink.answers[0].url) == other.url
    assert len(sink.answers) == 1


def test_a_redirect_without_a_place_is_an_answer(run: Run[Any]) -> None:
    """What to make of it is the sink's affair."""
    sink = Memory(len(BODY))
    with RawServer(answering(reply(status="302 Found"))) as server:
        run(got(server.url, sink))
    assert sink.answers[0].status == 302


def test_a_query_of_our_own_does_not_count_against_a_web_seed_nearby(run: Run[Any]) -> None:
    """BEP 17 asks with one; the URL as it was named has none."""
    with RawServer(answering(reply())) as server:
        with pytest.raises(NetworkFailed) as caught:
            run(got(f"{server.url}/x?piece=1"))
        assert caught.value.trouble is Trouble.FORBIDDEN
        assert run(got(f"{server.url}/x?piece=1", named=url_of(f"{server.url}/x"))) == BODY


def test_certificates_are_verified(run: Run[Any], tmp_path: Path) -> None:
    """By the name in the URL, not by the address that was connected to; the refusal says why, on one line."""
    theirs, ours = contexts(tmp_path)
    with RawServer(answering(reply()), tls=theirs) as server:
        resolve = names(localhost="127.0.0.1", other_example="127.0.0.1 127.0.0.1")
        assert run(got(f"https://localhost:{server.port}/", tls=ours, resolve=resolve)) == BODY
        for host, tls in (("localhost", None), ("other.example", ours)):
            with pytest.raises(NetworkFailed, match="certificate was refused: ") as caught:
                run(got(f"https://{host}:{server.port}/", tls=tls, resolve=resolve))
            assert caught.value.trouble is Trouble.TLS
            assert "\n" not in str(caught.value)
        ours.minimum_version = ssl.TLSVersion.TLSv1_3
        theirs.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(NetworkFailed, match=r"^no secure connection: "):
            run(got(f"https://localhost:{server.port}/", tls=ours, resolve=resolve))
    with RawServer(answering(reply()), tls=theirs) as server, pytest.raises(NetworkFailed):
        run(got(f"http://localhost:{server.port}/", resolve=names(localhost="127.0.0.1")))


def test_a_redirect_from_tls_into_the_open_is_not_followed(run: Run[Any], tmp_path: Path) -> None:
    """The key may be in it."""
    theirs, ours = contexts(tmp_path)
    with RawServer(answering(reply())) as plain:
        with (
            RawServer(answering(moved(f"{plain.url}/x")), tls=theirs) as server,
            pytest.raises(NetworkFailed, match="from a secure connection to an open one"),
        ):
            run(got(f"https://localhost:{server.port}/", tls=ours, resolve=names(localhost="127.0.0.1")))
        assert plain.connections == 0


@pytest.mark.parametrize("secure", [False, True])
def test_a_proxy_is_asked_for_names_and_connections(run: Run[Any], tmp_path: Path, secure: bool) -> None:
    """http by the whole URL, https through a tunnel; what is inside is judged where the URL tells its address."""
    theirs, ours = contexts(tmp_path)
    sink = Memory(len(BODY))
    with RawServer(answering(reply()), tls=theirs if secure else None) as server, ProxyServer() as proxy:
        through = url_of(proxy.url)
        url = f"{server.url.replace('127.0.0.1', 'localhost') if secure else server.url}/x"

        async def work() -> None:
            client = RangeClient("Test/1.0", proxy=through, tls=ours)
            for _ in range(2):
                assert await got(url, sink, client=client) == BODY
                sink.got = 0
            with pytest.raises(NetworkFailed) as caught:
                await got(f"{url}?y", client=client)
            assert caught.value.trouble is Trouble.FORBIDDEN
            await client.close()

        run(work())
        whom = url.partition("//")[2].partition("/")[0]
        lines = [f"CONNECT {whom} HTTP/1.1"] if secure else [f"GET {url} HTTP/1.1"] * 2  # this one hangs up each time
        assert [head.split("\r\n")[0] for head in proxy.heads] == lines
    assert sink.answers[0].address is None


def test_a_header_that_decides_how_the_reply_is_read_is_refused(run: Run[Any]) -> None:
    """Before anything is sent."""
    with RawServer(answering(reply())) as server:
        with pytest.raises(InputRefused, match="not to be chosen"):
            run(got(server.url, headers={"Range": "bytes=0-"}))
        assert server.connections == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("known", [True, False])
def test_a_proxy_that_cannot_be_reached_is_named_as_what_failed(
    run: Run[Any], tmp_path: Path, scheme: str, known: bool
) -> None:
    """Not the server, which nobody has asked."""
    _, ours = contexts(tmp_path)

    async def resolve(host: str, port: int) -> list[Address]:
        if not known:
            raise NotResolved(host, "no such name")
        return [Address("127.0.0.1", 1)]

    proxy = url_of("http://proxy.example:1")
    with pytest.raises(NetworkFailed, match=r"^the proxy: ") as caught:
        run(got(f"{scheme}://a.example/{SECRET}", proxy=proxy, tls=ours, resolve=resolve))
    assert caught.value.trouble is Trouble.CONNECTION
