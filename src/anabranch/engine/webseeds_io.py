"""Reading from web seeds, on the network thread's loop: a task for each request that was begun.

How many there are, and of what, was decided before (planning.py); what their bytes and failures mean is decided
elsewhere (fetching.py). A request is one HTTP request after the other, one for each file that it touches, and ends with
the first of them that fails.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from math import isinf

from anabranch.model import TorrentError
from anabranch.net import Answer, BodyFlow, RangeClient
from anabranch.webseed import Part, State, judge, parts_of

from . import claiming, fetching
from .engine import Engine
from .fetches import Fetch
from .metrics import WEBSEED_ANSWERS
from .names_io import FamilyNames

log = logging.getLogger(__name__)

_AT_ONCE = 4 * 1024 * 1024  # bytes; what one receive may bring before others have their turn


class WebSeedReader:
    """All requests to web seeds that were begun. Network thread only, but for being made.

    Args:
        engine: The engine.
        bind: Our own addresses to speak from; empty for any.
        tls: How HTTPS servers are verified; None for the system's certificates.
        names: Who knows names.
    """

    def __init__(self, engine: Engine, bind: Sequence[str], tls: ssl.SSLContext | None, names: FamilyNames) -> None:
        self._engine = engine
        self._names = names
        self._bind = bind
        self._tls = tls
        self._client: RangeClient | None = None  # made when it is needed first: most clients know no web seeds
        self._group: asyncio.TaskGroup | None = None  # while run() runs
        self._end = asyncio.Event()
        self._tasks: dict[Fetch, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Own the tasks, until close()."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._end.wait()
                self._group = None
                for task in self._tasks.values():
                    task.cancel()
        finally:
            if self._client is not None:
                await self._client.close()

    def close(self) -> None:
        """Give up what is under way; run() ends."""
        self._end.set()

    def fetch(self, fetch: Fetch) -> None:
        """Begin a request, unless it was cut off meanwhile."""
        if self._group is None or fetch.request.state is State.ENDED or fetch in self._tasks:
            return
        task = self._tasks[fetch] = self._group.create_task(self._read(fetch))
        task.add_done_callback(lambda _: self._tasks.pop(fetch, None))

    def cut(self, fetch: Fetch) -> None:
        """Read no more of it."""
        task = self._tasks.get(fetch)
        if task is not None:
            task.cancel()

    async def _read(self, fetch: Fetch) -> None:
        try:
            await self._read_to_the_end(fetch)
        except Exception:  # bulkhead: else all requests would end with this one, and none would be begun any more
            log.exception("request ended badly webseed=%s", fetch.seed)
            if fetch.request.state is not State.RESTING:
                self._engine.network.post(claiming.cancel, self._engine, fetch.request, "internal error")

    async def _read_to_the_end(self, fetch: Fetch) -> None:
        run = self._engine.network.run
        try:
            await self._read_parts(fetch)
        except _Enough:
            run(fetching.finished, self._engine, fetch)
        except TorrentError as error:
            run(fetching.broken, self._engine, fetch, error)
        except Exception:  # bulkhead: our own mistake ends one request
            log.exception("request failed webseed=%s", fetch.seed)
            run(fetching.broken, self._engine, fetch, TorrentError("internal error"))
        else:
            run(fetching.finished, self._engine, fetch)

    async def _read_parts(self, fetch: Fetch) -> None:
        request, seed, source = fetch.request, fetch.seed, fetch.seed.source
        for part in parts_of(seed, fetch.torrent.metainfo.info, request.next, request.end):
            if part.offset >= request.end:  # others have taken the rest over
                break
            reading = _Reading(self._engine, fetch, part)
            if part.url is None:
                await reading.fill_with_zeros()
            else:
                await self._range_client().get(
                    part.url,
                    reading,
                    begin=part.begin,
                    length=part.length,
                    ranged=part.ranged,
                    headers=dict(source.headers),
                    trusted=source.trusted,
                    named=seed.base,
                )
            if not reading.wanted:
                break

    def _range_client(self) -> RangeClient:
        if self._client is None:
            config = self._engine.config
            self._client = RangeClient(
                config.identity.user_agent,
                bind=self._bind,
                proxy=config.proxy,
                tls=self._tls,
                resolve=self._names.resolve,
                forget=self._names.forget,
                mitigate=config.ssrf_mitigation,
            )
        return self._client


class _Enough(Exception):  # no error: what is asked for is not wanted any more
    """Nothing more of a request is wanted."""


class _Reading:
    """A part of a request on its way: the Sink of its body.

    Attributes:
        wanted: What follows the part is wanted, too.
    """

    def __init__(self, engine: Engine, fetch: Fetch, part: Part) -> None:
        self.wanted = True
        self._engine = engine
        self._fetch = fetch
        self._part = part
        self._left = part.length
        self._again = asyncio.Event()

    def begun(self, answer: Answer, flow: BodyFlow) -> int:
        """See Sink."""
        if (metrics := self._engine.metrics) is not None:
            metrics.add(WEBSEED_ANSWERS, answer.status)
        left_out = judge(self._part, answer)
        self._begin(flow)
        return left_out

    def landing(self) -> memoryview | None:
        """See Sink."""
        engine, fetch = self._engine, self._fetch
        with engine.turn:
            found = fetching.landing(engine, fetch, min(self._left, _AT_ONCE))
        if isinstance(found, memoryview):
            return found
        if not isinf(found):
            asyncio.get_running_loop().call_later(found, self._resume)
        return None

    def landed(self, count: int) -> bool:
        """See Sink."""
        engine = self._engine
        with engine.turn:
            self.wanted = fetching.landed(engine, self._fetch, count)
        engine.network.flush_touched()
        self._left -= count
        return self.wanted

    def resume(self) -> None:
        """There is memory for zeros: as BodyFlow."""
        self._again.set()

    async def fill_with_zeros(self) -> None:
        """A pad file: nobody is asked for it."""
        self._begin(self)
        while self._left and self.wanted:
            view = self.landing()
            if view is None:
                self._again.clear()
                await self._again.wait()
            else:
                view[:] = bytes(len(view))
                self.landed(len(view))
                await asyncio.sleep(0)  # others have their turns

    def _begin(self, flow: BodyFlow) -> None:
        """The bytes of this part come now.

        Raises:
            _Enough: they are not wanted any more.
            TorrentError: they do not belong where the last ones ended, which would be our own mistake.
        """
        engine, fetch = self._engine, self._fetch
        with engine.turn:
            if not fetching.begin(engine, fetch):
                raise _Enough
            fetch.flow = flow
        if fetch.at != self._part.offset:
            raise TorrentError(f"bytes of offset {self._part.offset} are not what belongs to {fetch.at}")

    def _resume(self) -> None:
        if self._fetch.flow is not None:
            self._fetch.flow.resume()
