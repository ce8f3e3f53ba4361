"""Servers that mean harm to whoever reads ranges: what they say is refused, and nothing of theirs outlives it."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anabranch.model import Address, InputRefused
from anabranch.net import NetworkFailed, RangeClient, Trouble, Url
from loops import Run
from net.certificates import contexts
from net.raw_server import (
    BODY,
    EVIL,
    SECRET,
    Caller,
    Memory,
    RawServer,
    Script,
    answering,
    descriptors,
    got,
    names,
    reply,
    until,
    url_of,
)
from small_servers import ProxyServer


@pytest.fixture
def no_leak(run: Run[Any]) -> Iterator[None]:
    """The test leaves no descriptor open, beside those that a first loop of a kind opens for good."""
    run(asyncio.sleep(0))
    before = descriptors()
    yield
    assert descriptors() <= before


HOSTILE_HEADS = {
    "garbage": b"\x16\x03\x01\x02\x00" + b"\xff" * 300,
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
    "no number": b"HTTP/1.1 OK\r\n\r\n",
    "short number": b"HTTP/1.1 20 OK\r\n\r\n",
    "long number": b"HTTP/1.1 2006 OK\r\n\r\n",
    "arabic number": "HTTP/1.1 \u0662\u0660\u0666 OK\r\n\r\n".encode(),
    "long line": b"HTTP/1.1 206 " + b"x" * 300_000 + b"\r\n\r\n",
    "long header": b"HTTP/1.1 206 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
    "many headers": b"HTTP/1.1 206 OK\r\n" + b"X: y\r\n" * 60_000 + b"\r\n",
    "many interim replies": b"HTTP/1.1 103 Early\r\n\r\n" * 20_000,
    "no colon": b"HTTP/1.1 206 OK\r\nContent-Length 1024\r\n\r\n",
    "two lengths": b"HTTP/1.1 206 OK\r\nContent-Length: 1024\r\nContent-Length: 5\r\n\r\n",
    "two lengths in one": b"HTTP/1.1 206 OK\r\nContent-Length: 1024, 5\r\n\r\n",
    "length and coding": b"HTTP/1.1 206 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"HTTP/1.1 206 OK\r\nContent-Length: -1\r\n\r\n",
    "signed length": b"HTTP/1.1 206 OK\r\nContent-Length: +1024\r\n\r\n",
    "length in another base": b"HTTP/1.1 206 OK\r\nContent-Length: 0x400\r\n\r\n",
    "length with a line": b"HTTP/1.1 206 OK\r\nContent-Length: 1_024\r\n\r\n",
    "arabic length": "HTTP/1.1 206 OK\r\nContent-Length: \u0661\u0660\u0662\u0664\r\n\r\n".encode(),
    "endless number": b"HTTP/1.1 206 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "unknown coding": b"HTTP/1.1 206 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "coding twice": b"HTTP/1.1 206 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    "coding in disguise": b"HTTP/1.1 206 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "packed": b"HTTP/1.1 206 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(BODY, mtime=0),
}


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize("kind", HOSTILE_HEADS)
def test_a_head_that_could_be_read_in_two_ways_or_is_none_is_refused(run: Run[Any], kind: str) -> None:
    """On one line, without the passkey; none of its body is taken."""

    def script(caller: Caller) -> None:
        caller.head()
        caller.say(HOSTILE_HEADS[kind] + BODY)

    sink = Memory(len(BODY))
    with RawServer(script) as server, pytest.raises(NetworkFailed) as caught:
        run(got(f"{server.url}/{SECRET}", sink, trusted=True))
    assert caught.value.trouble in (Trouble.PROTOCOL, Trouble.SIZE)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert sink.got == 0


HOSTILE_SIZES = {
    "negative": b"-1\r\n",
    "signed": b"+400\r\n",
    "prefixed": b"0x400\r\n",
    "none": b"\r\n",
    "no digits": b"four\r\n",
    "a line between": b"4_0\r\n",
    "spaces before": b"  400\r\n",
    "endless": b"0" * 100_000,
    "huge": b"f" * 40 + b"\r\n",
    "endless extension": b"4;" + b"x" * 300_000,
    "no end": b"4\r\nbodymore\r\n",
    "endless trailer": b"0\r\n" + b"X: y\r\n" * 60_000,
}


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize("kind", HOSTILE_SIZES)
def test_a_body_in_parts_of_no_plain_size_is_refused(run: Run[Any], kind: str) -> None:
    """Two readers that differ about where a reply ends can be set against each other; and no line is endless."""

    def script(caller: Caller) -> None:
        caller.head()
        caller.say(b"HTTP/1.1 206 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + HOSTILE_SIZES[kind])
        caller.until_gone()

    with RawServer(script) as server, pytest.raises(NetworkFailed) as caught:
        run(got(f"{server.url}/{SECRET}"))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize("how", ["close", "half", "reset"])
@pytest.mark.parametrize("after", [0, 7, 60, 60 + 500])
def test_who_hangs_up_too_early_is_told_so(run: Run[Any], how: str, after: int) -> None:
    """Whether in the head or the body, and however; what has come by then was handed on."""
    whole = reply()
    head = len(whole) - len(BODY)
    part = whole[:after] if after < 60 else whole[: head + after - 60]

    def script(caller: Caller) -> None:
        caller.head()
        caller.say(part)
        if how == "half":
            caller.sock.shutdown(socket.SHUT_WR)
            caller.until_gone()
        elif how == "reset":
            caller.reset()

    sink = Memory(len(BODY))
    with RawServer(script) as server, pytest.raises(NetworkFailed) as caught:
        run(got(f"{server.url}/{SECRET}", sink))
    assert caught.value.trouble in (Trouble.CONNECTION, Trouble.PROTOCOL)
    assert sink.body == BODY[: sink.got]
    if how != "reset":  # which throws away what was under way
        assert sink.got == max(0, after - 60)
        if sink.got:
            assert str(sink.got) in str(caught.value)
            assert str(len(BODY)) in str(caught.value)


@pytest.mark.parametrize(
    "more", [EVIL, b"\r\n", b"x", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["reply", "line", "x", "100"]
)
@pytest.mark.parametrize(
    ("when", "secure"), [("at once", False), ("with the end", False), ("with the end", True), ("soon", False)]
)
def test_a_connection_that_said_more_than_was_asked_for_is_never_used_again(
    run: Run[Any], when: str, more: bytes, secure: bool, tmp_path: Path
) -> None:
    """What it said would be taken for the answer to the next request: of another torrent, with another passkey.

    Where the last byte is received where it belongs, what is behind it waits in the kernel, or in the layer that
    deciphers it: nobody has read it yet.
    """
    theirs, ours = contexts(tmp_path)
    due = threading.Event()
    first = {"at once": reply() + more, "with the end": reply()[:-1], "soon": reply()}[when]
    then = {"at once": b"", "with the end": BODY[-1:] + more, "soon": more}[when]

    def script(caller: Caller) -> None:
        caller.head()
        if caller.number:
            caller.say(reply())
        else:
            caller.say(first)
            due.wait(5)
            caller.say(then)
        caller.until_gone()

    async def work(server: RawServer) -> None:
        client, sink = RangeClient("Test/1.0", tls=ours), Memory(len(BODY))
        task = asyncio.ensure_future(got(f"{server.url}/a", sink, client=client))
        await until(lambda: sink.got == len(BODY) - (when == "with the end"))
        due.set()
        await until(lambda: sink.got == len(BODY))
        if when == "soon":
            await asyncio.sleep(0.05)  # until it is here: the only wait for the network's own time
        assert await got(f"{server.url}/b", client=client) == await task == BODY
        await client.close()

    with RawServer(script, tls=theirs if secure else None) as server:
        run(work(server))
        assert server.connections == 2


def test_a_reply_without_a_body_ends_with_its_head(run: Run[Any]) -> None:
    """RFC 9112, 6.3: 204 and 304 have none, whatever their length says; what follows is not the next answer."""

    def script(caller: Caller) -> None:
        caller.head()
        caller.say(EVIL.replace(b"206 Partial Content", b"304 Not Modified") if not caller.number else reply())
        caller.until_gone()

    class Refusing(Memory):
        def begun(self, answer: Any, flow: Any) -> int:
            super().begun(answer, flow)
            if answer.status != 206:
                raise InputRefused(f"status {answer.status}")
            return 0

    async def work(server: RawServer) -> None:
        client = RangeClient("Test/1.0")
        with pytest.raises(InputRefused, match="status 304"):
            await got(f"{server.url}/a", Refusing(len(BODY)), client=client)
        assert await got(f"{server.url}/b", client=client) == BODY
        await client.close()

    with RawServer(script) as server:
        run(work(server))


@pytest.mark.parametrize("where", ["begun", "landing", "landed"])
def test_a_sink_that_fails_ends_its_request_only(run: Run[Any], where: str) -> None:
    """Its error comes out of get(); the next request is answered as ever."""

    class Failing(Memory):
        pass

    def fail(*_: object) -> int:
        raise InputRefused("no more of this")

    async def work(server: RawServer) -> None:
        client = RangeClient("Test/1.0")
        sink = Failing(len(BODY))
        setattr(sink, where, fail)
        with pytest.raises(InputRefused, match="no more of this"):
            await got(f"{server.url}/a", sink, client=client)
        assert await got(f"{server.url}/b", client=client) == BODY
        await client.close()

    before = descriptors()
    with RawServer(answering(reply())) as server:
        run(work(server))
    assert descriptors() <= before


def test_a_flow_that_has_ended_moves_nothing(run: Run[Any]) -> None:
    """resume() of a request that is through does not touch the one that has its connection now."""

    async def work(server: RawServer) -> None:
        client = RangeClient("Test/1.0")
        first, second = Memory(len(BODY)), Memory(len(BODY))
        await got(f"{server.url}/a", first, client=client)
        second.full = True
        task = asyncio.ensure_future(got(f"{server.url}/b", second, client=client))
        await until(lambda: second.waiting)
        assert first.flow is not None
        assert second.flow is not None
        for _ in range(3):
            first.flow.resume()
            await asyncio.sleep(0)
        assert (second.got, task.done()) == (0, False)
        second.full = False
        second.flow.resume()
        second.flow.resume()
        assert await task == BODY
        second.flow.resume()
        await client.close()
        second.flow.resume()

    with RawServer(answering(reply())) as server:
        run(work(server))


@pytest.mark.parametrize("secure", [False, True])
def test_what_came_before_the_end_is_read_after_a_wait_for_memory(run: Run[Any], secure: bool, tmp_path: Path) -> None:
    """The server is long gone when the sink has room again."""
    theirs, ours = contexts(tmp_path)
    gone = threading.Event()

    def script(caller: Caller) -> None:
        caller.head()
        caller.say(reply())
        caller.sock.close()
        gone.set()

    async def work(server: RawServer) -> None:
        client = RangeClient("Test/1.0", tls=ours)
        sink = Memory(len(BODY), window=100)
        sink.full = True
        task = asyncio.ensure_future(got(f"{server.url}/a", sink, client=client, trusted=True))
        await until(lambda: sink.waiting and gone.is_set())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        sink.full = False
        assert sink.flow is not None
        sink.flow.resume()
        assert await task == BODY
        await client.close()

    with RawServer(script, tls=theirs if secure else None) as server:
        run(work(server))


def test_a_server_that_dies_at_each_request_is_asked_twice_at_most(run: Run[Any]) -> None:
    """Once where it was new; once more where a kept connection may have been at its end."""

    def script(caller: Caller) -> None:
        caller.head()
        if not caller.number:
            caller.say(reply())
            caller.head()

    async def work(server: RawServer) -> None:
        client = RangeClient("Test/1.0")
        assert await got(f"{server.url}/a", client=client) == BODY
        with pytest.raises(NetworkFailed):
            await got(f"{server.url}/b", client=client)
        assert server.connections == 2
        with pytest.raises(NetworkFailed):
            await got(f"{server.url}/c", client=client)
        assert server.connections == 3
        await client.close()

    with RawServer(script) as server:
        run(work(server))


def test_a_kept_connection_serves_the_address_that_was_judged(run: Run[Any]) -> None:
    """A name that has moved is not asked where it was; one name's connection is not another's."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]

    async def moving(host: str, port: int) -> list[Address]:
        return [Address(one, port) for one in answers.pop(0)]

    async def work(port: int) -> list[bytes]:
        client = RangeClient("Test/1.0", resolve=moving)
        try:
            return [await got(f"http://a.example:{port}/x", client=client) for _ in range(2)]
        finally:
            await client.close()

    with RawServer(answering(reply())) as one, RawServer(answering(EVIL), "127.0.0.2", one.port):
        assert run(work(one.port)) == [BODY, b"\xee" * len(BODY)]


