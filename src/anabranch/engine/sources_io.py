"""Fetching .torrent files over HTTP: those that magnet links name in the background, and any that a user names."""

from __future__ import annotations

import asyncio
import logging
import ssl

from anabranch.metainfo import MAX_FILE, Metainfo
from anabranch.model import TorrentError
from anabranch.net import HttpClient

from . import adding, sources
from .config import Config
from .engine import Engine
from .fleet import shown
from .names_io import FamilyNames
from .sources import MetadataSource, NotServed

log = logging.getLogger(__name__)

_PATIENCE = 30.0  # seconds for a file, redirects included
_OK = 200


async def torrent_at(
    url: str, config: Config, tls: ssl.SSLContext | None, *, trusted: bool, names: FamilyNames | None = None
) -> bytes:
    """What a server has at a URL. At most as much as a .torrent file may have.

    Args:
        url: http or https.
        config: Whose: says who asks, from which address, through which proxy.
        tls: How HTTPS servers are verified; None for the system's certificates.
        trusted: The user named the URL, not a link: see net.why_not_asked().
        names: Who knows names; None for nobody who remembers any.

    Raises:
        InputRefused: not such a URL.
        NotResolved: its host has no address.
        NetworkFailed: the server cannot be reached, or not be understood; the URL may not be asked; too much comes.
        NotServed: it answers, but not with a file.
    """
    names = names or FamilyNames(config)
    client = HttpClient(
        config.identity.user_agent,
        bind=config.listen_host,
        proxy=config.proxy,
        tls=tls,
        resolve=names.resolve,
        forget=names.forget,
        mitigate=config.ssrf_mitigation,
    )
    try:
        reply = await client.get(url, timeout=_PATIENCE, limit=MAX_FILE, trusted=trusted)
    finally:
        await client.close()
    if reply.status != _OK:
        raise NotServed(reply.status)
    return reply.body


class SourceReader:
    """All sources of metadata that are being asked. Network thread only, but for being made.

    Args:
        engine: The engine.
        tls: How HTTPS servers are verified; None for the system's certificates.
        names: Who knows names.
    """

    def __init__(self, engine: Engine, tls: ssl.SSLContext | None, names: FamilyNames) -> None:
        self._engine = engine
        self._names = names
        self._tls = tls
        self._group: asyncio.TaskGroup | None = None  # while run() runs
        self._end = asyncio.Event()
        self._asking: dict[asyncio.Task[None], MetadataSource] = {}

    async def run(self) -> None:
        """Own the tasks, until close()."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await self._end.wait()
            self._group = None
            for task in self._asking:
                task.cancel()

    def close(self) -> None:
        """Give up what is under way; run() ends."""
        self._end.set()

    def look(self) -> None:
        """Ask those that are due, and no longer those whose torrents know by now, or are gone."""
        engine, now = self._engine, self._engine.clock()
        if self._group is None or not (self._asking or engine.due.sources.deadline() <= now):
            return
        with engine.turn:
            over = [task for task, source in self._asking.items() if not sources.wanted(source)]
            due = sources.take(engine, now, len(self._asking))
        for task in over:
            task.cancel()
        for source in due:
            task = self._group.create_task(self._ask(source))
            self._asking[task] = source
            task.add_done_callback(self._asked)

    def _asked(self, task: asyncio.Task[None]) -> None:
        del self._asking[task]
        self.look()

    async def _ask(self, source: MetadataSource) -> None:
        run = self._engine.network.run
        try:
            metainfo = await self._fetch(source)
        except TorrentError as error:
            run(sources.failed, self._engine, source, error)
        except Exception:  # bulkhead: our own mistake ends one question
            log.exception("request failed source=%s", shown(source.url))
            run(sources.failed, self._engine, source, TorrentError("internal error"))
        else:
            run(_learn, self._engine, source, metainfo)

    async def _fetch(self, source: MetadataSource) -> Metainfo:
        body = await torrent_at(source.url, self._engine.config, self._tls, trusted=False, names=self._names)
        info = source.torrent.metainfo.info
        return await asyncio.to_thread(sources.read, body, info.v1, info.v2)


def _learn(engine: Engine, source: MetadataSource, metainfo: Metainfo) -> None:
    """Within a turn: as if the user had added the file."""
    if sources.wanted(source):
        adding.enrich(engine, source.torrent, metainfo)
