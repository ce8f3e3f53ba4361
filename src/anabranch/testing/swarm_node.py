"""A whole engine in a simulated swarm: the real turn, policies and wire; around it, everything is made of time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from random import Random
from typing import TypeVar

from anabranch.engine import (
    Announce,
    BufferPool,
    Candidate,
    Config,
    Engine,
    Event,
    Fetch,
    Limits,
    Ourselves,
    Policy,
    Scrape,
    Turn,
    Workshop,
    adding,
    asking,
    choose_files,
    dialing,
    fetching,
    membership,
    planning,
    ticking,
)
from anabranch.model import Address, PeerFault, Priority
from anabranch.net import Bucket, NetworkFailed, Trouble
from anabranch.storage import SessionKey
from anabranch.wire import Handshake

from .swarm_content import SharedStorage, SimulatedContent
from .swarm_link import NodeLink
from .swarm_network import Line, Net, Socket

T = TypeVar("T")
_TICK = 1.0  # seconds; as the network thread
_IDLE_LOOK = 0.1  # seconds; as the network thread


class SlowWorker:
    """A worker whose jobs take so many seconds each, side by side."""

    def __init__(self, line: Line, seconds: float) -> None:
        self._timeline = line.timeline
        self._seconds = seconds

    def submit(
        self,
        job: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[BaseException], None],
        owner: tuple[Hashable, Hashable] = (None, None),
    ) -> None:
        """See Work."""

        def work() -> None:
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 - belongs to who submitted it
                failed(error)
            else:
                done(result)

        self._timeline.after(self._seconds, work)


class SimulatedNode:
    """An engine with one torrent at an address. It is its engine's Network and Publisher.

    Args:
        net: Where it lives.
        line: Its access.
        address: Where it is reached.
        number: Draws its chance and its peer id.
        job_time: Seconds that hashing and writing a piece takes.
        config: Its settings; nothing is kept, and all is in clear.

    Attributes:
        links: Its connections.
        hears: Called with each event of the engine.
        started: It takes part: `torrent` is there.
    """

    def __init__(
        self, net: Net, line: Line, address: Address, number: int, job_time: float = 0.0, config: Config | None = None
    ) -> None:
        self.line = line
        self.address = address
        self.links: dict[NodeLink, None] = {}
        self.hears: Callable[[Event], None] = lambda event: None
        self.started = False
        self.ourselves = Ourselves()
        self.ourselves.listen([address])
        self._net = net
        self._timeline = net.timeline
        self._dials_soon = False
        self._idle_timer = False
        config = config or simulated_config()
        worker, at_once = SlowWorker(line, job_time), SlowWorker(line, 0.0)
        self.engine = Engine(
            config=config,
            turn=Turn(self._timeline),
            clock=self._timeline,
            draw=Random(number).randrange,
            peer_id=b"-AB0000-" + f"{Random(number).randrange(10**12):012}".encode(),
            limits=Limits(Bucket(None), Bucket(None), Bucket(config.dial_rate, config.dial_rate)),
            workshop=Workshop(worker, at_once, at_once, None),
            network=self,
            publisher=self,
            pool=BufferPool(config.max_unverified_bytes),
        )
        self.engine.turn.slices_run_by(self.call)
        net.residents[address] = self
        self._timeline.after(_TICK * (number % 97 / 97), self._tick)

    def start(self, content: SimulatedContent, *, complete: bool, policy: Policy | None = None) -> None:
        """Add the torrent and want all of it."""
        engine, home = self.engine, SharedStorage(content, complete=complete)
        key = SessionKey(content.metainfo.info.info_hash, "/simulated")
        policy = policy or Policy(most_connections=engine.config.established_connections)
        self.torrent = adding.make(content.metainfo, key, home, engine, self.forbidden, policy)
        self.started = True
        with engine.turn:
            adding.register(engine, self.torrent, None)
        priorities = [Priority.NORMAL] * len(content.metainfo.info.files)
        with engine.turn:
            choose_files(engine, self.torrent, priorities, self.torrent.worth.of_all(priorities))

    def learn_peers(self, addresses: Iterable[Address]) -> None:
        """What a tracker would tell."""
        with self.engine.turn:
            for address in addresses:
                self.torrent.swarm.candidates.add(address, "tracker")
            self.engine.due.lively.add(self.torrent)
        self.look_for_peers()

    def cut_off(self, *, silently: bool) -> None:
        """The line is cut, or the machine reset: then those who were connected hear of it."""
        links = list(self.links)
        if not silently:
            for link in links:
                link.close("the line is cut")
        self.line.cut = True
        for link in links:
            if silently:
                link.vanish()

    def come_back(self) -> None:
        """The line is there again."""
        self.line.cut = False
        self.look_for_peers()

    def forbidden(self) -> bool:
        """Whether the caller must not wait."""
        return self.engine.turn.held_by_me

    # The engine's Network.

    def call(self, action: Callable[..., None], *args: object) -> None:
        """See Network."""
        self._timeline.after(0, action, *args)

    def post(self, action: Callable[..., None], *args: object) -> None:
        """See Network."""
        self._timeline.after(0, self.run, action, *args)

    def run(self, action: Callable[..., None], *args: object) -> None:
        """See Network."""
        with self.engine.turn:
            action(*args)
        self.flush_touched()

    def look_for_peers(self) -> None:
        """See Network."""
        if not self._dials_soon:
            self._dials_soon = True
            self._timeline.after(0, self._dial)

    def announce(self, last: Announce) -> None:
        """See Network. There are no trackers."""

    def scrape(self, scrapes: list[Scrape], done: Callable[[], None]) -> None:
        """See Network. There are no trackers."""
        done()

    def plan(self) -> None:
        """See Network."""
        self.post(planning.run, self.engine)

    def fetch(self, fetch: Fetch) -> None:
        """See Network. There are no web servers."""
        self.post(fetching.broken, self.engine, fetch, NetworkFailed(Trouble.CONNECTION, "there are no web servers"))

    def cut(self, fetch: Fetch) -> None:
        """See Network."""

    # The engine's Publisher.

    def wants(self, kind: type[Event]) -> bool:
        """See Publisher."""
        return True

    def publish(self, key: Hashable | None, event: Event) -> None:
        """See Publisher."""
        self.hears(event)

    # What the network thread does.

    def flush_touched(self) -> None:
        """Send what turns have queued."""
        due = self.engine.due
        while due.touched:
            touched, due.touched = due.touched, set()
            for peer in sorted(touched, key=lambda peer: peer.address):
                peer.link.flush()
        if due.idle and not self._idle_timer:
            self._idle_timer = True
            self._timeline.after(_IDLE_LOOK, self._look_at_idle)

    def gone(self, link: NodeLink) -> None:
        """A link has closed."""
        self.links.pop(link, None)
        self.look_for_peers()
        self._timeline.after(0, self.flush_touched)

    def greet(self, socket: Socket, address: Address, theirs: Handshake) -> Handshake | None:
        """See Resident."""
        engine = self.engine
        with engine.turn:
            torrent = engine.directory.get(theirs.info_hash)
            reason = membership.refuse(engine, torrent, address)
        if reason or torrent is None:
            return None
        answer, _ = membership.our_greeting(engine, torrent, theirs.info_hash)
        return answer if self._join(socket, address, theirs, None) else None

    def _join(self, socket: Socket, address: Address, theirs: Handshake, candidate: Candidate | None) -> bool:
        link = NodeLink(self, socket)
        try:
            with self.engine.turn:
                met = membership.Met(address, theirs, candidate, None)
                link.peer = membership.join(self.engine, self.torrent, link, met, self.address.port)
                if candidate is not None:
                    self.torrent.swarm.dialing -= 1
                    self.engine.due.half_open -= 1
        except PeerFault:
            socket.close()
            return False
        self.links[link] = None
        self.flush_touched()
        return True

    def _look_at_idle(self) -> None:
        self._idle_timer = False
        due = self.engine.due
        idle, due.idle = due.idle, set()
        for peer in sorted(idle, key=lambda peer: peer.address):
            self.run(asking.ask, self.engine, peer, self._timeline.now)

    def _dial(self) -> None:
        self._dials_soon = False
        engine, most = self.engine, self.engine.config.total_connections
        room = None if most is None else max(most - len(self.links) - engine.due.half_open, 0)
        with engine.turn:
            dials = dialing.choose(engine, engine.clock(), room)
        for one in dials:
            self._dial_one(one.candidate, one.timeout + engine.config.handshake_timeout)

    def _dial_one(self, candidate: Candidate, timeout: float) -> None:
        greeting, _ = membership.our_greeting(self.engine, self.torrent, self.torrent.info_hash)
        over = False

        def met(socket: Socket, theirs: Handshake) -> None:
            if over or self.line.cut:
                socket.close()
            elif not self._join(socket, candidate.address, theirs, candidate):
                failed()
            else:
                settle()

        def settle() -> None:
            nonlocal over
            over = True

        def failed() -> None:
            if not over:
                settle()
                with self.engine.turn:
                    dialing.ended(self.engine, self.torrent, candidate)
                self.look_for_peers()

        self._net.call(self, self.address.host, candidate.address, greeting, met, failed)
        self._timeline.after(timeout, failed)

    def _tick(self) -> None:
        engine, now = self.engine, self._timeline.now
        for torrent in list(engine.due.lively):
            self.run(ticking.tick, engine, torrent, now)
        for link in list(self.links):
            link.tick(now)
        engine.due.unsaved.clear()
        self.run(ticking.tick_client, engine)
        self._dial()
        self._timeline.after(_TICK, self._tick)


def simulated_config() -> Config:
    """The default settings, as far as they mean anything without a system below."""
    return Config(state_dir=None, storage="memory", encryption="off", disable_trackers=True)
