"""One node on its socket."""

from __future__ import annotations

import asyncio
import os
import socket
from time import monotonic
from typing import Any

import pytest

from anabranch.dht.faults import DhtFault
from anabranch.dht.node import Node
from anabranch.dht.operations import Looked, Pong
from anabranch.dht.remembering import Remembered
from anabranch.dht.side_io import Side
from anabranch.model import Address
from anabranch.net import Datagrams, udp_socket
from dht.waiting import until
from loops import Run

PING = b"d1:ad2:id20:iiiiiiiiiiiiiiiiiiiie1:q4:ping1:t2:%b1:y1:qe"


class Moves:
    """How often the node has spoken, and what else there is to count."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def side_at(host: str, moved: Moves | None = None) -> Side:
    """A node of its own."""
    datagrams = Datagrams(udp_socket(host))
    node = Node(v6=":" in host, draw=os.urandom, now=monotonic())
    return Side(node, datagrams, Remembered(host, b"", ()), monotonic, moved or Moves())


def end(*sides: Side) -> None:
    for side in sides:
        side.close()
        side.close()
        side.datagrams.close()


def test_the_answers_to_what_came_at_once_leave_at_once(run: Run[Any]) -> None:
    """A hundred queries wait in the socket: all are answered, in a few turns of the loop."""

    async def work() -> None:
        moved = Moves()
        side = side_at("127.0.0.1", moved)
        await asyncio.sleep(0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.bind(("127.0.0.1", 0))
            asker.setblocking(False)
            spoken = moved.count
            for number in range(100):
                asker.sendto(PING % number.to_bytes(2, "big"), side.datagrams.address)
            await until(lambda: side.node.stats.answered == 100)
            assert moved.count - spoken <= 10
            assert len({asker.recv(1000) for _ in range(100)}) == 100
        end(side)

    run(work())


def test_the_node_is_woken_when_it_asks_to_be(run: Run[Any]) -> None:
    """A question that nobody can be asked is answered from the next tick, with no datagram at all."""

    async def work() -> None:
        side = side_at("127.0.0.1")
        told: asyncio.Future[Looked] = asyncio.get_running_loop().create_future()
        side.node.find_node(bytes(20), told.set_result, monotonic())
        side.wake()
        assert (await told).asked == 0
        end(side)

    run(work())


def test_what_the_system_will_not_send_is_lost_at_once(run: Run[Any]) -> None:
    """From this machine's own address nobody else can be reached."""

    async def work() -> None:
        side = side_at("127.0.0.1")
        told: asyncio.Future[Pong | DhtFault] = asyncio.get_running_loop().create_future()
        side.node.ping(Address("20.1.2.3", 6881), told.set_result, monotonic())
        side.wake()
        fault = await told
        assert isinstance(fault, DhtFault)
        assert "nobody is at 20.1.2.3:6881" in str(fault)
        end(side)

    run(work())


def test_which_addresses_can_be_reached(run: Run[Any]) -> None:
    async def work() -> None:
        local, world, v6 = side_at("127.0.0.1"), side_at("0.0.0.0"), side_at("::1")
        reached = [Address("127.0.0.9", 1), Address("20.1.2.3", 1), Address("::1", 1), Address("2a00::1", 1)]
        for side, whom in ((local, "+---"), (world, "++--"), (v6, "--+-")):
            assert "".join("+" if side.reaches(address) else "-" for address in reached) == whom
        end(local, world, v6)

    run(work())


def test_a_fault_of_ours_is_logged_and_the_node_lives(run: Run[Any], caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        one, other = side_at("127.0.0.1"), side_at("127.0.0.1")

        def fail(_: Looked) -> None:
            raise ZeroDivisionError

        one.node.find_node(bytes(20), fail, monotonic())
        one.wake()
        told: asyncio.Future[Pong | DhtFault] = asyncio.get_running_loop().create_future()
        one.node.ping(other.datagrams.address, told.set_result, monotonic())
        assert isinstance(await told, Pong)
        end(one, other)

    run(work())
    assert "internal error in the DHT" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_after_its_end_nothing_is_heard_or_sent(run: Run[Any]) -> None:
    async def work() -> None:
        one, other = side_at("127.0.0.1"), side_at("127.0.0.1")
        one.close()
        other.node.ping(one.datagrams.address, lambda _: None, monotonic())
        other.wake()
        one.wake()
        await asyncio.sleep(0.01)
        assert one.node.stats.bytes_in == 0
        assert other.node.stats.bytes_out > 0
        end(one, other)

    run(work())
