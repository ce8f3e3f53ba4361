"""The engine put together: its thread, its workers, its stores; and the calls that begin and end a torrent's life.

These calls may be made from any thread but the engine's own.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from anabranch.dht import nameless
from anabranch.metainfo import Magnet, Metainfo, MetainfoError
from anabranch.model import Address, Closed, InfoHash, InputRefused, Misused, StorageFailed
from anabranch.net import RANDOM_BYTES, Blocklist, Bucket, NotResolved, resolve
from anabranch.storage import (
    Claim,
    ClientStorage,
    InUse,
    Removing,
    SavedTorrent,
    SessionKey,
    SessionStore,
    Whereabouts,
    session_key,
)

from . import adding, closing, saving
from .buffers import BufferPool
from .config import Config
from .directory import names_of
from .engine import Engine, Limits, Workshop
from .events import Event, Failed, FileCompleted, PieceChanged
from .feed_io import Feed, Feeds
from .homes_io import Homes
from .hooks_io import Hooks
from .membership import send_away_banned
from .metrics import Metrics
from .network_io import NetworkThread
from .privacy import discovery_allowed
from .residence_io import Residence
from .sockets_io import open_sockets
from .state import Policy, TorrentState
from .tls_io import tls_context
from .watch_io import make_turn
from .workers_io import Workers

log = logging.getLogger(__name__)

_FAREWELL = 5.0  # seconds that trackers have in all to hear that the client ends
_RESTORED_AT_ONCE = 32  # torrents that become known in one turn
_ENDED_AT_ONCE = 64  # torrents that begin to end in one turn
_MANY = (PieceChanged, FileCompleted)
_OTHER_WORKERS = ((4, "anabranch-read"), (1, "anabranch-record"), (1, "anabranch-move"))
_SETTLE = 5.0  # seconds that adding a torrent waits for its former life to end


def default_state_dir() -> Path:
    """Where state is kept unless the user says otherwise."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "anabranch"


