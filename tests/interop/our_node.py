"""Our DHT node as one side of a test that is no coroutine: on a loop in a thread of its own, one or both families."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self, TypeVar

from anabranch.dht import Dht
from anabranch.model import Address
from anabranch.net import Datagrams, udp_socket

Told = TypeVar("Told")
_PATIENCE = 30.0  # seconds; a look-up in which somebody is silent takes 15


class OurNode:
    """A node that knows those it is told of, from `with` to the end of the block.

    Args:
        hosts: Loopback addresses, one for each node.
        settings: Words of Dht beside those.
    """

    def __init__(self, *hosts: str, **settings: Any) -> None:
        self._hosts = hosts
        self._settings = {"bootstrap": (), **settings}
        self._ready = Event()

    def __enter__(self) -> Self:
        self._thread = Thread(target=lambda: asyncio.run(self._live()), name="our node", daemon=True)
        self._thread.start()
        assert self._ready.wait(_PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self.dht.close)
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive()

    def ask(self, question: Callable[[Dht], Coroutine[Any, Any, Told]]) -> Told:
        """Wait for what one of its coroutines finds."""
        return asyncio.run_coroutine_threadsafe(question(self.dht), self._loop).result(_PATIENCE)

    def see(self, what: Callable[[Dht], Told]) -> Told:
        """What a plain function of it tells, called in its thread."""

        async def seen(dht: Dht) -> Told:
            return what(dht)

        return self.ask(seen)

    def meet(self, host: str, port: int) -> bytes:
        """Ping a node, which brings it into the table, and tell its id."""
        return self.ask(lambda dht: dht.ping(Address(host, port))).id

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        sockets = [Datagrams(udp_socket(host)) for host in self._hosts]
        self.addresses: list[Address] = [each.address for each in sockets]
        self.dht = Dht(sockets, clock=self._loop.time, **self._settings)
        self._ready.set()
        try:
            await self.dht.run()
        finally:
            for each in sockets:
                each.close()
