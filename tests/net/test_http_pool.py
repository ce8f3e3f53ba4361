"""Connections that are kept: how many, for whom, and that none is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from anabranch.model import Address
from anabranch.net import HttpClient, NetworkFailed, RangeClient, Trouble, http_pool_io, parse_url
from anabranch.net.http_pool_io import MOST_KEPT_FOR_ONE
from loops import Run
from net.raw_server import BODY, Caller, Memory, RawServer, answering, descriptors, names, reply, until

GOOD = reply(b"body", status="200 OK")
LIMIT = 10_000


@pytest.fixture
def no_leak(run: Run[Any]) -> Iterator[None]:
    """The test leaves no descriptor open, beside those that a first loop of a kind opens for good."""
    run(asyncio.sleep(0))
    before = descriptors()
    yield
    assert descriptors() <= before


async def get(client: HttpClient, url: str) -> bytes:
    return (await client.get(url, timeout=10, limit=LIMIT)).body


@pytest.mark.usefixtures("no_leak")
def test_few_connections_are_kept_for_one_server(run: Run[Any]) -> None:
    """However many requests there were at once; those that are not kept are closed."""

    gone: list[int] = []

    def script(caller: Caller) -> None:
        while caller.head():
            caller.say(GOOD)
        gone.append(caller.number)

    async def work(server: RawServer) -> None:
        client = HttpClient("Test/1.0")
        for _ in range(2):
            async with asyncio.TaskGroup() as group:
                for _ in range(3 * MOST_KEPT_FOR_ONE):
                    group.create_task(get(client, server.url))
            await until(lambda: server.connections - len(gone) <= MOST_KEPT_FOR_ONE)
        await get(client, server.url)
        await client.close()

    with RawServer(script) as server:
        run(work(server))
        assert server.connections == 5 * MOST_KEPT_FOR_ONE


@pytest.mark.usefixtures("no_leak")
def test_of_all_connections_the_one_used_least_recently_goes(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of trackers are no reason for thousands of descriptors."""
    monkeypatch.setattr(http_pool_io, "MOST_KEPT", 3)
    gone: list[int] = []

    def script(caller: Caller) -> None:
        while caller.head():
            caller.say(GOOD)
        gone.append(caller.sock.getsockname()[1])

    async def work(servers: list[RawServer]) -> None:
        client = HttpClient("Test/1.0")
        for server in servers[:3]:
            await get(client, server.url)
        await get(client, servers[0].url)
        await get(client, servers[3].url)
        await until(lambda: bool(gone))
        assert gone == [servers[1].port]
        for server in (servers[0], servers[2], servers[3]):
            await get(client, server.url)
        assert [server.connections for server in servers] == [1] * 4
        await client.close()

    with ExitStack() as stack:
        run(work([stack.enter_context(RawServer(script)) for _ in range(4)]))


@pytest.mark.usefixtures("no_leak")
def test_whatever_ends_a_request_leaves_no_descriptor(run: Run[Any]) -> None:
    """Refusals, silence, nonsense, half a reply, a cancel, a redirect in circles."""
    in_circles = reply(b"", "Location: /x", status="302 Moved")
    replies = [b"", b"nonsense\r\n", GOOD[:-2], in_circles, reply(bytes(2 * LIMIT)), None]

    def script(caller: Caller) -> None:
        said = replies[caller.number % len(replies)]
        while caller.head():
            if said is None:
                caller.until_gone()
                return
            caller.say(said)
            if said == GOOD[:-2] or not said:
                return

    async def work(server: RawServer) -> None:
        client, before = HttpClient("Test/1.0"), descriptors()
        for _ in range(3 * len(replies)):
            with pytest.raises(NetworkFailed):
                await client.get(f"{server.url}/", timeout=0.05, limit=LIMIT)
        await client.close()
        await until(lambda: descriptors() <= before + 2)  # the server's own, for a moment

    with RawServer(script) as server:
        run(work(server))


@pytest.mark.parametrize("ranged", [False, True])
def test_who_has_no_name_sends_none(run: Run[Any], ranged: bool) -> None:
    """Neither to trackers nor to web seeds."""
    heads: list[str] = []

    def script(caller: Caller) -> None:
        while head := caller.head():
            heads.append(head)
            caller.say(reply())

    async def work(server: RawServer) -> None:
        if ranged:
            ranges = RangeClient("")
            await ranges.get(parse_url(server.url, ("http",)), Memory(len(BODY)), length=len(BODY))
            await ranges.close()
        else:
            client = HttpClient("")
            await get(client, server.url)
            await client.close()

    with RawServer(script) as server:
        run(work(server))
    assert len(heads) == 1
    assert "agent" not in heads[0].lower()


