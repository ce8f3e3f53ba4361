"""Names to addresses, remembered for a while: for who asks the same hosts again and again.

The system's resolver tells no times to live, so we choose. Its calls cannot be given up: each has a daemon thread, few
at once, so that a resolver that does not answer holds up neither the loop nor the end of the program. What was known is
used on while a new look-up takes its time or fails (as RFC 8767 has it). Not here: which family is spoken.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from anabranch.model import Address

from .resolve_io import NotResolved, in_thread, literal, looked_up

KNOWN_FOR = 60.0  # seconds; a host that moves is found again soon, and a thousand torrents of one tracker ask once
UNKNOWN_FOR = 10.0  # seconds; a name that was just mended is not kept waiting
OLD_FOR = 24 * 3600.0  # seconds in which an old answer is still better than none
NEW_PATIENCE = 2.0  # seconds for a new answer where there is an old one
MOST_NAMES = 1000  # that are remembered
AT_ONCE = 8  # look-ups


@dataclass(frozen=True, slots=True)
class _Known:
    """What came of looking a name up.

    Args:
        at: When.
        until: When to ask again.
        hosts: Addresses; none where the name has none, or they could not be found out.
        reason: Why not.
    """

    at: float
    until: float
    hosts: list[str]
    reason: str = ""


@dataclass(slots=True, eq=False)
class _Question:
    """A look-up that somebody waits for."""

    answered: asyncio.Future[_Known]
    waiting: int = 0


class Names:
    """Addresses of names, each looked up once however many ask. Belongs to one event loop.

    Args:
        look_up: Addresses of a name, waiting in a thread of ours; raises NotResolved. The system's resolver if none.
    """

    def __init__(self, look_up: Callable[[str], list[str]] = looked_up) -> None:
        self._look_up = look_up
        self._known: OrderedDict[str, _Known] = OrderedDict()  # the one that was asked for last is the last
        self._queued: dict[str, _Question] = {}  # first come, first served
        self._under_way: dict[str, _Question] = {}

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Addresses of *host* with *port*, as resolve() has them; what is remembered needs no wait.

        Raises:
            NotResolved: no such name, no server, or nothing that could be a name.
        """
        if address := literal(host, port):
            return [address]
        known = self._known.get(host)
        if known is not None:
            self._known.move_to_end(host)
        if known is None or asyncio.get_running_loop().time() >= known.until:
            known = await self._asked(host, self._old(host))
        if not known.hosts:
            raise NotResolved(host, known.reason)
        return [Address(one, port) for one in known.hosts]

    def forget(self, host: str) -> None:
        """None of the host's addresses can be connected to: they are looked up anew, if they are not quite new."""
        known = self._known.get(host)
        if known is not None and asyncio.get_running_loop().time() - known.at >= UNKNOWN_FOR:
            del self._known[host]

    async def _asked(self, host: str, old: _Known | None) -> _Known:
        """What a look-up brings, or the old answer where that is better."""
        question = self._under_way.get(host) or self._queued.get(host)
        if question is None:
            question = self._queued[host] = _Question(asyncio.get_running_loop().create_future())
            self._go_on()
        question.waiting += 1
        try:
            await asyncio.wait([question.answered], timeout=None if old is None else NEW_PATIENCE)
        finally:
            question.waiting -= 1
            if not question.waiting and self._queued.get(host) is question:  # nobody wants to know any more
                del self._queued[host]
        if question.answered.done():
            return question.answered.result()
        assert old is not None, "nobody who has no old answer stops waiting"
        return self._remembered(host, replace(old, until=asyncio.get_running_loop().time() + UNKNOWN_FOR))

    def _go_on(self) -> None:
        """Begin with as many look-ups as may be under way."""
        loop = asyncio.get_running_loop()
        while self._queued and len(self._under_way) < AT_ONCE:
            host = next(iter(self._queued))
            self._under_way[host] = self._queued.pop(host)
            in_thread(host, self._look_up, loop, partial(self._hear, host))

    def _hear(self, host: str, found: list[str] | NotResolved) -> None:
        now = asyncio.get_running_loop().time()
        if isinstance(found, list):
            new = _Known(now, now + KNOWN_FOR, found)
        elif (old := self._old(host)) is not None and not found.gone:
            new = replace(old, until=now + UNKNOWN_FOR)
        else:
            new = _Known(now, now + UNKNOWN_FOR, [], found.reason)
        self._under_way.pop(host).answered.set_result(self._remembered(host, new))
        self._go_on()

    def _old(self, host: str) -> _Known | None:
        """What was known, if it may still serve where nothing better can be had."""
        known = self._known.get(host)
        usable = known is not None and known.hosts and asyncio.get_running_loop().time() - known.at < OLD_FOR
        return known if usable else None

    def _remembered(self, host: str, known: _Known) -> _Known:
        self._known[host] = known
        if len(self._known) > MOST_NAMES:
            self._known.popitem(last=False)
        return known
