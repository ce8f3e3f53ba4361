"""The DHT node and the local network on the network thread: alarms, and the user's hook."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from anabranch.api import Address
from anabranch.bencode import encode
from anabranch.engine.config import Config
from anabranch.engine.discovery_io import Discoverer
from anabranch.engine.names_io import FamilyNames
from anabranch.metainfo import Magnet
from anabranch.model import InfoHash, Misused
from engine.clocks import Clock
from engine.rig import Node
from ours import make_client

HOST = "127.0.7.62"
PING = encode({b"t": b"aa", b"y": b"q", b"q": b"ping", b"a": {b"id": b"abcdefghij0123456789"}})


def answers(port: int) -> bool:
    """Whether a DHT node there answers a ping."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.7.63", 0))
        sock.settimeout(2)
        sock.sendto(PING, (HOST, port))
        try:
            return b"1:y1:r" in sock.recv(2048)
        except TimeoutError:
            return False


def fails(method: str, who: Address) -> bool:
    raise ValueError(method)


def exits(method: str, who: Address) -> bool:
    sys.exit(3)


@pytest.mark.parametrize("hook", [fails, exits])
def test_whatever_the_hook_raises_the_client_goes_on_and_answers(hook: object, tmp_path: Path) -> None:
    """It runs on the network thread, which must not end with it."""
    with make_client(tmp_path, HOST, dht_bootstrap=(), dht_on_query=hook) as client:
        port = client.listen_addresses[0].port
        assert answers(port)
        assert answers(port)
        assert client.close(5)


def test_the_hook_may_refuse_an_answer_and_may_not_wait_for_the_engine(tmp_path: Path) -> None:
    """What would wait for itself is an error; looking is allowed."""
    said: list[object] = []

    def hook(method: str, who: Address) -> bool:
        said.append(method)
        said.append(client.dht.nodes)
        for act in (client.close, lambda: client.add(str(Magnet(v1=InfoHash(bytes(20)))))):
            with pytest.raises(Misused):
                act()
        said.append("done")
        return False

    with make_client(tmp_path, HOST, dht_bootstrap=(), dht_on_query=hook) as client:
        assert not answers(client.listen_addresses[0].port)
    assert said == ["ping", 0, "done"]


def test_where_nobody_can_be_asked_no_alarm_is_set() -> None:
    """A torrent that is due all the time would ring it a thousand times a second."""
    node = Node(Clock(), disable_lsd=True)
    node.learn(Magnet(v1=InfoHash(bytes(20))))
    node.settle()
    assert node.engine.due.seekers.dht.deadline() <= node.engine.clock()

    async def main() -> None:
        discoverer = Discoverer((), 0, b"")  # no family is left, or the sockets are gone
        discoverer.open(node.engine, FamilyNames(Config()))
        discoverer.look()
        assert discoverer.dht is None
        assert discoverer._alarm is None
        discoverer.close()

    asyncio.run(main())
