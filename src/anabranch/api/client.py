"""A client: one engine with its torrents. Usable from threads and from asyncio alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar, cast, overload

from anabranch.engine import (
    Config,
    Core,
    Event,
    Feed,
    LockDebug,
    Policy,
    Scrape,
    Signal,
    TorrentStats,
    metrics_mapping,
    metrics_text,
    plan_scrapes,
)
from anabranch.model import Address, InfoHash, InfoHashV2, InputRefused
from anabranch.net import Blocklist
from anabranch.storage import ClientStorage

from .client_stats import ClientStats, client_stats, every_stats
from .dht import Dht
from .extensions import Extensions
from .source import Source, resolve
from .torrent import Torrent

Kind = TypeVar("Kind", bound=Event)

_AT_ONCE = 256  # torrents in a turn


class Client:
    """A BitTorrent client. Every method may be called from any thread, task or callback.

    Use it with `with` or `async with`, or call close().

    Args:
        config: Its settings; the defaults where none are given.

    Attributes:
        extensions: The user's own extensions of the peer protocol: see Extensions.register().
        dht: Its nodes of the DHT, and what can be asked by them.

    Raises:
        InputRefused: an address to listen on cannot be used.
        StorageFailed: the state directory cannot be used.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._core = Core(self.config)
        self.extensions = Extensions(self._core)
        self.dht = Dht(self._core)

    def __repr__(self) -> str:
        return f"<Client on {', '.join(map(str, self.listen_addresses)) or 'no address'}>"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def add(
        self,
        source: Source,
        *,
        data_dir: str | Path | None = None,
        storage: ClientStorage | None = None,
        resume: bytes | None = None,
        check: bool = True,
        trust: bool = True,
        download: bool = True,
        upload: bool = True,
    ) -> Torrent:
        """Add a torrent; one that is there already is given back. Nothing is wanted of a new one: see download_all().

        Reads state from the disk: in a task, use `await asyncio.to_thread(client.add, ...)`.

        Args:
            source: Path of a .torrent file, its bytes, or a Metainfo; a magnet link, as text or Magnet; or a bare info
                hash, as text or InfoHash. Of the last two only the name is known at first: see `got_info`.
            data_dir: Where its files are; the client's unless given.
            storage: A storage of your own.
            resume: What Torrent.resume_data() gave on another machine; its files are believed but for their sizes, if
                nothing is remembered of them here. Content in anything but files knows by itself.
            check: Hash what is on disk and unknown, before anything is asked for.
            trust: Believe what earlier runs, or *resume*, say is complete. Without it that counts as unknown: it is
                hashed, or without *check* fetched again.
            download: Whether it may ask for data. What was forbidden in an earlier run stays so.
            upload: Whether it may serve data; the same.

        Raises:
            InputRefused: it is not a torrent, another process uses it with the same files, or *resume* is of no use.
            StorageFailed: the stored state cannot be read.
            Closed: the client is closed.
            Misused: called on the engine's own thread, or with a URL in a task.
        """
        policy = Policy(download, upload, self.config.established_connections, check, trust=trust)
        state, _ = self._core.add(resolve(source, self.config), data_dir, storage=storage, resume=resume, policy=policy)
        return Torrent(self._core, state)

    def restore(self) -> list[Torrent]:
        """Add every torrent that is remembered in the state directory, each where its files are.

        A torrent that another process uses is left out, as is one of which what is remembered is damaged (it is
        logged). Reads state from the disk, like add().

        Raises:
            StorageFailed: the stored state cannot be read.
        """
        return [Torrent(self._core, state) for state in self._core.restore()]

    @property
    def torrents(self) -> list[Torrent]:
        """All torrents, in the order in which they were added."""
        with self._core.turn:
            return [Torrent(self._core, state) for state in self._core.engine.torrents.values()]

    def get(self, info_hash: InfoHash | str | bytes) -> Torrent | None:
        """The torrent of that info hash, if it is there: 20 bytes or 40 hex digits, of v2 32 bytes or 64 digits, too.

        Raises:
            InputRefused: not an info hash.
        """
        try:
            if len(info_hash) in (32, 64):
                v2 = InfoHashV2.parse(info_hash) if isinstance(info_hash, str) else InfoHashV2(info_hash)
                key = v2.truncated
            else:
                key = InfoHash.parse(info_hash) if isinstance(info_hash, str) else InfoHash(info_hash)
        except ValueError as bad:
            raise InputRefused(str(bad)) from bad
        with self._core.turn:
            state = self._core.engine.directory.get(key)
        return Torrent(self._core, state) if state is not None else None

    @property
    def listen_addresses(self) -> list[Address]:
        """Where it listens."""
        return self._core.listen_addresses

    @overload
    def events(self) -> Feed[Event]: ...

    @overload
    def events(self, *kinds: type[Kind]) -> Feed[Kind]: ...

    def events(self, *kinds: type[Kind]) -> Feed[Kind] | Feed[Event]:
        """What happens from now on: read it with `for`, `async for` or get(). Ends when the client closes.

        Args:
            kinds: The types of events that are of interest, from `anabranch.events`; none for all. Thousands of
                PieceChanged a second are work: who does not need them names the others.

        A subscriber that does not read never holds anything up: it loses the oldest events, and hears of each piece
        and file only the newest.

        Raises:
            InputRefused: something else than a type of events was named.
        """
        for kind in kinds:
            if not (isinstance(kind, type) and issubclass(kind, Event)):
                raise InputRefused(f"not a type of events: {kind!r}")
        return cast("Feed[Kind]", self._core.subscribe(kinds))

    def on_event(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Have *callback* run for every event from now on, in order, on a thread of its own.

        It may call anything of the client. What it raises is logged. Call what this gives back to stop it.

        Raises:
            InputRefused: it cannot be called.
        """
        if not callable(callback):
            raise InputRefused(f"a callback is a function: {callback!r}")
        return self._core.on_event(callback)

    def stats(self) -> ClientStats:
        """Its numbers now. Takes a turn per slice of torrents."""
        return client_stats(self._core)

    def stats_all(self) -> list[TorrentStats]:
        """The numbers of all torrents, a turn per slice and not per torrent."""
        return every_stats(self._core)

    def wait_all(self, timeout: float | None = None, torrents: Iterable[Torrent] | None = None) -> bool:
        """Wait until all torrents are complete, or those given. Says whether they were in time."""
        deadline = None if timeout is None else time.monotonic() + timeout
        return all(
            torrent.complete.wait(None if deadline is None else max(deadline - time.monotonic(), 0.0))
            for torrent in (self.torrents if torrents is None else torrents)
        )

    def scrape(self, torrents: Iterable[Torrent] | None = None) -> Signal:
        """Ask the trackers of all torrents, or of these, how many have them; many torrents in one question (BEP 48).

        What they say stands in tracker_statuses() then. A tracker that was asked for a torrent within the last minute,
        by this or by an announce, is not asked again for it. The signal is set when all have answered, or will not.
        """
        core = self._core
        done = Signal(core.forbidden)
        states = [torrent._state for torrent in (self.torrents if torrents is None else torrents)]
        scrapes: list[Scrape] = []
        for at in range(0, len(states), _AT_ONCE):
            with core.turn:
                scrapes += plan_scrapes(core.engine, states[at : at + _AT_ONCE])
        core.engine.network.scrape(scrapes, done.set)
        return done

    def set_blocklist(self, blocked: Blocklist | Iterable[str] | None) -> None:
        """Have nothing to do with these addresses from now on: they are not dialed, let in or asked by the DHT.

        Who is connected leaves. None for nobody; an earlier list is replaced.

        Args:
            blocked: Networks, addresses or ranges, one each: "10.0.0.0/8", "2001:db8::1", "192.0.2.1-192.0.2.9"; or a
                Blocklist, which reads published lists, too.

        Raises:
            InputRefused: what is not one of those, with its place in the list.
        """
        if blocked is not None and not isinstance(blocked, Blocklist):
            blocked = Blocklist.parse(blocked)
        self._core.set_blocklist(blocked)

    def set_rates(self, down: float | None, up: float | None) -> None:
        """Limit the client to so many bytes per second, None for no limit. Takes effect at once."""
        self._core.set_rates(down, up)

    def lock_debug(self) -> LockDebug:
        """Who holds the turn, since when, and how much waits; needs TORRENT_LOCK_DEBUG=1 or =stack at start."""
        return self._core.turn.lock_debug_snapshot()

    def lock_debug_info(self) -> str:
        """The same in words."""
        return self._core.turn.lock_debug_info()

    def metrics(self) -> Mapping[str, int]:
        """What was counted inside since the client was made, by name and label: `dials_total{network="tcp4"}`.

        docs/metrics.md has the names. Empty unless Config.debug is on.
        """
        return metrics_mapping(self._core.engine.metrics)

    def metrics_text(self) -> str:
        """The same in Prometheus' text format (0.0.4), each name with "anabranch_" before it; empty likewise."""
        return metrics_text(self._core.engine.metrics)

    def close(self, timeout: float = 10.0) -> bool:
        """Save all state and end. Says whether everything ended in time. Closing twice does nothing.

        Raises:
            Misused: called on the engine's own thread.
        """
        return self._core.close(timeout)