class Core:
    """One running engine.

    Args:
        config: Its settings.

    Raises:
        InputRefused: an address of the configuration cannot be used, or the system gives us no more descriptors.
        StorageFailed: the state directory cannot be used.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.turn = make_turn()
        sessions = _open_sessions(config)
        with ExitStack() as opened:
            if sessions is not None:
                opened.callback(sessions.close)
            saved = _known_nodes(sessions, config)
            tls = tls_context(config.ca_file)
            sockets = open_sockets(config)
            opened.callback(sockets.close)
            try:
                self.network = NetworkThread(sockets, config.listen_host, tls, saved=saved)
            except OSError as refusal:
                raise InputRefused(f"cannot begin an event loop: {refusal.strerror or refusal}") from refusal
            opened.pop_all()
        answer = self.network.answer
        cores = os.cpu_count() or 2
        self._disk = Workers(max(2, min(cores, 8)), "anabranch-disk", answer)
        cold, record, moves = (Workers(*kind, answer) for kind in _OTHER_WORKERS)
        self._workers = self._disk, cold, record, moves
        self._names = Workers(2, "anabranch-names", answer)
        self._homes = Homes(config, sessions)
        self._feeds: Feeds[Event] = Feeds(self.forbidden)
        self._hooks = Hooks("anabranch-hooks")
        self._callbacks: tuple[Callable[[Event], object], ...] = ()
        identity = config.identity
        self.engine = Engine(
            config=config,
            turn=self.turn,
            clock=time.monotonic,
            draw=random.randrange,
            peer_id=config.peer_id or identity.peer_id(os.urandom(RANDOM_BYTES)),
            limits=Limits(
                Bucket(config.download_rate), Bucket(config.upload_rate), Bucket(config.dial_rate, config.dial_rate)
            ),
            workshop=Workshop(self._disk, cold, record, sessions, moves=moves),
            network=self.network,
            publisher=self,
            pool=BufferPool(config.max_unverified_bytes),
            metrics=Metrics(threading.Lock()) if config.debug else None,
        )
        self.engine.workshop.extensions.call = self._hooks.call
        self.engine.banned.blocked = config.blocklist
        self._closed = False
        self._ended = threading.Event()
        self._adding = threading.Lock()  # one at a time: the second of two adds finds what the first has made
        self.network.start(self.engine)

    def forbidden(self) -> bool:
        """Whether the caller must not wait: it is the engine's own thread, or has the turn."""
        return self.network.mine or self.turn.held_by_me

    def publish(self, key: Hashable | None, event: Event) -> None:
        """See Publisher."""
        if isinstance(event, Failed):
            log.warning("torrent failed torrent=%s reason=%s", event.torrent, event.error)
        elif not isinstance(event, _MANY):
            log.info("%s", event)
        self._feeds.publish(key, event)
        for callback in self._callbacks:
            self._hooks.call(callback, event)

    def wants(self, kind: type[Event]) -> bool:
        """See Publisher. All events but those of pieces and files, of which there are many, are logged."""
        return kind not in _MANY or bool(self._callbacks) or self._feeds.wants(kind)

    def subscribe(self, kinds: tuple[type[Event], ...] = ()) -> Feed[Event]:
        """A feed of what happens from now on: of these types of events, or of all."""
        return self._feeds.subscribe(kinds=kinds)

    def on_event(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Have *callback* run for each event, in order, on a thread of its own. Answers how to stop that."""
        with self.turn:
            self._callbacks += (callback,)

        def stop() -> None:
            with self.turn:
                self._callbacks = tuple(one for one in self._callbacks if one is not callback)

        return stop

    def restore(self) -> list[TorrentState]:
        """Add what the session store remembers, but for what another process uses and for what is damaged."""
        with self.turn:
            self._check_open()
        sessions = self.engine.workshop.sessions
        keys = sessions.torrents() if sessions is not None else []
        restored: dict[TorrentState, None] = {}  # two that are remembered may turn out to be one
        for first in range(0, len(keys), _RESTORED_AT_ONCE):
            with self._adding:
                restored |= self._restore(keys[first : first + _RESTORED_AT_ONCE])
        return list(restored)

    def _restore(self, keys: Sequence[SessionKey]) -> dict[TorrentState, None]:
        sessions = self.engine.workshop.sessions
        if sessions is None:
            return {}
        claims: dict[SessionKey, Claim | None] = {}
        made: list[TorrentState] = []
        restored: dict[TorrentState, None] = {}
        try:
            for key in keys:
                try:
                    claims[key] = None if self._has(key.info_hash) else self._claim(key)
                except InUse as taken:
                    log.info("not restored torrent=%s reason=%s", key.info_hash, taken)
            for key, saved, where in zip(
                claims, sessions.load_all(list(claims)), sessions.places(list(claims)), strict=True
            ):
                try:
                    if isinstance(where.intent, Removing):
                        adding.finish_removal(sessions, self._homes.of_torrent(key, where), key, saved)
                        continue
                    if saved is None:
                        continue
                    source = adding.parse_source(saved, key.info_hash)
                    known = self._known(source)
                    if known is not None:
                        restored[known] = None
                    else:
                        policy = Policy(most_connections=self.config.established_connections)
                        made.append(self._make(source, key, None, policy, saved, where))
                except StorageFailed as failed:  # the next run tries again
                    log.warning("not removed torrent=%s reason=%s", key.info_hash, failed)
                except MetainfoError as damaged:  # it stays remembered: added again by the user it goes on
                    log.warning("not restored torrent=%s reason=%s", key.info_hash, damaged)
            self._take_partial(made)
            with self.turn:
                self._check_open()
                for torrent in made:
                    twin = self.engine.directory.find(names_of(torrent))
                    restored[twin or torrent] = None
                    if twin is None:
                        adding.register(self.engine, torrent, claims.pop(saving.key_of(torrent)))
                    elif torrent.pieces.learned:
                        adding.enrich(self.engine, twin, torrent.metainfo)
        finally:
            for claim in claims.values():
                if claim is not None:
                    claim.release()
        for torrent in made:
            if torrent in restored and not torrent.pieces.learned:
                self._look_up(torrent, Magnet.parse(torrent.metainfo.raw.decode()).peers)
        return restored

    def add(
        self,
        source: Metainfo | Magnet,
        data_dir: str | Path | None = None,
        *,
        storage: ClientStorage | None = None,
        resume: bytes | None = None,
        policy: Policy | None = None,
    ) -> tuple[TorrentState, bool]:
        """Make a torrent known; see api.Client.add. Answers its state and whether it is new.

        Args:
            source: What is known of it.
            data_dir: See api.Client.add, as of the next three.
            storage: A storage of its own.
            resume: Resume data.
            policy: What is allowed.

        Raises:
            InputRefused: another process uses the torrent with the same data, or the resume data are wrong.
            StorageFailed: the session store cannot be read.
            Closed: the client is closed.
        """
        if self.network.mine:
            raise Misused("add() waits for the disk: call it from a thread of your own")
        data_path = session_key(
            InfoHash(bytes(20)), data_dir if data_dir is not None else self.config.data_dir
        ).data_path
        with self._adding:
            known = self._known(source)
            if known is not None:
                if isinstance(source, Magnet):
                    self._look_up(known, source.peers)
                return known, False
            names = source.swarm_hashes if isinstance(source, Magnet) else source.info.swarm_hashes
            key = SessionKey(self._remembered(names, data_path), data_path)
            return self._add(source, key, storage, resume, policy or Policy()), True

    def _add(
        self,
        source: Metainfo | Magnet,
        key: SessionKey,
        storage: ClientStorage | None,
        resume: bytes | None,
        policy: Policy,
    ) -> TorrentState:
        given = source
        sessions = self.engine.workshop.sessions
        claim = self._claim(key)
        try:
            saved = sessions.load(key) if sessions is not None else None
            where = sessions.place(key) if sessions is not None else Whereabouts()
            if sessions is not None and isinstance(where.intent, Removing):
                adding.finish_removal(sessions, self._homes.of_torrent(key, where), key, saved)
                saved, where = None, Whereabouts()
            if saved is not None:
                source = adding.better_known(source, saved, key.info_hash)
            torrent = self._make(source, key, storage, policy, saved, where)
            self._take_partial([torrent])
            if resume is not None:
                complete = saving.take_resume(torrent, resume)
                if isinstance(torrent.disk.home, Residence):  # all other storages know by themselves
                    torrent.disk.home.vouch(complete)
            with self.turn:
                self._check_open()
                adding.register(self.engine, torrent, claim)
                claim = None
                adding.remember(self.engine, torrent)
                if given is not source:  # more was known of it; but not, perhaps, all of its trackers
                    adding.enrich(self.engine, torrent, given)
        finally:
            if claim is not None:
                claim.release()
        if isinstance(given, Magnet):
            self._look_up(torrent, given.peers)
        return torrent

    def _claim(self, key: SessionKey) -> Claim | None:
        """Take the right to run a torrent, once its former life has ended; None where nothing is remembered."""
        self._wait_for_former(key.info_hash, key.data_path)
        sessions = self.engine.workshop.sessions
        return sessions.claim(key) if sessions is not None else None

    def _has(self, name: InfoHash) -> bool:
        with self.turn:
            return self.engine.directory.get(name) is not None

    def _check_open(self) -> None:
        """Within a turn: raise Closed if the client is closed."""
        if self._closed:
            raise Closed("the client is closed")

    def _make(
        self,
        source: Metainfo | Magnet,
        key: SessionKey,
        storage: ClientStorage | None,
        policy: Policy,
        saved: SavedTorrent | None,
        where: Whereabouts,
    ) -> TorrentState:
        """A torrent that nobody knows yet, as an earlier run left it."""
        home = storage or self._homes.of_torrent(key, adding.known_place(saved, where))
        torrent = adding.make(source, key, home, self.engine, self.forbidden, policy)
        torrent.totals.added = time.time()
        torrent.swarm.candidates.most = self.config.torrent_peers_high_water
        sessions = self.engine.workshop.sessions
        if sessions is not None and saved is not None:
            adding.take_over(torrent, saved, sessions)
        return torrent

    def _take_partial(self, torrents: Sequence[TorrentState]) -> None:
        """What is remembered of begun pieces is a hint, and stays; that others are missing is not true for long."""
        sessions = self.engine.workshop.sessions
        if sessions is None:
            return
        for torrent in torrents:
            partial = torrent.disk.partial
            if not all(partial.values()):
                sessions.save_partial(saving.key_of(torrent), {piece: bits for piece, bits in partial.items() if bits})

    def _remembered(self, names: Sequence[InfoHash], data_path: str) -> InfoHash:
        """The name by which the store knows a torrent that has several; the first where it does not."""
        sessions = self.engine.workshop.sessions
        if sessions is not None:
            for other in names[1:]:
                first, second = (sessions.load(SessionKey(name, data_path)) for name in (names[0], other))
                if first is None and second is not None:
                    return other
        return names[0]

    def _look_up(self, torrent: TorrentState, peers: Sequence[tuple[str, int]]) -> None:
        """Add peers that a magnet link names: some by host names, which take their time."""
        if not peers:
            return

        def job() -> list[Address]:
            found: list[Address] = []
            for host, port in peers:
                with suppress(NotResolved):  # a name out of a link that nobody knows: the others will do
                    found += resolve(host, port)
            return found

        def failed(_: BaseException) -> None:
            return  # logged by the worker

        def done(found: list[Address]) -> None:
            self.add_peers(torrent, found, "magnet")

        self._names.submit(job, done, failed)

    def drop(self, torrent: TorrentState, *, forget: bool, erase: bool = False) -> None:
        """Let a torrent go; `torrent.signals.closed` tells when all of it is done."""
        with self.turn:
            closing.begin(self.engine, torrent, forget=forget, erase=erase)
        self.network.call(self.network.look_at_closing)

    def add_peers(self, torrent: TorrentState, addresses: list[Address], source: str) -> int:
        """Remember candidates; answers how many were new."""
        with self.turn:
            known = addresses if discovery_allowed(torrent, source) else []
            new = sum(torrent.swarm.candidates.add(address, source) for address in known)
            self.engine.due.lively.add(torrent)
            self.turn.outbox("dial", self.engine, self.network.look_for_peers)
        return new

    @property
    def listen_addresses(self) -> list[Address]:
        """Where peers reach us."""
        return self.network.addresses

    def set_blocklist(self, blocked: Blocklist | None) -> None:
        """Have nothing to do with these addresses from now on, whoever is connected."""
        with self.turn:
            self.engine.banned.blocked = blocked
            torrents = list(self.engine.torrents.values())
        for at in range(0, len(torrents), _ENDED_AT_ONCE):
            with self.turn:
                for torrent in torrents[at : at + _ENDED_AT_ONCE]:
                    send_away_banned(self.engine, torrent)

    def set_rates(self, down: float | None, up: float | None) -> None:
        """Change the client's limits; bytes per second, None for no limit."""
        with self.turn:
            now = self.engine.clock()
            self.engine.limits.down.set_rate(down, now)
            self.engine.limits.up.set_rate(up, now)

    def close(self, timeout: float = 10.0) -> bool:
        """End everything, keeping state. Says whether all of it ended in time. Closing twice does nothing."""
        if self.forbidden():
            raise Misused("close() waits for the engine: call it from a thread of your own, without the turn")
        with self.turn:
            first, self._closed = not self._closed, True
            here = list(self.engine.torrents.values())
        if not first:
            return self._ended.wait(timeout)
        deadline = time.monotonic() + timeout
        for at in range(0, len(here), _ENDED_AT_ONCE):
            with self.turn:
                for torrent in here[at : at + _ENDED_AT_ONCE]:
                    closing.begin(self.engine, torrent, forget=False)
        with self.turn:
            torrents = list(self.engine.due.closing)
        self.network.call(self.network.look_at_closing)
        in_time = all(torrent.signals.closed.wait(max(deadline - time.monotonic(), 0.0)) for torrent in torrents)
        self._names.close(drop=True, timeout=0.0)  # a look-up may take half a minute, and nothing is lost with it
        for workers in self._workers:
            in_time &= workers.close(drop=True, timeout=max(deadline - time.monotonic(), 0.1))
        self.network.finish_announces(min(max(deadline - time.monotonic(), 0.0), _FAREWELL))
        in_time &= self.network.stop(max(deadline - time.monotonic(), 0.5))
        self._feeds.close()
        self._hooks.close(max(deadline - time.monotonic(), 0.1))
        if (sessions := self.engine.workshop.sessions) is not None:
            with suppress(StorageFailed):  # it is the disk's day to say no, and nodes are found again
                if known := self.network.discoverer.saved:
                    sessions.save_dht(known)
            sessions.close()
        self._ended.set()
        return in_time

    def _known(self, source: Metainfo | Magnet) -> TorrentState | None:
        """The torrent, if it is there; it learns what the source knows beyond it."""
        names = source.swarm_hashes if isinstance(source, Magnet) else source.info.swarm_hashes
        with self.turn:
            self._check_open()
            known = self.engine.directory.find(names)
            if known is not None:
                adding.enrich(self.engine, known, source)
            return known

    def _wait_for_former(self, info_hash: InfoHash, data_path: str) -> None:
        """A torrent that was just dropped still holds its files: wait until it has let go."""
        with self.turn:
            former = [one for one in self.engine.due.leaving.every(info_hash) if one.data_path == data_path]
        for torrent in former:
            if not torrent.signals.closed.wait(_SETTLE):
                raise InputRefused(f"{torrent.metainfo.info.name} is still being closed")


def _known_nodes(sessions: SessionStore | None, config: Config) -> bytes:
    """What an earlier run knew of the DHT; of two that share a directory, the second one's nodes have new names."""
    if sessions is None or config.disable_dht:
        return b""
    return sessions.load_dht() if sessions.claim_dht() else nameless(sessions.load_dht())


def _open_sessions(config: Config) -> SessionStore | None:
    if config.state_dir is None:
        return None
    directory = default_state_dir() if config.state_dir == "" else Path(config.state_dir)
    return SessionStore(directory)
