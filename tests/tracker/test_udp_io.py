"""Conversations with UDP trackers on a loop, over loopback."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from anabranch.model import Address
from anabranch.tracker import AnnounceRequest, FaultKind, TrackerFault
from anabranch.tracker.udp_io import UdpTrackers
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


def test_a_question_that_nobody_waits_for_is_forgotten(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its conversation would stay, and the question be repeated, until its time is over."""
    monkeypatch.setattr("anabranch.tracker.udp_io._IDLE_LIFE", 0.01)

    async def work(tracker: UdpServer) -> None:
        udp = UdpTrackers()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await udp.announce(Address(tracker.host, tracker.port), "/", REQUEST, 1000.0)
        while udp.conversations:  # noqa: ASYNC110 # nobody is told of it
            await asyncio.sleep(0.01)
        udp.close()

    with UdpServer(deaf=99) as tracker:
        run(work(tracker))


def test_who_leaves_when_all_is_closed_leaves_nothing_behind(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is heard of only after the close."""
    monkeypatch.setattr("anabranch.tracker.udp_io._IDLE_LIFE", 0.0)

    async def work(tracker: UdpServer) -> None:
        udp, faults = UdpTrackers(), []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        task = asyncio.ensure_future(udp.announce(Address(tracker.host, tracker.port), "/", REQUEST, 0.0))
        while not udp.conversations:  # noqa: ASYNC110 # nobody is told of it
            await asyncio.sleep(0)
        task.cancel()
        udp.close()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.01)
        assert (udp.conversations, faults) == (0, [])

    with UdpServer(deaf=99) as tracker:
        run(work(tracker))


def test_addresses_that_were_silent_come_last_until_they_answer(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many are remembered, those of late: strangers' torrents name them."""
    monkeypatch.setattr("anabranch.tracker.udp_io._MOST_SILENT", 2)

    async def silence(udp: UdpTrackers, address: Address) -> None:
        with pytest.raises(TrackerFault):
            await udp.announce(address, "/", REQUEST, 0.01)

    async def work(trackers: list[UdpServer]) -> None:
        udp = UdpTrackers()
        first, second, third, fourth = (Address(tracker.host, tracker.port) for tracker in trackers)
        await silence(udp, first)
        assert udp.by_hope([first, second, third]) == [second, third, first]
        await udp.announce(first, "/", REQUEST, 10.0)
        assert udp.by_hope([first, second, third]) == [first, second, third]
        for address in (second, third, fourth):
            await silence(udp, address)
        assert udp.by_hope([third, second, fourth]) == [second, third, fourth]
        udp.close()

    with UdpServer(deaf=1) as first, UdpServer(deaf=9) as second, UdpServer(deaf=9) as third, UdpServer(deaf=9) as last:
        run(work([first, second, third, last]))


def test_what_the_system_will_not_send_is_told_at_once(run: Run[Any]) -> None:
    """In its words: a broadcast address is for who asked to broadcast."""

    async def work() -> None:
        udp = UdpTrackers()
        with pytest.raises(TrackerFault, match="Permission denied") as caught:
            await udp.announce(Address("255.255.255.255", 6969), "/", REQUEST, 10.0)
        assert caught.value.kind is FaultKind.NETWORK
        udp.close()

    run(work())


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
        assert task.result() == "the client was closed before there was an answer"

    async def ask(udp: UdpTrackers, tracker: UdpServer) -> str:
        with pytest.raises(TrackerFault) as caught:
            await udp.announce(Address(tracker.host, tracker.port), "/", REQUEST, 10.0)
        assert caught.value.kind is FaultKind.CLOSED
        return str(caught.value)

    with UdpServer(deaf=99) as tracker:
        run(work(tracker))
