"""A DHT of a few nodes of ours on loopback, on a thread of its own, for who asks it from without."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from anabranch.dht import Dht
from anabranch.model import Address
from anabranch.net import Datagrams, udp_socket

_T = TypeVar("_T")
_PATIENCE = 20  # seconds until a test gives up; no rule


class Nodes:
    """Nodes that know each other.

    Attributes:
        addresses: Where they are; the first is where others enter.
    """

    def __init__(self, hosts: list[str]) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._end = asyncio.Event()
        self._dhts: list[Dht] = []
        self.addresses: list[Address] = []
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._live(hosts),), daemon=True)
        self._thread.start()
        assert self._ready.wait(_PATIENCE), "the nodes do not find each other"

    @property
    def entry(self) -> str:
        """HOST:PORT of one of them."""
        return str(self.addresses[0])

    def call(self, work: Callable[[Dht], Awaitable[_T]], node: int = -1) -> _T:
        """Have a node do something."""

        async def run() -> _T:
            return await work(self._dhts[node])

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_PATIENCE)

    def close(self) -> None:
        """End all of them."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_PATIENCE)
        self._loop.close()

    async def _live(self, hosts: list[str]) -> None:
        clock = self._loop.time
        async with asyncio.TaskGroup() as group:
            opened = [Datagrams(udp_socket(host)) for host in hosts]
            self.addresses = [one.address for one in opened]
            entry = (self.entry,)
            self._dhts = [
                Dht([one], clock=clock, bootstrap=entry if number else ()) for number, one in enumerate(opened)
            ]
            for dht in self._dhts:
                group.create_task(dht.run())
            for dht in self._dhts[1:]:
                assert await dht.ready(_PATIENCE)
                await dht.find_node(bytes(20))  # and so they meet
            self._ready.set()
            await self._end.wait()
            for dht, datagrams in zip(self._dhts, opened, strict=True):
                dht.close()
                datagrams.close()


@contextmanager
def dht_nodes(count: int, network: str) -> Iterator[Nodes]:
    """So many nodes at *network*.1, *network*.2 ... for the length of a block."""
    nodes = Nodes([f"{network}.{number}" for number in range(1, count + 1)])
    try:
        yield nodes
    finally:
        nodes.close()
