"""Cases: how many queries a DHT node answers in a second, and what each costs it.

One node in a process of its own with a full table; 100 questions are open at a time. The harness is all the others, on
the machine's second core: CPU time per query says more than queries per second where that is busy.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from threading import Event

from .case import Case, Contender, Reading, Target
from .dht_asker import Asker, Neighbourhood, nodes_in
from .gauge import Address, cpu, memory
from .local_run import HERE, without_libtorrent
from .program import Program

ANNOUNCED = 100  # peers of the torrent that is known
TARGETS = 500  # what is asked for, in turn
SECONDS = 5.0  # of a round
SHORTEST = 0.1  # however small the scale
WARM = 0.2  # of them before anything counts
SETTLED_WITHIN = 60.0  # seconds until it knows its neighbours
ENOUGH = 6  # nodes in an answer; ours tells strangers no more than fit into three times their question
RATE = 20_000  # queries a second that are due
HOST = "127.0.65.1"
_MIB = 1 << 20


def cases(scale: float) -> Sequence[Case]:
    """All of them; a smaller scale asks for a shorter time."""
    seconds = max(SECONDS * scale, SHORTEST)
    chance = Random(9)
    targets = [chance.randbytes(20) for _ in range(TARGETS)]
    return [
        _case("dht-ping", "ping", seconds, b"ping", [b""] * TARGETS, b"2:id20:"),
        _case(
            "dht-find-node", "find_node", seconds, b"find_node", [b"6:target20:" + one for one in targets], b"5:nodes"
        ),
        _case(
            "dht-get-peers",
            "get_peers for torrents that nobody has announced",
            seconds,
            b"get_peers",
            [b"9:info_hash20:" + one for one in targets],
            b"5:token",
        ),
        _case(
            "dht-get-peers-known",
            f"get_peers for a torrent that {ANNOUNCED} have announced",
            seconds,
            b"get_peers",
            [b"9:info_hash20:" + targets[0]] * TARGETS,
            b"6:valuesl",
            announced=targets[0],
        ),
    ]


class Node(Program):
    """dht_program.py."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.address: Address = ("", 0)
        self._listens = Event()

    def hear(self, line: str) -> None:
        """As of every program."""
        try:
            told = json.loads(line)
        except ValueError:
            return  # a message for people
        if "listen" in told:
            host, port = told["listen"]
            self.address = (host, port)
            self._listens.set()

    def listens(self) -> bool:
        """Whether it has told its address; takes its time."""
        return self._listens.wait(0.01)


def _case(
    name: str,
    what: str,
    seconds: float,
    method: bytes,
    arguments: Sequence[bytes],
    due: bytes,
    *,
    announced: bytes = b"",
) -> Case:
    def run(who: str, place: Path) -> Reading:
        chance = Random(5)
        with Neighbourhood(chance) as around, Node(place / "node") as node:
            first = [f"{host}:{port}" for host, port in around.addresses[:3]]
            node.start(sys.executable, "-P", HERE / "dht_program.py", who, HOST, *first)
            node.until(node.listens, SETTLED_WITHIN, "listening")
            with Asker(node.address, chance) as asker:
                _settle(node, asker, chance)
                if announced:
                    asker.announce(announced, ANNOUNCED)
                asker.flood(method, arguments, seconds * WARM, due)
                used = cpu(node.pid)
                answered = asker.flood(method, arguments, seconds, due)
                used = cpu(node.pid) - used
            return Reading(
                {
                    "CPU us per query": used.total / answered * 1e6,
                    "of it user": used.user / answered * 1e6,
                    "queries per CPU-s": answered / used.total,
                    "peak RSS MiB": memory(node.pid).peak / _MIB,
                }
            )

    contenders = [
        Contender("anabranch", partial(run, "anabranch")),
        Contender("libtorrent", partial(run, "libtorrent"), without_libtorrent()),
    ]
    targets = [Target("queries per CPU-s", RATE)]
    return Case(name, f"DHT queries answered: {what}", contenders, targets)


def _settle(node: Node, asker: Asker, chance: Random) -> None:
    """Wait until the node tells of enough others, wherever one looks."""

    def settled() -> bool:
        time.sleep(0.05)
        asked = [asker.one(b"find_node", b"6:target20:" + chance.randbytes(20)) for _ in range(10)]
        return all(nodes_in(answer) >= ENOUGH for answer in asked)

    node.until(settled, SETTLED_WITHIN, "at home in its network")
