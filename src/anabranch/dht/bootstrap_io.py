"""How a node comes to know others, and does so again when all of them are gone.

First come those that an earlier run knew, then hosts that everybody knows; their names are looked up when they are
needed and not before. Where nobody can be found the pauses grow: to be alone is nothing unusual on a train.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from anabranch.model import Address, split_host_port
from anabranch.net import NotResolved, Resolve

from .contacts import Contact
from .operations import Looked
from .side_io import Side

log = logging.getLogger(__name__)

BOOTSTRAP = (
    "dht.libtorrent.org:25401",
    "router.bittorrent.com:6881",
    "router.utorrent.com:6881",
    "dht.transmissionbt.com:6881",
    "dht.aelitis.com:6881",
)
"""Hosts that answer everybody, as libtorrent, uTorrent, Transmission and Vuze have them."""

ENOUGH = 8  # nodes that answer: all that a look-up needs to begin with
FIRST_PAUSE = 1.0  # seconds
MOST_PAUSE = 300.0
CHECK_EVERY = 60.0  # seconds between looks at whether all is well
KNOWN_PATIENCE = 5.0  # seconds in which those whom an earlier run knew should show that they suffice
NAME_PATIENCE = 10.0  # seconds for one name
MOST_NAMES = 100  # of nodes that wait to be looked up; they come from torrents, whose authors may write anything


class Bootstrap:
    """Keeps nodes in company, until it is told to end.

    Args:
        hosts: HOST:PORT of each that everybody may ask.
        resolve: Finds out their addresses.
        clock: Seconds, as the nodes are told.

    Attributes:
        unresolved: How many names were not found out.

    Raises:
        InputRefused: not of the form HOST:PORT.
    """

    def __init__(self, hosts: Sequence[str], resolve: Resolve, clock: Callable[[], float]) -> None:
        self.unresolved = 0
        self._hosts = [split_host_port(host) for host in hosts]
        self._resolve = resolve
        self._clock = clock
        self._end = asyncio.Event()
        self._names: asyncio.Queue[tuple[str, int]] = asyncio.Queue(MOST_NAMES)

    async def run(self, sides: Sequence[Side]) -> None:
        """Look after these nodes until end()."""
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(self._keep(side)) for side in sides]
            keepers.append(group.create_task(self._name(sides)))
            await self._end.wait()
            for keeper in keepers:
                keeper.cancel()

    def end(self) -> None:
        """Have run() end."""
        self._end.set()

    def add_name(self, host: str, port: int) -> None:
        """Somebody says that a node is at that host: it is looked up soon, unless very many are waiting."""
        with suppress(asyncio.QueueFull):
            self._names.put_nowait((host, port))

    async def _keep(self, side: Side) -> None:
        with suppress(TimeoutError):  # whoever was known a year ago may be silent: that takes a minute to find out
            async with asyncio.timeout(KNOWN_PATIENCE):
                await self._enter(side)
        pause = FIRST_PAUSE
        while True:
            good = side.node.table.good(self._clock())
            if good >= ENOUGH:
                pause = FIRST_PAUSE
                await asyncio.sleep(CHECK_EVERY)
                continue
            hosts = await self._found(side)
            if hosts:
                side.node.add_contacts((Contact(b"", host) for host in hosts), self._clock())
                await self._enter(side)
                good = side.node.table.good(self._clock())
            await asyncio.sleep(MOST_PAUSE if good else pause)  # a small network is one, too
            pause = min(2 * pause, MOST_PAUSE)

    async def _enter(self, side: Side) -> None:
        """Have the node look for itself, among those that it knows, and wait for the end of that."""
        entered: asyncio.Future[Looked] = asyncio.get_running_loop().create_future()

        def done(looked: Looked) -> None:
            if not entered.done():
                entered.set_result(looked)

        side.node.bootstrap(done, self._clock())  # it goes on when nobody waits for it any more
        side.wake()
        looked = await entered
        log.debug("DHT entered at=%s asked=%s answered=%s", side.datagrams.address, looked.asked, looked.answered)

    async def _found(self, side: Side) -> list[Address]:
        """Where the hosts are that everybody may ask. Nobody looks for those of the world from this machine alone."""
        asked = [host for host in self._hosts if not (side.is_local and host in _WELL_KNOWN)]
        found = await asyncio.gather(*(self._addresses(host, port) for host, port in asked))
        return _reached(side, [address for addresses in found for address in addresses])

    async def _addresses(self, host: str, port: int) -> Sequence[Address]:
        try:
            async with asyncio.timeout(NAME_PATIENCE):
                return await self._resolve(host, port)
        except (NotResolved, TimeoutError) as unknown:
            self.unresolved += 1
            log.debug("DHT host not found host=%s reason=%s", host, unknown or "no answer")
            return ()

    async def _name(self, sides: Sequence[Side]) -> None:
        while True:
            addresses = await self._addresses(*await self._names.get())
            for side in sides:
                add_nodes(side, addresses, self._clock())


def add_nodes(side: Side, addresses: Iterable[Address], now: float) -> None:
    """Tell a node of others that are said to be there, if it can reach them."""
    for address in _reached(side, addresses):
        side.node.add_node(address, now)
        side.wake()


def _reached(side: Side, addresses: Iterable[Address]) -> list[Address]:
    return [address for address in dict.fromkeys(addresses) if side.reaches(address)]


_WELL_KNOWN = frozenset(map(split_host_port, BOOTSTRAP))
