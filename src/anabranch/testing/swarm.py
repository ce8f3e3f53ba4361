"""A swarm in virtual time: many real engines and some scripted peers, joined by a simulated network.

Minutes of a swarm's life take seconds, and the same seed draws the same life. Everything above the sockets is the real
thing: choices, choking, dialing, the wire, hashing. What the network leaves out is said in swarm_network.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from random import Random

from anabranch.engine import Config, Event, Policy, events
from anabranch.model import Address

from .swarm_content import SharedTorrent, SimulatedContent, simulated_content
from .swarm_network import Line, Net, Timeline
from .swarm_node import SimulatedNode
from .swarm_peers import PeerKind, ScriptedNode
from .swarm_reader import SimulatedReader
from .swarm_report import AvailabilitySample, NodeReport, SwarmReport

_PORT = 42069
_SAMPLE_EVERY = 1.0  # seconds


class _Story:
    """What happened at one node."""

    __slots__ = ("banned", "begins_complete", "finished", "leaves_for_good", "most_peers", "node", "readers")

    def __init__(self, node: SimulatedNode, *, begins_complete: bool) -> None:
        self.node = node
        self.begins_complete = begins_complete
        self.finished: float | None = 0.0 if begins_complete else None
        self.leaves_for_good = False
        self.banned: set[str] = set()
        self.most_peers = 0
        self.readers: list[SimulatedReader] = []


class SimulatedSwarm:
    """One torrent and all who share it. Say who takes part and what befalls them, then run().

    Args:
        length: Bytes of content.
        piece_length: Bytes.
        seed: Draws chance: the same number, the same life.
        latency: Seconds from a node to the middle of the network, where nothing else is said; a round trip between two
            is four of them.
        known: Addresses of others that a newcomer is told, as a tracker would.
        job_time: Seconds that hashing and writing a piece takes.
        socket_size: Bytes that a connection holds each way.

    Attributes:
        content: The torrent.
        nodes: The engines, by name: to look into.
        scripted: The scripted peers, by name.
    """

    def __init__(
        self,
        length: int = 4 * 1024 * 1024,
        piece_length: int = 64 * 1024,
        *,
        seed: int = 0,
        latency: float = 0.0125,
        known: int = 50,
        job_time: float = 0.0,
        socket_size: int = 64 * 1024,
    ) -> None:
        self.content: SimulatedContent = simulated_content(length, piece_length, seed)
        self.nodes: dict[str, SimulatedNode] = {}
        self.scripted: dict[str, ScriptedNode] = {}
        self._timeline = Timeline()
        self._net = Net(self._timeline, socket_size)
        self._began = self._timeline.now
        self._draw = Random(seed)
        self._defaults = (latency, known, job_time)
        self._stories: dict[str, _Story] = {}
        self._readers: list[SimulatedReader] = []
        self._samples: list[AvailabilitySample] = []
        self._outside: set[int] = set()  # pieces that were ever complete at one who began with nothing
        self._spread: tuple[float | None, int] = None, 0
        self._to_come = 0  # readers that are not open yet

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self._timeline.now - self._began

    def add(
        self,
        name: str,
        *,
        complete: bool = False,
        up: float = inf,
        down: float = inf,
        latency: float | None = None,
        at: float = 0.0,
        config: Config | None = None,
        policy: Policy | None = None,
    ) -> SimulatedNode:
        """An engine takes part.

        Args:
            name: For the report.
            complete: It is a seed.
            up: Bytes per second that its line sends.
            down: Bytes per second that its line takes in.
            latency: Seconds from it to the middle of the network.
            at: When it comes, in seconds since the beginning.
            config: Settings of its engine; see simulated_config().
            policy: What its torrent may do.
        """
        line, address = self._place(up, down, latency)
        number = self._draw.randrange(1 << 32)
        node = SimulatedNode(self._net, line, address, number, self._defaults[2], config)
        story = self._stories[name] = _Story(node, begins_complete=complete)
        self.nodes[name] = node
        node.hears = partial(self._heard, story)
        self._timeline.at(self._began + at, self._begin, node, complete, policy)
        return node

    def add_scripted(
        self, name: str, kind: PeerKind, *, up: float = inf, down: float = inf, latency: float | None = None
    ) -> ScriptedNode:
        """A scripted peer takes part: it has everything, listens, and does as its kind does. Arguments as of add()."""
        line, address = self._place(up, down, latency)
        peer_id = b"-XX0000-" + f"{self._draw.randrange(10**12):012}".encode()
        node = self.scripted[name] = ScriptedNode(line, address, peer_id, self.content, kind)
        self._net.residents[address] = node
        return node

    def cut_off(self, name: str, at: float, back: float | None = None, *, silently: bool = False) -> None:
        """An engine's line is cut at a time, and perhaps comes back.

        Args:
            name: Whose.
            at: When, in seconds since the beginning.
            back: When it is there again; None for never: then nobody waits for it.
            silently: Those who are connected hear nothing of it.
        """
        story = self._stories[name]
        self._timeline.at(self._began + at, partial(story.node.cut_off, silently=silently))
        if back is None:
            story.leaves_for_good = True
        else:
            self._timeline.at(self._began + back, story.node.come_back)

    def read(self, name: str, rate: float, *, at: float = 0.0, ahead: int = 1 << 20, buffered: int = 64 * 1024) -> None:
        """Somebody watches while it downloads; see SimulatedReader.

        Args:
            name: At which engine.
            rate: Bytes per second.
            at: When it is opened, in seconds since the beginning; not before its engine takes part.
            ahead: Bytes that it wants to be fetched ahead.
            buffered: Bytes that must be there before it plays.
        """

        def begin() -> None:
            self._to_come -= 1
            story = self._stories[name]
            reader = SimulatedReader(story.node, self.content, rate, ahead, buffered, self._began)
            self._readers.append(reader)
            story.readers.append(reader)

        self._to_come += 1
        self._timeline.at(self._began + at, begin)

    def at(self, when: float, act: Callable[[], object]) -> None:
        """Do something of your own at a time, in seconds since the beginning."""
        self._timeline.at(self._began + when, act)

    def run(self, most: float = 600.0, *, rest: float = 0.0) -> SwarmReport:
        """Let time pass until everybody who stays has everything and has read it, at most until *most* seconds.

        Args:
            most: Seconds since the beginning.
            rest: Seconds that pass after that, for what is still under way.
        """
        if not self._samples:
            self._sample()
        while not self._done() and self._timeline.step(self._began + most):
            pass
        ended = self.now
        while self._timeline.step(self._began + ended + rest):
            pass
        return self._report(ended)

    def _place(self, up: float, down: float, latency: float | None) -> tuple[Line, Address]:
        number = len(self._net.residents) + 1
        line = Line(self._timeline, up, down, self._defaults[0] if latency is None else latency)
        return line, Address(f"10.{number // 250}.{number % 250}.1", _PORT)

    def _begin(self, node: SimulatedNode, complete: bool, policy: Policy | None) -> None:
        node.start(self.content, complete=complete, policy=policy)
        others = [address for address in self._net.residents if address != node.address]
        node.learn_peers(self._draw.sample(others, min(self._defaults[1], len(others))))

    def _heard(self, story: _Story, event: Event) -> None:
        if isinstance(event, events.PeerBanned):
            story.banned.add(event.host)
        elif isinstance(event, events.PeerConnected):
            story.most_peers = max(story.most_peers, len(story.node.links) + 1)
        elif isinstance(event, events.PieceChanged) and event.complete and not story.begins_complete:
            if story.finished is None and story.node.torrent.pieces.is_seed:
                story.finished = self.now
            self._outside.add(event.piece)
            if self._spread[0] is None and len(self._outside) == self.content.metainfo.info.geometry.piece_count:
                self._spread = self.now, self._seeded()
        for reader in story.readers:
            reader.hear(event)

    def _done(self) -> bool:
        waiting = any(story.finished is None and not story.leaves_for_good for story in self._stories.values())
        return not waiting and not self._to_come and all(reader.ended for reader in self._readers)

    def _seeded(self) -> int:
        seeds = [story.node for story in self._stories.values() if story.begins_complete]
        return sum(node.torrent.totals.uploaded for node in seeds if node.started)

    def _sample(self) -> None:
        counts = [0] * self.content.metainfo.info.geometry.piece_count
        for story in self._stories.values():
            node = story.node
            if not story.begins_complete and not node.line.cut and node.started:
                for piece in node.torrent.pieces.complete.search(1):
                    counts[piece] += 1
        out = [count for count in counts if count]
        usual = sum(out) / max(len(out), 1)
        variance = sum((count - usual) ** 2 for count in out) / max(len(out), 1)
        mean = sum(counts) / len(counts)
        self._samples.append(AvailabilitySample(self.now, min(counts), len(out), mean, variance, self._seeded()))
        self._timeline.after(_SAMPLE_EVERY, self._sample)

    def _report(self, seconds: float) -> SwarmReport:
        return SwarmReport(
            seconds=seconds,
            nodes={name: _told(story) for name, story in self._stories.items()},
            readers=[reader.report() for reader in self._readers],
            availability=tuple(self._samples),
            spread_at=self._spread[0],
            spread_for=self._spread[1],
        )


def _told(story: _Story) -> NodeReport:
    engine, torrent = story.node.engine, story.node.torrent
    storage = torrent.opened()
    wrong = storage.wrong if isinstance(storage, SharedTorrent) else {}
    return NodeReport(
        finished=story.finished,
        downloaded=torrent.totals.downloaded,
        uploaded=torrent.totals.uploaded,
        wasted=torrent.totals.wasted,
        corrupt=torrent.totals.corrupt,
        banned=frozenset(story.banned),
        most_peers=story.most_peers,
        begun=len(torrent.pieces.begun),
        lent=engine.pool.lent,
        owed=sum(peer.talk.outstanding for peer in torrent.swarm.peers.values()),
        wrong=sum(torrent.pieces.complete[piece] for piece in wrong),
    )