def test_a_connection_that_was_secure_for_one_name_is_not_used_for_another(run: Run[Any], tmp_path: Path) -> None:
    """Its certificate proved that name only."""
    theirs, ours = contexts(tmp_path)

    async def work(port: int) -> None:
        client = RangeClient("Test/1.0", tls=ours, resolve=names(localhost="127.0.0.1", other_example="127.0.0.1"))
        assert await got(f"https://localhost:{port}/x", client=client) == BODY
        with pytest.raises(NetworkFailed) as caught:
            await got(f"https://other.example:{port}/x", client=client)
        assert caught.value.trouble is Trouble.TLS
        await client.close()

    before = descriptors()
    with RawServer(answering(reply()), tls=theirs) as server:
        run(work(server.port))
    assert descriptors() <= before


def stalling(stage: str, reached: threading.Event) -> Script:
    def script(caller: Caller) -> None:
        if stage != "request":
            caller.head()
        if stage == "head":
            caller.say(reply()[:20])
        elif stage == "body":
            caller.say(reply()[:-100])
        reached.set()
        caller.until_gone()

    return script


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize("way", ["plain", "secure", "proxied"])
@pytest.mark.parametrize("stage", ["request", "answer", "head", "body"])
def test_who_is_cancelled_leaves_nothing_open(run: Run[Any], stage: str, way: str, tmp_path: Path) -> None:
    """At whatever the server is silent: TLS, which does not come about, the answer, its head, its body."""
    theirs, ours = contexts(tmp_path)
    reached = threading.Event()

    async def work(url: str, proxy: Url | None) -> None:
        client = RangeClient("Test/1.0", tls=ours, proxy=proxy, mitigate=False)
        sink = Memory(len(BODY))
        task = asyncio.ensure_future(got(url, sink, client=client, trusted=True))
        await until(lambda: reached.is_set() and (stage != "body" or sink.got == len(BODY) - 100))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        landed = sink.got
        await asyncio.sleep(0)
        assert sink.got == landed
        await client.close()

    tls = theirs if way == "secure" and stage != "request" else None
    with ProxyServer() as proxy, RawServer(stalling(stage, reached), tls=tls) as server:
        url = server.url.replace("http:", "https:") if way == "secure" else server.url
        run(work(f"{url}/x", url_of(proxy.url) if way == "proxied" else None))


