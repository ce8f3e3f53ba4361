"""Nodes of a simulated DHT that lie: each kind in its own way, and otherwise like everybody else.

They know who takes part without looking, get themselves known by asking, and answer. A liar that knows the network is
the worst there can be: whoever attacks a real one collects addresses first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from random import Random

from anabranch.bencode import encode
from anabranch.model import Address

from .dht_talk import Fields, compact, compact_nodes, distance, error, part, query, read, reply, text

_ASKS_EVERY = 20.0  # seconds between the questions by which a liar stays known
_FADES_AFTER = 300.0  # seconds
_KNOWN = 60  # of the others; an answer names the eight nearest of them
_NAMED = 8  # nodes in an answer
_VALUES = 60  # made-up peers in an answer: more of IPv6 would not fit a datagram
NodeAt = tuple[bytes, Address]
Answers = Sequence[bytes]


@dataclass
class Underworld:
    """What the liars of a network share.

    Args:
        draw: Chance.
        send: Puts a datagram on its way: what, from where (whether true or not), to where.
        honest: Everybody who takes part and does not lie.
        liars: The others.
        nobody: Draws an address where nobody is.
        victims: Who is to be drowned.

    Attributes:
        spoofed: Bytes that were sent to honest nodes in the name of victims.
        naming: Bytes of the answers that named a victim.
    """

    draw: Random
    send: Callable[[bytes, Address, Address], None]
    honest: list[NodeAt]
    liars: list[NodeAt]
    nobody: Callable[[], Address]
    victims: Sequence[Address]
    spoofed: int = field(default=0, init=False)
    naming: int = field(default=0, init=False)


class Liar:
    """A node that lies. See dht_network.Resident.

    Args:
        kind: A name of LIAR_KINDS.
        node_id: 20 bytes.
        address: Where it is.
        world: The others.
        now: Seconds.
    """

    __slots__ = ("_answer", "_known", "_next", "_outbox", "address", "born", "id", "kind", "now", "world")

    def __init__(self, kind: str, node_id: bytes, address: Address, world: Underworld, now: float) -> None:
        self.kind = kind
        self.id = node_id
        self.address = address
        self.world = world
        self.born = self.now = now
        self._answer = LIAR_KINDS[kind].answer
        self._known: list[tuple[int, bytes]] = []  # ids, and nodes as they are in a list
        self._next = now + world.draw.uniform(0.0, _ASKS_EVERY)
        self._outbox: list[tuple[bytes, Address]] = []

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        """A question gets an answer of its kind."""
        self.now = now
        fields = read(datagram)
        if fields.get(b"y") == b"q":
            self._outbox += [(answer, source) for answer in self._answer(self, fields, source)]

    def tick(self, now: float) -> None:
        """It is time to be heard of."""
        self.now = now
        self._next = now + self.world.draw.uniform(0.5, 1.5) * _ASKS_EVERY
        target = self.world.draw.randbytes(20)
        node_id, address = self.world.draw.choice(self.world.honest)
        question = query(b"find_node", self.id, self.world.draw.randbytes(4), target=target)
        self._outbox.append((question, address))
        if self.kind == "spoofs":
            victim = self.world.draw.choice(self.world.victims)
            question = query(b"get_peers", self.id, b"vv", info_hash=node_id)
            for _, someone in self.world.draw.choices(self.world.honest, k=10):
                self.world.spoofed += len(question)
                self.world.send(question, victim, someone)

    def deadline(self) -> float:
        """When it wishes to be heard of next."""
        return self._next

    def outgoing(self) -> list[tuple[bytes, Address]]:
        """Drain what it sends."""
        sent, self._outbox = self._outbox, []
        return sent

    def nearest(self, target: bytes) -> bytes:
        """Eight of the others, as an honest node names them."""
        draw, nodes = self.world.draw, self.world.honest + self.world.liars
        if not self._known or draw.random() < 0.02:
            known = draw.sample(nodes, min(_KNOWN, len(nodes)))
            self._known = [(int.from_bytes(node[0], "big"), compact_nodes((node,))) for node in known]
        wanted = int.from_bytes(target, "big")
        nearest = sorted(self._known, key=lambda node: node[0] ^ wanted)
        return b"".join([packed for _, packed in nearest[:_NAMED]])


def _target(fields: Fields) -> bytes:
    asked = part(fields, b"a")
    target = text(asked, b"target") or text(asked, b"info_hash")
    return target if len(target) == 20 else bytes(20)


def _close_to(target: bytes, draw: Random, *, bits: int = 40) -> bytes:
    """An id that has so many bits with the target in agreement, at least."""
    return (int.from_bytes(target, "big") ^ draw.getrandbits(160 - bits)).to_bytes(20, "big")


def right(liar: Liar, fields: Fields, source: Address, /, **other: object) -> bytes:
    """What an honest node without peers would say; *other* values go into it, or take the place of what is there."""
    method, transaction = text(fields, b"q"), text(fields, b"t")
    node_id = other.pop("id", liar.id)
    assert isinstance(node_id, bytes)
    if method in (b"find_node", b"get_peers", b"get"):
        nodes = other.pop("nodes", None)
        values = {"nodes6" if source.is_v6 else "nodes": liar.nearest(_target(fields)) if nodes is None else nodes}
        if method != b"find_node":
            values["token"] = b"tokn"
        return reply(transaction, node_id, **{**values, **other})
    if method in (b"ping", b"announce_peer", b"put"):
        return reply(transaction, node_id)
    return error(transaction, 204, "Method Unknown")


def _honest(liar: Liar, fields: Fields, source: Address) -> Answers:
    return [right(liar, fields, source)]


def _ghosts(liar: Liar, fields: Fields, source: Address) -> Answers:
    draw = liar.world.draw
    nodes = [(_close_to(_target(fields), draw), liar.world.nobody()) for _ in range(_NAMED)]
    return [right(liar, fields, source, nodes=compact_nodes(nodes))]


def _eclipse(liar: Liar, fields: Fields, source: Address) -> Answers:
    draw, target = liar.world.draw, _target(fields)
    others = draw.choices(liar.world.liars, k=_NAMED)
    nodes = [(_close_to(target, draw, bits=60), address) for _, address in others]
    return [right(liar, fields, source, nodes=compact_nodes(nodes))]


def _clique(liar: Liar, fields: Fields, source: Address) -> Answers:
    target = _target(fields)
    nearest = nsmallest(_NAMED, liar.world.liars, key=lambda node: distance(node[0], target))
    return [right(liar, fields, source, nodes=compact_nodes(nearest))]


def _chameleon(liar: Liar, fields: Fields, source: Address) -> Answers:
    if text(fields, b"q") == b"ping":
        return _honest(liar, fields, source)
    draw, target = liar.world.draw, _target(fields)
    others = [address for _, address in draw.choices(liar.world.liars, k=_NAMED)]
    nodes = compact_nodes((_close_to(target, draw, bits=60), address) for address in others)
    return [right(liar, fields, source, id=_close_to(target, draw, bits=60), nodes=nodes)]


def _victims(liar: Liar, fields: Fields, source: Address) -> Answers:
    draw = liar.world.draw
    victim = draw.choice(liar.world.victims)
    nodes = [(_close_to(_target(fields), draw), victim) for _ in range(_NAMED)]
    answer = right(liar, fields, source, nodes=compact_nodes(nodes), values=[compact(victim)] * 20)
    liar.world.naming += len(answer)
    return [answer]


def _themselves(liar: Liar, fields: Fields, source: Address) -> Answers:
    draw = liar.world.draw
    nodes = [(_close_to(_target(fields), draw), source) for _ in range(_NAMED)]
    return [right(liar, fields, source, nodes=compact_nodes(nodes))]


def _false_peers(liar: Liar, fields: Fields, source: Address) -> Answers:
    peers = [compact(liar.world.nobody()) for _ in range(_VALUES)]
    return [right(liar, fields, source, values=peers, nodes=b"")]


def _fades(liar: Liar, fields: Fields, source: Address) -> Answers:
    return _honest(liar, fields, source) if liar.now < liar.born + _FADES_AFTER else ()


def _wrong_transaction(liar: Liar, fields: Fields, source: Address) -> Answers:
    return [right(liar, {**fields, b"t": liar.world.draw.randbytes(len(text(fields, b"t")))}, source)]


def _wrong_id(liar: Liar, fields: Fields, source: Address) -> Answers:
    return [right(liar, fields, source, id=liar.world.draw.randbytes(20))]


def _forgetful(liar: Liar, fields: Fields, source: Address) -> Answers:
    if text(fields, b"q") in (b"announce_peer", b"put"):
        return [error(text(fields, b"t"), 203, "Bad token")]
    return _honest(liar, fields, source)


def _huge(liar: Liar, fields: Fields, source: Address) -> Answers:
    many = liar.nearest(_target(fields)) * 4
    return [right(liar, fields, source, nodes=many, values=[b"\1" * 300, b"", 7, [], bytes(6)], token=b"t" * 200)]


def _noise(liar: Liar, fields: Fields, source: Address) -> Answers:
    if text(fields, b"q") == b"ping":
        return _honest(liar, fields, source)
    answer = bytearray(right(liar, fields, source))
    for _ in range(3):
        answer[liar.world.draw.randrange(len(answer))] = liar.world.draw.randrange(256)
    return [bytes(answer)]


def _misleads(liar: Liar, fields: Fields, source: Address) -> Answers:
    whole = read(right(liar, fields, source))
    return [encode({**whole, b"ip": compact(liar.world.nobody())})]


@dataclass(frozen=True, slots=True)
class LiarKind:
    """A way to lie: what it does, and its answers to a question from an address."""

    about: str
    answer: Callable[[Liar, Fields, Address], Answers]


LIAR_KINDS: Mapping[str, LiarKind] = {
    "ghosts": LiarKind("names nodes near the target that do not exist", _ghosts),
    "eclipse": LiarKind("names other liars under ids that are almost the target", _eclipse),
    "clique": LiarKind("names other liars only, the nearest, under their true ids", _clique),
    "chameleon": LiarKind("says that its own id is almost the target, and names others like it", _chameleon),
    "victims": LiarKind("names a victim's address, under many ids and as many peers", _victims),
    "themselves": LiarKind("names whoever asks", _themselves),
    "false-peers": LiarKind("knows sixty peers that are not there, and no nodes", _false_peers),
    "fades": LiarKind("is honest for five minutes, and then silent", _fades),
    "wrong-transaction": LiarKind("answers another question", _wrong_transaction),
    "wrong-id": LiarKind("has another id each time", _wrong_id),
    "forgetful": LiarKind("knows no token that it gave", _forgetful),
    "huge": LiarKind("values, tokens and lists that are too long", _huge),
    "noise": LiarKind("three bytes of every answer are wrong", _noise),
    "misleads": LiarKind("tells whoever asks a false address of his own", _misleads),
    "spoofs": LiarKind("asks in the name of victims", _honest),
}
