"""What it costs a DHT node to answer a query, and to pass over one of a flood: without its socket, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count, cycle, islice
from random import Random

from anabranch.dht import Contact, Node
from anabranch.model import Address

from .job import Job, Work

RUN = 64  # queries in a piece of work
NODES = 400  # that it hears of
TARGETS = 500
WINDOW = 10.0  # seconds after which nobody is remembered to have asked
_HOSTS = count(1 << 24)  # each asks once: nothing is known of it that could be looked up


def jobs() -> Sequence[Job]:
    """All of them."""
    chance = Random(9)
    targets = [chance.randbytes(20) for _ in range(TARGETS)]
    return [
        Job("dht: answer ping", "query", RUN, partial(_answer, b"ping", [b""] * TARGETS)),
        Job(
            "dht: answer find_node",
            "query",
            RUN,
            partial(_answer, b"find_node", [b"6:target20:" + one for one in targets]),
        ),
        Job(
            "dht: answer get_peers",
            "query",
            RUN,
            partial(_answer, b"get_peers", [b"9:info_hash20:" + one for one in targets]),
        ),
        Job("dht: pass over a flood", "query", RUN, _flood),
    ]


def _node(chance: Random) -> Node:
    """One with a full table."""
    node = Node(v6=False, draw=chance.randbytes, now=0.0)
    for number in range(NODES):
        node.table.answered(Contact(chance.randbytes(20), Address(f"127.66.{number // 250}.{number % 250}", 6881)), 0.0)
    return node


def _host() -> Address:
    number = next(_HOSTS)
    return Address(".".join(map(str, number.to_bytes(4, "big"))), 6881)


def _queries(chance: Random, method: bytes, arguments: Sequence[bytes]) -> list[bytes]:
    return [
        b"d1:ad2:id20:%b%be1:q%d:%b1:t2:%b1:v4:LT\x02\x111:y1:qe"
        % (chance.randbytes(20), one, len(method), method, number.to_bytes(2, "big"))
        for number, one in enumerate(arguments)
    ]


def _answer(method: bytes, arguments: Sequence[bytes]) -> Callable[[], Work]:
    chance = Random(5)
    node, queries, windows = _node(chance), cycle(_queries(chance, method, arguments)), count()
    receive = node.receive

    def work(batch: Sequence[tuple[bytes, Address]], now: float) -> None:
        for query, host in batch:
            receive(query, host, now)
        if len(node.outgoing()) < RUN:
            raise RuntimeError("a query was not answered")

    return lambda: partial(work, [(query, _host()) for query in islice(queries, RUN)], WINDOW * next(windows))


def _flood() -> Callable[[], Work]:
    """One host that has asked too much already."""
    chance = Random(5)
    node, host = _node(chance), _host()
    [query] = _queries(chance, b"find_node", [b"6:target20:" + chance.randbytes(20)])
    for _ in range(2 * RUN):
        node.receive(query, host, 0.0)
    node.outgoing()
    receive = node.receive

    def work() -> None:
        for _ in range(RUN):
            receive(query, host, 0.0)
        if node.outgoing():
            raise RuntimeError("the flood was answered")

    return lambda: work