def test_a_cancel_at_any_moment_leaves_the_client_as_it_was(run: Run[Any]) -> None:
    """After so many turns of the loop, for every count until it is through; the next request gets its own answer."""

    async def work(server: RawServer) -> int:
        client = RangeClient("Test/1.0", resolve=names(a_example="127.0.0.1"))
        url = f"http://a.example:{server.port}"
        for turns in range(200):
            task = asyncio.ensure_future(got(f"{url}/{turns}", client=client))
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.done():
                assert task.result() == BODY
                if turns > 30:
                    break
                continue
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await got(f"{url}/after", client=client) == BODY
        await client.close()
        return turns

    before = descriptors()
    with RawServer(answering(reply())) as server:
        run(work(server))
    assert descriptors() <= before


@pytest.mark.usefixtures("no_leak")
def test_who_closes_the_client_ends_what_is_under_way(run: Run[Any]) -> None:
    """And what is kept; nothing of it is left to the garbage collector."""
    reached = threading.Event()

    async def work(silent: RawServer, good: RawServer) -> None:
        client = RangeClient("Test/1.0")
        assert await got(f"{good.url}/x", client=client) == BODY
        task = asyncio.ensure_future(got(f"{silent.url}/x", client=client))
        await until(reached.is_set)
        await client.close()
        with pytest.raises((NetworkFailed, asyncio.CancelledError)):
            await asyncio.wait_for(task, 5)

    with RawServer(stalling("answer", reached)) as silent, RawServer(answering(reply())) as good:
        run(work(silent, good))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 60_000,
        b"HTTP/1.1 407 Who is s3cret99?\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\n\r\nbytes before any TLS",
    ],
    ids=["hangs up", "garbage", "long", "407", "502", "bytes"],
)
@pytest.mark.usefixtures("no_leak")
def test_a_proxy_that_does_not_connect_us_is_told_so(run: Run[Any], tmp_path: Path, answer: bytes) -> None:
    """Without its login, and without asking anybody past it."""
    _, ours = contexts(tmp_path)
    heads: list[str] = []

    def script(caller: Caller) -> None:
        heads.append(caller.head())
        caller.say(answer)
        if answer.endswith(b"TLS"):
            caller.until_gone()

    with RawServer(script) as proxy, RawServer(answering(reply())) as server:
        through = url_of(f"http://me:s3cret99@127.0.0.1:{proxy.port}")
        with pytest.raises(NetworkFailed) as caught:
            run(got(f"https://a.example:{server.port}/{SECRET}", proxy=through, tls=ours))
        assert server.connections == 0
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert heads[0].startswith(f"CONNECT a.example:{server.port} HTTP/1.1\r\n")
    assert SECRET not in heads[0]
