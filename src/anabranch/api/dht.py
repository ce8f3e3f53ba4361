"""The client's node of the DHT: how it is, and what can be asked by it, from threads and from tasks alike."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from anabranch.bencode import Value
from anabranch.dht import Announcing, DhtFault, DhtStats, Item, Looked, NodeStats, Pong, Samples, sign, target_of
from anabranch.dht import Dht as Nodes
from anabranch.engine import Core, discovery_allowed
from anabranch.model import Address, Closed, InfoHash, InputRefused, Misused
from anabranch.net import resolve_soon

T = TypeVar("T")

_LOOK_EVERY = 0.5  # seconds, at whether the client was closed before it heard of the question
_TARGET_LENGTH = 20  # bytes
_KEY_LENGTH = 32  # bytes
_CANCELLED = "nobody waits for the answer any more"


class Question(Generic[T]):
    """Something that is asked of the DHT: `question.wait(timeout)` in a thread, `await question` in a task of any loop.

    Both give the answer, and raise:
        DhtFault: there is none; the text says why.
        Closed: the client was closed, or the question cancelled.
        Misused: on the engine's own thread, or holding the turn.
    """

    def __init__(self, core: Core, future: concurrent.futures.Future[T]) -> None:
        self._core = core
        self._future = future

    @property
    def done(self) -> bool:
        """Whether nobody need wait any more."""
        return self._future.done()

    def cancel(self) -> None:
        """Ask on no longer."""
        self._future.cancel()

    def wait(self, timeout: float | None = None) -> T:
        """Wait for the answer. Raises TimeoutError when so many seconds are over; the question goes on then."""
        self._check()
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _LOOK_EVERY if end is None else max(min(end - time.monotonic(), _LOOK_EVERY), 0.0)
            if concurrent.futures.wait((self._future,), left).done:
                try:
                    return self._future.result()
                except concurrent.futures.CancelledError:
                    raise Closed(_CANCELLED) from None
            self._look()
            if end is not None and time.monotonic() >= end:
                raise TimeoutError(f"no answer within {timeout} s")

    def __await__(self) -> Generator[Any, None, T]:
        return self._awaited().__await__()

    async def _awaited(self) -> T:
        self._check()
        here = asyncio.wrap_future(self._future)
        while not (await asyncio.wait((here,), timeout=_LOOK_EVERY))[0]:
            self._look()
        if here.cancelled():
            raise Closed(_CANCELLED)
        return here.result()

    def _check(self) -> None:
        if self._core.forbidden():
            raise Misused("waiting here would make the engine wait for itself: wait in a thread or loop of your own")

    def _look(self) -> None:
        if self._core.network.loop.is_closed() and not self._future.done():
            raise Closed("the client was closed")


class Dht:
    """The client's part of the DHT (BEP 5). Every method may be called from any thread, task or callback.

    With Config.disable_dht there is none: no nodes are known, and questions end with a DhtFault.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def nodes(self) -> int:
        """How many nodes we know that answer."""
        return self._now(lambda nodes: nodes.nodes, 0)

    def stats(self) -> DhtStats:
        """How our nodes are, and what they have done: without a DHT, and once the client is closed, there are none."""
        return self._now(lambda nodes: nodes.stats(), DhtStats((), NodeStats(), 0))

    def ready(self, seconds: float) -> Question[bool]:
        """Whether there is somebody to ask, as soon as there is, and so many seconds from now at the latest."""
        return self._ask(lambda nodes: nodes.ready(seconds))

    def add_node(self, host: str, port: int) -> None:
        """Say that there is a node; it is asked whether it is, and kept if it answers and there is room.

        Raises:
            InputRefused: no port.
        """
        if not 1 <= port <= 65535:
            raise InputRefused(f"no port of a node: {port}")
        self._core.network.call(self._add_node, host, port)

    def ping(self, host: str, port: int) -> Question[Pong]:
        """Ask a node whether it is there; of a name the first address."""

        async def work(nodes: Nodes) -> Pong:
            return await nodes.ping(await _address(host, port))

        return self._ask(work)

    def find_node(self, target: bytes) -> Question[Looked]:
        """Look for the nodes that are nearest to a target of 20 bytes. Raises InputRefused for another length."""
        _check_target(target)
        return self._ask(lambda nodes: nodes.find_node(target))

    def get_peers(
        self, info_hash: InfoHash | str | bytes, *, announce: Announcing | None = None, scrape: bool = False
    ) -> Question[Looked]:
        """Look for peers of a torrent. What is found is not given to any torrent of the client: see `Looked.peers`.

        Args:
            info_hash: 20 bytes or 40 hex digits; of v2, the first 20 of its 32 bytes.
            announce: What to tell the nodes of ourselves; None for nothing.
            scrape: Estimate how many seeds and others there are (BEP 33): many nodes tell of no peers then.

        Raises:
            InputRefused: not an info hash, or that of a torrent of ours that is private (BEP 27).
        """
        try:
            key = InfoHash.parse(info_hash) if isinstance(info_hash, str) else InfoHash(info_hash)
        except ValueError as bad:
            raise InputRefused(str(bad)) from bad
        with self._core.turn:
            state = self._core.engine.directory.get(key)
            if state is not None and not discovery_allowed(state, "dht"):
                raise InputRefused(f"{state.metainfo.info.name} is private: the DHT is not asked for it")
        return self._ask(lambda nodes: nodes.get_peers(key, announce=announce, scrape=scrape))

    def get(self, target: bytes = b"", *, key: bytes = b"", salt: bytes = b"") -> Question[Looked]:
        """Look for a value (BEP 44): `Looked.item` is the newest that was found, or None.

        Args:
            target: The hash of a value, 20 bytes.
            key: Instead of it, the public key that signs the value: 32 bytes.
            salt: Which of the values of that key.

        Raises:
            InputRefused: neither or both of the two, or another length.
        """
        if bool(target) == bool(key) or (key and len(key) != _KEY_LENGTH):
            raise InputRefused("a target of 20 bytes or a public key of 32 says what to get")
        place = target_of(key, salt) if key else target
        _check_target(place)
        return self._ask(lambda nodes: nodes.get(place, salt=salt, key=key))

    @staticmethod
    def item(value: Value, private_key: bytes = b"", *, salt: bytes = b"", sequence: int = 1) -> Item:
        """Make what put() stores (BEP 44); `Item.target` and `Item.key` are what get() takes.

        Args:
            value: Bytes, a number, a list or a dictionary of such; at most 1,000 bytes in bencode.
            private_key: 32 bytes drawn by chance (`os.urandom(32)`), which sign it: so it can be replaced. Empty for a
                value that is known by its hash and never changes.
            salt: Tells several values of one key apart, at most 64 bytes.
            sequence: Its version: nodes take no lower one than they have.

        Raises:
            InputRefused: that cannot be stored.
        """
        return sign(value, private_key, salt, sequence) if private_key else Item(value)

    def put(self, item: Item, *, cas: int | None = None) -> Question[Looked]:
        """Store a value at the nodes nearest to its target, for two hours or so: `Looked.stored` says at how many.

        Args:
            item: What item() made, or get() found.
            cas: The version that it is to replace; None for any.
        """
        return self._ask(lambda nodes: nodes.put(item, cas=cas))

    def sample(self, host: str, port: int, target: bytes = b"") -> Question[Samples]:
        """Ask a node for some of the info hashes that it knows peers of (BEP 51), and for nodes near a target."""
        place = target or os.urandom(_TARGET_LENGTH)
        _check_target(place)

        async def work(nodes: Nodes) -> Samples:
            return await nodes.sample(await _address(host, port), place)

        return self._ask(work)

    def _ask(self, work: Callable[[Nodes], Coroutine[Any, Any, T]]) -> Question[T]:
        network = self._core.network

        async def run() -> T:
            nodes = network.discoverer.dht
            if nodes is None:
                raise DhtFault("the DHT is switched off")
            return await work(nodes)

        running = run()
        try:
            return Question(self._core, asyncio.run_coroutine_threadsafe(running, network.loop))
        except RuntimeError:
            running.close()
            raise Closed("the client is closed") from None

    def _now(self, look: Callable[[Nodes], T], nothing: T) -> T:
        """Look at our nodes on the thread that they live on."""
        network = self._core.network

        def looked() -> T:
            nodes = network.discoverer.dht
            return nothing if nodes is None else look(nodes)

        if network.mine:
            return looked()

        async def run() -> T:
            return looked()

        running = run()
        try:
            return Question(self._core, asyncio.run_coroutine_threadsafe(running, network.loop)).wait()
        except RuntimeError:
            running.close()
        except Closed:
            pass
        return nothing

    def _add_node(self, host: str, port: int) -> None:
        nodes = self._core.network.discoverer.dht
        if nodes is not None:
            nodes.add_node(host, port)


async def _address(host: str, port: int) -> Address:
    return (await resolve_soon(host, port))[0]


def _check_target(target: bytes) -> None:
    if len(target) != _TARGET_LENGTH:
        raise InputRefused(f"a target of {len(target)} bytes, {_TARGET_LENGTH} are due")
