"""A tracker that works, in a thread of its own, with all that it was told: for tests of clients.

It is the tracker of `anabranch tracker`, over HTTP and UDP. What a test wants otherwise (a refusal, an answer that
takes time, none at all) it says for each announce.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

from anabranch.model import InputRefused
from anabranch.tracking import Announce, Counted, Counts, Decide, Limits, Listeners, Rules

from .life_io import Life

_PATIENCE = 10.0  # seconds for a question to its thread
_T = TypeVar("_T")


class TrackerServer:
    """A tracker from `with` to the end of the block; then it may be entered again, at the same port.

    Args:
        bind: Our own IP addresses that it listens on.
        port: For HTTP and UDP alike; 0 for any.
        interval: Seconds until who announced is to announce again.
        only: The info hashes (20 bytes) that it serves; None for all.
        limits: How much it keeps.
        http: Whether it is asked by HTTP.
        udp: Whether it is asked by UDP.
        decide: For each announce: seconds to hold the answer back (infinity: there is none), words to refuse it with,
            or None. Called in the tracker's thread; may be changed at any time.

    Attributes:
        announces: All that came, in order of their answers; those that were refused too.
        refusals: Why each of these was refused, "" where it was not.
    """

    def __init__(
        self,
        *,
        bind: Sequence[str] = ("127.0.0.1",),
        port: int = 0,
        interval: int = 1800,
        only: Collection[bytes] | None = None,
        limits: Limits | None = None,
        http: bool = True,
        udp: bool = True,
        decide: Decide | None = None,
    ) -> None:
        self.announces: list[Announce] = []
        self.refusals: list[str] = []
        self.decide = decide
        self._rules = Rules(interval, only, limits or Limits())
        self._bind = tuple(bind)
        self._kinds = (http, udp)
        self._port = port
        self._news = threading.Condition()
        self._life = Life()
        self._listeners: Listeners | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def port(self) -> int:
        """Where it listens; as given before it does."""
        return self._port

    @property
    def urls(self) -> list[str]:
        """All announce URLs."""
        return self._working.urls

    @property
    def announce_url(self) -> str:
        """For HTTP, at the first address."""
        return next(url for url in self.urls if url.startswith("http:"))

    @property
    def udp_url(self) -> str:
        """For UDP, at the first address."""
        return next(url for url in self.urls if url.startswith("udp:"))

    @property
    def counts(self) -> Counts:
        """How much it was asked."""
        return self._working.tracker.counts

    @property
    def busy(self) -> int:
        """How many announces are held back now."""
        return self._working.holding.busy

    @property
    def most_busy(self) -> int:
        """The most that were between question and answer at once."""
        return self._working.holding.most_busy

    @property
    def connections(self) -> int:
        """How many there have been, by HTTP."""
        return self._working.connections.opened

    @property
    def most_open(self) -> int:
        """The most connections at once."""
        return self._working.connections.most_open

    def scrape(self, info_hash: bytes) -> Counted | None:
        """A torrent in numbers; None where it has none."""
        listeners = self._working
        return self._there(
            lambda: listeners.tracker.swarms.scrape(info_hash, asyncio.get_running_loop().time(), self._rules.life)
        )

    def serve(self, *, interval: int | None = None, only: Collection[bytes] | None = None) -> None:
        """Change the interval, and which torrents are served (None for all), for what comes from now on."""
        rules = Rules(interval or self._rules.interval, only, self._rules.limits)
        listeners = self._working
        self._there(lambda: listeners.tracker.rule(rules))
        self._rules = rules

    def wait_for(self, holds: Callable[[TrackerServer], bool], timeout: float = _PATIENCE) -> bool:
        """Wait until that holds, which is looked at after each announce. Whether it does."""
        with self._news:
            return self._news.wait_for(lambda: holds(self), timeout)

    def __enter__(self) -> Self:
        self._life, self._listeners = Life(), None
        self._life.begin(self._live, "tracker")
        if self._listeners is None:
            raise self._life.end() or InputRefused("the tracker's thread did not begin in time")
        self._port = self._listeners.port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failure = self._life.end()
        if failure is not None and error is None:
            raise failure

    @property
    def _working(self) -> Listeners:
        if self._listeners is None:
            raise InputRefused("the tracker has not been entered yet")
        return self._listeners

    def _there(self, call: Callable[[], _T]) -> _T:
        """Call it in the tracker's thread; its result."""
        result: Future[_T] = Future()

        def work() -> None:
            try:
                result.set_result(call())
            except BaseException as failure:  # noqa: BLE001 - raised in the thread that asked
                result.set_exception(failure)

        assert self._loop is not None
        self._loop.call_soon_threadsafe(work)
        return result.result(_PATIENCE)

    # Its own thread.

    async def _live(self) -> None:
        http, udp = self._kinds
        self._loop = asyncio.get_running_loop()
        listeners = Listeners(
            self._rules,
            bind=self._bind,
            port=self._port,
            http=http,
            udp=udp,
            heard=self._note,
            decide=lambda announce: self.decide(announce) if self.decide is not None else None,
        )
        async with listeners:
            self._listeners = listeners
            await self._life.over()

    def _note(self, announce: Announce, counted: Counted, refusal: str) -> None:
        with self._news:
            self.announces.append(announce)
            self.refusals.append(refusal)
            self._news.notify_all()
