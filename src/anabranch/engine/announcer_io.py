"""Asking trackers, on the network thread's loop: a task for each announce, as many at once as announcing.py allows.

What says that a torrent leaves goes its own way: it has little time, does not wait for trackers that do not answer, and
takes the place of what the same tracker is being asked for that torrent.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import ChainMap, Counter
from collections.abc import Callable, Mapping, Sequence

from anabranch.net import Datagrams
from anabranch.tracker import FaultKind, Offer, TrackerClient, TrackerFault

from . import announcing, scraping
from .agenda import Agenda
from .engine import Engine
from .fleet import AT_ONCE, host_of, shown
from .names_io import FamilyNames
from .scraping import Scrape
from .trackers import Announce, Farewell

log = logging.getLogger(__name__)

_LAST_PATIENCE = 5.0  # seconds for a tracker to hear that we leave
_LAST_PER_HOST = 32  # of fleet.AT_ONCE: the client may have thousands to tell in these seconds, and then is gone
_LAST_QUEUED = 60.0  # seconds after which nobody has to be told any more
_SCRAPED_AT_ONCE = 8  # trackers
_GRACE = 1.0  # seconds that the client, when it ends, waits for trackers that may just be hearing of us


class Announcer:
    """All announces under way. Network thread only, but for being made.

    Args:
        engine: The engine.
        bind: Our own addresses to speak from; empty for any.
        tls: How HTTPS trackers are verified; None for the system's certificates.
        names: Who knows names.
        datagrams: The client's UDP sockets, by "is it IPv6"; they may come later.
    """

    def __init__(
        self,
        engine: Engine,
        bind: Sequence[str],
        tls: ssl.SSLContext | None,
        names: FamilyNames,
        datagrams: Mapping[bool, Datagrams],
    ) -> None:
        config = engine.config
        self._engine = engine
        self._names = names
        self._client = TrackerClient(
            config.identity.user_agent,
            bind=bind,
            proxy=config.proxy,
            tls=tls,
            resolve=names.resolve,
            mitigate=config.ssrf_mitigation,
            heard=self._offered,
            websockets=not config.disable_webtorrent,
            datagrams=datagrams,
        )
        self._group: asyncio.TaskGroup | None = None  # while run() runs
        self._end = asyncio.Event()
        self._port = 0
        self._asking: dict[asyncio.Task[None], Announce] = {}
        self._telling: dict[asyncio.Task[None], Announce] = {}  # the last ones
        self._waiting: Agenda[Announce] = Agenda()  # of the last ones, by host: each torrent may have a URL of its own
        self._leaving: Counter[Farewell] = Counter()  # what the last ones are about
        self._when_told: list[Callable[[], None]] = []
        self._scraping: set[asyncio.Task[None]] = set()
        self._tells_soon = False

    async def run(self) -> None:
        """Own the tasks, until close()."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._end.wait()
                self._group = None
                for task in (*self._asking, *self._telling, *self._scraping):
                    task.cancel()
        finally:
            await self._client.close()

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
        told_of = ChainMap({one.key: 1 for one in self._asking.values()}, self._leaving)
        with engine.turn:
            due = announcing.take(engine, now, port, under_way, told_of)
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
        self._waiting.queue(last, host_of(last.tracker.url))
        if not self._tells_soon:  # thousands may leave at once
            self._tells_soon = True
            asyncio.get_running_loop().call_soon(self._tell_on)

    def scrape(self, scrapes: list[Scrape], done: Callable[[], None]) -> None:
        """Ask for numbers, a tracker one question at a time; *done* when all have answered, or will not."""
        if self._group is None:
            done()
            return
        by_url: dict[str, list[Scrape]] = {}
        for one in scrapes:
            by_url.setdefault(one.url, []).append(one)
        task = self._group.create_task(self._scrape_all(list(by_url.values())))
        self._scraping.add(task)
        task.add_done_callback(self._scraping.discard)
        task.add_done_callback(lambda _: done())

    async def _scrape_all(self, lists: list[list[Scrape]]) -> None:
        async with asyncio.TaskGroup() as group:
            room = asyncio.Semaphore(_SCRAPED_AT_ONCE)
            for scrapes in lists:
                await room.acquire()
                group.create_task(self._scrape(scrapes)).add_done_callback(lambda _: room.release())

    async def _scrape(self, scrapes: list[Scrape]) -> None:
        """All questions to one tracker. Who does not answer the first is not asked the others."""
        run, fault = self._engine.network.run, None
        for one in scrapes:
            if fault is None:
                try:
                    numbers = await self._client.scrape(one.url, list(one.asked), trusted=one.trusted)
                    run(scraping.told, self._engine, one, numbers)
                    continue
                except TrackerFault as unable:
                    fault = unable
                except Exception:  # bulkhead: our own mistake ends the questions to one tracker
                    log.exception("scrape failed tracker=%s", shown(one.url))
                    fault = TrackerFault(FaultKind.INTERNAL, "internal error")
            run(scraping.failed, self._engine, one, fault)

    def _offered(self, offer: Offer) -> None:
        """A WebSocket tracker told of a WebRTC peer."""
        self._engine.network.run(announcing.offered, self._engine, offer)

    def when_told(self, act: Callable[[], None]) -> None:
        """The client ends: call *act* when every tracker knows it that has to, maybe at once."""
        self._when_told.append(act)
        asyncio.get_running_loop().call_later(_GRACE, self._give_up)
        self._look_whether_told()

    def _tell_on(self) -> None:
        """Begin with as many of the last ones as may be under way."""
        self._tells_soon = False
        engine = self._engine
        under_way = Counter(host_of(one.tracker.url) for one in self._telling.values())
        for host in self._waiting.places():
            while under_way[host] < _LAST_PER_HOST and len(self._telling) < AT_ONCE:
                last = self._waiting.first(host)
                if last is None:
                    break
                if self._group is None or engine.clock() > last.due + _LAST_QUEUED:
                    self._forget(last)
                    continue
                under_way[host] += 1
                task = self._group.create_task(self._ask(last))
                self._telling[task] = last
                task.add_done_callback(self._told)

    async def _ask(self, one: Announce) -> None:
        try:
            await self._announce(one)
        except Exception:  # bulkhead: our own mistake ends one announce; the torrent asks again
            log.exception("announce failed tracker=%s", shown(one.tracker.url))
            fault = TrackerFault(FaultKind.INTERNAL, "internal error")
            self._engine.network.post(announcing.failed, self._engine, one, fault)

    async def _announce(self, one: Announce) -> None:
        engine, url = self._engine, one.tracker.url
        try:
            async with asyncio.timeout(_LAST_PATIENCE if one.last else None):
                answer = await self._client.announce(url, one.request, trusted=one.trusted)
        except TrackerFault as fault:
            if fault.kind in (FaultKind.NETWORK, FaultKind.TIMEOUT):
                self._names.forget(host_of(url))  # it may have moved
            engine.network.run(announcing.failed, engine, one, fault)
        except TimeoutError:
            log.debug("tracker does not listen tracker=%s", shown(url))
        else:
            engine.network.run(announcing.told, engine, one, answer)

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
