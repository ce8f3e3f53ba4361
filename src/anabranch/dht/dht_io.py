"""The DHT on a loop: a node for each socket, and questions that are asked of all of them.

Source: BEP 32 (IPv4 and IPv6 are two DHTs), BEP 45 (a node for each of our addresses). What nodes do is node.py's
affair, how they come to know others bootstrap_io.py's.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from anabranch.model import Address, InputRefused, canonical_host
from anabranch.net import Datagrams, Resolve, resolve_soon

from .bootstrap_io import BOOTSTRAP, Bootstrap, add_nodes
from .contacts import Contact
from .faults import DhtFault
from .items import Item, target_of
from .joining import joined
from .node import Node
from .operations import Announcing, Looked, Operation, Pong, Samples
from .remembering import Remembered, claim, decode_nodes, encode_nodes
from .side_io import Side
from .summaries import DhtStats, NodeSummary, summed

log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")
_Begin = Callable[[Node, Callable[[Looked], None], float], Operation]


def new_key() -> bytes:
    """A private key for signing items: 32 bytes of the system's chance."""
    return os.urandom(32)


class Dht:
    """Our nodes. Belongs to the running loop: make, use and close it there.

    Args:
        sockets: What the nodes speak by, each bound to an address of its own or to one of each family; whoever gives
            them closes them, after this.
        clock: Seconds that never go back.
        draw: Gives that many random bytes.
        bootstrap: HOST:PORT of hosts that are asked where nobody else is known.
        resolve: Finds out their addresses.
        saved: What saved() gave an earlier run. What cannot be read is left alone.
        read_only: Ask only: who does not answer others should say so (BEP 43).
        banned: Whether an IP address is neither asked nor answered.
        on_query: Sees every query that comes, its method and who asks; where it says False there is no answer.
        on_announce: Hears who has announced himself for an info hash.

    Raises:
        InputRefused: a bootstrap host without a port.
    """

    def __init__(
        self,
        sockets: Sequence[Datagrams],
        *,
        clock: Callable[[], float],
        draw: Callable[[int], bytes] = os.urandom,
        bootstrap: Sequence[str] = BOOTSTRAP,
        resolve: Resolve = resolve_soon,
        saved: bytes = b"",
        read_only: bool = False,
        banned: Callable[[str], bool] | None = None,
        on_query: Callable[[str, Contact], bool] | None = None,
        on_announce: Callable[[bytes, Address], None] | None = None,
    ) -> None:
        self._clock = clock
        self._bootstrap = Bootstrap(bootstrap, resolve, clock)
        self._closed = False
        self._met = asyncio.Event()
        self._open: set[Operation] = set()
        remembered = _read(saved)
        self._sides: list[Side] = []
        for datagrams in sockets:
            was = claim(remembered, datagrams.address.host)
            node = Node(
                v6=datagrams.address.is_v6,
                draw=draw,
                now=clock(),
                node_id=was.id,
                contacts=was.contacts,
                read_only=read_only,
                banned=banned,
                on_query=on_query,
                on_announce=on_announce,
            )
            self._sides.append(Side(node, datagrams, was, clock, self._moved))
        for side in self._sides:
            v6, is_local = side.node.v6, side.is_local
            side.node.siblings.extend(
                other.node for other in self._sides if other.node.v6 != v6 and other.is_local == is_local
            )

    @property
    def nodes(self) -> int:
        """How many nodes we know that answered lately, each once for each of ours that knows it."""
        now = self._clock()
        return sum(side.node.table.good(now) for side in self._sides)

    async def run(self) -> None:
        """Keep the nodes in company, until close()."""
        if not self._closed:
            await self._bootstrap.run(self._sides)

    def close(self) -> None:
        """End what is under way, each with what it has found, and hear nothing more. Again is harmless."""
        if self._closed:
            return
        self._closed = True
        now = self._clock()
        try:
            for operation in list(self._open):
                operation.cancel(now)
        finally:  # whatever those do who are told
            self._bootstrap.end()
            for side in self._sides:
                side.close()

    def add_node(self, host: str, port: int) -> None:
        """Somebody says that a node is there: a peer (PORT), a torrent (`nodes`), a user. A name is looked up."""
        try:
            address = Address(canonical_host(host), port)
        except ValueError:
            self._bootstrap.add_name(host, port)
            return
        for side in self._sides:
            add_nodes(side, (address,), self._clock())

    async def ready(self, seconds: float) -> bool:
        """Wait until there is somebody to ask, for so long at most; whether there is."""
        if not self._known():
            self._met.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._met.wait()
        return self._known()

    def search(
        self,
        info_hash: bytes,
        heard: Callable[[list[Address]], None],
        done: Callable[[Looked], None],
        *,
        announce: Announcing | None = None,
        scrape: bool = False,
    ) -> Operation:
        """Look for peers of a torrent, in the DHT of each family.

        Args:
            info_hash: Which torrent: 20 bytes.
            heard: Told of peers while they are found; not of one twice, but for those of both DHTs.
            done: Told what was found, once, and never before this returns.
            announce: Tell the nodes nearest to it that we are one, too.
            scrape: Ask how many there are (BEP 33).
        """

        def begin(node: Node, ended: Callable[[Looked], None], now: float) -> Operation:
            return node.get_peers(info_hash, heard, ended, now, announce=announce, scrape=scrape)

        return self._of_all(info_hash, begin, done)

    async def get_peers(
        self,
        info_hash: bytes,
        *,
        announce: Announcing | None = None,
        scrape: bool = False,
        heard: Callable[[list[Address]], None] | None = None,
    ) -> Looked:
        """As search(). Raises DhtFault where nobody answers."""
        hear = heard or (lambda _: None)
        return await self._looked(
            info_hash,
            lambda node, done, now: node.get_peers(info_hash, hear, done, now, announce=announce, scrape=scrape),
        )

    async def find_node(self, target: bytes) -> Looked:
        """Look for the nodes nearest to an id. Raises DhtFault where nobody answers."""
        return await self._looked(target, lambda node, done, now: node.find_node(target, done, now))

    async def get(self, target: bytes, *, salt: bytes = b"", key: bytes = b"") -> Looked:
        """Look for an item.

        Args:
            target: By what it is found: 20 bytes. Left alone where there is a key.
            salt: Of a mutable item: it cannot be read without.
            key: The public key of a mutable item, instead of its target.

        Returns:
            What was found; its item is None where nobody has one that is right.

        Raises:
            DhtFault: nobody answers.
        """
        wanted = target_of(key, salt) if key else target
        return await self._looked(wanted, lambda node, done, now: node.get(wanted, done, now, salt=salt))

    async def put(self, item: Item, *, cas: int | None = None) -> Looked:
        """Store an item at the 8 nodes nearest to its target; they forget it after two hours.

        Args:
            item: What to store.
            cas: The sequence number that it is to replace; nodes that have another one refuse (BEP 44).

        Returns:
            How many stored it, and what the others said.

        Raises:
            DhtFault: nobody answers.
        """
        return await self._looked(item.target, lambda node, done, now: node.put(item, done, now, cas=cas))

    async def ping(self, address: Address) -> Pong:
        """Ask whether a node is there. Raises DhtFault if none answers."""
        return await self._answer(address, lambda node, done, now: node.ping(address, done, now))

    async def sample(self, address: Address, target: bytes) -> Samples:
        """Ask a node which torrents it knows peers of (BEP 51), and which nodes are near *target*.

        Raises:
            DhtFault: no answer, or none of that kind.
        """
        return await self._answer(address, lambda node, done, now: node.sample(address, target, done, now))

    def saved(self) -> bytes:
        """What a later run may be given: our ids, and who answered lately; while nobody does, who did the last time."""
        for side in self._sides:
            node_id, contacts = side.node.saved()
            kept = contacts or side.remembered.contacts  # a line that is down for minutes empties the table
            side.remembered = Remembered(side.datagrams.address.host, node_id, kept)
        return encode_nodes([side.remembered for side in self._sides])

    def stats(self) -> DhtStats:
        """What there is to be told of our nodes now."""
        now = self._clock()
        return DhtStats(
            tuple(_summary(side, now) for side in self._sides),
            summed(side.node.stats for side in self._sides),
            self._bootstrap.unresolved,
        )

    def _moved(self) -> None:
        if not self._met.is_set() and self._known():
            self._met.set()

    def _known(self) -> bool:
        return any(len(side.node.table) for side in self._sides)

    def _of_all(self, target: bytes, begin: _Begin, done: Callable[[Looked], None]) -> Operation:
        """Have every node look; *done* is told when the last one has ended."""
        parts: list[Looked] = []
        begun: list[Operation] = []

        def cancel(now: float) -> None:
            for one in begun:
                one.cancel(now)
            self._wake()

        def ended(part: Looked) -> None:
            parts.append(part)
            if len(parts) == len(self._sides):
                self._open.discard(whole)
                done(joined(target, parts))

        whole = Operation(cancel)
        if self._closed or not self._sides:
            asyncio.get_running_loop().call_soon(done, Looked(target))
            return whole
        self._open.add(whole)
        now = self._clock()
        begun.extend([begin(side.node, ended, now) for side in self._sides])
        self._wake()
        return whole

    async def _looked(self, target: bytes, begin: _Begin) -> Looked:
        def ask(done: Callable[[Looked], None]) -> Operation:
            return self._of_all(target, begin, done)

        looked = await self._awaited(ask)
        if not looked.answered:
            raise DhtFault(f"none of {looked.asked} nodes answered" if looked.asked else "no node of the DHT is known")
        return looked

    async def _answer(
        self,
        address: Address,
        begin: Callable[[Node, Callable[[_Answer | DhtFault], None], float], Operation],
    ) -> _Answer:
        """Ask one node, by the first of ours that reaches it."""
        side = next((side for side in self._sides if side.reaches(address)), None)
        if side is None or self._closed:
            raise DhtFault("the DHT is closed" if self._closed else f"no socket of ours reaches {address}")

        def ask(done: Callable[[_Answer | DhtFault], None]) -> Operation:
            def ended(answer: _Answer | DhtFault) -> None:
                self._open.discard(asking)
                done(answer)

            asking = begin(side.node, ended, self._clock())
            self._open.add(asking)
            side.wake()
            return asking

        answer = await self._awaited(ask)
        if isinstance(answer, DhtFault):
            raise answer
        return answer

    async def _awaited(self, begin: Callable[[Callable[[_Answer], None]], Operation]) -> _Answer:
        waiting: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()

        def done(answer: _Answer) -> None:
            if not waiting.done():
                waiting.set_result(answer)

        operation = begin(done)
        try:
            return await waiting
        finally:
            if waiting.cancelled():
                operation.cancel(self._clock())
                self._wake()

    def _wake(self) -> None:
        for side in self._sides:
            side.wake()


def _read(saved: bytes) -> list[Remembered]:
    try:
        return decode_nodes(saved)
    except InputRefused as unreadable:
        log.info("saved DHT nodes left out reason=%s", unreadable)
        return []


def _summary(side: Side, now: float) -> NodeSummary:
    node = side.node
    return NodeSummary(
        side.datagrams.address,
        node.id,
        node.host,
        node.table.good(now),
        len(node.table),
        node.peers.torrents,
        len(node.peers),
        len(node.items),
    )
