"""The network thread: one event loop that owns all sockets, and the clock of the engine.

uvloop where it is installed, asyncio's loop otherwise. Everything that touches a connection runs here, in turns that
the loop's callbacks take; other threads reach it by post().
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from anabranch.model import Address
from anabranch.net import dial, new_loop

from . import asking, closing, dialing, membership, planning, saving, ticking
from .announcer_io import Announcer
from .dialing import Dial
from .discovery_io import Discoverer
from .engine import Engine
from .entrance_io import Entrance
from .fetches import Fetch
from .handshaking import Handshaking, Secret
from .link_io import PLAIN_SIZE, SocketLink
from .names_io import FamilyNames
from .ourselves import Ourselves
from .scraping import Scrape
from .sockets_io import Sockets
from .sources_io import SourceReader
from .state import TorrentState
from .trackers import Announce
from .webseeds_io import WebSeedReader

log = logging.getLogger(__name__)

TICK = 1.0  # seconds
SAVE_EVERY = 30.0  # seconds between writes of totals
_IDLE_LOOK = 0.1  # seconds between looks at peers that wait for the end game
_LONGEST_PAD = 256  # bytes of padding in an obfuscated handshake; the protocol allows 512
_AT_ONCE = 64  # torrents that are saved, or looked at when they close, in one turn
_CLOSING_LOOK = 0.02  # seconds between looks at torrents that are closing


class NetworkThread:
    """The thread, its loop, its listeners and links. It is the engine's Network and every link's Host.

    Args:
        sockets: What is open; closed with the thread.
        saved: What an earlier run knew of the DHT.
        bind: Our own addresses to speak from; empty for any.
        tls: How HTTPS servers are verified; None for the system's certificates.
        make_loop: Makes the loop.
    """

    engine: Engine

    def __init__(
        self,
        sockets: Sockets,
        bind: tuple[str, ...] = (),
        tls: ssl.SSLContext | None = None,
        make_loop: Callable[[], asyncio.AbstractEventLoop] = new_loop,
        saved: bytes = b"",
    ) -> None:
        self.plain = memoryview(bytearray(PLAIN_SIZE))
        self.loop = make_loop()
        self.clock = time.monotonic
        self._bind = bind
        self._tls = tls
        self._links: set[SocketLink] = set()
        self._entrance = Entrance(sockets.listeners, self._links)
        self._discoverer = Discoverer(sockets.datagrams, self.port or 0, saved)
        self._thread = threading.Thread(target=self._work, name="anabranch-network", daemon=True)
        self._ident = 0  # only while it runs: the system gives the number of a thread that ended to another
        self._dialing_soon = False
        self._idle_timer = False
        self._looks_at_closing = False
        self._save_at = 0.0

    # Any thread.

    def start(self, engine: Engine) -> None:
        """Begin to serve."""
        self.engine = engine
        names = FamilyNames(engine.config)
        self._announcer = Announcer(engine, self._bind, self._tls, names, self._discoverer.datagrams)
        self._webseeds = WebSeedReader(engine, self._bind, self._tls, names)
        self._sources = SourceReader(engine, self._tls, names)
        engine.turn.slices_run_by(self.answer)
        ready = threading.Event()
        self.loop.call_soon(self._discoverer.open, engine, names)
        self.loop.call_soon(ready.set)
        self._thread.start()
        ready.wait()

    @property
    def addresses(self) -> list[Address]:
        """Where we listen."""
        return self._entrance.addresses

    @property
    def port(self) -> int | None:
        """The one port of all our listeners; None where nobody is accepted."""
        return self.addresses[0].port if self.addresses else None

    @property
    def ourselves(self) -> Ourselves:
        """See Network."""
        return self._entrance.ourselves

    @property
    def discoverer(self) -> Discoverer:
        """Our DHT node and the local network. Network thread only, while it runs."""
        return self._discoverer

    @property
    def mine(self) -> bool:
        """Whether the caller is the network thread."""
        return threading.get_ident() == self._ident

    def answer(self, action: Callable[[], None]) -> None:
        """Run something on the network thread, outside of turns. Raises RuntimeError when that has ended."""
        self.loop.call_soon_threadsafe(action)

    def call(self, action: Callable[..., None], *args: object) -> None:
        """See Network."""
        with suppress(RuntimeError):  # the loop is closed: there is nothing left to act on
            self.loop.call_soon_threadsafe(action, *args)

    def post(self, action: Callable[..., None], *args: object) -> None:
        """See Network."""
        with suppress(RuntimeError):  # the loop is closed: there is nothing left to act on
            self.loop.call_soon_threadsafe(self._run_guarded, action, args)

    def look_for_peers(self) -> None:
        """See Network."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._dial_soon)

    def announce(self, last: Announce) -> None:
        """See Network."""
        self.call(self._announcer.tell, last)

    def scrape(self, scrapes: list[Scrape], done: Callable[[], None]) -> None:
        """See Network."""
        try:
            self.loop.call_soon_threadsafe(self._announcer.scrape, scrapes, done)
        except RuntimeError:  # the loop is closed: nobody will be asked, and nobody shall wait for it
            done()

    def plan(self) -> None:
        """See Network."""
        self.post(planning.run, self.engine)

    def fetch(self, fetch: Fetch) -> None:
        """See Network."""
        self.call(self._webseeds.fetch, fetch)

    def cut(self, fetch: Fetch) -> None:
        """See Network."""
        self.call(self._webseeds.cut, fetch)

    def finish_announces(self, timeout: float) -> None:
        """Wait until the trackers know what they should, or have had their time."""
        told = threading.Event()
        self.call(self._announcer.when_told, told.set)
        told.wait(timeout)

    def stop(self, timeout: float) -> bool:
        """End the loop and close what is open. Says whether the thread ended in time."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # Network thread.

    def run(self, action: Callable[..., None], *args: object) -> None:
        """See Network."""
        with self.engine.turn:
            action(*args)
        self.flush_touched()

    def flush_touched(self) -> None:
        """Send what turns have queued."""
        engine = self.engine
        while engine.due.touched:
            touched, engine.due.touched = engine.due.touched, set()
            for peer in touched:
                peer.link.flush()
        if engine.due.idle and not self._idle_timer:
            self._idle_timer = True
            self.loop.call_later(_IDLE_LOOK, self._look_at_idle)

    def _look_at_idle(self) -> None:
        self._idle_timer = False
        due = self.engine.due
        idle, due.idle = due.idle, set()
        for peer in idle:
            self.run(asking.ask_again, self.engine, peer, self.clock())

    def add_reader(self, sock: socket.socket, act: Callable[[], None]) -> None:
        """See Host."""
        self.loop.add_reader(sock, act)

    def remove_reader(self, sock: socket.socket) -> None:
        """See Host."""
        self.loop.remove_reader(sock)

    def add_writer(self, sock: socket.socket, act: Callable[[], None]) -> None:
        """See Host."""
        self.loop.add_writer(sock, act)

    def remove_writer(self, sock: socket.socket) -> None:
        """See Host."""
        self.loop.remove_writer(sock)

    def later(self, delay: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        """See Host."""
        return self.loop.call_later(delay, act)

    def gone(self, link: SocketLink) -> None:
        """See Host."""
        self._links.discard(link)
        self._entrance.left(link)
        self._dial_soon()
        self.loop.call_soon(self.flush_touched)

    def blame(self, host: str) -> None:
        """See Host."""
        self._entrance.blame(host)

    def _run_guarded(self, action: Callable[..., None], args: tuple[object, ...]) -> None:
        try:
            self.run(action, *args)
        except Exception:  # bulkhead: our own mistake in one action
            log.exception("action failed action=%s", getattr(action, "__qualname__", action))

    def _work(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._ident = threading.get_ident()
        self.engine.turn.network_thread_is(self._ident)
        self._entrance.open(self, self._greet)
        self.loop.call_later(TICK, self._tick)
        askers = self._announcer, self._webseeds, self._sources, self._discoverer
        tasks = [asyncio.run_coroutine_threadsafe(one.run(), self.loop) for one in askers]
        try:
            self.loop.run_forever()
        finally:
            for link in list(self._links):
                link.close("the client was closed")
            self._entrance.close()
            for one in askers:
                one.close()
            for task in tasks:
                self.loop.run_until_complete(asyncio.wrap_future(task, loop=self.loop))
            left = asyncio.all_tasks(self.loop)  # what users ask the DHT
            for question in left:
                question.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.close()
            self._ident = 0
            self.engine.turn.network_thread_is(0)

    def _greet(self, sock: socket.socket, address: Address) -> SocketLink:
        """Somebody was let in."""
        engine, timeout = self.engine, self.engine.config.handshake_timeout
        shaking = Handshaking.accepted(
            engine.directory.find_secret, engine.config.encrypts, _secret, self.clock(), timeout
        )
        link = SocketLink(self, sock, address, shaking)
        self._links.add(link)
        link.start(timeout)
        return link

    def _dial_soon(self) -> None:
        if not self._dialing_soon:
            self._dialing_soon = True
            self.loop.call_soon(self._dial)

    def _dial(self) -> None:
        self._dialing_soon = False
        engine = self.engine
        with engine.turn:
            dials = dialing.choose(engine, self.clock(), self._entrance.room())
        for one in dials:
            self._dial_one(one)
        self._announcer.look(self.port or 0)
        self._sources.look()
        self._discoverer.look()

    def _dial_one(self, one: Dial) -> None:
        engine, address = self.engine, one.candidate.address
        bind = next((host for host in self._bind if (":" in host) == address.is_v6), None)
        try:
            sock = dial(address, bind)
        except OSError as refusal:
            log.debug("dial failed peer=%s reason=%s", address, refusal)
            with engine.turn:
                dialing.ended(engine, one.torrent, one.candidate)
            return
        self._entrance.note_our_end(sock)
        timeout = one.timeout + engine.config.handshake_timeout
        shaking = Handshaking.dialed(
            *membership.our_greeting(engine, one.torrent, one.name),
            engine.config.encrypts,
            _secret() if one.obfuscated else None,
            self.clock(),
            timeout,
        )
        link = SocketLink(self, sock, address, shaking, one.torrent, one.candidate)
        self._links.add(link)
        link.start(timeout)

    def _tick(self) -> None:
        try:
            self._tick_all()
        except Exception:  # bulkhead: the next tick is another chance
            log.exception("tick failed")
        finally:
            self.loop.call_later(TICK, self._tick)

    def _tick_all(self) -> None:
        engine, now = self.engine, self.clock()
        for torrent in list(engine.due.lively):
            self._run_guarded(ticking.tick, (engine, torrent, now))
        for link in list(self._links):
            link.tick(now)
        if now >= self._save_at:
            self._save_at = now + SAVE_EVERY
            self._save([torrent for torrent in list(engine.torrents.values()) if torrent.disk.dirty])
        if engine.due.unsaved:
            with engine.turn:
                unsaved, engine.due.unsaved = engine.due.unsaved, {}
            self._save(list(unsaved))
        self.run(ticking.tick_client, engine)
        self._dial()
        if engine.due.closing:
            self.look_at_closing()

    def _save(self, torrents: list[TorrentState]) -> None:
        """Have these remembered, some at a time: others have their turns between."""
        if torrents:
            self._run_guarded(saving.save, (self.engine, torrents[:_AT_ONCE]))
            self.loop.call_soon(self._save, torrents[_AT_ONCE:])

    def look_at_closing(self) -> None:
        """Torrents that are closing are looked at until they are gone, some at a time."""
        if not self._looks_at_closing:
            self._looks_at_closing = True
            self._look_again()

    def _look_again(self) -> None:
        self._look_at([torrent for torrent in list(self.engine.due.closing) if not torrent.disk.letting_go])

    def _look_at(self, torrents: list[TorrentState]) -> None:
        if torrents:
            self._run_guarded(self._look_at_some, (torrents[:_AT_ONCE],))
            self.loop.call_soon(self._look_at, torrents[_AT_ONCE:])
        elif self.engine.due.closing:
            self.loop.call_later(_CLOSING_LOOK, self._look_again)
        else:
            self._looks_at_closing = False

    def _look_at_some(self, torrents: list[TorrentState]) -> None:
        for torrent in torrents:
            closing.look(self.engine, torrent)


def _secret() -> Secret:
    """Randomness for one obfuscated handshake."""
    pads = os.urandom(2 * _LONGEST_PAD)
    lengths = [1 + one % _LONGEST_PAD for one in os.urandom(2)]
    return Secret(os.urandom(20), (pads[: lengths[0]], pads[_LONGEST_PAD : _LONGEST_PAD + lengths[1]]))
