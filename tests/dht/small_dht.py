"""A few nodes and the wires between them, in virtual time: every datagram takes 0.05 s, none is lost."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from anabranch.bencode import Value, encode
from anabranch.dht import Answer, Contact, Node, Query, Refusal, node_id_for, read
from anabranch.model import Address

LATENCY = 0.05  # seconds


def drawing(seed: int = 1) -> Callable[[int], bytes]:
    """Bytes by chance, always the same."""
    return Random(seed).randbytes


def host(number: int) -> str:
    """A public address, each in a network of its own."""
    return f"{20 + number // 256}.{number % 256}.1.1"


def address(number: int, port: int = 6881) -> Address:
    return Address(host(number), port)


def contact(number: int, node_id: bytes = b"") -> Contact:
    """A node whose id, if none is given, fits its address."""
    return Contact(node_id or node_id_for(host(number), drawing(number)(20)), address(number))


def question(method: str = "ping", transaction: bytes = b"aa", /, **arguments: Value) -> bytes:
    """A query, with an id unless one is given."""
    said: dict[str, Value] = {"id": b"q" * 20, **arguments}
    return encode({"a": said, "q": method, "t": transaction, "y": "q"})


def answered(transaction: bytes, node_id: bytes, seen_as: bytes = b"", /, **values: Value) -> bytes:
    """An answer."""
    told: dict[str, object] = {"ip": seen_as} if seen_as else {}
    return encode({"r": {"id": node_id, **values}, "t": transaction, "y": "r", **told})


def asked(node: Node, datagram: bytes, source: Address, now: float = 1.0) -> Answer | Refusal | None:
    """Have a node answer, and read what it answers; its own questions are passed over."""
    node.outgoing()
    node.receive(datagram, source, now)
    for sent, where in node.outgoing():
        message = read(sent)
        if not isinstance(message, Query):
            assert where == source
            return message
    return None


def alone(*, v6: bool = False, read_only: bool = False) -> Node:
    """One that knows nobody."""
    return Node(v6=v6, draw=drawing(), now=0.0, node_id=b"n" * 20, read_only=read_only)


def queries(node: Node) -> list[tuple[Query, Address]]:
    """What it asks, and whom."""
    found = []
    for datagram, where in node.outgoing():
        message = read(datagram)
        if isinstance(message, Query):
            found.append((message, where))
    return found


class SmallDht:
    """Nodes that know each other, and their time."""

    def __init__(self, count: int = 0, seed: int = 1) -> None:
        self.now = 0.0
        self.draw = drawing(seed)
        self.nodes: dict[Address, Node] = {}
        self.sent: list[tuple[Address, Address, bytes]] = []  # all datagrams: from, to, what
        self._wires: list[tuple[float, int, Address, Address, bytes]] = []
        for number in range(count):
            self.add(number)
        self.run(60.0)

    def add(self, number: int, **options: object) -> Node:
        """A node that knows the first one, and looks for itself."""
        where = address(number)
        node_id = node_id_for(where.host, self.draw(20))
        node = Node(v6=False, draw=self.draw, now=self.now, node_id=node_id, **options)  # type: ignore[arg-type]  # any of a node's own
        if self.nodes:
            node.add_contacts([Contact(b"", next(iter(self.nodes)))], self.now)
        self.nodes[where] = node
        node.bootstrap(None, self.now)
        return node

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, until something is so."""
        end = self.now + seconds
        while not until():
            for where, node in self.nodes.items():
                for datagram, to in node.outgoing():
                    self.sent.append((where, to, datagram))
                    heappush(self._wires, (self.now + LATENCY, len(self.sent), where, to, datagram))
            due = min((node.deadline() for node in self.nodes.values()), default=end)
            arrives = self._wires[0][0] if self._wires else end
            self.now = max(self.now, min(due, arrives, end))
            if self.now >= end:
                return
            while self._wires and self._wires[0][0] <= self.now:
                _, _, source, to, datagram = heappop(self._wires)
                if to in self.nodes:
                    self.nodes[to].receive(datagram, source, self.now)
            for node in self.nodes.values():
                if node.deadline() <= self.now:
                    node.tick(self.now)
