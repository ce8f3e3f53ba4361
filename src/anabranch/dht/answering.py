"""Queries of others, and what they are answered.

Source: BEP 5, BEP 32 (`want`), BEP 33 (scrape, noseed, seed), BEP 44 (get, put), BEP 51 (sample_infohashes). Who asks
may pretend to be somebody else: what he is sent is fitted into what budgets.py allows, nearest nodes and some peers
first, and nothing is stored for who does not show a token that was sent to him.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from anabranch.bencode import Value
from anabranch.model import Address
from anabranch.net import Bucket

from .budgets import Budgets
from .contacts import ID_LENGTH, Contact, pack_address
from .faults import DhtFault
from .item_store import ItemStore
from .items import Item, ItemRefused
from .krpc import METHOD_UNKNOWN, PROTOCOL_ERROR, SERVER_ERROR, Malformed, Query, answer, refusal, version_key
from .peer_store import PeerStore
from .stats import NodeStats
from .table import NEAREST, Sibling, Table
from .tokens import Tokens

MOST_CHECKS = 200  # signatures a second, at 0.15 ms each: who stores may be many
_MOST_PEERS = 100  # that are told at once
_MOST_BODY = 1000  # bytes of an answer with peers; with more it may be too large for a packet of some network
_NODES = 330  # bytes that are left for nodes where there is room: 8 with IPv6 addresses
_FILTERS = 2 * (6 + 4 + 256)  # bytes of both filters of BEP 33
_FRAME = 55  # bytes of an answer that are neither nodes nor peers, nor the transaction id, nor the asker's address


class Answers:
    """What a node answers.

    Args:
        table: The nodes that are told.
        siblings: The other families' nodes that are told to who wants them.
        v6: Which family we speak.
        draw: Gives that many random bytes.
        version: Sent along.
        stats: What is counted.
        on_query: Asked about each query; where it says no, nothing is answered.
        on_announce: Told who announced itself.
    """

    __slots__ = (
        "_checks",
        "_on_announce",
        "_on_query",
        "_siblings",
        "_stats",
        "_table",
        "_tokens",
        "_v6",
        "_version",
        "budgets",
        "items",
        "peers",
    )

    def __init__(
        self,
        table: Table,
        siblings: Sequence[Sibling],
        stats: NodeStats,
        *,
        v6: bool,
        draw: Callable[[int], bytes],
        version: bytes,
        on_query: Callable[[str, Contact], bool] | None,
        on_announce: Callable[[bytes, Address], None] | None,
    ) -> None:
        self._table = table
        self._siblings = siblings
        self._stats = stats
        self._v6 = v6
        self._version = version_key(version)
        self._on_query = on_query
        self._on_announce = on_announce
        self._tokens = Tokens(draw)
        self._checks = Bucket(MOST_CHECKS, burst=MOST_CHECKS)
        self.budgets = Budgets()
        self.peers = PeerStore(draw)
        self.items = ItemStore()

    def answer(self, query: Query, size: int, source: Address, now: float, spared: int = 0) -> bytes | None:
        """The answer to a query of *size* bytes; None where nothing is sent.

        Of what may be sent, *spared* bytes are left for something else.
        """
        method = METHODS.get(query.method)
        self._stats.queries[query.method if method is not None else "other"] += 1
        if self._on_query is not None and not self._on_query(query.method, Contact(query.id, source)):
            self._stats.dropped["unwanted"] += 1
            return None
        asker = pack_address(source)
        room = self.budgets.room(source[0], size, now)
        room -= spared + _FRAME + len(asker) + len(query.transaction) + len(self._version)
        if method is None:
            return self._refuse(query.transaction, METHOD_UNKNOWN, "Method Unknown", size, source, now)
        try:
            values = method(self, query.arguments, source, room, now)
        except (_Refused, ItemRefused) as no:
            return self._refuse(query.transaction, no.code, str(no), size, source, now)
        reply = answer(query.transaction, values, asker, self._version)
        if not self.budgets.spend(source[0], size, len(reply), now):
            self._stats.dropped["budget"] += 1
            return None
        self._stats.answered += 1
        return reply

    def complain(self, malformed: Malformed, size: int, source: Address, now: float) -> bytes | None:
        """What is sent to who sent a query that is none; None for nothing."""
        return self._refuse(malformed.transaction, malformed.code, str(malformed), size, source, now)

    def peers_of(self, info_hash: bytes, now: float, *, noseed: bool, scrape: bool) -> dict[bytes, Value]:
        """What we ourselves are told of a torrent, as if another node had answered."""
        values: dict[bytes, Value] = {}
        values[b"values"] = [*self.peers.get(info_hash, now, most=_MOST_PEERS, noseed=noseed)]
        blooms = self.peers.blooms(info_hash, now) if scrape else None
        if blooms is not None:
            values[b"BFsd"], values[b"BFpe"] = blooms
        return values

    def item_of(self, target: bytes, now: float) -> dict[bytes, Value]:
        """The item that we keep, as if another node had answered."""
        item = self.items.get(target, now)
        if item is None:
            return {}
        signed: dict[bytes, Value] = {b"k": item.key, b"seq": item.sequence, b"sig": item.signature}
        return {b"v": item.value, **(signed if item.mutable else {})}

    def tick(self, now: float) -> None:
        """Let time pass in the stores."""
        self.peers.tick(now)
        self.items.tick(now)

    def _refuse(self, transaction: bytes, code: int, text: str, size: int, source: Address, now: float) -> bytes | None:
        reply = refusal(transaction, code, text, pack_address(source), self._version)
        if not self.budgets.spend(source[0], size, len(reply), now):
            self._stats.dropped["budget"] += 1
            return None
        self._stats.refused += 1
        return reply

    def ping(self, arguments: Mapping[bytes, Value], source: Address, room: int, now: float) -> bytes:
        """BEP 5."""
        return b"2:id20:" + self._table.own_id

    def find_node(self, arguments: Mapping[bytes, Value], source: Address, room: int, now: float) -> bytes:
        """BEP 5."""
        return b"2:id20:%b%b" % (self._table.own_id, self._nodes(arguments, _id(arguments, b"target"), room))

    def get_peers(self, arguments: Mapping[bytes, Value], source: Address, room: int, now: float) -> bytes:
        """BEP 5: nodes, a token, and peers where there are some; BEP 33: filters of them all."""
        info_hash = _id(arguments, b"info_hash")
        token = _string(b"token", self._tokens.make(source[0], now))
        scrape = arguments.get(b"scrape") == 1
        room = min(room, _MOST_BODY + (_FILTERS if scrape else 0)) - len(token)
        peer_size = 21 if self._v6 else 8  # with the length in front: "18:", "6:"
        others = _NODES + (_FILTERS if scrape else 0)
        most = max(0, min(_MOST_PEERS, (max(room // 3, room - others) - len("6:valuesle")) // peer_size))
        peers = self.peers.get(info_hash, now, most=most, noseed=arguments.get(b"noseed") == 1)
        values = b""
        if peers:
            values = b"6:valuesl%be" % b"".join(b"%d:%b" % (len(peer), peer) for peer in peers)
        nodes = self._nodes(arguments, info_hash, room - len(values))
        filters = b""
        if scrape and room - len(values) - len(nodes) >= _FILTERS:
            blooms = self.peers.blooms(info_hash, now)
            if blooms is not None:
                filters = _string(b"BFpe", blooms[1]) + _string(b"BFsd", blooms[0])
        return b"%b2:id20:%b%b%b%b" % (filters, self._table.own_id, nodes, token, values)

    def announce_peer(self, arguments: Mapping[bytes, Value], source: Address, room: int, now: float) -> bytes:
        """BEP 5; with `seed` of BEP 33."""
        info_hash = _id(arguments, b"info_hash")
        self._check_token(arguments, source, now)
        port = source.port if arguments.get(b"implied_port") == 1 else arguments.get(b"port")
        if not isinstance(port, int) or not 1 <= port <= 65535:
            raise _Refused(PROTOCOL_ERROR, "no port")
        peer = Address(source.host, port)
        if not self.peers.announce(info_hash, peer, arguments.get(b"seed") == 1, now):
            raise _Refused(SERVER_ERROR, "Your network has announced too much")
        if self._on_announce is not None:
            self._on_announce(info_hash, peer)
        return b"2:id20:" + self._table.own_id

    def get(self, arguments: Mapping[bytes, Value], source: Address, room: int, now: float) -> bytes:
        """BEP 44."""
        target = _id(arguments, b"target")
        token = _string(b"token", self._tokens.make(source[0], now))
        item = self.items.get(target, now)
        known = arguments.get(b"seq")
        key = sequence = signature = value = b""
        if item is not None:
            value = b"1:v" + item.encoded
            if item.mutable:
                key, signature = _string(b"k", item.key), _string(b"sig", item.signature)
                sequence = b"3:seqi%de" % item.sequence
                if isinstance(known, int) and item.sequence <= known:
                    key = signature = value = b""
        room -= len(sequence) + len(token)
        if len(key) + len(signature) + len(value) > room:
            key = signature = value = b""
        nodes = self._nodes(arguments, target, room - len(key) - len(signature) - len(value))
        return b"".join((b"2:id20:", self._table.own_id, key, nodes, sequence, signature, token, value))

    def put(self, arguments: Mapping[bytes, Value], source: Address, room: int, now: float) -> bytes:
        """BEP 44."""
        self._check_token(arguments, source, now)
        value, cas = arguments.get(b"v"), arguments.get(b"cas")
        if value is None:
            raise _Refused(PROTOCOL_ERROR, "no value")
        key, salt, signature = (_bytes(arguments, name) for name in (b"k", b"salt", b"sig"))
        sequence = arguments.get(b"seq", 0)
        if not isinstance(sequence, int) or not (cas is None or isinstance(cas, int)):
            raise _Refused(PROTOCOL_ERROR, "a version that is no number")
        if key and not self._checks.grant(1, now):
            raise _Refused(SERVER_ERROR, "Too much is being stored")
        item = Item(value, key, salt, sequence, signature) if key else Item(value)
        self.items.put(item, source.host, now, cas)
        return b"2:id20:" + self._table.own_id

    def sample_infohashes(self, arguments: Mapping[bytes, Value], source: Address, room: int, now: float) -> bytes:
        """BEP 51."""
        target = _id(arguments, b"target")
        hashes, total, interval = self.peers.sample(now)
        room -= 50  # what is said besides hashes and nodes
        fitting = max(0, room - NEAREST * 38) // ID_LENGTH or room // 2 // ID_LENGTH
        hashes = hashes[: max(0, fitting) * ID_LENGTH]
        nodes = self._nodes(arguments, target, room - len(hashes))
        before = b"2:id20:%b8:intervali%de" % (self._table.own_id, interval)
        return b"%b%b3:numi%de%b" % (before, nodes, total, _string(b"samples", hashes))

    def _check_token(self, arguments: Mapping[bytes, Value], source: Address, now: float) -> None:
        token = arguments.get(b"token")
        if not isinstance(token, bytes) or not self._tokens.good(token, source.host, now):
            raise _Refused(PROTOCOL_ERROR, "Bad token")
        self.budgets.proven(source.host, now)

    def _nodes(self, arguments: Mapping[bytes, Value], target: bytes, room: int) -> bytes:
        """The nearest nodes of the wanted families, as many as there is room for; our own family comes first."""
        want = arguments.get(b"want")
        if not isinstance(want, list):
            return _listed(self._table.nearest(target), self._v6, room)
        told = {}
        if (b"n6" if self._v6 else b"n4") in want:
            told[self._v6] = _listed(self._table.nearest(target), self._v6, room)
            room -= len(told[self._v6])
        for sibling in self._siblings:
            if (b"n6" if sibling.v6 else b"n4") in want and sibling.v6 not in told:
                told[sibling.v6] = _listed(sibling.table.nearest(target), sibling.v6, room)
                room -= len(told[sibling.v6])
        return b"".join(told[v6] for v6 in sorted(told))


class _Refused(DhtFault):
    """The query is answered with an error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text, code)


