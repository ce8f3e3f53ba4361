"""How a node comes to know others."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest

from anabranch.dht import BOOTSTRAP, Contact, Dht, bootstrap_io
from anabranch.dht.remembering import Remembered, encode_nodes
from anabranch.model import Address, InputRefused
from anabranch.net import Datagrams, NotResolved, udp_socket
from dht.waiting import until
from loops import Run


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second and five minutes are over soon."""
    monkeypatch.setattr(bootstrap_io, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(bootstrap_io, "MOST_PAUSE", 0.008)
    monkeypatch.setattr(bootstrap_io, "CHECK_EVERY", 0.001)


class Names:
    """Who knows the addresses of names, and which ones were asked for."""

    def __init__(self, **known: Sequence[Address]) -> None:
        self.known: dict[str, Sequence[Address]] = dict(known)
        self.asked: list[str] = []
        self.wanted = asyncio.Event()

    async def resolve(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        if len(self.asked) >= 8:
            self.wanted.set()
        if host not in self.known:
            raise NotResolved(host, "nobody knows it")
        return list(self.known[host])


@asynccontextmanager
async def running(host: str, **options: Any) -> AsyncIterator[tuple[Dht, Address]]:
    datagrams = Datagrams(udp_socket(host))
    dht = Dht([datagrams], **{"clock": monotonic, "bootstrap": (), **options})
    task = asyncio.create_task(dht.run())
    try:
        yield dht, datagrams.address
    finally:
        dht.close()
        await task
        datagrams.close()


def test_hosts_are_found_by_their_names(run: Run[Any]) -> None:
    """Those that we can reach: not the other family's, and nobody elsewhere from this machine alone."""

    async def work() -> None:
        async with running("127.0.0.1") as (first, there):
            names = Names(a=[Address("::1", 1), Address("20.1.2.3", 6881), there], b=[there])
            async with running("127.0.0.1", bootstrap=["a:1", "b:2", "c:3"], resolve=names.resolve) as (dht, _):
                assert await dht.ready(10)
                assert names.asked == ["a", "b", "c"]
                assert dht.stats().unresolved == 1
                assert dht.stats().counted.asked - dht.stats().counted.replies <= 1
                await until(lambda: first.nodes > 0)  # it was asked, and asks back

    run(work())


def test_the_hosts_that_everybody_knows_are_not_looked_up_from_this_machine_alone(run: Run[Any], hurried: None) -> None:
    """A test, or a swarm on one machine, tells the world nothing. Others that the user names are looked up."""

    async def work() -> None:
        names = Names()
        async with running("127.0.0.1", bootstrap=[*BOOTSTRAP, "lan:1"], resolve=names.resolve):
            await names.wanted.wait()
        assert set(names.asked) == {"lan"}

    run(work())


def test_who_is_alone_asks_again_with_growing_pauses(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """1, 2, 4 seconds and so on, up to five minutes. Failing is quiet, and counted."""

    async def work() -> None:
        names = Names()
        pauses: list[float] = []
        sleep = asyncio.sleep

        async def hurry(seconds: float) -> None:
            pauses.append(seconds)
            await sleep(0)

        async with running("127.0.0.1", bootstrap=["lan:1"], resolve=names.resolve) as (dht, _):
            monkeypatch.setattr(asyncio, "sleep", hurry)
            await until(lambda: len(pauses) > 10)
            assert dht.stats().unresolved >= 10
            monkeypatch.undo()
        assert pauses[:11] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]

    run(work())


def test_names_are_looked_up_only_where_the_nodes_of_the_last_run_do_not_suffice(
    run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap_io, "ENOUGH", 1)

    async def work() -> None:
        names = Names()
        async with running("127.0.0.1") as (_, there):
            async with running("127.0.0.1", bootstrap=[str(there)]) as (dht, _):
                assert await dht.ready(10)
                saved = dht.saved()
            options = {"saved": saved, "bootstrap": ["lan:1"], "resolve": names.resolve}
            async with running("127.0.0.1", **options) as (dht, _):
                assert await dht.ready(10)
                assert (await dht.find_node(bytes(20))).answered == 1
        assert names.asked == []

    run(work())


def test_hosts_are_asked_soon_where_those_of_the_last_run_are_silent(
    run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of hundreds may be waited for in vain; it is not waited for the last of them."""
    monkeypatch.setattr(bootstrap_io, "KNOWN_PATIENCE", 0.01)

    async def work() -> None:
        silent = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
        for sock in silent:
            sock.bind(("127.0.0.1", 0))
        known = tuple(Contact(os.urandom(20), Address(*sock.getsockname())) for sock in silent)
        saved = encode_nodes([Remembered("127.0.0.1", os.urandom(20), known)])
        async with running("127.0.0.1") as (_, there):
            names = Names(lan=[there])
            options = {"saved": saved, "bootstrap": ["lan:1"], "resolve": names.resolve}
            async with running("127.0.0.1", **options):
                await until(lambda: names.asked == ["lan"])
        for sock in silent:
            sock.close()

    run(work())


def test_a_small_network_does_not_ask_for_more_all_the_time(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who knows somebody, if few, asks every five minutes."""

    async def work() -> None:
        pauses: list[float] = []

        async def forever(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio, "sleep", forever)
        async with running("127.0.0.1") as (_, there):
            await until(lambda: pauses == [1])  # the first one knows nobody yet
            async with running("127.0.0.1", bootstrap=[str(there)]):
                await until(lambda: len(pauses) == 2)
        assert pauses == [1, 300]

    run(work())


def test_nodes_are_told_by_address_and_by_name(run: Run[Any]) -> None:
    """BEP 5: PORT messages, and `nodes` of torrents. Those that nobody can reach are passed over."""

    async def work() -> None:
        names = Names()
        async with running("127.0.0.1") as (_, one), running("127.0.0.1") as (_, other):
            names.known["node.lan"] = [other]
            async with running("127.0.0.1", resolve=names.resolve) as (dht, _):
                for host in ("::1", "20.1.2.3", "224.0.0.1"):
                    dht.add_node(host, 6881)
                dht.add_node("unknown.lan", 1)
                dht.add_node(*one)
                dht.add_node("node.lan", 1)
                await until(lambda: dht.nodes == 2)
                assert names.asked == ["unknown.lan", "node.lan"]
                assert dht.stats().counted.asked <= 8

    run(work())


def test_names_that_wait_to_be_looked_up_are_bounded(run: Run[Any]) -> None:
    """Whoever writes a torrent may name as many as he likes."""

    async def work() -> None:
        names = Names()
        async with running("127.0.0.1", resolve=names.resolve) as (dht, _):
            for number in range(1000):
                dht.add_node(f"host{number}.example", 1)
            await names.wanted.wait()
            await until(lambda: dht.stats().unresolved == bootstrap_io.MOST_NAMES)
        assert len(names.asked) == bootstrap_io.MOST_NAMES

    run(work())


def test_a_resolver_that_does_not_answer_holds_up_nothing(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap_io, "NAME_PATIENCE", 0.01)

    async def work() -> None:
        async def never(host: str, port: int) -> list[Address]:
            await asyncio.Event().wait()
            return []

        async with running("127.0.0.1", bootstrap=["lan:1"], resolve=never) as (dht, _):
            await until(lambda: dht.stats().unresolved > 0)

    run(work())


@pytest.mark.parametrize("host", ["host", "host:0", "host:99999", "::1:6881", ""])
def test_a_host_without_a_port_is_refused(run: Run[Any], host: str) -> None:
    async def work() -> None:
        with pytest.raises(InputRefused):
            Dht([], clock=monotonic, bootstrap=[host])

    run(work())
