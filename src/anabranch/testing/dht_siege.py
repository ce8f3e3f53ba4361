"""A DHT node under attack in virtual time: every byte that it sends and holds is counted, and whom it still answers.

Around it are honest nodes that it knows and a caller that asks it something every second; the node looks for peers
every few seconds meanwhile, so that those whom it was told of are asked.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from ipaddress import ip_address
from math import inf
from random import Random

from anabranch.dht import Contact, Node
from anabranch.model import Address

from .dht_attacks import DHT_ATTACKS
from .dht_network import DatagramNet, Traffic
from .dht_scene import DhtScene, DhtSteps, Heard
from .dht_talk import query, read
from .dht_weight import weight
from .scene import Pause

TARGET = Address("31.7.1.9", 6881)
_CALLER = Address("45.9.8.7", 50_000)
_VICTIM = Address("93.184.5.6", 6881)
_NEIGHBOURS = 16  # honest nodes
_OURS = 16  # addresses of the attacker's
_LOOKS_EVERY = 4.0  # seconds between the node's own look-ups
_WEIGHED_EVERY = 2.0  # seconds
_SETTLES_FOR = 20.0  # seconds
_PATIENCE = 120.0  # seconds after which a node that does not answer is taken for dead


@dataclass(frozen=True, slots=True)
class SiegeReport:
    """What an attack has come to.

    Args:
        attack: Its name.
        sent: Bytes of the attacker's.
        replied: Bytes of the node's to him and to those in whose name he spoke.
        amplified: Bytes of the node's to one who never showed that he hears it, for each byte in his name; the most
            that anybody got.
        victim: The same for all who never did together.
        lured: Bytes of the node's to a victim that was only named to it.
        before: Bytes of memory that the node held before.
        most: The most that it held while it lasted.
        calls: How often an honest caller asked it something while it lasted.
        answered: How many of those were answered.
        back_after: Seconds until it answered a ping and a find_node in order when it was over.
        kept: The share of honest nodes in its table that were there before and are still.
        ghosts: Nodes in its table at addresses where nobody answers.
    """

    attack: str
    sent: int
    replied: int
    amplified: float
    victim: float
    lured: int
    before: int
    most: int
    calls: int
    answered: int
    back_after: float
    kept: float
    ghosts: int


class _Attacker:
    """A resident of many addresses that follows a script."""

    def __init__(self, net: DatagramNet, scene: DhtScene, steps: DhtSteps) -> None:
        self.net = net
        self.scene = scene
        self.steps = steps
        self.over = False
        self.shot: dict[Address, int] = defaultdict(int)  # bytes in the name of each address
        self.next = net.now

    def act(self) -> None:
        """Go on with the script until it pauses."""
        for step in self.steps:
            if isinstance(step, Pause):
                self.net.at(self.net.now + step.seconds, self.act)
                return
            self.shot[step.source] += len(step.datagram)
            self.net.send(step.datagram, step.source, self.scene.target)
        self.over = True


class _Ear:
    """One of the attacker's addresses."""

    def __init__(self, scene: DhtScene, address: Address) -> None:
        self._scene = scene
        self._address = address

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        """See Resident; so are the others."""
        self._scene.hear(Heard(datagram, self._address))

    def tick(self, now: float) -> None:
        """Nothing is ever due."""

    def deadline(self) -> float:
        """Never."""
        return inf

    def outgoing(self) -> list[tuple[bytes, Address]]:
        """The script sends."""
        return []


class _Caller:
    """Somebody honest, who asks for a ping and a find_node in turn, once a second."""

    def __init__(self, now: float, draw: Random) -> None:
        self._id = draw.randbytes(20)
        self._next = now
        self._draw = draw
        self._outbox: list[tuple[bytes, Address]] = []
        self.calls = 0
        self.answers: list[tuple[float, bool]] = []  # when, and whether with nodes

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        """The answer to the latest question counts."""
        fields = read(datagram)
        values = fields.get(b"r")
        if source == TARGET and isinstance(values, dict) and fields.get(b"t") == b"%03d" % (self.calls % 1000):
            self.answers.append((now, b"nodes" in values))

    def tick(self, now: float) -> None:
        """Ask."""
        self._next = now + 1.0
        self.calls += 1
        number = b"%03d" % (self.calls % 1000)
        target = self._draw.randbytes(20)
        ping, find = query(b"ping", self._id, number), query(b"find_node", self._id, number, target=target)
        self._outbox.append((ping if self.calls % 2 else find, TARGET))

    def deadline(self) -> float:
        """When it asks next."""
        return self._next

    def outgoing(self) -> list[tuple[bytes, Address]]:
        """Drain the questions."""
        sent, self._outbox = self._outbox, []
        return sent