Method: TypeAlias = Callable[[Answers, Mapping[bytes, Value], Address, int, float], bytes]
METHODS: Mapping[str, Method] = {
    "ping": Answers.ping,
    "find_node": Answers.find_node,
    "get_peers": Answers.get_peers,
    "announce_peer": Answers.announce_peer,
    "get": Answers.get,
    "put": Answers.put,
    "sample_infohashes": Answers.sample_infohashes,
}


def _listed(packed: list[bytes], v6: bool, room: int) -> bytes:
    size = 38 if v6 else 26
    key = b"6:nodes6" if v6 else b"5:nodes"
    fitting = (room - len(key) - 4) // size
    if fitting < 0:
        return b""
    joined = b"".join(packed[:fitting])
    return b"%b%d:%b" % (key, len(joined), joined)


def _string(key: bytes, value: bytes) -> bytes:
    return b"%d:%b%d:%b" % (len(key), key, len(value), value)


def _id(arguments: Mapping[bytes, Value], key: bytes) -> bytes:
    value = arguments.get(key)
    if not isinstance(value, bytes) or len(value) != ID_LENGTH:
        raise _Refused(PROTOCOL_ERROR, f"no {key.decode()} of {ID_LENGTH} bytes")
    return value


def _bytes(arguments: Mapping[bytes, Value], key: bytes) -> bytes:
    value = arguments.get(key, b"")
    if not isinstance(value, bytes):
        raise _Refused(PROTOCOL_ERROR, f"{key.decode()} is no string")
    return value
