"""Conversations with UDP trackers on a loop, over loopback."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from anabranch.model import Address
from anabranch.tracker import AnnounceRequest, TrackerFault, UdpTrackers
from loops import Run
from small_servers import UdpServer

REQUEST = AnnounceRequest(b"h" * 20, b"-DE211s-dWygz4Kq-25R", port=42111)


def test_questions_to_one_tracker_share_a_connection_id(run: Run[Any]) -> None:
    """Many torrents are announced there, and each is answered."""

    async def work(tracker: UdpServer) -> None:
        udp = UdpTrackers()
        address = Address(tracker.host, tracker.port)
        replies = await asyncio.gather(*(udp.announce(address, "/", REQUEST, 10.0) for _ in range(20)))
        numbers = await udp.scrape(address, [b"h" * 20], 10.0)
        udp.close()
        assert {reply.seeders for reply in replies} == {2}
        assert numbers[b"h" * 20].completed == 7

    with UdpServer() as tracker:
        run(work(tracker))
        assert len(tracker.datagrams) == 1 + 20 + 1


def test_a_datagram_that_is_lost_is_sent_again(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's alarm comes when the machine wants it."""
    monkeypatch.setattr("anabranch.tracker.udp._WAITS", (0.02, 0.02, 0.02))

    async def work(tracker: UdpServer) -> None:
        udp = UdpTrackers()
        reply = await udp.announce(Address(tracker.host, tracker.port), "/", REQUEST, 10.0)
        udp.close()
        assert reply.seeders == 2

    with UdpServer(deaf=2) as tracker:
        run(work(tracker))


def test_conversations_that_are_over_are_forgotten(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A service meets thousands of trackers in its life."""
    monkeypatch.setattr("anabranch.tracker.udp._CONNECTION_LIFE", 0.01)
    monkeypatch.setattr("anabranch.tracker.udp_io._IDLE_LIFE", 0.01)

    async def work(tracker: UdpServer) -> None:
        udp = UdpTrackers()
        with suppress(TrackerFault):  # on a slow machine the answer is late, and the conversation over as well
            await udp.announce(Address(tracker.host, tracker.port), "/", REQUEST, 0.05)
        while udp.conversations:  # noqa: ASYNC110 # nobody is told of it
            await asyncio.sleep(0.01)
        udp.close()

    with UdpServer() as tracker:
        run(work(tracker))


def test_who_waits_when_all_is_closed_is_told(run: Run[Any]) -> None:
    """It does not wait for ever; and close() twice is harmless."""

    async def work(tracker: UdpServer) -> None:
        udp = UdpTrackers()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(ask(udp, tracker))
            while not udp.conversations:  # noqa: ASYNC110 # nobody is told of it
                await asyncio.sleep(0)
            udp.close()
            udp.close()
        assert task.result() == "closed before there was an answer"

    async def ask(udp: UdpTrackers, tracker: UdpServer) -> str:
        with pytest.raises(TrackerFault) as caught:
            await udp.announce(Address(tracker.host, tracker.port), "/", REQUEST, 10.0)
        return str(caught.value)

    with UdpServer(deaf=99) as tracker:
        run(work(tracker))
