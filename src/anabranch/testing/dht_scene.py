"""What an attack on a DHT node is told and what it may do: the words between scripts and those who run them.

A script is a generator of steps and does no I/O, so that the same one attacks a node in virtual time (dht_siege.py)
and one behind a socket (dht_siege_io.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from anabranch.model import Address

from .dht_talk import Fields, error, query, read, reply
from .scene import Pause

_MOST_KEPT = 5000  # datagrams that a script has not looked at; what is older is forgotten


@dataclass(frozen=True, slots=True)
class Shot:
    """A datagram for the node, from one of our addresses or in the name of somebody else's."""

    datagram: bytes
    source: Address


@dataclass(frozen=True, slots=True)
class Heard:
    """What the node sent to one of our addresses."""

    datagram: bytes
    at: Address


DhtStep = Shot | Pause
DhtSteps = Iterator[DhtStep]
DhtScript = Callable[["DhtScene"], DhtSteps]


class DhtScene:
    """One node under attack, as the attacker sees it.

    Args:
        target: Where the node is.
        ours: Our addresses, each in a network of its own as far as possible: what is sent there, we hear.
        victim: In whose name an attacker speaks: what the node sends there is to be little.
        stranger: Draws an address of somebody else's.
        neighbour: Draws an address in the network of the first of ours.
        draw: Chance, the same for the same seed.

    Attributes:
        target_id: The node's id, as far as it was told; zeros before.
    """

    def __init__(
        self,
        target: Address,
        ours: tuple[Address, ...],
        victim: Address,
        stranger: Callable[[], Address],
        neighbour: Callable[[], Address],
        draw: Random,
    ) -> None:
        self.target = target
        self.ours = ours
        self.victim = victim
        self.stranger = stranger
        self.neighbour = neighbour
        self.draw = draw
        self.target_id = bytes(20)
        self._tokens: dict[Address, bytes] = {}
        self._ids = {address: draw.randbytes(20) for address in ours}
        self._heard: deque[Heard] = deque(maxlen=_MOST_KEPT)

    @property
    def own(self) -> Address:
        """The first of our addresses."""
        return self.ours[0]

    def id_of(self, address: Address) -> bytes:
        """The id that one of ours has."""
        return self._ids[address]

    def hear(self, heard: Heard) -> None:
        """The node sent something; who runs the script calls this."""
        self._heard.append(heard)
        answer = read(heard.datagram).get(b"r")
        if isinstance(answer, dict):
            node_id, token = answer.get(b"id"), answer.get(b"token")
            self.target_id = node_id if isinstance(node_id, bytes) and len(node_id) == 20 else self.target_id
            if isinstance(token, bytes):
                self._tokens[heard.at] = token

    def token_of(self, address: Address) -> bytes:
        """The latest token that one of ours was given; empty if none was."""
        return self._tokens.get(address, b"")

    @property
    def token(self) -> bytes:
        """That of the first of ours."""
        return self.token_of(self.own)

    def take(self) -> list[Heard]:
        """What came since this was last asked."""
        taken = list(self._heard)
        self._heard.clear()
        return taken

    def ask(self, method: bytes, source: Address | None = None, /, **arguments: object) -> Shot:
        """A question in order, from the first of ours, where no *source* is said."""
        source = source or self.own
        node_id = self._ids.get(source) or self.draw.randbytes(20)
        return Shot(query(method, node_id, self.draw.randbytes(4), **arguments), source)

    def valid(self) -> list[bytes]:
        """A message of every kind, as it ought to be: to be spoiled."""
        draw, node_id = self.draw, self._ids[self.own]
        hashes, target, number = draw.randbytes(40), draw.randbytes(20), draw.randbytes(4)
        token = self.token or b"token"
        signed = {"k": draw.randbytes(32), "sig": draw.randbytes(64), "seq": 1, "salt": b"salt", "cas": 0}
        nodes, nodes6 = draw.randbytes(26 * 8), draw.randbytes(38 * 8)
        return [
            query(b"ping", node_id, number),
            query(b"find_node", node_id, number, target=target, want=[b"n4", b"n6"]),
            query(b"get_peers", node_id, number, info_hash=target, scrape=1, noseed=1),
            query(b"announce_peer", node_id, number, info_hash=target, port=6881, token=token, implied_port=1, seed=1),
            query(b"get", node_id, number, target=target, seq=3),
            query(b"put", node_id, number, v=b"value", token=token),
            query(b"put", node_id, number, v=[b"value", 3, {"of": b"kind"}], token=token, **signed),
            query(b"sample_infohashes", node_id, number, target=target),
            query(b"vote", node_id, number, target=target, vote=5),
            reply(number, node_id),
            reply(number, node_id, nodes=nodes, nodes6=nodes6, token=token, values=[draw.randbytes(6)] * 5),
            reply(number, node_id, BFsd=bytes(256), BFpe=bytes(256), nodes=nodes, token=token),
            reply(number, node_id, v=b"value", token=token, **signed),
            reply(number, node_id, samples=hashes, num=2, interval=60, nodes=nodes),
            error(number, 201, "A Generic Error Ocurred"),
        ]


def answered(heard: Heard, scene: DhtScene, **values: object) -> Shot:
    """The right answer to a question of the node's: empty lists of nodes, and whatever else is said."""
    fields = read(heard.datagram)
    number = fields.get(b"t", b"")
    return Shot(reply(number, scene.id_of(heard.at), **{"nodes": b"", "token": b"tk", **values}), heard.at)


def asked_by_it(scene: DhtScene) -> list[tuple[Heard, Fields]]:
    """The questions of the node's that came."""
    taken = [(heard, read(heard.datagram)) for heard in scene.take()]
    return [(heard, fields) for heard, fields in taken if fields.get(b"y") == b"q"]