class Siege:
    """One node, its neighbours, and whoever attacks it. The same seed gives the same life."""

    def __init__(self, seed: int = 0) -> None:
        self._draw = Random(seed)
        self.net = DatagramNet(Random(seed + 1))
        self._around = self._settle_neighbours()
        contacts = [Contact(node.id, address) for address, node in self._around.items()]
        self.node = Node(v6=False, draw=self._draw.randbytes, now=self.net.now, contacts=contacts)
        self._caller = _Caller(self.net.now, self._draw)
        self._heard: dict[Address, Traffic] = defaultdict(Traffic)
        self._most = 0
        self.net.settle(TARGET, self.node)
        self.node.bootstrap(None, self.net.now)
        self.net.attend_at(TARGET)
        self.net.run(self.net.now + _SETTLES_FOR)
        self.net.settle(_CALLER, self._caller)
        self.net.spy = self._spy

    def under(self, name: str, most: float = 600.0) -> SiegeReport:
        """Let an attack of DHT_ATTACKS come over it, and see what stands when it is over.

        Args:
            name: Its name.
            most: Seconds after which it is taken to be over.
        """
        scene = self._scene()
        for address in scene.ours:
            self.net.settle(address, _Ear(scene, address))
        attacker = _Attacker(self.net, scene, DHT_ATTACKS[name].script(scene))
        known = self._known()
        before = self._most = weight(self.node)
        called, heard, began = self._caller.calls, len(self._caller.answers), self.net.now
        self._heard.clear()
        attacker.act()
        looks_at = weighs_at = self.net.now
        while not attacker.over and self.net.now < began + most:
            if self.net.now >= looks_at:
                looks_at += _LOOKS_EVERY
                self.node.get_peers(self._draw.randbytes(20), lambda peers: None, lambda looked: None, self.net.now)
                self.net.attend_at(TARGET)
            if self.net.now >= weighs_at:
                weighs_at += _WEIGHED_EVERY
                self._weigh()
            self.net.run(self.net.now + 0.25)
        self._weigh()
        calls, answers = self._caller.calls - called, len(self._caller.answers) - heard
        back_after = self._back()
        proven = {*self._around, *scene.ours, _CALLER, TARGET}
        unproven = {address: size for address, size in attacker.shot.items() if address not in proven}
        to_them = {address: self._heard[address].size for address in {*unproven, scene.victim}}
        ratios = [got / max(1, unproven[address]) for address, got in to_them.items() if address in unproven]
        listed = {contact.address for contact in self.node.table.contacts()}
        return SiegeReport(
            attack=name,
            sent=sum(attacker.shot.values()),
            replied=sum(self._heard[address].size for address in {*attacker.shot, *scene.ours}),
            amplified=max(ratios, default=0.0),
            victim=sum(to_them.values()) / max(1, sum(unproven.values())) if unproven else 0.0,
            lured=0 if scene.victim in unproven else self._heard[scene.victim].size,
            before=before,
            most=self._most,
            calls=calls,
            answered=answers,
            back_after=back_after,
            kept=len(known & listed) / max(1, len(known)),
            ghosts=len(listed - proven),
        )

    def _back(self) -> float:
        """Seconds until both kinds of questions were answered anew."""
        over, seen = self.net.now, len(self._caller.answers)
        while self.net.now < over + _PATIENCE:
            self.net.run(self.net.now + 0.5)
            if {nodes for _, nodes in self._caller.answers[seen:]} == {True, False}:
                return self.net.now - over
        return inf

    def _weigh(self) -> None:
        self._most = max(self._most, weight(self.node))

    def _known(self) -> set[Address]:
        return {contact.address for contact in self.node.table.contacts()} & self._around.keys()

    def _spy(self, datagram: bytes, source: Address, target: Address) -> None:
        if source == TARGET:
            self._heard[target].add(datagram)

    def _settle_neighbours(self) -> dict[Address, Node]:
        around: dict[Address, Node] = {}
        for number in range(_NEIGHBOURS):
            known = [Contact(node.id, address) for address, node in around.items()]
            address = Address(f"62.{number}.3.4", 6881)
            around[address] = Node(v6=False, draw=self._draw.randbytes, now=self.net.now, contacts=known)
        for address, node in around.items():
            self.net.settle(address, node)
            node.bootstrap(None, self.net.now)
            self.net.attend_at(address)
        self.net.run(self.net.now + _SETTLES_FOR)
        return around

    def _scene(self) -> DhtScene:
        ours = tuple(Address(f"77.{number}.5.6", 6881) for number in range(_OURS))
        draw = self._draw

        def stranger() -> Address:
            return Address(str(ip_address(draw.randrange(0x64_80_00_00, 0x69_00_00_00))), draw.randrange(1025, 65536))

        def neighbour() -> Address:
            return Address(f"77.0.5.{draw.randrange(7, 255)}", draw.randrange(1025, 65536))

        return DhtScene(TARGET, ours, _VICTIM, stranger, neighbour, draw)
