"""Asking trackers, on the network thread's loop: a task for each announce, as many at once as announcing.py allows.

What says that a torrent leaves goes its own way: it has little time, does not wait for trackers that do not answer, and
takes the place of what the same tracker is being asked for that torrent.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from anabranch.net import HttpClient
from anabranch.tracker import FaultKind, TrackerFault, UdpTrackers, announce

from . import announcing
from .agenda import Agenda
from .announcing import Announce, Farewell
from .engine import Engine
from .names_io import resolve_for

log = logging.getLogger(__name__)

_LAST_PATIENCE = 5.0  # seconds for a tracker to hear that we leave
_LAST_PER_URL = 8  # of announcing.AT_ONCE
_LAST_QUEUED = 60.0  # seconds after which nobody has to be told any more
_GRACE = 1.0  # seconds that the client, when it ends, waits for trackers that may just be hearing of us


class Announcer:
    """All announces under way. Network thread only, but for being made.

    Args:
        engine: The engine.
        bind: Our own addresses to speak from; empty for any.
        tls: How HTTPS trackers are verified; None for the system's certificates.
    """

    def __init__(self, engine: Engine, bind: Sequence[str], tls: ssl.SSLContext | None = None) -> None:
        config = engine.config
        self._engine = engine
        self._bind = bind
        self._http = HttpClient(
            config.identity.user_agent, bind=bind, proxy=config.proxy, tls=tls, mitigate=config.ssrf_mitigation
        )
        self._udp = UdpTrackers(bind)
        self._group: asyncio.TaskGroup | None = None  # while run() runs
        self._end = asyncio.Event()
        self._port = 0
        self._asking: dict[asyncio.Task[None], Announce] = {}
        self._telling: dict[asyncio.Task[None], Announce] = {}  # the last ones
        self._waiting: Agenda[Announce] = Agenda()  # of the last ones, by URL
        self._leaving: Counter[Farewell] = Counter()  # what the last ones are about
        self._when_told: list[Callable[[], None]] = []

    async def run(self) -> None:
        """Own the tasks, until close()."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._end.wait()
                self._group = None
                for task in (*self._asking, *self._telling):
                    task.cancel()
        finally:
            self._udp.close()
            await self._http.close()

    def close(self) -> None:
        """Give up what is under way; run() ends."""
        self._end.set()

    def look(self, port: int) -> None:
        """Make the announces that are due."""
        self._port = port
        engine, now = self._engine, self._engine.clock()
        if self._group is None or not (engine.due.announces.queued or engine.due.announces.deadline() <= now):
            return
        under_way = [one.tracker.url for one in self._asking.values()]
        with engine.turn:
            due = announcing.take(engine, now, port, under_way, self._leaving)
        for one in due:
            task = self._group.create_task(self._ask(one))
            self._asking[task] = one
            task.add_done_callback(self._asked)

    def tell(self, last: Announce) -> None:
        """Say that a torrent leaves, as soon as its tracker may be told."""
        for task, one in self._asking.items():
            if one.tracker is last.tracker:
                task.cancel()
        self._leaving[last.key] += 1
        self._waiting.queue(last, last.tracker.url)
        self._tell_on()

    def when_told(self, act: Callable[[], None]) -> None:
        """The client ends: call *act* when every tracker knows it that has to, maybe at once."""
        self._when_told.append(act)
        asyncio.get_running_loop().call_later(_GRACE, self._give_up)
        self._look_whether_told()

    def _tell_on(self) -> None:
        """Begin with as many of the last ones as may be under way."""
        engine = self._engine
        under_way = Counter(one.tracker.url for one in self._telling.values())
        for url in self._waiting.places():
            while under_way[url] < _LAST_PER_URL and len(self._telling) < announcing.AT_ONCE:
                last = self._waiting.first(url)
                if last is None:
                    break
                if self._group is None or engine.clock() > last.due + _LAST_QUEUED:
                    self._forget(last)
                    continue
                under_way[url] += 1
                task = self._group.create_task(self._ask(last))
                self._telling[task] = last
                task.add_done_callback(self._told)

    async def _ask(self, one: Announce) -> None:
        try:
            await self._announce(one)
        except Exception:  # bulkhead: our own mistake ends one announce; the torrent asks again
            log.exception("announce failed tracker=%s", announcing.shown(one.tracker.url))
            fault = TrackerFault(FaultKind.REPLY, "internal error")
            self._engine.network.post(announcing.failed, self._engine, one, fault)

    async def _announce(self, one: Announce) -> None:
        engine, url = self._engine, one.tracker.url
        try:
            async with asyncio.timeout(_LAST_PATIENCE if one.last else None):
                reply = await announce(
                    url,
                    one.request,
                    http=self._http,
                    udp=self._udp,
                    bind=self._bind,
                    resolve=partial(resolve_for, engine.config),
                )
        except TrackerFault as fault:
            engine.network.run(announcing.failed, engine, one, fault)
        except TimeoutError:
            log.debug("tracker does not listen tracker=%s", announcing.shown(url))
        else:
            engine.network.run(announcing.told, engine, one, reply)

    def _asked(self, task: asyncio.Task[None]) -> None:
        del self._asking[task]
        self.look(self._port)
        self._look_whether_told()

    def _told(self, task: asyncio.Task[None]) -> None:
        self._forget(self._telling.pop(task))
        self._tell_on()
        self._look_whether_told()

    def _forget(self, last: Announce) -> None:
        self._leaving[last.key] -= 1
        if not self._leaving[last.key]:
            del self._leaving[last.key]

    def _give_up(self) -> None:
        for task in self._asking:
            task.cancel()

    def _look_whether_told(self) -> None:
        if not (self._asking or self._telling or self._waiting):
            acts, self._when_told = self._when_told, []
            for act in acts:
                act()
