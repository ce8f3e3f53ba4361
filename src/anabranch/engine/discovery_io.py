"""Our DHT node and the local network, on the network thread: what seeking.py decides is asked here.

The node is there whenever the DHT is on: an idle client answers and looks for other nodes as a busy one does, whether
it accepts peers or not. Its sockets are the client's only UDP sockets, and serve UDP trackers, too.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from functools import partial
from math import inf
from socket import socket

from anabranch.dht import BOOTSTRAP, Announcing, Contact, Dht, Looked
from anabranch.discovery import LocalDiscovery
from anabranch.model import Address
from anabranch.net import Datagrams

from . import seeking
from .directory import names_of
from .engine import Engine
from .names_io import FamilyNames
from .state import TorrentState

log = logging.getLogger(__name__)

_SAVE_EVERY = 600.0  # seconds between writes of the nodes that are known


class Discoverer:
    """Network thread only, but for being made.

    Args:
        sockets: UDP sockets, which it owns.
        port: Where we accept peers; 0 where we do not.
        saved: What an earlier run knew of the DHT.

    Attributes:
        datagrams: The sockets by "is it IPv6", of each family the first, once open() was called.
        dht: Our DHT node; None while there is none.
        saved: What is to be remembered of it; the latest after close().
    """

    _engine: Engine

    def __init__(self, sockets: Sequence[socket], port: int, saved: bytes) -> None:
        self.datagrams: dict[bool, Datagrams] = {}
        self.dht: Dht | None = None
        self.saved = saved
        self._local: LocalDiscovery | None = None
        self._sockets = sockets
        self._port = port
        self._save_at = inf
        self._all: list[Datagrams] = []
        self._end = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None

    def open(self, engine: Engine, names: FamilyNames) -> None:
        """Begin to hear; *names* knows names."""
        self._engine, config = engine, engine.config
        self._save_at = engine.clock() + _SAVE_EVERY
        for sock in self._sockets:
            datagrams = Datagrams(sock)
            self._all.append(datagrams)
            self.datagrams.setdefault(datagrams.address.is_v6, datagrams)
        if self._all and not config.disable_dht:
            self.dht = Dht(
                self._all,
                clock=engine.clock,
                bootstrap=BOOTSTRAP if config.dht_bootstrap is None else config.dht_bootstrap,
                resolve=names.resolve,
                saved=self.saved,
                read_only=config.dht_read_only,
                banned=engine.banned.__contains__,
                on_query=self._asked if config.dht_on_query is not None else None,
                on_announce=self._announced,
            )
            engine.due.seekers.port = 0 if config.dht_read_only else self._all[0].address.port
            engine.due.seekers.add_node = self.dht.add_node
        if not config.disable_lsd:
            self._local = LocalDiscovery(
                self._port,
                self._heard,
                cookie=os.urandom(8).hex(),
                clock=engine.clock,
                bind=config.listen_host,
                v4=not config.disable_ipv4,
                v6=not config.disable_ipv6,
            )
            self._local.open()

    async def run(self) -> None:
        """Own what takes its time, until close()."""
        if self.dht is not None:
            await self.dht.run()
        else:
            await self._end.wait()

    def close(self) -> None:
        """Hear nothing more; run() ends."""
        self._end.set()
        if self._alarm is not None:
            self._alarm.cancel()
        if self.dht is not None:
            self.saved = self.dht.saved()
            self.dht.close()
        if self._local is not None:
            self._local.close()
        for datagrams in self._all:
            datagrams.close()

    def look(self) -> None:
        """Look for the peers that it is time to look for."""
        engine, now = self._engine, self._engine.clock()
        dht = self.dht
        if dht is not None and now >= self._save_at:
            self._save_at = now + _SAVE_EVERY
            self._remember(dht.saved())
        seekers = engine.due.seekers
        search = seekers.dht.deadline() <= now and seekers.budget.ready_at(now) <= now
        if dht is not None and search and dht.nodes:
            with engine.turn:
                due = seeking.take(engine, now)
            for torrent in due:
                self._search(dht, torrent)
        tell = seekers.local.deadline() <= now and seekers.local_budget.ready_at(now) <= now
        if self._local is not None and tell:
            with engine.turn:
                names = seeking.name(engine, now)
            if names and self._port:
                self._local.announce(names)
        self._look_again()

    def _look_again(self) -> None:
        """Have look() called when it is due, which may be between the ticks of the clock."""
        engine, now = self._engine, self._engine.clock()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        at = seeking.deadline(engine, now, nodes=self.dht is not None and self.dht.nodes > 0)
        if self._end.is_set() or at == inf:  # where there are no nodes yet, the next tick of the clock looks again
            return
        self._alarm = asyncio.get_running_loop().call_later(max(at - now, 0.001), self.look)

    def _search(self, dht: Dht, torrent: TorrentState) -> None:
        engine = self._engine
        announcing = None
        if self._port and not engine.config.dht_read_only:
            implied = self._all[0].address.port == self._port
            announcing = Announcing(self._port, implied=implied, seed=torrent.pieces.is_seed)
        names = names_of(torrent)
        open_searches = len(names)
        answered = 0

        def heard(peers: list[Address]) -> None:
            engine.network.run(seeking.found, engine, torrent, peers, "dht")

        def done(looked: Looked) -> None:
            nonlocal open_searches, answered
            open_searches -= 1
            answered += looked.answered
            if not open_searches:
                engine.network.run(seeking.ended, engine, torrent, answered)
                self._look_again()

        searches = [dht.search(one, heard, done, announce=announcing) for one in names]
        if open_searches:
            engine.network.run(seeking.begun, engine, torrent, searches)

    def _asked(self, method: str, who: Contact) -> bool:
        """A query came: the user's hook sees it. It must not have the turn."""
        hook = self._engine.config.dht_on_query
        try:
            return hook is None or bool(hook(method, who.address))
        except BaseException:  # bulkhead: the user's code, which may exit (SystemExit); whoever asked is answered
            log.exception("dht_on_query failed method=%s", method)
            return True

    def _announced(self, info_hash: bytes, address: Address) -> None:
        self._engine.network.run(seeking.named, self._engine, info_hash, address, "dht")

    def _heard(self, info_hash: bytes, address: Address) -> None:
        self._engine.network.run(seeking.named, self._engine, info_hash, address, "lsd")

    def _remember(self, saved: bytes) -> None:
        """Have a worker write it, if it is new."""
        workshop = self._engine.workshop
        sessions = workshop.sessions
        if sessions is None or saved == self.saved:
            return
        self.saved = saved

        def done(_: None) -> None:
            return

        def failed(_: BaseException) -> None:
            return  # logged by the worker; there is another time

        workshop.record.submit(partial(sessions.save_dht, saved), done, failed)
