"""A DHT in virtual time: many nodes of the engine, liars among them, people who come and go, and searches.

Everything above the socket is the real thing. What the network leaves out is said in dht_network.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import nsmallest
from random import Random
from statistics import mean

from anabranch.dht import Announcing, Contact, Looked, Node, node_id_for
from anabranch.model import Address
from anabranch.net import network

from .dht_liars import LIAR_KINDS, Liar, NodeAt, Underworld
from .dht_network import DatagramNet, Place, Traffic
from .dht_report import DhtReport, K, LookUp
from .dht_talk import distance
from .dht_weight import weight

_GROWS_FOR = 120.0  # seconds in which all who are there at first come
_SETTLES_FOR = 60.0  # seconds more before anything is measured
_TOLD = 8  # others of whom a newcomer knows, as from a run before
_VICTIMS = 3
_WEIGHED = 20  # nodes
# First bytes of IPv4 addresses all of which are public, or nearly so
_PUBLIC = tuple(first for first in range(1, 224) if first not in (10, 100, 127, 169, 172, 192, 198, 203))
_LISTED_EVERY = 30.0  # seconds between the liars' looks at who is there


class SimulatedDht:
    """A DHT whose people lie, come and go. The same seed gives the same life.

    Args:
        nodes: How many take part at a time, liars with them.
        liars: The share of liars, 0 to 1.
        churn: The share of nodes that leaves within an hour, and whose place others take.
        natted: The share of honest nodes behind routers that let nobody in unasked; half of them say so (BEP 43).
        loss: The share of datagrams that are lost.
        seed: Draws chance.
        kinds: The kinds of liars, in turn; names of LIAR_KINDS.
        v6: It is a DHT of IPv6 addresses.

    Attributes:
        net: The network: who is where, and what it carried.
    """

    def __init__(
        self,
        nodes: int = 2000,
        *,
        liars: float = 0.2,
        churn: float = 0.3,
        natted: float = 0.1,
        loss: float = 0.01,
        seed: int = 0,
        kinds: Sequence[str] = tuple(LIAR_KINDS),
        v6: bool = False,
    ) -> None:
        self._draw = Random(seed)
        self.net = DatagramNet(Random(seed + 1), loss=loss)
        self._v6 = v6
        self._shares = liars, natted
        self._leaves_after = 3600.0 / churn if churn else 0.0  # seconds, on average
        self._size = nodes
        self._networks: set[str] = set()
        self._kinds = kinds
        self._came = 0
        victims = [self._new_address() for _ in range(_VICTIMS)]
        self._seen = {victim: Traffic() for victim in victims}
        self.net.spy = self._spy
        self._world = Underworld(self._draw, self.net.send, [], [], self._somewhere, victims)
        self._searches: list[LookUp] = []
        self._finds: list[LookUp] = []
        self._announces: list[int] = []

    def grow(self) -> None:
        """Let the first nodes come, and settle."""
        for number in range(self._size):
            self.net.at(self.net.now + number / self._size * _GROWS_FOR, self._come)
        self.net.at(self.net.now, self._list)
        self.net.run(self.net.now + _GROWS_FOR + _SETTLES_FOR)

    def run(self, minutes: float = 20.0, searches: int = 400) -> DhtReport:
        """Let it grow, and live for so many minutes while peers announce themselves and others search for them.

        Args:
            minutes: Of virtual time.
            searches: How many, spread over that time; each has one look-up for nodes beside it.
        """
        self.grow()
        begins, seconds = self.net.now, minutes * 60.0
        self._seen.update((victim, Traffic()) for victim in self._seen)
        self._world.spoofed = self._world.naming = 0
        if self._leaves_after:
            self.net.at(begins + self._leaves_after / self._size, self._change)
        for number in range(searches):
            # between an announce and the search for it lies half of the time at most, and a minute at least
            when = begins + number / searches * (seconds - 120.0) / 2
            self.net.at(when, self._announce, when + 60.0 + self._draw.random() * (seconds - 120.0) / 2)
            self.net.at(begins + self._draw.random() * (seconds - 60.0), self._find)
        self.net.run(begins + seconds)
        return self._report()

    def honest(self) -> Iterator[tuple[Place, Node]]:
        """Every honest node that is there now."""
        for place in self.net.places.values():
            if isinstance(place.resident, Node):
                yield place, place.resident

    def nearest(self, target: bytes) -> list[Address]:
        """The eight nodes that are nearest to a target and can be reached by everybody, liars by their true ids."""
        open_to_all = ((node_id, address) for node_id, address in self._everybody() if self._is_open(address))
        return [address for _, address in nsmallest(K, open_to_all, key=lambda one: distance(one[0], target))]

    def lies(self, address: Address) -> bool:
        """Whether a liar is there."""
        place = self.net.places.get(address)
        return place is not None and isinstance(place.resident, Liar)

    def _new_address(self) -> Address:
        """An address in a network where nobody ever was."""
        while True:
            address = self._somewhere()
            if network(address.host) not in self._networks:
                self._networks.add(network(address.host))
                return address

    def _somewhere(self) -> Address:
        """Draw an address of a public network, where mostly nobody is."""
        first, rest, port = self._draw.choice(_PUBLIC), self._draw.getrandbits(24), self._draw.randrange(1025, 65536)
        if self._v6:
            return Address(f"2{first:03x}:{rest >> 8:x}:{rest & 0xFF:x}::{port:x}", port)
        return Address(f"{first}.{rest >> 16}.{rest >> 8 & 0xFF}.{rest & 0xFF}", port)

    def _spy(self, datagram: bytes, source: Address, target: Address) -> None:
        if target in self._seen and not self.lies(source):
            self._seen[target].add(datagram)

    def _come(self) -> None:
        address, number = self._new_address(), self._came
        lying, natted = self._shares
        self._came += 1
        known = self._world.honest + self._world.liars
        told = self._draw.sample(known, min(_TOLD, len(known)))
        if int(number * lying) != int((number + 1) * lying):
            kind = self._kinds[int(number * lying) % len(self._kinds)]
            node_id = node_id_for(address.host, self._draw.randbytes(20))
            self.net.settle(address, Liar(kind, node_id, address, self._world, self.net.now))
            self._world.liars.append((node_id, address))
        else:
            hidden = self._draw.random() < natted
            node = Node(
                v6=self._v6,
                draw=self._draw.randbytes,
                now=self.net.now,
                contacts=[Contact(*one) for one in told],
                read_only=hidden and self._draw.random() < 0.5,
            )
            self.net.settle(address, node, natted=hidden)
            node.bootstrap(None, self.net.now)
            self.net.attend_at(address)
            self._world.honest.append((node.id, address))

    def _change(self) -> None:
        """One leaves, and another comes."""
        self.net.leave(self._draw.choice(list(self.net.places)))
        self._come()
        self.net.at(self.net.now + self._draw.expovariate(self._size / self._leaves_after), self._change)

    def _list(self) -> None:
        """The liars look who is there."""
        everybody = self._everybody()
        self._world.honest[:] = [node for node in everybody if not self.lies(node[1])]
        self._world.liars[:] = [node for node in everybody if self.lies(node[1])]
        self.net.at(self.net.now + _LISTED_EVERY, self._list)

    def _everybody(self) -> list[NodeAt]:
        places = self.net.places.values()
        return [(there.resident.id, there.address) for there in places if isinstance(there.resident, Node | Liar)]

    def _is_open(self, address: Address) -> bool:
        return self.net.places[address].mapped is None

    def _someone(self) -> tuple[Place, Node]:
        return self._draw.choice(list(self.honest()))

    def _announce(self, sought_at: float) -> None:
        place, node = self._someone()
        info_hash = self._draw.randbytes(20)

        def done(looked: Looked) -> None:
            self._announces.append(looked.stored)

        node.get_peers(info_hash, lambda peers: None, done, self.net.now, announce=Announcing(place.address.port))
        self.net.attend(place)
        self.net.at(sought_at, self._search, info_hash, place.address)

    def _search(self, info_hash: bytes, announced: Address) -> None:
        place, node = self._someone()

        def done(looked: Looked) -> None:
            false = len(set(looked.peers) - {announced})
            self._searches.append(self._judged(looked, announced in looked.peers, place.address, false))

        node.get_peers(info_hash, lambda peers: None, done, self.net.now)
        self.net.attend(place)

    def _find(self) -> None:
        place, node = self._someone()

        def done(looked: Looked) -> None:
            self._finds.append(self._judged(looked, None, place.address))

        node.find_node(self._draw.randbytes(20), done, self.net.now)
        self.net.attend(place)

    def _judged(self, looked: Looked, succeeded: bool | None, asker: Address, false: int = 0) -> LookUp:
        right = {address for address in self.nearest(looked.target) if address != asker and not self.lies(address)}
        ended = {contact.address for contact in looked.closest}
        near = len(ended & right) / max(1, len(right))
        share = sum(map(self.lies, ended)) / max(1, len(ended))
        succeeded = near > 0.5 if succeeded is None else succeeded
        return LookUp(succeeded, looked.asked, looked.answered, looked.seconds, near, share, false)

    def _report(self) -> DhtReport:
        nodes = [node for _, node in self.honest()]
        listed = [contact.address for node in nodes for contact in node.table.contacts()]
        there = [address for address in listed if address in self.net.places]
        lying = sum(map(self.lies, there))
        silent = sum(not self._is_open(address) for address in there)
        answers = sum(traffic.answers for traffic in self._seen.values())
        questions = sum(traffic.questions for traffic in self._seen.values())
        return DhtReport(
            nodes=len(nodes),
            liars=len(self.net.places) - len(nodes),
            searches=self._searches,
            finds=self._finds,
            announces=self._announces,
            reflected=answers / max(1, self._world.spoofed),
            lured=questions / max(1, self._world.naming),
            dead=1 - len(there) / max(1, len(listed)),
            lying=lying / max(1, len(listed)),
            silent=silent / max(1, len(listed)),
            weight=mean(weight(node) for node in nodes[:_WEIGHED]),
            carried=self.net.carried,
        )
