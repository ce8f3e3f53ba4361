"""Look-ups of ours and of libtorrent's beside each other, in one network of our nodes on sockets: who asks more.

It is the measure beside the rule of thumb of simulated networks: what libtorrent itself asks for a search.
"""

from __future__ import annotations

import selectors
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random
from statistics import mean
from time import monotonic

import pytest

from anabranch.dht import Contact, Node
from anabranch.model import Address
from anabranch.testing.dht_network import DatagramNet
from anabranch.testing.dht_talk import part, read

lt = pytest.importorskip("libtorrent")
pytestmark = [pytest.mark.interop, pytest.mark.deep]

NODES = 300
SEARCHES = 20
THEIRS, OURS = Address("127.250.0.1", 7100), Address("127.250.0.2", 6881)
SETTINGS = {
    "listen_interfaces": f"{THEIRS.host}:{THEIRS.port}",
    "enable_dht": True,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "dht_bootstrap_nodes": "",
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_upload_rate_limit": 10**8,
    "alert_mask": 0,
}


class Sockets:
    """Nodes that have grown up in virtual time, put on sockets of this machine."""

    def __init__(self, nodes: dict[Address, Node], now: float, resources: ExitStack) -> None:
        self.asked: dict[str, Counter[bytes]] = {THEIRS.host: Counter(), OURS.host: Counter()}
        self.nodes = nodes
        self._since = monotonic() - now
        self._resources = resources
        self._selector = resources.enter_context(selectors.DefaultSelector())
        self._sockets: dict[Address, socket.socket] = {}
        for address in nodes:
            self.open(address)

    @property
    def now(self) -> float:
        return monotonic() - self._since

    def open(self, address: Address) -> None:
        opened = self._resources.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        opened.setblocking(False)
        opened.bind(tuple(address))
        self._sockets[address] = opened
        self._selector.register(opened, selectors.EVENT_READ, address)

    def send(self, address: Address) -> None:
        for datagram, target in self.nodes[address].outgoing():
            self._sockets[address].sendto(datagram, tuple(target))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            for key, _ in self._selector.select(0.02):
                for datagram, source in self._waiting(self._sockets[key.data]):
                    fields = read(datagram)
                    if source.host in self.asked and fields.get(b"q") == b"get_peers":
                        self.asked[source.host][part(fields, b"a")[b"info_hash"]] += 1
                    self.nodes[key.data].receive(datagram, source, self.now)
                self.send(key.data)
            for address, node in self.nodes.items():
                if node.deadline() <= self.now:
                    node.tick(self.now)
                    self.send(address)

    def _waiting(self, there: socket.socket) -> Iterator[tuple[bytes, Address]]:
        while True:
            try:
                datagram, name = there.recvfrom(4096)
            except OSError:
                return
            yield datagram, Address(*name)


def grown(draw: Random) -> tuple[dict[Address, Node], float]:
    """A network that has settled, and the time it has."""
    net, nodes = DatagramNet(Random(2)), dict[Address, Node]()

    def come(number: int) -> None:
        address = Address(f"127.{10 + number // 250}.{1 + number % 250}.1", 6881)
        told = [Contact(node.id, at) for at, node in draw.sample([*nodes.items()], min(8, len(nodes)))]
        node = nodes[address] = Node(v6=False, draw=draw.randbytes, now=net.now, contacts=told)
        net.settle(address, node)
        node.bootstrap(None, net.now)
        net.attend_at(address)

    for number in range(NODES):
        net.at(net.now + number * 120 / NODES, come, number)
    net.run(net.now + 300)
    return nodes, net.now


def test_a_search_of_ours_asks_no_more_than_one_and_a_half_of_libtorrents() -> None:
    """Both came to the network at the same time, and were told of as many others."""
    draw = Random(1)
    nodes, now = grown(draw)
    with ExitStack() as resources:
        sockets = Sockets(nodes, now, resources)
        told = [[*nodes][place] for place in range(0, NODES, NODES // 8)]
        contacts = [Contact(nodes[address].id, address) for address in told]
        ours = Node(v6=False, draw=draw.randbytes, now=sockets.now, contacts=contacts)
        session = lt.session(SETTINGS)
        for address in told:
            session.add_dht_node(tuple(address))
        nodes[OURS] = ours
        sockets.open(OURS)
        ours.bootstrap(None, sockets.now)
        sockets.run(10.0)
        sought = [draw.randbytes(20) for _ in range(SEARCHES)]
        for info_hash in sought:
            session.dht_get_peers(lt.sha1_hash(info_hash))
            ours.get_peers(info_hash, lambda peers: None, lambda looked: None, sockets.now)
            sockets.send(OURS)
            sockets.run(0.4)
        sockets.run(6.0)
        del session
    theirs_asked, ours_asked = (mean(counts[one] for one in sought) for counts in sockets.asked.values())
    print(f"questions a search: libtorrent {theirs_asked:.1f}, ours {ours_asked:.1f}")
    assert theirs_asked > 4  # it did take part
    assert ours_asked <= 1.5 * theirs_asked
