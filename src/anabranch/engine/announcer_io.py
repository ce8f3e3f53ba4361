"""Asking trackers, on the network thread's loop: a task for each announce, as many at once as announcing.py allows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from anabranch.net import HttpClient
from anabranch.tracker import FaultKind, TrackerFault, UdpTrackers, announce

from . import announcing
from .announcing import Announce
from .engine import Engine

log = logging.getLogger(__name__)

_LAST_PATIENCE = 5.0  # seconds for a tracker to hear that we leave


class Announcer:
    """All announces under way. Network thread only, but for being made.

    Args:
        engine: The engine.
        bind: Our own addresses to speak from; empty for any.
    """

    def __init__(self, engine: Engine, bind: Sequence[str]) -> None:
        self._engine = engine
        self._bind = bind
        self._http = HttpClient(engine.config.identity.user_agent, bind=bind)
        self._udp = UdpTrackers(bind)
        self._group: asyncio.TaskGroup | None = None  # while run() runs
        self._end = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._idle: list[Callable[[], None]] = []

    async def run(self) -> None:
        """Own the tasks, until close()."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._end.wait()
                self._group = None
                for task in self._tasks:
                    task.cancel()
        finally:
            self._udp.close()
            await self._http.close()

    def close(self) -> None:
        """Give up what is under way; run() ends."""
        self._end.set()

    def look(self, port: int) -> None:
        """Make the announces that are due."""
        engine = self._engine
        now = engine.clock()
        if self._group is None or announcing.next_look(engine) > now:
            return
        with engine.turn:
            due = announcing.take(engine, now, list(self._tasks.values()), port)
        for one in due:
            self.start(one)

    def start(self, one: Announce, *, last: bool = False) -> None:
        """Make one announce; the *last* one has little time."""
        if self._group is not None:
            task = self._group.create_task(self._ask(one, last=last))
            self._tasks[task] = one.tracker.url
            task.add_done_callback(self._ended)

    def when_idle(self, act: Callable[[], None]) -> None:
        """Call *act* when nothing is under way any more, maybe at once."""
        if self._tasks:
            self._idle.append(act)
        else:
            act()

    async def _ask(self, one: Announce, *, last: bool) -> None:
        engine = self._engine
        try:
            async with asyncio.timeout(_LAST_PATIENCE if last else None):
                reply = await announce(one.tracker.url, one.request, http=self._http, udp=self._udp, bind=self._bind)
            engine.network.run(announcing.told, engine, one, reply)
        except TrackerFault as fault:
            engine.network.run(announcing.failed, engine, one, fault)
        except TimeoutError:
            log.debug("tracker does not listen tracker=%s", announcing.shown(one.tracker.url))
        except Exception:  # bulkhead: our own mistake ends one announce; the torrent asks again
            log.exception("announce failed tracker=%s", announcing.shown(one.tracker.url))
            broken = TrackerFault(FaultKind.REPLY, "internal error")
            engine.network.run(announcing.failed, engine, one, broken)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not self._tasks:
            idle, self._idle = self._idle, []
            for act in idle:
                act()
