"""A node of the DHT for one question of the command line: filled with what former ones knew, asked, closed in time.

It reads only (BEP 43): who is here for seconds has no place in others' tables.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass

from anabranch.dht import BOOTSTRAP, Dht, Looked, Operation, nameless
from anabranch.metainfo import printable
from anabranch.model import InputRefused, TorrentError
from anabranch.net import Datagrams, new_loop, udp_socket
from anabranch.storage import SessionStore

from . import words
from .interrupt import INTERRUPTED, Interrupt

_LOOK_EVERY = 0.05  # seconds, at whether the user wants an end
_GRACE = 0.5  # seconds beyond the time that is given, for what takes by itself what it has found until then
_ENOUGH = 8  # nodes; fewer do not take the place of what is remembered


class NothingFound(TorrentError):
    """The DHT did not give what was asked for; the text says why."""


@dataclass(frozen=True)
class Reach:
    """How a command gets into the DHT: entries as "HOST:PORT", *timeout* in seconds, *port* 0 for any."""

    bootstrap: tuple[str, ...]
    bind: tuple[str, ...]
    port: int
    state: str | None
    timeout: float
    json: bool


class Visit:
    """A node while a command runs: what the command asks by.

    Attributes:
        dht: The node.
        reach: How it was wished.
    """

    def __init__(self, dht: Dht, reach: Reach) -> None:
        self.dht = dht
        self.reach = reach
        self._clock = asyncio.get_running_loop().time
        self._end = self._clock() + reach.timeout

    async def enter(self) -> None:
        """Wait until there is somebody to ask. Raises NothingFound."""
        if not await self.dht.ready(self.left):
            names = ", and names of nodes were not found" if self.dht.stats().unresolved else ""
            hint = "" if self.reach.bootstrap else "; name a node with --dht-bootstrap HOST:PORT"
            raise NothingFound(f"no node of the DHT answered in {self.reach.timeout:g} s{names}{hint}")

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(self._end - self._clock(), 0.0)

    async def look(
        self, begin: Callable[[Callable[[Looked], None]], Operation], meanwhile: Callable[[], None] = lambda: None
    ) -> Looked:
        """Wait for a look-up; when the time is up, take what it has found.

        Args:
            begin: Begins it; gets what is to be called at its end.
            meanwhile: Called again and again, and once after that.
        """
        done: asyncio.Future[Looked] = asyncio.get_running_loop().create_future()
        operation = begin(done.set_result)
        while not done.done() and self.left:
            await asyncio.wait((done,), timeout=min(_LOOK_EVERY, self.left))
            meanwhile()
        if not done.done():
            operation.cancel(self._clock())
        meanwhile()
        return await done

    def remark(self, line: str) -> None:
        """Say how it went, where a person reads it."""
        if not self.reach.json:
            print(printable(line), file=sys.stderr, flush=True)


def visit(reach: Reach, work: Callable[[Visit], Awaitable[int]], *, alone: bool = False) -> int:
    """Run *work* with a node. Answers its exit code, or INTERRUPTED.

    Args:
        reach: How to get into the DHT.
        work: What is to be done.
        alone: Nobody is asked but whom *work* asks; nothing is remembered.

    Raises:
        InputRefused: an address is none of ours, or a port is taken.
        StorageFailed: the state directory cannot be used.
        TorrentError: what *work* raised; NothingFound when the time was up.
    """
    with ExitStack() as stack:
        store = None if alone else SessionStore(_state_dir(reach))
        saved = b""
        if store is not None:
            stack.callback(store.close)
            saved = store.load_dht() if store.claim_dht() else nameless(store.load_dht())
        hosts = () if alone else reach.bootstrap or BOOTSTRAP
        with Interrupt() as interrupt, asyncio.Runner(loop_factory=new_loop) as runner:
            came, known = runner.run(_visit(reach, work, interrupt, hosts, saved))
        if store is not None and known:
            store.save_dht(known)
    if isinstance(came, Exception):
        raise came
    return came


def _state_dir(reach: Reach) -> str:
    if reach.state:
        return reach.state
    from anabranch.engine import default_state_dir  # brings the engine along

    return str(default_state_dir())


async def _visit(
    reach: Reach,
    work: Callable[[Visit], Awaitable[int]],
    interrupt: Interrupt,
    bootstrap: tuple[str, ...],
    saved: bytes,
) -> tuple[int | Exception, bytes]:
    """What came of it, and what is to be remembered, if anything."""

    async def guarded() -> int | Exception:
        try:
            async with asyncio.timeout(reach.timeout + _GRACE):
                return await work(Visit(dht, reach))
        except TimeoutError:
            return NothingFound(f"not done within {reach.timeout:g} s")
        except (TorrentError, OSError) as error:  # whoever waits for it is outside of the group
            return error

    with ExitStack() as stack:
        sockets = [_opened(stack, host, reach.port) for host in reach.bind] or _both(stack, reach.port)
        clock = asyncio.get_running_loop().time
        dht = Dht(sockets, clock=clock, bootstrap=bootstrap, saved=saved, read_only=True)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(dht.run())
            working = group.create_task(guarded())
            while not (interrupt.seen or working.done()):
                await asyncio.wait((working,), timeout=_LOOK_EVERY)
            known = dht.saved() if dht.nodes >= _ENOUGH or (dht.nodes and not saved) else b""
            working.cancel()
            dht.close()
            await asyncio.wait((working, running))
        return INTERRUPTED if working.cancelled() else working.result(), known


def _opened(stack: ExitStack, host: str, port: int) -> Datagrams:
    datagrams = Datagrams(udp_socket(host, port))
    stack.callback(datagrams.close)
    return datagrams


def _both(stack: ExitStack, port: int) -> list[Datagrams]:
    """IPv4 and IPv6, as far as there are both here. Raises InputRefused where there is neither."""
    opened: list[Datagrams] = []
    refusals: list[InputRefused] = []
    for host in ("0.0.0.0", "::"):
        try:
            opened.append(_opened(stack, host, port))
        except InputRefused as refusal:
            refusals.append(refusal)
    if not opened:
        raise refusals[0]
    return opened


def effort(looked: Looked) -> str:
    """What a look-up took, in words."""
    return f"asked {words.counted(looked.asked, 'node')}, {looked.answered} answered, in {looked.seconds:.1f} s"


def effort_facts(looked: Looked) -> dict[str, object]:
    """The same as values for JSON."""
    return {"asked": looked.asked, "answered": looked.answered, "seconds": round(looked.seconds, 3)}
