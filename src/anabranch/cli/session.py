"""A client at work for download and seed: made of the options, watched until its end, ended in time.

Everything is looked at by this one thread several times a second; events only fill in what a look cannot see.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from math import inf

from anabranch.api import Client, Config, Magnet, Metainfo, Torrent, TorrentError, TorrentStats, events
from anabranch.api import resolve as resolve_source
from anabranch.metainfo import printable
from anabranch.model import InfoHash
from anabranch.net import ample_descriptors, resolve

from . import words
from .interrupt import INTERRUPTED, Interrupt
from .options import Wishes
from .show import content_length, file_count
from .views import Row, View

DONE, FAILED = 0, 1
LOOK_EVERY = 0.05  # seconds; sooner when there is something to hear
HEARD = (
    events.Completed,
    events.Failed,
    events.MetadataSourceFailed,
    events.PeerBanned,
    events.PeerConnected,
    events.PeerIntroduced,
    events.PeerLost,
    events.PeersFound,
    events.PieceFailed,
    events.Recovered,
    events.TrackerFailed,
    events.TrackerReplied,
    events.TurnedPrivate,
    events.WebSeedFailed,
)
_FROZEN_EVERY = 500  # torrents
CLOSE_TIMEOUT = 2.5  # seconds; whoever presses Ctrl-C waits no longer than 3
RETRY_SECONDS = 10  # how often the engine tries a failed disk again; said in its fault's line


class CommandFailed(TorrentError):
    """The command cannot do what was asked; the text says why."""


class Phase(Enum):
    """How far a torrent is on its way to being used."""

    TO_LEARN = 0  # only its name is known
    TO_VERIFY = 1  # opening; then everything will be hashed, because the user wished it
    TO_CHECK = 2  # what nobody knows of is being hashed, or everything
    READY = 3
    GIVEN_UP = 4  # it was said why; others go on


@dataclass(slots=True, eq=False)
class Watched:
    """A torrent, and what was said of it."""

    torrent: Torrent
    phase: Phase
    verifies: bool
    after: Phase  # what follows when its files are known
    wanted: int = 0  # bytes of the files that are wanted
    faults: set[str] = field(default_factory=set)  # said since it last went well
    recovered: float = 0.0  # when that was heard; pictures of before show the fault still
    complete: bool = False
    since: float = field(default_factory=time.monotonic)


def load_all(wishes: Wishes) -> list[Metainfo | Magnet]:
    """Read all torrents before anything is begun; one that is named twice counts once. Raises InputRefused."""
    found: dict[InfoHash, Metainfo | Magnet] = {}
    config = config_of(wishes)
    for source in wishes.sources:
        known = resolve_source(source, config)
        for name in names_of(known):
            if name in found:
                break
        else:
            found[names_of(known)[0]] = known
    return list(found.values())


def names_of(source: Metainfo | Magnet) -> tuple[InfoHash, ...]:
    """The info hashes that a torrent is known by."""
    return source.swarm_hashes if isinstance(source, Magnet) else source.info.swarm_hashes


def config_of(wishes: Wishes) -> Config:
    """The client's settings."""
    return Config(
        data_dir=wishes.data_dir,
        incomplete_dir=wishes.incomplete_dir,
        state_dir=wishes.state or "",
        storage=wishes.storage,
        storage_capacity=wishes.cache_size,
        preallocate=wishes.preallocate,
        listen_host=wishes.bind,
        listen_port=Config.listen_port if wishes.port is None else wishes.port,
        listen_port_fixed=wishes.port is not None,
        download_rate=wishes.limit_down,
        upload_rate=wishes.limit_up,
        established_connections=wishes.max_peers or Config.established_connections,
        seed=wishes.seed,
        encryption=wishes.encryption,
        identity=wishes.identity,
        disable_tcp=wishes.no_tcp,
        disable_utp=wishes.no_utp,
        disable_dht=wishes.no_dht,
        dht_bootstrap=wishes.dht_bootstrap or None,
        disable_pex=wishes.no_pex,
        disable_lsd=wishes.no_lsd,
        assume_private=wishes.assume_private,
        disable_trackers=wishes.no_trackers,
        announce_to_all=wishes.announce_to_all,
        disable_webseeds=wishes.no_webseeds,
        http_proxy=wishes.http_proxy,
        ca_file=wishes.ca_file,
        ssrf_mitigation=not wishes.allow_local_urls,
    )


