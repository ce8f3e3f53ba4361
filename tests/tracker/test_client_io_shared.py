"""UDP trackers asked by a socket that the DHT uses too, over loopback."""

from __future__ import annotations

import asyncio
import struct
from functools import partial
from typing import Any

import pytest

from anabranch.model import Address
from anabranch.net import Datagrams, udp_socket
from anabranch.tracker import FaultKind, TrackerClient, TrackerFault
from loops import Run
from small_servers import UdpServer
from tracker.asking import REQUEST, announce


class Both:
    """A UDP tracker and a DHT node that share a port. Before each answer it asks as a node, and hears the reply."""

    def __init__(self, host: str) -> None:
        self.socket = Datagrams(udp_socket(host))
        self.socket.take(bytes(range(256)), self._heard)
        self.replies: list[bytes] = []

    def _heard(self, datagram: bytes, caller: Address) -> None:
        if datagram.startswith(b"d"):
            self.replies.append(datagram)
            return
        self.socket.send(b"d1:q4:ping1:y1:qe", caller)
        connection, action, number = struct.unpack_from(">8sII", datagram)
        if action == 0:
            self.socket.send(struct.pack(">II8s", 0, number, b"CONNECTD"), caller)
        elif connection == b"CONNECTD":
            self.socket.send(struct.pack(">IIIII", 1, number, 900, 1, 2), caller)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_tracker_and_a_dht_node_may_be_at_one_address(run: Run[Any], host: str) -> None:
    """One socket of ours speaks with both at once: the first byte tells what is whose."""

    async def work() -> None:
        ours, both = Datagrams(udp_socket(host)), Both(host)
        asked: list[tuple[bytes, Address]] = []

        def answer(datagram: bytes, sender: Address) -> None:
            asked.append((datagram, sender))
            ours.send(b"d1:y1:re", sender)

        ours.take(b"d", answer)
        client = TrackerClient("Test/1.0", datagrams={":" in host: ours})
        replies = await asyncio.gather(*(announce(client, f"udp://{both.socket.address}", REQUEST) for _ in range(3)))
        while len(both.replies) < 4:  # noqa: ASYNC110 # nobody is told of it: one for the connect, one for each announce
            await asyncio.sleep(0)
        await client.close()
        assert [reply.seeders for reply in replies] == [2, 2, 2]
        assert asked == [(b"d1:q4:ping1:y1:qe", both.socket.address)] * 4
        assert both.replies == [b"d1:y1:re"] * 4
        assert ours.send(b"d", both.socket.address) is None, "the socket is open: it is not the tracker client's"
        ours.close()
        both.socket.close()

    run(work())


def test_a_family_without_a_shared_socket_has_one_of_its_own(run: Run[Any]) -> None:
    """And a socket that is given later, or another one, serves the next conversations."""

    async def work(first: UdpServer, second: UdpServer, third: UdpServer) -> None:
        shared: dict[bool, Datagrams] = {}
        client = TrackerClient("Test/1.0", datagrams=shared)
        ask = partial(announce, client)
        assert (await ask(first.url, REQUEST)).seeders == 2
        shared[False] = Datagrams(udp_socket("127.0.0.5"))
        assert (await ask(second.url, REQUEST)).seeders == 2
        assert (await ask(first.url, REQUEST)).seeders == 2
        assert (await ask(third.url, REQUEST)).seeders == 2
        await client.close()
        shared.pop(False).close()

    with UdpServer() as first, UdpServer() as second, UdpServer("::1") as third:
        run(work(first, second, third))


def test_a_shared_socket_that_is_closed_is_told_like_any_refusal(run: Run[Any]) -> None:
    """Its owner ends before the trackers' client does: nobody waits for a time-out."""

    async def work() -> None:
        ours = Datagrams(udp_socket("127.0.0.1"))
        ours.close()
        client = TrackerClient("Test/1.0", datagrams={False: ours})
        with pytest.raises(TrackerFault, match="Bad file descriptor") as caught:
            await client.announce("udp://127.0.0.1:9", REQUEST)
        assert caught.value.kind is FaultKind.NETWORK
        await client.close()

    run(work())


def test_a_loss_of_the_dhts_is_not_blamed_on_the_tracker_at_the_same_address(run: Run[Any]) -> None:
    """Both are told of it; the tracker's conversation knows that the datagram was not its own."""

    async def work(tracker: UdpServer) -> None:
        ours = Datagrams(udp_socket("127.0.0.1"))
        client = TrackerClient("Test/1.0", datagrams={False: ours})
        lost: list[bytes] = []
        ours.take(b"d", print, lambda begun, to, why: lost.append(begun))
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(announce(client, tracker.url, REQUEST))
            while not tracker.datagrams:  # noqa: ASYNC110 # nobody is told of it
                await asyncio.sleep(0)
            ours._lost(b"d1:q4:ping1:y1:qe", Address(tracker.host, tracker.port), ConnectionRefusedError())
        assert asking.result().seeders == 2
        assert lost == [b"d1:q4:ping1:y1:qe"]
        await client.close()
        ours.close()

    with UdpServer() as tracker:
        run(work(tracker))