def test_a_host_that_cannot_be_connected_to_is_told_of(run: Run[Any]) -> None:
    """What is remembered of its name may be old. A host that answers, however badly, is where it was."""
    forgotten: list[str] = []
    resolve = names(a_example="127.0.0.1 ::1")

    async def work(url: str) -> None:
        client = HttpClient("Test/1.0", resolve=resolve, forget=forgotten.append)
        with pytest.raises(NetworkFailed):
            await client.get(url, timeout=10, limit=LIMIT)
        await client.close()

    with RawServer(answering(b"nonsense\r\n\r\n")) as server:
        url = f"http://a.example:{server.port}/"
        run(work(url))
        assert forgotten == []
    run(work(url))
    assert forgotten == ["a.example"]


def test_a_login_stays_with_its_server(run: Run[Any]) -> None:
    """Also where a redirect leaves it out; and goes to no other."""
    heads: list[str] = []

    def script(caller: Caller) -> None:
        port = caller.sock.getsockname()[1]
        following = {"/a": f"http://127.0.0.1:{port}/b", "/b": f"http://b.example:{port}/c"}
        while head := caller.head():
            heads.append(head)
            there = following.get(head.split(" ")[1])
            caller.say(reply(b"", f"Location: {there}", status="302 Moved") if there else GOOD)

    async def work(server: RawServer) -> None:
        client = HttpClient("Test/1.0", resolve=names(b_example="127.0.0.1"))
        await get(client, f"http://me:pass@127.0.0.1:{server.port}/a")
        await client.close()

    with RawServer(script) as server:
        run(work(server))
    assert ["Authorization" in head for head in heads] == [True, True, False]


def test_what_came_unseen_by_the_loop_is_no_answer_either(run: Run[Any]) -> None:
    """The system knows of it before the loop does, which may be busy with something else until the next request."""
    asked, said = threading.Event(), threading.Event()

    def script(caller: Caller) -> None:
        while caller.head():
            caller.say(GOOD)
            if not caller.number:
                asked.wait(5)
                caller.say(reply(b"evil", status="200 OK"))
                said.set()

    async def work(server: RawServer) -> list[bytes]:
        client = HttpClient("Test/1.0")
        replies = [await get(client, server.url)]
        asked.set()
        said.wait(5)  # so is the loop
        replies.append(await get(client, server.url))
        await client.close()
        return replies

    with RawServer(script) as server:
        assert run(work(server)) == [b"body", b"body"]
        assert server.connections == 2


def test_a_redirect_leads_to_no_other_family_than_was_asked_for(run: Run[Any]) -> None:
    """Who asks a tracker over IPv4 wants to be seen there with that address."""

    async def work(server: RawServer) -> None:
        client = HttpClient("Test/1.0", resolve=names(b_example="::1"))
        try:
            to = [Address("127.0.0.1", server.port)]
            await client.get(f"http://a.example:{server.port}/", timeout=10, limit=LIMIT, to=to)
        finally:
            await client.close()

    moved = reply(b"", "Location: http://b.example:9/", status="302 Moved")
    with RawServer(answering(moved)) as server, pytest.raises(NetworkFailed, match="no address of a family"):
        run(work(server))


def test_what_was_named_is_no_excuse_for_where_a_redirect_leads(run: Run[Any]) -> None:
    """A query of ours does not count, one of the server's does."""
    named, query = "/x", "/x?ours"

    async def work(server: RawServer) -> None:
        ranges = RangeClient("Test/1.0")
        try:
            url, plain = (parse_url(server.url + target, ("http",)) for target in (query, named))
            await ranges.get(url, Memory(len(BODY)), length=len(BODY), named=plain)
        finally:
            await ranges.close()

    moved = reply(b"", "Location: /reboot?now", status="302 Moved")
    with RawServer(answering(moved)) as server, pytest.raises(NetworkFailed, match="no URL with a query"):
        run(work(server))


def test_a_reply_that_will_be_too_long_is_not_waited_for(run: Run[Any]) -> None:
    """Its length tells at once."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (LIMIT + 1)
    with RawServer(answering(head)) as server, pytest.raises(NetworkFailed, match="longer than") as caught:
        run(get_once(server.url))
    assert caught.value.trouble is Trouble.SIZE


async def get_once(url: str) -> bytes:
    client = HttpClient("Test/1.0")
    try:
        return await get(client, url)
    finally:
        await client.close()