class Session:
    """A running client and its torrents, shown in a view.

    Args:
        wishes: The options.
        view: Where to tell what happens.
        interrupt: Whether the user wants an end.
        ready: Called once for each torrent, when what is wanted of it is to be decided; may raise CommandFailed.
        complete: Called once for each, when all that is wanted is there.
    """

    def __init__(
        self,
        wishes: Wishes,
        view: View,
        interrupt: Interrupt,
        ready: Callable[[Watched], None],
        complete: Callable[[Watched], None],
    ) -> None:
        self.view = view
        self._wishes = wishes
        self._interrupt = interrupt
        self._ready = ready
        self._complete = complete
        ample_descriptors()
        self._peers = [address for host, port in wishes.peer for address in resolve(host, port)]
        self.client = Client(config_of(wishes))
        self._feed = self.client.events(*HEARD)
        # A torrent of small files brings thousands at once, which must not push out anything else.
        self._files = self.client.events(events.FileCompleted) if wishes.json else None
        self._trouble: set[str] = set()  # of trackers and web seeds, each said once
        self.watched: dict[InfoHash, Watched] = {}

    def add(self, source: Metainfo | Magnet, *, download: bool, check_first: bool) -> None:
        """Make a torrent known; peers are given to it at once.

        Args:
            source: What is known of it.
            download: Whether it may ask for data once it is ready.
            check_first: It is ready only when what is on disk is known.
        """
        verify = self._wishes.verify
        torrent = self.client.add(source, check=not verify, download=download and not verify)
        torrent.allow_download(download and not verify)  # whatever a former run kept of these
        torrent.allow_upload(True)
        if self._wishes.super_seeding:
            torrent.set_super_seeding(True)
        listen = [str(one) for one in self.client.listen_addresses]
        self.view.tell("added", torrent.info_hash, name=torrent.name, listen=listen, cpu=round(time.process_time(), 3))
        after = Phase.TO_VERIFY if verify else Phase.TO_CHECK if check_first else Phase.READY
        watched = self.watched[torrent.info_hash] = Watched(torrent, Phase.TO_LEARN, verify, after)
        torrent.add_peers(self._peers)
        if self._wishes.webseed:
            torrent.add_webseeds(self._wishes.webseed)
        if len(self.watched) % _FROZEN_EVERY == 0:
            # What torrents are made of lives as long as this command: looking through it for garbage again and again
            # would stop everything for a tenth of a second with thousands. A library may not do that to its program.
            gc.collect()
            gc.freeze()
        if not torrent.magnet_only:
            self._learn(watched)

    def _learn(self, watched: Watched) -> None:
        """Tell what the torrent holds, once that is known, and go on."""
        torrent = watched.torrent
        info = torrent.info
        self.view.tell(
            "metadata",
            torrent.info_hash,
            name=info.name,
            length=content_length(info),
            piece_length=info.geometry.piece_length,
            pieces=torrent.piece_count,
            files=file_count(info),
            private=info.private,
        )
        watched.phase = watched.after
        if watched.phase is Phase.READY:
            self._be_ready(watched)

    def _be_ready(self, watched: Watched) -> None:
        watched.phase = Phase.READY
        try:
            self._ready(watched)
        except CommandFailed as failure:
            self._give_up(watched, str(failure))

    def _give_up(self, watched: Watched, reason: str) -> None:
        watched.phase = Phase.GIVEN_UP
        self.view.fault(reason, watched.torrent.info_hash)

    def run(self, ended: Callable[[], bool]) -> int:
        """Watch until *ended* says so, the user does, or all torrents are given up. Answers the exit code."""
        draw_at = 0.0
        while not self._interrupt.seen:
            began = time.monotonic()
            self._hear()
            pictures = {one: one.torrent.cached_stats() for one in self.watched.values()}
            for watched, picture in pictures.items():
                self._look(watched, picture)
            fresh = [one for one in pictures if one.phase is Phase.READY and not one.complete and is_complete(one)]
            pictures |= {one: one.torrent.stats() for one in fresh}
            if fresh or began >= draw_at:
                draw_at = began + self.view.every
                nodes = None if self.client.config.disable_dht else self.client.dht.nodes
                self.view.draw([self._row(*pair, nodes) for pair in pictures.items()])
            for watched in fresh:
                watched.complete = True
                self._complete(watched)
            given_up = [one.phase is Phase.GIVEN_UP for one in pictures]
            if ended() or all(given_up):
                return FAILED if any(given_up) else DONE
            self._rest(10 * (time.monotonic() - began))
            self._feed.wait(LOOK_EVERY)
        return INTERRUPTED

    def _rest(self, length: float) -> None:
        """Looking at thousands of torrents is work, too: look away for so long, unless the user wants an end."""
        until = time.monotonic() + min(length, 1.0)
        while not self._interrupt.seen and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_EVERY))

    def close(self) -> bool:
        """End the client, in time. Says whether it was."""
        in_time = self.client.close(CLOSE_TIMEOUT)
        if not in_time:
            self.view.fault("not everything was saved in time: what is missing will be checked at the next start")
        return in_time

    def _look(self, watched: Watched, picture: TorrentStats) -> None:
        torrent = watched.torrent
        self._look_at_fault(watched, picture)
        if watched.phase is Phase.TO_LEARN and not torrent.magnet_only:
            info = torrent.info
            held = f"{words.counted(file_count(info), 'file')}, {words.size(content_length(info))}"
            self.view.remark(f"{torrent.name}: {held}")
            self._learn(watched)
        elif watched.phase in (Phase.TO_VERIFY, Phase.TO_CHECK) and torrent.checked.is_set:
            if watched.phase is Phase.TO_VERIFY:
                watched.phase = Phase.TO_CHECK
                torrent.verify()
            else:
                self._be_ready(watched)

    def _look_at_fault(self, watched: Watched, picture: TorrentStats) -> None:
        if picture.final:
            if watched.phase is not Phase.GIVEN_UP:
                self._give_up(watched, f"{picture.name} cannot be used: {picture.error}")
        elif picture.stage == "failed" and picture.error not in watched.faults and picture.at >= watched.recovered:
            watched.faults.add(picture.error)
            line = f"{picture.name}: {picture.error}; trying again every {RETRY_SECONDS} s"
            self.view.fault(line, picture.info_hash)
        elif picture.stage in ("checking", "live"):
            self._recovered(watched)

    def _recovered(self, watched: Watched) -> None:
        if watched.faults:
            watched.faults.clear()
            watched.recovered = time.monotonic()
            self.view.tell("recovered", watched.torrent.info_hash, f"{watched.torrent.name}: goes on")

    def _hear(self) -> None:
        """Tell what a look does not show."""
        while len(self._feed):
            event = self._feed.get(0.0)
            match event:
                case events.Recovered():  # a look may come too late to see both
                    self._recovered(self.watched[event.torrent])
                case events.PeerConnected():
                    self.view.tell("peer", event.torrent, address=str(event.peer), outgoing=event.outgoing)
                case events.PeerIntroduced():
                    self.view.tell("peer_introduced", event.torrent, address=str(event.peer), client=event.client)
                case events.PeerLost():
                    self.view.tell("peer_lost", event.torrent, address=str(event.peer), reason=event.reason)
                case events.PeersFound():
                    self.view.tell("peers_found", event.torrent, source=event.source, peers=event.peers, new=event.new)
                case events.PieceFailed():
                    self.view.tell("piece_failed", event.torrent, piece=event.piece)
                case events.TrackerReplied():
                    self.view.tell(
                        "tracker",
                        event.torrent,
                        tracker=event.tracker,
                        peers=event.peers,
                        seeders=event.seeders,
                        leechers=event.leechers,
                        warning=event.warning,
                    )
                    if event.warning:
                        self._remark_once(f"tracker {event.tracker} says: {event.warning}")
                case events.TrackerFailed():
                    reason = event.reason.removeprefix(f"{event.tracker}: ")
                    self.view.tell(
                        "tracker_failed",
                        event.torrent,
                        tracker=event.tracker,
                        reason=reason,
                        error_type=event.error_type,
                    )
                    self._remark_once(f"tracker {event.tracker}: {reason} ({event.error_type})")
                case events.WebSeedFailed():
                    reason = event.reason.removeprefix(f"{event.webseed}: ")
                    seconds = None if event.seconds == inf else round(event.seconds, 1)
                    self.view.tell(
                        "webseed_failed", event.torrent, webseed=event.webseed, reason=reason, seconds=seconds
                    )
                    pause = words.pause(event.seconds)
                    self._remark_once(f"web seed {event.webseed}: {reason}", f"; {pause}" if pause else "")
                case events.MetadataSourceFailed():
                    seconds = None if event.seconds == inf else event.seconds
                    self.view.tell(
                        "source_failed", event.torrent, source=event.source, reason=event.reason, seconds=seconds
                    )
                    self._remark_once(f"source {event.source}: {event.reason}")
                case events.TurnedPrivate():
                    self.view.tell("turned_private", event.torrent, candidates=event.candidates, peers=event.peers)
                    forgotten = event.candidates + event.peers
                    more = f"; {words.counted(forgotten, 'address', 'addresses')} forgotten" if forgotten else ""
                    name = self.watched[event.torrent].torrent.name
                    self._remark_once(f"{name} is private: only its trackers are asked for peers", more)
                case events.PeerBanned():
                    self.view.tell("banned", event.torrent, host=event.host, piece=event.piece)
        while self._files is not None and len(self._files):
            file = self._files.get(0.0)
            if isinstance(file, events.FileCompleted):
                self.view.tell("file_complete", file.torrent, file=file.file, path=file.path)

    def _remark_once(self, line: str, more: str = "") -> None:
        if line not in self._trouble:
            self._trouble.add(line)
            self.view.remark(printable(line + more))

    def _row(self, watched: Watched, picture: TorrentStats, nodes: int | None) -> Row:
        total = picture.wanted
        done = total - picture.wanted_left
        if not picture.pieces:
            total = done = 0
        elif not total:
            total = picture.length
            done = min(picture.pieces_complete * watched.torrent.info.geometry.piece_length, total)
        stage = picture.stage
        share = done / total if total else float(stage != "learning")
        left = None
        if stage == "checking":
            share = picture.checked
        elif stage == "moving" and total:
            share = min(picture.moved / total, 1.0)
        elif watched.phase is Phase.TO_CHECK and watched.verifies and stage == "live":
            stage, share = "checking", 1.0 - picture.check_left / max(picture.pieces, 1)
        elif picture.wanted_left and picture.rate_down >= 1:
            left = picture.wanted_left / picture.rate_down
        return Row(
            torrent=picture.info_hash,
            name=picture.name,
            state=self._state(watched, picture, stage, left),
            stage=stage,
            done=done,
            total=total,
            share=share,
            rate_down=picture.rate_down,
            rate_up=picture.rate_up,
            peers=picture.peers,
            seeds=picture.seeds,
            left=left,
            webseeds=picture.webseeds,
            rate_webseeds=picture.rate_webseeds,
            dht_nodes=nodes,
        )

    def _state(self, watched: Watched, picture: TorrentStats, stage: str, left: float | None) -> str:
        if watched.phase is Phase.GIVEN_UP:
            return "failed"
        if stage == "learning" and picture.peers:
            return "hashes" if picture.pieces else "metadata"
        if stage not in ("learning", "live"):
            return stage
        if watched.complete or (stage == "live" and not picture.wanted_left):
            return "seeding" if self._wishes.seed else "complete"
        if left is not None:
            return f"{words.span(left)} left"
        return "waiting" if picture.peers or picture.webseeds else "no peers"


def is_complete(watched: Watched) -> bool:
    """Whether every byte that is wanted is there for good; empty files are there as soon as the torrent is live."""
    if not watched.wanted:
        return watched.torrent.stats().stage == "live"
    return watched.torrent.complete.is_set
