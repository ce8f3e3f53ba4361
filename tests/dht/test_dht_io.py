"""The DHT on a loop, with real datagrams over loopback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

import pytest

from anabranch.dht import (
    Announcing,
    Contact,
    Dht,
    DhtFault,
    Item,
    Looked,
    new_key,
    public_key,
    sign,
)
from anabranch.model import Address, canonical_host
from anabranch.net import Datagrams, udp_socket
from loops import Run

HASH = b"h" * 20
AT_ALL = ("127.0.0.1", "::1")


async def no_names(host: str, port: int) -> list[Address]:
    """Addresses only: to look a name up is a mistake."""
    return [Address(canonical_host(host), port)]


@asynccontextmanager
async def running(*hosts: str, **options: Any) -> AsyncIterator[Dht]:
    """A DHT of a node at each host, closed in the end."""
    sockets = [Datagrams(udp_socket(host)) for host in hosts]
    dht = Dht(sockets, **{"clock": monotonic, "bootstrap": (), "resolve": no_names, **options})
    task = asyncio.create_task(dht.run())
    try:
        yield dht
    finally:
        dht.close()
        await task
        for datagrams in sockets:
            datagrams.close()


def at(dht: Dht) -> list[Address]:
    """Where its nodes are."""
    return [node.address for node in dht.stats().nodes]


@asynccontextmanager
async def three(*hosts: str) -> AsyncIterator[tuple[Dht, Dht, Dht]]:
    """Three that know each other, by way of the first."""
    async with running(*hosts) as first:
        known = [str(address) for address in at(first)]
        async with running(*hosts, bootstrap=known) as second, running(*hosts, bootstrap=known) as third:
            for dht in (second, third, first):
                assert await dht.ready(10)
            while min(first.nodes, second.nodes, third.nodes) < 2 * len(hosts):
                for dht in (first, second, third):
                    await dht.find_node(HASH)
                await asyncio.sleep(0.01)
            yield first, second, third


@pytest.mark.parametrize("hosts", [("127.0.0.1",), ("::1",), AT_ALL])
def test_who_announces_itself_is_found(run: Run[Any], hosts: tuple[str, ...]) -> None:
    """By IPv4, by IPv6, and by both, where the answers of both come as one."""

    async def work() -> None:
        async with three(*hosts) as (_, second, third):
            announced = await second.get_peers(HASH, announce=Announcing(4321, implied=False))
            assert announced.stored == 2 * len(hosts)
            assert announced.peers == ()
            told: list[Address] = []
            found = await third.get_peers(HASH, heard=told.extend)
            assert set(found.peers) == set(told) == {Address(host, 4321) for host in hosts}
            assert found.answered == found.asked == 2 * len(hosts)
            nearest = [int.from_bytes(contact.id, "big") ^ int.from_bytes(HASH, "big") for contact in found.closest]
            assert nearest == sorted(nearest)

    run(work())


def test_a_search_tells_while_it_goes_on_and_then_its_end(run: Run[Any]) -> None:
    async def work() -> None:
        async with three("127.0.0.1") as (_, second, third):
            await second.get_peers(HASH, announce=Announcing(4321, implied=True))
            told: list[object] = []
            ended = asyncio.Event()

            def done(looked: Looked) -> None:
                told.append(looked.peers)
                ended.set()

            third.search(HASH, told.append, done)
            assert told == []
            await ended.wait()
            assert told == [at(second), tuple(at(second))]

    run(work())


def test_items_of_both_kinds_are_stored_and_found(run: Run[Any]) -> None:
    """BEP 44. A newer version replaces the older one, unless somebody was faster."""

    async def work() -> None:
        key = new_key()
        async with three(*AT_ALL) as (first, second, third):
            stored = await first.put(Item([b"any", {b"value": 1}]))
            assert (stored.stored, stored.refused) == (4, ())
            found = (await second.get(Item([b"any", {b"value": 1}]).target)).item
            assert found is not None
            assert found.value == [b"any", {b"value": 1}]
            await first.put(sign(b"one", key, b"salt", 1))
            await second.put(sign(b"two", key, b"salt", 2), cas=1)
            for asked in ({"key": public_key(key)}, {"target": sign(b"", key, b"salt").target}):
                item = (await third.get(**{"target": b"", "salt": b"salt", **asked})).item
                assert item == sign(b"two", key, b"salt", 2)
            assert (await third.get(public_key(key)[:20])).item is None
            late = await third.put(sign(b"three", key, b"salt", 3), cas=1)
            assert len(late.refused) == 2  # the first one has the second version; the second one has its own not

    run(work())


def test_single_nodes_are_asked_too(run: Run[Any]) -> None:
    async def work() -> None:
        async with running(*AT_ALL) as one, running(*AT_ALL) as other:
            for address, node in zip(at(one), one.stats().nodes, strict=True):
                pong = await other.ping(address)
                assert (pong.id, pong.address, pong.external) == (node.id, address, address.host)
            samples = await other.sample(at(one)[0], HASH)
            assert (samples.hashes, samples.total) == ((), 0)
            with pytest.raises(DhtFault):
                await other.ping(Address("127.0.0.1", 9))  # nobody is there; where ICMP is heard that is known at once
            with pytest.raises(DhtFault, match="no socket of ours"):
                await other.ping(Address("20.1.2.3", 6881))

    run(work())


def test_who_knows_nobody_says_so(run: Run[Any]) -> None:
    async def work() -> None:
        async with running("127.0.0.1") as dht:
            assert not await dht.ready(0.01)
            for asking in (dht.find_node(HASH), dht.get_peers(HASH), dht.get(HASH), dht.put(Item(1))):
                with pytest.raises(DhtFault, match="no node of the DHT is known"):
                    await asking
            assert dht.nodes == 0

    run(work())


def test_a_later_run_has_the_same_ids_and_asks_who_was_known(run: Run[Any]) -> None:
    """No name is looked up for it. Who knew somebody and finds nobody keeps what it had."""

    async def work() -> None:
        async with running("127.0.0.1") as first:
            async with running("127.0.0.1", bootstrap=[str(at(first)[0])]) as second:
                assert await second.ready(10)
                saved, before = second.saved(), second.stats()
            async with running("127.0.0.1", saved=saved) as again:
                assert await again.ready(10)
                assert again.stats().nodes[0].id == before.nodes[0].id
                assert (await again.find_node(HASH)).answered == 1
        async with running("127.0.0.1", saved=saved) as alone:
            assert alone.saved() == saved
            assert not await alone.ready(0.05)
            assert alone.saved() == saved

    run(work())


def test_a_line_that_is_down_in_the_end_does_not_cost_what_was_known(run: Run[Any]) -> None:
    """What is refused or unanswered leaves the table within minutes: the next run begins with those who were in it."""

    async def work() -> None:
        async with running("127.0.0.1") as second:
            async with running("127.0.0.1") as first:
                (there,) = at(first)
                second.add_node(*there)
                assert await second.ready(10)
                saved = second.saved()
            while second.nodes:  # nobody listens there now, and the system says so
                with suppress(DhtFault):
                    await second.ping(there)
            assert second.saved() == saved

    run(work())


def test_what_was_saved_and_cannot_be_read_is_left_out(run: Run[Any], caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with running("127.0.0.1", saved=b"d3:bade") as dht:
            assert dht.nodes == 0

    caplog.set_level(logging.INFO)
    run(work())
    assert "saved DHT nodes left out" in caplog.text


def test_closing_ends_what_is_under_way(run: Run[Any]) -> None:
    """Whoever waits is told; asking afterwards is answered at once. Closing again is harmless, running too."""

    async def work() -> None:
        async with running("127.0.0.1") as silent, running("127.0.0.1", banned=lambda host: False) as dht:
            silent.close()  # its socket is open: nobody says that nobody is there
            dht.add_node(*at(silent)[0])
            asking = [
                asyncio.create_task(dht.ping(at(silent)[0])),
                asyncio.create_task(dht.sample(at(silent)[0], HASH)),
            ]
            told: list[Looked] = []
            await asyncio.sleep(0)
            dht.close()
            dht.close()
            await dht.run()
            for task in asking:
                with pytest.raises(DhtFault, match="cancelled"):
                    await task
            with pytest.raises(DhtFault, match="closed"):
                await dht.ping(at(silent)[0])
            with pytest.raises(DhtFault, match="no node"):
                await dht.find_node(HASH)
            dht.search(HASH, lambda _: None, told.append).cancel(monotonic())
            assert told == []
            await asyncio.sleep(0)
            assert told == [Looked(HASH)]

    run(work())


def test_who_gives_up_waiting_ends_the_question(run: Run[Any]) -> None:
    async def work() -> None:
        async with running("127.0.0.1") as silent, running("127.0.0.1") as dht:
            silent.close()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(dht.ping(at(silent)[0]), 0.01)
            assert not dht._open

    run(work())


def test_a_search_that_is_cancelled_tells_what_it_found(run: Run[Any]) -> None:
    async def work() -> None:
        async with three(*AT_ALL) as (_, _, third):
            told: list[Looked] = []
            third.search(HASH, lambda _: None, told.append).cancel(monotonic())
            assert [looked.target for looked in told] == [HASH]
            assert not third._open

    run(work())


def test_who_only_asks_answers_nobody(run: Run[Any]) -> None:
    """BEP 43."""

    async def work() -> None:
        async with running("127.0.0.1") as first, running("127.0.0.1", read_only=True) as quiet:
            quiet.add_node(*at(first)[0])
            assert await quiet.ready(10)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(first.ping(at(quiet)[0]), 0.05)
            assert first.nodes == 0
            assert quiet.stats().counted.dropped == {"read only": 1}

    run(work())


def test_hooks_see_queries_and_announces_and_who_is_banned_is_not_heard(run: Run[Any]) -> None:
    async def work() -> None:
        methods: list[str] = []
        announced: list[tuple[bytes, Address]] = []

        def query(method: str, who: Contact) -> bool:
            methods.append(method)
            return method != "sample_infohashes"

        async with (
            running("127.0.0.1", on_query=query, on_announce=lambda *what: announced.append(what)) as first,
            running("127.0.0.1", bootstrap=[str(at(first)[0])]) as second,
            running("127.0.0.1", banned=lambda host: host == "127.0.0.1") as deaf,
        ):
            await second.ready(10)
            await second.get_peers(HASH, announce=Announcing(77, implied=False))
            assert announced == [(HASH, Address("127.0.0.1", 77))]
            assert {"find_node", "get_peers", "announce_peer"} <= set(methods)
            for asking in (second.sample(at(first)[0], HASH), second.ping(at(deaf)[0])):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asking, 0.05)

    run(work())


def test_statistics_tell_of_every_node(run: Run[Any]) -> None:
    async def work() -> None:
        async with three(*AT_ALL) as (first, second, _):
            await second.get_peers(HASH, announce=Announcing(77))
            await second.put(Item(b"value"))
            v4, v6 = first.stats().nodes
            assert (v4.address.host, v6.address.host) == AT_ALL
            for node in (v4, v6):
                assert (node.good, node.known, node.torrents, node.peers, node.items) == (2, 2, 1, 1, 1)
            counted = first.stats().counted
            assert counted.queries["announce_peer"] == counted.queries["put"] == 2
            assert counted.bytes_in > 0

    run(work())


def test_without_a_socket_there_is_nobody_to_ask(run: Run[Any]) -> None:
    async def work() -> None:
        async with running() as dht:
            with pytest.raises(DhtFault):
                await dht.find_node(HASH)
            assert dht.nodes == 0
            assert dht.saved() == b"le"

    run(work())
